"""What was proven by doing, out of the records: verifications of the backups, and drills. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rmc_dr.backup_record import Entry
from rmc_dr.drill_record import DrillResult
from rmc_dr.rounds.facts import Drill, Proof


def proof(entry: Entry) -> Proof:
    """One verification, out of the backups' record; what no verification measures is left out."""
    return Proof(
        at=entry.ended,
        good=entry.ok,
        scope=entry.kind,
        rpo_seconds=_number(entry.about.get("rpo_seconds")),
        rto_estimate_seconds=_number(entry.about.get("rto_estimate_seconds")),
        red=entry.texts("red"),
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e15 else None


def rehearsed(results: Iterable[DrillResult], since: datetime | None) -> list[Drill]:
    """The drills since then, oldest first."""
    return [
        Drill(
            drill=one.drill,
            at=one.began,
            broke=one.broke,
            run=one.run,
            passed=one.passed,
            rto_minutes=one.rto_minutes,
            rpo_seconds=one.rpo_seconds,
            lost=one.lost + one.attachments_missing,
            duplicated=one.duplicated,
        )
        for one in results
        if since is None or one.began > since
    ]
