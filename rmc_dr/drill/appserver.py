"""The application server is lost: the same plan and engine as in earnest rebuild it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rmc_dr import rebuild
from rmc_dr.drill.rehearsal import Recovery, Scene
from rmc_dr.estate import Estate
from rmc_dr.lab import faults
from rmc_dr.model import Request
from rmc_dr.record import RunState, find, read


@dataclass(frozen=True)
class LostAppserver:
    """``how`` is what breaks: its disk, its system, its process or its power."""

    estate: Estate
    how: str
    listeners: Sequence[rebuild.Listener]
    name: str = "appserver"

    @property
    def host(self) -> str:
        return self.estate.group("appserver")[0].name

    def break_(self) -> None:
        faults.break_host(self.estate, self.host, self.how)

    def recover(self, scene: Scene) -> Recovery:  # noqa: ARG002 a rebuild measures itself
        request = Request("rebuild-appserver", self.host)
        plan = rebuild.make_plan(self.estate, request)
        run = rebuild.start(self.estate, plan, request, self.listeners)
        return Recovery(run, RunState.of(read(find(run))).rto_seconds or 0.0)

    def mend(self) -> None:
        """A rebuild leaves nothing broken."""
