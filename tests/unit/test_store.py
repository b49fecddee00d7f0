"""The object store: how what was seen is judged, who may do what, and what is never founded over."""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rmc_dr import tls
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, EstateConfig
from rmc_dr.estate_backup import S3
from rmc_dr.store import check, endpoint, knock, probes, words
from rmc_dr.store.attempt import Attempt, Unanswered, attempt
from rmc_dr.store.client import connect

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WANTED = S3(
    endpoint="https://store1",
    region="default",
    bucket="backups",
    lock_mode="COMPLIANCE",
    lock_days=7,
    quota_gib=4,
)
CLOSED = Attempt(code="AccessDenied", status=403)
STRANGER = Attempt(code="InvalidAccessKeyId", status=403)


def with_endpoint(estate: Estate, url: str) -> Estate:
    raw = estate.config.model_dump(mode="json", by_alias=True)
    raw["s3"]["endpoint"] = url
    return replace(estate, config=EstateConfig.model_validate(raw))


def test_a_host_of_the_estate_is_reached_at_its_address(estate: Estate):
    found = endpoint.of(estate)
    assert (found.name, found.url) == ("store1", "https://198.51.100.31:443")
    assert found.authority == estate.private_dir / "ca.pem"


def test_another_endpoint_is_reached_by_its_name(estate: Estate):
    found = endpoint.of(with_endpoint(estate, "https://s3.hospital.example:8443"))
    assert found.url == "https://s3.hospital.example:8443"
    assert found.authority == endpoint.SYSTEM_AUTHORITIES


@pytest.mark.parametrize(("ahead", "passed"), [(0.4, True), (-30, True), (31, False), (-7200, False)])
def test_clock(ahead: float, passed: bool):
    judged = check.judge_clock(ahead)
    assert judged.passed is passed
    assert f"{ahead:+.1f} s" in judged.detail


def test_an_unknown_clock_is_no_good_clock():
    assert not check.judge_clock(None).passed


def locking(**retention: Any) -> Attempt:
    return Attempt({"ObjectLockConfiguration": {"Rule": {"DefaultRetention": retention}}})


@pytest.mark.parametrize(
    ("seen", "passed"),
    [
        (locking(Mode="COMPLIANCE", Days=7), True),
        (locking(Mode="COMPLIANCE", Days=8), False),
        (locking(Mode="GOVERNANCE", Days=7), False),
        (locking(Mode="COMPLIANCE", Years=1), False),
        (Attempt({"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}), False),
        (Attempt(code="ObjectLockConfigurationNotFoundError", status=404), False),
    ],
)
def test_lock(seen: Attempt, passed: bool):
    assert check.judge_lock(seen, WANTED).passed is passed


def test_a_lock_that_differs_is_told_with_what_the_estate_says():
    detail = check.judge_lock(locking(Mode="GOVERNANCE", Days=1), WANTED).detail
    assert "GOVERNANCE, 1 days" in detail
    assert "COMPLIANCE, 7 days" in detail


@pytest.mark.parametrize(
    ("mode", "until", "passed"),
    [
        ("COMPLIANCE", NOW + timedelta(days=7), True),
        ("GOVERNANCE", NOW + timedelta(days=7), False),
        ("COMPLIANCE", NOW + timedelta(days=6), False),
        ("COMPLIANCE", None, False),
    ],
)
def test_a_new_version_is_locked_as_long_as_the_estate_says(mode: str, until: datetime | None, passed: bool):
    head = Attempt({"ObjectLockMode": mode, "ObjectLockRetainUntilDate": until})
    assert check.judge_new_lock(head, WANTED, NOW).passed is passed


@pytest.mark.parametrize(
    ("seen", "owned", "passed", "said"),
    [
        ({}, {}, True, "unknown"),
        ({"x-rgw-bytes-used": "1000"}, {}, True, "quota unknown"),
        ({"x-rgw-bytes-used": "1000"}, {"x-rgw-quota-user-size": "2000"}, True, "1.0 kB of 2.0 kB"),
        ({"x-rgw-bytes-used": "1900"}, {"x-rgw-quota-user-size": "2000"}, False, "1.9 kB of 2.0 kB"),
        ({"x-rgw-bytes-used": "1000"}, {"x-rgw-quota-user-size": "-1"}, False, "no quota"),
        (
            {"x-rgw-bytes-used": "1000"},
            {"x-rgw-quota-user-size": "9000", "x-rgw-quota-bucket-size": "1050"},
            False,
            "1.1 kB",
        ),
    ],
)
def test_room(seen: dict[str, str], owned: dict[str, str], passed: bool, said: str):
    judged = check.judge_room(seen, owned)
    assert (judged.passed, said in judged.detail) == (passed, True)


@pytest.mark.parametrize(
    ("seen", "passed"),
    [
        (Attempt({"Status": "Enabled"}), True),
        (Attempt({"Status": "Suspended"}), False),
        (Attempt({}), False),
        (CLOSED, False),
    ],
)
def test_versioning(seen: Attempt, passed: bool):
    assert check.judge_versioning(seen).passed is passed


@pytest.mark.parametrize(
    ("done", "refused"),
    [
        (CLOSED, True),
        (Attempt(code="InvalidRequest", status=400), True),  # how some stores refuse a locked version
        (Attempt({"VersionId": "1"}), False),
        (STRANGER, False),
        (Attempt(code="SlowDown", status=503), False),
        (Attempt(code=probes.NO_VERSION), False),
    ],
)
def test_only_a_refusal_to_a_known_key_proves_a_refusal(done: Attempt, refused: bool):
    assert probes._must_not("x", done).passed is refused


EVERYTHING = {
    "VersionId": "1",
    "UploadId": "2",
    "Body": io.BytesIO(),
    "Deleted": [{"DeleteMarkerVersionId": "3"}],
    "Retention": {"Mode": "COMPLIANCE", "RetainUntilDate": NOW},
}


class Lax:
    """The bucket of a store that lets everything through, but for what is named here."""

    lock = MappingProxyType({"ObjectLockEnabled": "Enabled"})

    def __init__(self, **answers: Attempt) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def call(self, _key: str, what: str, **_arguments: Any) -> Attempt:
        self.asked.append(what)
        return self.answers.get(what, Attempt(EVERYTHING))


MUST_NOT = (
    "deletes-version",
    "deletes-versions-at-once",
    "deletes-locked",
    "bypasses-lock",
    "writer-extends-lock",
    "shortens-lock",
    "changes-settings",
)


def test_a_store_that_lets_everything_through_fails_each_prohibition():
    checks = {one.name: one.passed for one in probes.prove(Lax())}
    forbidden = {name for name in checks if name.endswith(MUST_NOT)} | {"verifier-puts", "verifier-hides"}
    assert {name for name, passed in checks.items() if not passed} == forbidden
    assert len(forbidden) == 14


def test_a_store_that_knows_no_key_fails_every_check():
    names = ("put_object", "get_object", "delete_object", "list_objects_v2", "list_object_versions")
    more = ("delete_objects", "create_multipart_upload", "put_bucket_versioning", "put_bucket_policy")
    last = "put_object_lock_configuration"
    checks = list(probes.prove(Lax(**dict.fromkeys((*names, *more, last), STRANGER))))
    assert not [one for one in checks if one.passed]


def test_every_check_has_its_words():
    names = [one.name for one in probes.prove(Lax())]
    assert not [name for name in (*names, "bucket", "room", "speed", "answers") if words.title(name) == name]


@pytest.mark.parametrize(
    ("answers", "passed"),
    [
        ({"put_bucket_versioning": CLOSED, "put_bucket_policy": CLOSED}, True),
        (
            {"put_bucket_versioning": CLOSED, "put_bucket_policy": Attempt(code="Malformed", status=400)},
            False,
        ),
        ({"put_bucket_versioning": Attempt({}), "put_bucket_policy": CLOSED}, False),
        ({"put_bucket_versioning": STRANGER, "put_bucket_policy": STRANGER}, False),
    ],
)
def test_settings_are_closed_only_where_each_attempt_is_forbidden(answers: dict[str, Attempt], passed: bool):
    store = Lax(put_object_lock_configuration=CLOSED, **answers)
    assert probes._settings(store, "writer").passed is passed


def test_a_version_without_a_name_is_never_deleted():
    """Without VersionId the request would be a plain deletion, which is allowed and would prove nothing."""
    store = Lax()
    ask = partial(store.call, "writer")
    assert probes._by_version(ask, "probe/writer", "").code == probes.NO_VERSION
    assert probes._versions_at_once(ask, "probe/writer", "").code == probes.NO_VERSION
    assert store.asked == []


def test_a_store_that_is_down_costs_seconds():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]  # bound, but nobody listens
        s3 = connect(
            url=f"https://127.0.0.1:{port}",
            region="default",
            authority=endpoint.SYSTEM_AUTHORITIES,
            access_key="a",
            secret_key="b",
        )
        with pytest.raises(Unanswered):
            attempt(s3.list_buckets)


# Certificates, for real: a server on the loopback shows them.


def issue(authority: dict[str, str], names: x509.SubjectAlternativeName, ends: timedelta) -> tuple[str, str]:
    """A certificate of this CA that was made long ago."""
    fresh = tls.issue(authority, "store1", "127.0.0.1")
    key = load_pem_private_key(fresh["key"].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signer = load_pem_private_key(authority["ca_key"].encode(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    ca = x509.load_pem_x509_certificate(authority["ca_certificate"].encode())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=9))
        .not_valid_after(datetime.now(UTC) + ends)
        .add_extension(names, critical=True)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(tls.Encoding.PEM).decode(), fresh["key"]


@contextmanager
def server(folder: Path, certificate: str, key: str, date: str = "") -> Iterator[int]:
    pem = folder / "server.pem"
    pem.write_text(key + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _address = listener.accept()
            try:
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1000)
                    secure.sendall(f"HTTP/1.1 403 Forbidden\r\n{date}Content-Length: 0\r\n\r\n".encode())
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.fixture(scope="module")
def authorities() -> dict[str, dict[str, str]]:
    return {name: tls.completed({}, name, {}) for name in ("ours", "theirs")}


NAMES = x509.SubjectAlternativeName([x509.DNSName("store1")])
OTHERS = x509.SubjectAlternativeName([x509.DNSName("db1"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


@pytest.mark.parametrize(
    ("signer", "names", "ends", "said"),
    [
        ("theirs", NAMES, timedelta(days=9), "does not come from a CA"),
        ("ours", NAMES, -timedelta(days=1), "has expired"),
        ("ours", OTHERS, timedelta(days=9), "another name than store1"),
        ("ours", NAMES, timedelta(days=9), ""),
    ],
)
def test_what_is_wrong_with_a_certificate_is_named(
    tmp_path: Path,
    authorities: dict[str, dict[str, str]],
    signer: str,
    names: x509.SubjectAlternativeName,
    ends: timedelta,
    said: str,
):
    (tmp_path / "ca.pem").write_text(authorities["ours"]["ca_certificate"])
    with server(tmp_path, *issue(authorities[signer], names, ends)) as port:
        found = knock.knock(endpoint.Endpoint("store1", "127.0.0.1", port, tmp_path / "ca.pem"))
    assert (found.silent, bool(found.untrusted)) == ("", bool(said))
    assert said in found.untrusted


def test_the_clock_is_read_from_the_answer(tmp_path: Path, authorities: dict[str, dict[str, str]]):
    (tmp_path / "ca.pem").write_text(authorities["ours"]["ca_certificate"])
    behind = datetime.now(UTC) - timedelta(hours=2)
    date = f"Date: {behind:%a, %d %b %Y %H:%M:%S} GMT\r\n"
    with server(tmp_path, *issue(authorities["ours"], NAMES, timedelta(days=9)), date) as port:
        found = knock.knock(endpoint.Endpoint("store1", "127.0.0.1", port, tmp_path / "ca.pem"))
    assert found.ahead == pytest.approx(-7200, abs=2)


def test_a_closed_port_is_told_from_a_silent_host(tmp_path: Path, authorities: dict[str, dict[str, str]]):
    (tmp_path / "ca.pem").write_text(authorities["ours"]["ca_certificate"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        where = endpoint.Endpoint("store1", "127.0.0.1", taken.getsockname()[1], tmp_path / "ca.pem")
        assert "its S3 service is not" in knock.knock(where).silent
    assert "the host is off" in knock.why_silent(TimeoutError())


def test_without_a_ca_nothing_is_asked(tmp_path: Path):
    with pytest.raises(BadInput):
        knock.knock(endpoint.Endpoint("store1", "127.0.0.1", 443, tmp_path / "none.pem"))
