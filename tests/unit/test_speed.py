"""How long a restore should take is read from what the newest green verification measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rmc_dr import backup_record, speed
from rmc_dr.backup_record import Entry
from rmc_dr.backup_verify import folder
from rmc_dr.backups.forecast import speed_of

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DATABASE = {"copy_bytes": 1000, "copy_seconds": 10.0, "recover_seconds": 5.0}


def verified(days_ago: int, measured: Any, *, ok: bool = True) -> datetime:
    started = NOW - timedelta(days=days_ago)
    ended = started + timedelta(hours=1)
    backup_record.append("lab", Entry("verify", started, ended, ok, "night", "verify1"))
    place = folder(started)
    place.mkdir(parents=True)
    (place / "verdict.json").write_text(measured if isinstance(measured, str) else json.dumps(measured))
    return ended


def test_the_newest_green_one_that_measured_it_counts(state: Path) -> None:
    assert speed.database_speed("lab") is None
    wanted = verified(3, {"measured": DATABASE})
    verified(2, {"measured": {"sample_bytes": 700, "sample_seconds": 7}})
    verified(1, {"measured": {**DATABASE, "copy_bytes": 1}}, ok=False)
    database, files = speed.database_speed("lab"), speed.files_speed("lab")
    assert database
    assert files
    assert (database.at, database.database_seconds(4000)) == (wanted, 45.0)
    assert files.files_seconds(1000) == 10.0
    assert speed.database_speed("another") is None


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"measured": []}', '{"measured": {"copy_bytes": "x"}}'])
def test_a_verdict_that_cannot_be_read_has_measured_nothing(state: Path, damaged: str) -> None:
    verified(1, damaged)
    assert speed.database_speed("lab") is None


@pytest.mark.parametrize(
    "lacking",
    [{}, {"copy_seconds": 0}, {"copy_bytes": 0}, {"recover_seconds": None}, {"copy_seconds": "nan"}],
)
def test_what_was_not_measured_is_unknown_and_never_zero(lacking: dict[str, Any]) -> None:
    measured = {**DATABASE, **lacking} if lacking else {}
    assert speed_of(measured, NOW).database_seconds(5) is None
