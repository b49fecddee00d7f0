"""The list of backups is read out of the store alone: what pgBackRest encrypted, and what its list says."""

from __future__ import annotations

import base64
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr.backups.repository import Sealed, read_backup_info, unseal
from rmc_dr.estate import Estate, Secrets
from rmc_dr.observe import repository
from rmc_dr.observe.repository import observe_store

# `pgbackrest repo-put` of version 2.55.1 with this passphrase.
BY_PGBACKREST = base64.b64decode("U2FsdGVkX18iApTT2rliauCO/gS12MzZx9khXGByUmpSTwf07xSdqm59gs69eaEF")
PASSPHRASE = "a pass"
# The shape of what `pgbackrest backup` of version 2.55.1 wrote, with the values of a backup taken online.
COMMON = (
    '"backrest-format":5,"backrest-version":"2.55.1","backup-error":false,"backup-info-repo-size":4233168,'
    '"backup-info-repo-size-delta":4233,"backup-info-size":39819521,"backup-info-size-delta":39819521,"db-id":2'
)
INFO = f"""[backrest]
backrest-format=5
backrest-version="2.55.1"

[backup:current]
20261125-030727F={{"backup-archive-start":"000000030000000000000005","backup-archive-stop":"000000030000000000000006","backup-timestamp-start":1795576047,"backup-timestamp-stop":1795576048,"backup-type":"full",{COMMON}}}
20261125-030727F_20261125-031000D={{"backup-archive-start":"000000030000000000000008","backup-archive-stop":"000000030000000000000008","backup-reference":["20261125-030727F"],"backup-timestamp-start":1795576200,"backup-timestamp-stop":1795576210,"backup-type":"diff",{COMMON}}}
20261125-030900F={{"backup-archive-start":null,"backup-archive-stop":null,"backup-timestamp-start":1795576140,"backup-timestamp-stop":1795576148,"backup-type":"full",{COMMON}}}

[cipher]
cipher-pass="4xIyA2OEYX4Olzxjd+7uK6iBUjvbtMAq3iUuZ0XdQc+/AOkIDxg0Ll0GgA/e7EKi"

[db]
db-id=2
db-system-id=7711940399091314616
db-version="17"

[db:history]
1={{"db-catalog-version":202209061,"db-control-version":1300,"db-system-id":11,"db-version":"17"}}
2={{"db-catalog-version":202209061,"db-control-version":1300,"db-system-id":7711940399091314616,"db-version":"17"}}
"""


def sealed(text: str, passphrase: str = PASSPHRASE) -> bytes:
    """As pgBackRest encrypts, with a salt of its own."""
    import hashlib

    salt, block, derived = b"saltsalt", b"", b""
    while len(derived) < 48:
        block = hashlib.sha1(block + passphrase.encode() + salt).digest()  # noqa: S324
        derived += block
    raw = text.encode()
    fill = 16 - len(raw) % 16
    writing = Cipher(algorithms.AES256(derived[:32]), modes.CBC(derived[32:48])).encryptor()
    return b"Salted__" + salt + writing.update(raw + bytes([fill]) * fill) + writing.finalize()


def test_what_pgbackrest_encrypted_is_opened():
    assert unseal(BY_PGBACKREST, PASSPHRASE) == "what pgBackRest 2.55.1 wrote\n"


@pytest.mark.parametrize("raw", [b"pay", b"", b"Salted__", b"Salted__saltsalt", BY_PGBACKREST[:-1]])
def test_what_it_did_not_write_is_said_so(raw: bytes):
    with pytest.raises(Sealed, match="not a file that pgBackRest encrypted"):
        unseal(raw, PASSPHRASE)


@given(st.text(min_size=1).filter(lambda text: text != PASSPHRASE))
def test_another_passphrase_never_gives_a_list(other: str):
    with pytest.raises(Sealed):
        read_backup_info(unseal(sealed(INFO), other))


def test_the_list_tells_of_each_backup_that_can_be_rolled_forward():
    full, diff = read_backup_info(INFO)
    assert (full.label, full.kind, full.needs) == ("20261125-030727F", "full", ())
    assert (diff.kind, diff.needs) == ("diff", ("20261125-030727F",))
    assert (diff.wal_start, diff.archive, diff.cluster) == (
        "000000030000000000000008", "17-2", "7711940399091314616",
    )  # fmt: skip
    assert full.stopped == datetime(2026, 11, 25, 3, 7, 28, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "[backup:current]\nx={", "[db:history]\n1=[]\n[backup:current]\nx={}"])
def test_a_list_that_is_none_is_said_so(text: str):
    with pytest.raises(Sealed):
        read_backup_info(text)


class Bucket:
    """What a client of the store answers; ``calls`` are the reads in their order."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects
        self.calls: list[str] = []
        self.now = datetime(2026, 11, 25, 4, tzinfo=UTC)
        self.fails: Exception | None = None

    def get_object(self, *, Key: str, **_bucket: str) -> dict[str, Any]:
        self.calls.append(Key)
        if self.fails:
            raise self.fails
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key])}

    def get_paginator(self, _name: str) -> Bucket:
        return self

    def paginate(self, *, Prefix: str, **_bucket: str) -> list[dict[str, Any]]:
        found = [key for key in sorted(self.objects) if key.startswith(Prefix)]
        ages = {key: timedelta(seconds=number) for number, key in enumerate(found)}
        return [{"Contents": [{"Key": key, "LastModified": self.now + ages[key]} for key in found]}]


BACKUP, ARCHIVE = "database/backup/pair/", "database/archive/pair/17-2/0000000300000000/"


@pytest.fixture
def bucket(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(
        {
            f"{BACKUP}backup.info": sealed(INFO),
            f"{BACKUP}backup.info.copy": sealed(INFO),
            f"{BACKUP}20261125-030727F/backup.manifest": b"",
            f"{BACKUP}20261125-030727F/bundle/1": b"",
            f"{BACKUP}20261125-050000F/bundle/1": b"",
            f"{ARCHIVE}000000030000000000000005-abc.zst": b"",
            f"{ARCHIVE}000000030000000000000006-abc.zst": b"",
            f"{ARCHIVE}00000004.history-abc": b"",
        }
    )
    secrets = Secrets({"backup": {"database_passphrase": PASSPHRASE}})
    object.__setattr__(estate, "secrets", secrets)
    monkeypatch.setattr(repository, "client", lambda _estate, key: bucket if key == "verifier" else None)
    return bucket


def test_one_look_needs_no_host(estate: Estate, bucket: Bucket):
    seen = observe_store(estate)
    assert [one.label for one in seen.database or ()][:1] == ["20261125-030727F"]
    assert seen.labels == ("20261125-030727F",), "what has no manifest was never finished"
    assert seen.archived == {"17-2": ("000000030000000000000005", "000000030000000000000006")}
    assert seen.archived_at == bucket.now + timedelta(seconds=1)
    assert bucket.calls == [f"{BACKUP}backup.info"]


def test_the_second_copy_of_the_list_will_do(estate: Estate, bucket: Bucket):
    bucket.objects[f"{BACKUP}backup.info"] = b"pay"
    assert observe_store(estate).database
    del bucket.objects[f"{BACKUP}backup.info"]
    assert observe_store(estate).database


def test_what_cannot_be_opened_is_unknown_and_not_nothing(estate: Estate, bucket: Bucket):
    for name in ("backup.info", "backup.info.copy"):
        bucket.objects[BACKUP + name] = sealed(INFO, "another")
    seen = observe_store(estate)
    assert (seen.database, "passphrase" in seen.errors["store"]) == (None, True)


def test_an_empty_store_holds_nothing_and_a_silent_one_is_unknown(estate: Estate, bucket: Bucket):
    bucket.objects.clear()
    assert observe_store(estate).database == ()
    bucket.fails = EndpointConnectionError(endpoint_url="https://store1")
    assert observe_store(estate).database is None
