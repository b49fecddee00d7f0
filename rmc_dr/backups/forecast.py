"""How much room a restored copy needs, and how long it takes at the speed that was measured. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

ROOM_FACTOR = 1.2
ROOM_BYTES = 2**30  # for WAL, the sample of files and the applications


@dataclass(frozen=True)
class DataRoom:
    """What a database host has, in bytes: free beside its data, and taken by its data."""

    free: int
    data: int

    def fits(self, needed: int, *, in_place: bool) -> bool:
        """Whether a restored copy finds room: written over the data, or beside it."""
        return needed <= self.free + (self.data if in_place else 0)


@dataclass(frozen=True)
class Speed:
    """What the verification that ended ``at`` measured; bytes a second, and seconds of its recovery.

    None is what it did not measure.
    """

    at: datetime
    copied_per_second: float | None = None
    recover_seconds: float | None = None
    files_per_second: float | None = None

    def database_seconds(self, size: int) -> float | None:
        """Until a database of ``size`` bytes is copied and recovered."""
        if self.copied_per_second is None or self.recover_seconds is None:
            return None
        return size / self.copied_per_second + self.recover_seconds

    def files_seconds(self, size: int) -> float | None:
        """Until files of ``size`` bytes are fetched."""
        return None if self.files_per_second is None else size / self.files_per_second


def speed_of(measured: Mapping[str, Any], at: datetime) -> Speed:
    """Read a verdict's measures; what is no number above zero was not measured."""
    recovered = _number(measured.get("recover_seconds"))
    return Speed(
        at,
        _rate(measured.get("copy_bytes"), measured.get("copy_seconds")),
        recovered,
        _rate(measured.get("sample_bytes"), measured.get("sample_seconds")),
    )


def room_for(size: int) -> int:
    """Room in bytes that a restored copy of a database of ``size`` bytes needs."""
    return round(size * ROOM_FACTOR) + ROOM_BYTES


def _rate(count: object, seconds: object) -> float | None:
    done, took = _number(count), _number(seconds)
    return done / took if done and took else None


def _number(value: object) -> float | None:
    """What a record says may have been written as text."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
