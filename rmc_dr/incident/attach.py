"""What happens while an incident is open attaches itself to it. Nothing here ever stops a recovery."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any

from rmc_dr.errors import Error
from rmc_dr.history import Event
from rmc_dr.incident import news
from rmc_dr.incident.record import append, held, incident_at, open_incident, read
from rmc_dr.incident.words import news_stage

TOLD = ("stage-finished", "run-finished")


def attach(estate: str, what: str, **about: Any) -> str | None:
    """Note something (evidence, a verification ...) in the estate's open incident; returns its name.

    None where no incident is open, or where its record cannot be written.
    """
    with suppress(Error, OSError):
        if state := open_incident(estate):
            attach_to(state.incident, what, **about)
            return state.incident
    return None


def attach_once(estate: str, at: datetime, what: str, name: str, **about: Any) -> str | None:
    """Note something that bears a name in the incident that was open at that moment, unless it stands there.

    Returns and leaves out as ``attach``.
    """
    with suppress(Error, OSError):
        if incident := incident_at(estate, at):
            with held(incident) as journal:
                if all(one.get("id") != name for one in read(incident).attached(what)):
                    journal.append("attached", what=what, id=name, **about)
            return incident
    return None


def attach_to(incident: str, what: str, **about: Any) -> None:
    """Note it in this incident, which may be closed. What cannot be written is left out."""
    with suppress(Error, OSError):
        append(incident, (), "attached", what=what, **about)


def join(estate: str, run: str, plan: str, target: str) -> str | None:
    """Attach a run to the estate's open incident, once; returns the incident's name. None as ``attach``."""
    with suppress(Error, OSError):
        if found := open_incident(estate):
            with held(found.incident) as journal:
                state = read(found.incident)
                if state.open and run not in state.runs:
                    journal.append("run-attached", run=run, plan=plan, target=target)
            return state.incident if state.open else None
    return None


class Follower:
    """Listens to a run's journal, and brings the news of its stages' ends to the incident."""

    def __init__(self, incident: str, plan: str) -> None:
        self._incident = incident
        self._plan = plan

    def __call__(self, event: Event) -> None:
        if event.event not in TOLD:
            return
        with suppress(Error, OSError):
            with held(self._incident) as journal:
                state = read(self._incident)
                if state.open:
                    news.write(journal, state, event.event, lambda: news_stage(self._plan, event))
            if state.open:
                news.carry(state.inventory)
