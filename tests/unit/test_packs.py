"""New packs are read whole, and locks of what is needed are made longer; the store is played."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from role_module import loaded

from rmc_dr import content
from rmc_dr.estate import Estate
from rmc_dr.store import packs

ROLE = content.root() / "roles/store"
connection = loaded(ROLE / "module_utils/store_connection.py", "ansible.module_utils.store_connection")
renewal = loaded(ROLE / "library/store_extend.py", "store_extend")
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "x")


class Store:
    """A bucket in memory: key -> content, lock and when it was put."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.locks: dict[str, datetime] = {}
        self.put_at: dict[str, datetime] = {}
        self.read: list[str] = []
        self.relocked: list[str] = []
        self.forbidden = False

    def hold(self, key: str, body: bytes, age: timedelta = DAY, lock: timedelta | None = DAY) -> str:
        self.content[key], self.put_at[key] = body, NOW - age
        if lock is not None:
            self.locks[key] = NOW + lock
        return key

    def pack(self, body: bytes) -> str:
        name = hashlib.sha256(body).hexdigest()
        return self.hold(f"{packs.PREFIX}{name[:2]}/{name}", body)

    def get_paginator(self, _what: str) -> Store:
        return self

    def paginate(self, *, Prefix: str, **_more: str) -> Any:
        for key, body in self.content.items():
            if key.startswith(Prefix):
                mark = hashlib.md5(body, usedforsecurity=False).hexdigest()
                yield {
                    "Contents": [
                        {"Key": key, "ETag": mark, "Size": len(body), "LastModified": self.put_at[key]}
                    ]
                }

    def get_object(self, *, Key: str, **_more: str) -> Any:
        self.read.append(Key)
        if Key not in self.content:
            raise refused("NoSuchKey")
        return {"Body": Body(self.content[Key])}

    def get_object_retention(self, *, Key: str, **_more: str) -> Any:
        if Key not in self.locks:
            raise refused("NoSuchObjectLockConfiguration")
        return {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": self.locks[Key]}}

    def put_object_retention(self, *, Key: str, Retention: Any, **_more: str) -> None:
        if self.forbidden:
            raise refused("AccessDenied")
        assert Retention["RetainUntilDate"] >= self.locks.get(Key, NOW), "a lock is never made shorter"
        self.relocked.append(f"{Key} {Retention['Mode']}")
        self.locks[Key] = Retention["RetainUntilDate"]


class Body(io.BytesIO):
    def iter_chunks(self, size: int) -> Any:
        while part := self.read(size):
            yield part


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    played = Store()
    monkeypatch.setattr(packs, "client", lambda *_: played)
    return played


def read(estate: Estate, known: Any = None, stop: bool = False) -> packs.Packs:
    return packs.read_new(estate, known or {}, lambda: stop)


def test_only_what_is_new_or_was_replaced_is_read(estate: Estate, store: Store) -> None:
    first, second = store.pack(b"one"), store.pack(b"another")
    before = read(estate)
    assert (before.count, before.size, before.bad) == (2, 10, ())
    third = store.pack(b"third")
    store.read.clear()
    after = read(estate, before.sound)
    assert (store.read, after.count) == ([third], 1)
    store.hold(first, b"onf")
    hurt = read(estate, after.sound)
    assert (store.read, hurt.bad) == ([third, first], (first[-64:],))
    assert set(hurt.sound) == {second[-64:], third[-64:]}
    assert read(estate, hurt.sound).bad == hurt.bad, "it is red again until it is mended"


def test_what_was_not_read_is_not_called_sound(estate: Estate, store: Store) -> None:
    store.pack(b"one")
    assert read(estate, stop=True) == packs.Packs(0, 0, (), {})


def test_a_pack_that_went_while_it_was_read_is_named(
    estate: Estate, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = store.pack(b"one")

    def gone(*_: Any) -> Any:
        raise refused("NoSuchKey")

    monkeypatch.setattr(packs.objects, "fetch", gone)
    assert read(estate).bad == (key[-64:],)


def extended(store: Store, days: float = 30) -> int:
    given = {
        "bucket": "b",
        "prefix": "files/",
        "without": ["snapshots", "locks"],
        "mode": "COMPLIANCE",
        "days": days,
    }
    return int(renewal.extend_all(store, given, NOW))


def test_locks_of_what_is_needed_are_made_longer_the_oldest_last(store: Store) -> None:
    store.hold("files/config", b"", 90 * DAY, -DAY)
    store.hold("files/data/aa/young", b"", DAY, 29 * DAY)
    store.hold("files/data/aa/old", b"", 40 * DAY, -5 * DAY)
    store.hold("files/keys/bare", b"", 50 * DAY, None)
    for left in ("files/snapshots/s", "files/locks/l", "database/x"):
        store.hold(left, b"", 60 * DAY, -DAY)
    assert extended(store) == 3
    assert store.relocked[-1] == "files/config GOVERNANCE"
    assert set(store.relocked[:-1]) == {"files/data/aa/old GOVERNANCE", "files/keys/bare COMPLIANCE"}
    assert {store.locks[key] for key in ("files/config", "files/data/aa/old")} == {NOW + 30 * DAY}
    assert store.locks["files/snapshots/s"] == NOW - DAY
    assert extended(store) == 0
    assert extended(store, days=1) == 0


def test_where_one_lock_stays_the_oldest_is_not_extended(store: Store) -> None:
    """Its lock is the one that lists show."""
    store.hold("files/config", b"", 90 * DAY, DAY)
    store.hold("files/data/aa/old", b"", 40 * DAY, DAY)
    store.forbidden = True
    with pytest.raises(ClientError):
        extended(store)
    assert store.locks["files/config"] == NOW + DAY
    assert extended(Store()) == 0
