"""What the drills of this machine have measured: one folder each, with a result that is written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rmc_dr import content

RESULT = "result.json"
STAMP = "%Y%m%dT%H%M%SZ"
KINDS = ("appserver", "primary", "dbserver", "pair", "estate", "slip", "ransom")


@dataclass(frozen=True)
class DrillResult:
    """What the drill measured. Counts are writes; ``outage_seconds`` is the clients' longest wait.

    ``rpo_seconds`` reaches from the oldest lost write to the break. ``lost_allowed`` of the lost, and
    ``attachments_allowed`` of the missing, came after what any backup could hold.
    """

    drill: str
    at: str
    host: str
    broke: str
    run: str
    rto_minutes: float
    outage_seconds: float
    split: Mapping[str, float | None]
    acknowledged_before_break: int
    acknowledged: int
    unknown: int
    unknown_present: int
    present: int
    lost: int
    duplicated: int
    attachments_acknowledged: int
    attachments_missing: int
    rpo_seconds: float = 0.0
    lost_allowed: int = 0
    attachments_allowed: int = 0

    @property
    def name(self) -> str:
        """By this it is asked for; its folder bears it."""
        return f"{self.at}-{self.drill}"

    @property
    def began(self) -> datetime:
        return datetime.strptime(self.at, STAMP).replace(tzinfo=UTC)

    @property
    def passed(self) -> bool:
        """Whether nothing is doubled, and lost only what could not be kept, or was given up by choice."""
        return (self.lost, self.attachments_missing, self.duplicated) == (
            self.lost_allowed,
            self.attachments_allowed,
            0,
        )


def folder_of(at: str, drill: str) -> Path:
    return content.STATE / "drills" / f"{at}-{drill}"


def results() -> list[DrillResult]:
    """Every drill that ended on this machine, oldest first; what cannot be read is left out."""
    found = [_read(path) for path in sorted((content.STATE / "drills").glob(f"*/{RESULT}"))]
    return [result for result in found if result is not None]


@cache
def _reader() -> TypeAdapter[DrillResult]:
    return TypeAdapter(DrillResult)


def _read(path: Path) -> DrillResult | None:
    try:
        document: Any = json.loads(path.read_text())
        result = _reader().validate_python(document)
        numbers = [value for value in vars(result).values() if isinstance(value, int | float)]
        whole = result.began and all(isfinite(number) and number >= 0 for number in numbers)
    except (OSError, ValueError, TypeError, ValidationError, RecursionError, OverflowError):
        return None
    return result if whole else None


def trend(kept: list[DrillResult]) -> list[float | None]:
    """Each RTO against the median of the earlier drills of its kind, as a ratio; None for a first. Pure."""
    ratios: list[float | None] = []
    for number, result in enumerate(kept):
        kind = (result.drill, result.broke)
        earlier = [one.rto_minutes for one in kept[:number] if (one.drill, one.broke) == kind]
        usual = median(earlier) if earlier else 0
        ratios.append(result.rto_minutes / usual if usual else None)
    return ratios
