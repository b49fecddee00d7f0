"""What backups stand on: clocks, certificates, room, and whether a backup leads to what the primary holds."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from test_backups import DAY, DIFF, FULL, NOW, backup, codes, seen
from test_store import NAMES, issue

from rmc_dr import backup as story
from rmc_dr import tls
from rmc_dr.backups import Level, Lineage, Room, Surroundings, faults
from rmc_dr.backups.archive import segment
from rmc_dr.backups.seen import read_info
from rmc_dr.estate import Estate, Host
from rmc_dr.observe import certificates, handshake
from rmc_dr.store import check, probes
from rmc_dr.store.attempt import Attempt

SEGMENT = 16 * 1024**2
# The primary is on timeline 3; the first ended in segment 20, the second in segment 35.
LINEAGE = Lineage("77", 3, ((1, 20 * SEGMENT), (2, 35 * SEGMENT)))


@pytest.mark.parametrize(
    ("cluster", "timeline", "stop", "leads"),
    [
        ("77", 3, 99 * SEGMENT, True),
        ("77", 2, 35 * SEGMENT, True),
        ("77", 2, 35 * SEGMENT + 1, False),  # after the fork: a history that was given up
        ("77", 4, 1, False),  # promoted by hand beside the primary
        ("78", 3, 1, False),
        ("77", 2, None, None),
    ],
)
def test_only_what_ended_before_a_fork_leads_to_the_primary(
    cluster: str, timeline: int, stop: int | None, leads: bool | None
) -> None:
    assert LINEAGE.holds(cluster, timeline, stop) is leads


def test_what_nobody_could_read_accuses_no_backup() -> None:
    assert Lineage(None, None, None).holds("77", 4, 1) is None
    assert replace(LINEAGE, forks=None).holds("77", 2, 1) is None


STRAY = replace(backup("20261124-110000F"), wal_stop=segment(4, 41))


def test_a_backup_of_another_history_is_named_and_not_the_newest() -> None:
    observed = seen(database=(FULL, DIFF, STRAY), lineage=Lineage("77", 1, ()))
    assert observed.newest == DIFF
    assert codes(observed) == {"backup-diverged": Level.CRITICAL}
    assert [(fault.code, fault.label) for fault in faults(observed)] == [("backup-diverged", STRAY.label)]


def test_an_archive_that_goes_on_beyond_the_primary_is_named() -> None:
    """A recovery to the archive's end would follow the node that was promoted by hand."""
    archived = tuple(segment(1, number) for number in range(5, 40))
    beyond = {"17-1": (*archived, segment(2, 38), segment(2, 39)), "17-2": (segment(7, 1),)}
    assert codes(seen(archived=beyond, lineage=Lineage("77", 1, ()))) == {"archive-diverged": Level.CRITICAL}
    assert codes(seen(archived=beyond, lineage=Lineage("77", 2, ((1, 38 * SEGMENT),)))) == {}
    assert codes(seen(archived=beyond)) == {}, "without a primary nobody can tell"


def test_a_newer_backup_ends_its_effect() -> None:
    younger = backup("20261124-113000F", age=DAY / 48)
    observed = seen(database=(FULL, DIFF, STRAY, younger), lineage=Lineage("77", 1, ()))
    assert codes(observed) == {}
    assert story.kind_due(observed) == "diff"
    assert story.kind_due(seen(database=(STRAY,), lineage=Lineage("77", 1, ()))) == "full"


def test_the_position_where_a_backup_ended_is_read() -> None:
    one: dict[str, Any] = {
        "label": "20261124-010000F",
        "type": "full",
        "database": {"id": 1, "repo-key": 1},
        "archive": {"start": segment(1, 7), "stop": segment(1, 7)},
        "lsn": {"start": "1/7000028", "stop": "1/7000100"},
        "timestamp": {"start": 1, "stop": 2},
        "info": {"size": 1, "delta": 1, "repository": {"delta": 1}},
    }
    base = {"id": 1, "repo-key": 1, "system-id": 77, "version": "17"}
    (found,) = read_info([{"name": "pair", "archive": [], "db": [base], "backup": [one]}], "pair")
    assert found.stop == 0x1_07000100


@pytest.mark.parametrize(
    ("around", "expected"),
    [
        (Surroundings(clocks={"db1": 0.3, "store1": -29}), {}),
        (Surroundings(clocks={"db1": 31}), {"clock-off": Level.WARNING}),
        (Surroundings(clocks={"db1": -7200}), {"clock-off": Level.CRITICAL}),
        (Surroundings(certificates={"db1": NOW + 31 * DAY}), {}),
        (Surroundings(certificates={"db1": NOW + 29 * DAY}), {"certificate-ends": Level.WARNING}),
        (Surroundings(certificates={"db1": NOW}), {"certificate-expired": Level.CRITICAL}),
        (Surroundings(room={"bucket": Room(89, 100)}), {}),
        (Surroundings(room={"bucket": Room(90, 100)}), {"room-short": Level.WARNING}),
        (Surroundings(room={"bucket": Room(95, 100)}), {"room-short": Level.CRITICAL}),
    ],
)
def test_what_backups_stand_on_is_judged(around: Surroundings, expected: dict[str, Level]) -> None:
    assert codes(seen(surroundings=around)) == expected


# Certificates, for real: a server on the loopback shows them, as PostgreSQL does.


@contextmanager
def postgres(folder: Path, certificate: str, key: str, tls_too: bool = True) -> Iterator[int]:
    pem = folder / "server.pem"
    pem.write_text(key + certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _address = listener.accept()
            with plain:
                assert plain.recv(8) == handshake.SSL_REQUEST
                plain.sendall(b"S" if tls_too else b"N")
                with suppress(OSError):
                    context.wrap_socket(plain, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


@pytest.fixture(scope="module")
def authority() -> dict[str, str]:
    return tls.completed({}, "ours", {})


def at(estate: Estate, port: int, authority: dict[str, str]) -> tuple[Estate, Host]:
    """An estate whose PostgreSQL answers on this port of the loopback."""
    estate.private_dir.mkdir(parents=True)
    (estate.private_dir / "ca.pem").write_text(authority["ca_certificate"])
    database = estate.config.database.model_copy(update={"port": port})
    moved = replace(estate, config=estate.config.model_copy(update={"database": database}))
    return moved, replace(estate.host("db1"), name="store1", address="127.0.0.1")


@pytest.mark.parametrize(("days", "said"), [(-1, "its certificate has expired"), (9, "")])
def test_why_postgresql_is_not_trusted(
    estate: Estate, tmp_path: Path, authority: dict[str, str], days: int, said: str
) -> None:
    with postgres(tmp_path, *issue(authority, NAMES, timedelta(days=days))) as port:
        found = handshake.distrust(*at(estate, port, authority))
    assert (said in found, bool(found)) == (True, bool(said))


@pytest.mark.parametrize("days", [-1, 9])
def test_the_end_is_read_of_a_certificate_that_nobody_may_trust(
    estate: Estate, tmp_path: Path, authority: dict[str, str], days: int
) -> None:
    certificate, key = issue(authority, NAMES, timedelta(days=days))
    with postgres(tmp_path, certificate, key) as port:
        moved, host = at(estate, port, authority)
        ends = certificates._shown(handshake.of_database(moved, host), True)
    assert ends == x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc


def test_who_shows_none_is_left_out(estate: Estate, tmp_path: Path, authority: dict[str, str]) -> None:
    with postgres(tmp_path, *issue(authority, NAMES, timedelta(days=9)), tls_too=False) as port:
        moved, host = at(estate, port, authority)
        assert certificates._shown(handshake.of_database(moved, host), True) is None
    assert handshake.distrust(moved, host) == ""


def test_this_machines_own_certificate_is_looked_at(estate: Estate, authority: dict[str, str]) -> None:
    assert certificates._own(estate) is None
    estate.private_dir.mkdir(parents=True)
    (estate.private_dir / "control.pem").write_text(tls.issue(authority, "control")["certificate"])
    ends = certificates._own(estate)
    assert ends
    assert ends > datetime.now(UTC) + 4 * 365 * DAY


class Slow:
    """A bucket in which everything takes so many seconds, by the clock that the measure reads."""

    def __init__(self, *seconds: float, refused: bool = False) -> None:
        self.seconds, self.now, self.refused = list(seconds), 0.0, refused
        self.asked: list[str] = []

    def call(self, _key: str, what: str, **_arguments: Any) -> Attempt:
        self.asked.append(what)
        if what == "put_object":
            self.now += self.seconds.pop(0)
        return Attempt(code="QuotaExceeded", status=403) if self.refused else Attempt({})

    def read(self, _key: str, **_arguments: Any) -> Attempt:
        self.now += self.seconds.pop(0)
        return Attempt(b"")


@pytest.mark.parametrize(
    ("bucket", "passed", "tries"),
    [
        (Slow(0.02, 0.01), True, 1),
        (Slow(3.0, 0.1, 0.2, 2.0), True, 2),  # each way was well once: the lab was busy
        (Slow(0.1, 4.0, 0.1, 4.1), False, 2),
        (Slow(0.1, 0.1, refused=True), False, 1),
    ],
)
def test_a_slow_store_is_told_from_a_busy_moment(
    monkeypatch: pytest.MonkeyPatch, bucket: Slow, passed: bool, tries: int
) -> None:
    monkeypatch.setattr(probes.time, "monotonic", lambda: bucket.now)
    judged = check.judge_speed(*probes.speed(bucket))
    assert judged.passed is passed
    assert bucket.asked.count("put_object") == bucket.asked.count("delete_object") == tries
