"""Which releases were deployed from this machine, by whom and on what terms: read from the run records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import median
from typing import Any

from rmc_dr.history import RunState
from rmc_dr.record import runs

DEPLOY, BACK = "deploy", "deploy-back"
PLANS = (DEPLOY, BACK)
MEASURED = 10
EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Release:
    """One deploy, or one going back.

    ``state`` is deployed, rolled-back (by itself, at once), not-deployed, broken, refused, interrupted or ""
    while it goes on; ``back_at`` is when it was rolled back by hand later.
    """

    run: str
    what: str
    application: str
    release: str
    before: str
    operator: str
    at: datetime
    state: str
    notes: str
    training: bool | None
    consent: Mapping[str, Any] | None
    without_consent: str | None
    users_out_seconds: float | None
    migrated: tuple[str, ...]
    back_at: datetime | None = None


@dataclass(frozen=True)
class Window:
    """How long users were out in earlier deploys, in seconds."""

    typical: float
    least: float
    most: float
    count: int


def history(estate: str, application: str | None = None) -> list[Release]:
    """Every deploy of an estate that this machine remembers, newest first."""
    states = (run.state for run in runs())
    found = [read(state) for state in states if state.estate == estate and state.plan in PLANS]
    found.sort(key=lambda row: row.at, reverse=True)
    return [row for row in rolled_back(found) if application in (None, row.application)]


def read(state: RunState) -> Release:
    """What a run's record says of its release. Pure."""
    options: Mapping[str, Any] = state.about.get("options", {})
    came = state.deployed
    return Release(
        run=state.run_id,
        what=state.plan,
        application=state.target,
        release=str(came.get("release") or options.get("release") or ""),
        before=str(came.get("before") or options.get("before") or ""),
        operator=state.operator,
        at=state.started or state.last_time or EPOCH,
        state=str(came.get("state") or state.outcome or ""),
        notes=str(options.get("notes") or ""),
        training=options.get("training"),
        consent=options.get("consent"),
        without_consent=options.get("without_consent"),
        users_out_seconds=came.get("users_out_seconds"),
        migrated=tuple(came.get("migrated") or ()),
    )


def rolled_back(newest_first: Iterable[Release]) -> list[Release]:
    """The same, with the moment at each deploy that a later going back undid. Pure."""
    left: dict[tuple[str, str], datetime] = {}
    rows = []
    for row in newest_first:
        if row.what == BACK and row.state == "deployed":
            left[row.application, row.before] = row.at
        elif row.what == DEPLOY and row.state == "deployed":
            row = replace(row, back_at=left.pop((row.application, row.release), None))
        rows.append(row)
    return rows


def window(rows: Sequence[Release]) -> Window | None:
    """How long users were out, by the newest deploys that measured it. Pure; None where none did.

    One that found its release in place has restarted nothing, and does not count.
    """
    switched = (row for row in rows if row.before != row.release)
    seconds = [row.users_out_seconds for row in switched if row.users_out_seconds is not None][:MEASURED]
    if not seconds:
        return None
    return Window(round(median(seconds), 1), min(seconds), max(seconds), len(seconds))
