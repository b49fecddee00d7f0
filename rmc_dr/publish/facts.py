"""What the reports of an incident are made from: its journal, and the records that its journal names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rmc_dr import releases
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.evidence import custody, folder, manifest
from rmc_dr.evidence.folder import Kept
from rmc_dr.evidence.manifest import Manifest
from rmc_dr.history import Event, RunState
from rmc_dr.incident import record as incidents
from rmc_dr.incident.clocks import Reading, read
from rmc_dr.incident.history import IncidentState
from rmc_dr.record import find
from rmc_dr.record import read as read_run
from rmc_dr.releases import Release
from rmc_dr.report.data import Report, build

RELEASES_BEFORE = 3


@dataclass(frozen=True)
class Run:
    """One attached run; without a report where its record is not here or damaged."""

    name: str
    plan: str
    target: str
    report: Report | None = None
    state: RunState | None = None


@dataclass(frozen=True)
class Collection:
    """Evidence that the incident names, and its index where it lies on this machine.

    ``copied`` says whether the store has it, by its custody; None where that is not known here.
    """

    id: str
    said: Event
    index: Manifest | None
    copied: bool | None


@dataclass(frozen=True)
class Facts:
    """``now`` is when the report is made; ``releases`` were deployed meanwhile, or last before."""

    state: IncidentState
    now: datetime
    readings: tuple[Reading, ...]
    runs: tuple[Run, ...]
    evidence: tuple[Collection, ...]
    releases: tuple[Release, ...]

    @property
    def until(self) -> datetime:
        """When the fault was over, or now."""
        return self.state.reached.get("solved") or self.state.closed or self.now


def gather(estate: Estate, incident: str) -> Facts:
    """Everything about one incident, by its name, a unique part, or `last`. Raises BadInput or Error."""
    state, now = incidents.read(incidents.find(incident)), datetime.now(UTC)
    return Facts(
        state=state,
        now=now,
        readings=tuple(read(state, now)),
        runs=tuple(_runs(state)),
        evidence=tuple(_evidence(estate, state)),
        releases=tuple(_releases(state, releases.history(estate.name))),
    )


def _runs(state: IncidentState) -> Iterator[Run]:
    for event in state.events:
        if event.event != "run-attached":
            continue
        name, plan, target = (str(event.get(one)) for one in ("run", "plan", "target"))
        try:
            events = read_run(find(name))
        except Error:
            events = []
        whole = (build(events), RunState.of(events)) if events else (None, None)
        yield Run(name, plan, target, *whole)


def _evidence(estate: Estate, state: IncidentState) -> Iterator[Collection]:
    for event in state.attached("evidence"):
        name = str(event.get("id", ""))
        kept = Kept(name, folder.root(state.estate) / name)
        yield Collection(name, event, _index(kept), _copied(estate, kept, event))


def _index(kept: Kept) -> Manifest | None:
    try:
        return manifest.read(kept) if kept.sealed else None
    except (OSError, ValueError):
        return None


def _copied(estate: Estate, kept: Kept, said: Event) -> bool | None:
    """Older records tell it themselves, of the moment when it was sealed."""
    if (kept.path / folder.CUSTODY).is_file():
        try:
            return custody.tells(estate, kept, custody.COPIED)
        except Error:  # nobody is known here who may sign
            return None
    return bool(said.get("copied")) if "copied" in said.fields else None


def _releases(state: IncidentState, newest_first: list[Release]) -> Iterator[Release]:
    """Those since the fault was noticed, and the last before it: one of them may be its cause."""
    begin, end = state.noticed, state.closed
    older = 0
    for row in newest_first:
        if end and row.at > end:
            continue
        if begin and row.at < begin:
            older += 1
        if older <= RELEASES_BEFORE:
            yield row


def plain_facts(facts: Facts) -> dict[str, Any]:
    """The part of a report for machines that is not the incident's own."""
    return {
        "runs": [
            {
                "run": run.name,
                "plan": run.plan,
                "target": run.target,
                "outcome": run.report.outcome if run.report else None,
                "rto_seconds": run.report.rto_seconds if run.report else None,
                "failed_checks": [one.name for one in run.report.checks if not one.good]
                if run.report
                else None,
            }
            for run in facts.runs
        ],
        "evidence": [
            {
                "id": one.id,
                "manifest_sha256": one.said.get("manifest_sha256"),
                "copied": one.copied,
                "files": [
                    {
                        "host": piece.host,
                        "file": piece.file,
                        "may_hold_patient_data": piece.patient,
                        "bytes": piece.bytes,
                        "sha256": piece.sha256,
                    }
                    for piece in one.index.had
                ]
                if one.index
                else None,
            }
            for one in facts.evidence
        ],
        "releases": [
            {"application": row.application, "release": row.release, "at": row.at, "state": row.state}
            for row in facts.releases
        ],
    }
