"""How fast a verification brought backups back: the newest green one that measured it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rmc_dr import backup_record
from rmc_dr.backup_verify import folder
from rmc_dr.backups.forecast import Speed, speed_of
from rmc_dr.files import read_json


def database_speed(estate: str) -> Speed | None:
    """None where no verification has measured it."""
    known = (one for one in _measured(estate) if one.database_seconds(0) is not None)
    return next(known, None)


def files_speed(estate: str) -> Speed | None:
    """None where no verification has measured it."""
    return next((one for one in _measured(estate) if one.files_per_second is not None), None)


def _measured(estate: str) -> Iterator[Speed]:
    """By all green verifications, the newest first; a verdict that cannot be read is left out."""
    green = [entry for entry in backup_record.entries(estate) if entry.what == "verify" and entry.ok]
    for entry in reversed(green):
        if measured := _kept(entry.started):
            yield speed_of(measured, entry.ended)


def _kept(started: datetime) -> Mapping[str, Any]:
    measured = read_json(folder(started.astimezone(UTC)) / "verdict.json").get("measured")
    return measured if isinstance(measured, dict) else {}
