"""Both database hosts, or all but the store, lose their disks with all data: the store brings them back."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rmc_dr import rebuild
from rmc_dr.drill.rehearsal import Recovery, Say, Scene
from rmc_dr.drill.stored import archived_until, have_a_backup, save_files
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import faults
from rmc_dr.model import Request
from rmc_dr.plans.rebuild_estate import hosts_of
from rmc_dr.record import RunState, find, read


class LostHosts:
    """``name`` is `pair` or `estate`; makes sure of a backup first. Raises Error where there can be none.

    Of an estate the attachments are saved just before the disks go: what is uploaded after that may be lost.
    """

    how = "blank"

    def __init__(self, estate: Estate, name: str, say: Say, listeners: Sequence[rebuild.Listener]) -> None:
        self.estate, self.name = estate, name
        self._say, self._listeners = say, listeners
        self._request = Request(f"rebuild-{name}", estate.name)
        last = estate.group("verifier") if name == "estate" else []
        self._names = [host.name for host in (*hosts_of(estate, self._request.plan), *last)]
        self._files_until = float("inf")
        self._broke_time = 0.0
        have_a_backup(estate, say)

    @property
    def host(self) -> str:
        return ", ".join(self._names)

    def break_(self) -> None:
        if self.name == "estate":
            self._say(_("Saving the attachments; then every disk goes."))
            self._files_until = time.time()
            save_files(self.estate)
        self._broke_time = time.time()
        for name in self._names:
            faults.break_host(self.estate, name, self.how)

    def recover(self, scene: Scene) -> Recovery:  # noqa: ARG002 a rebuild measures itself
        run = rebuild_from_store(self.estate, self._request.plan, self._listeners)
        return Recovery(
            run,
            RunState.of(read(find(run))).rto_seconds or 0.0,
            writes_until=archived_until(self.estate, self._broke_time),
            files_until=self._files_until,
            broke_time=self._broke_time,
        )

    def mend(self) -> None:
        """Of an estate the verification host comes last, with the users at work, as in earnest."""
        rebuild.start_verifier(self.estate, self._request, self._listeners)


def rebuild_from_store(estate: Estate, plan_name: str, listeners: Sequence[rebuild.Listener]) -> str:
    """The same plan and engine as in earnest; returns the run's id."""
    request = Request(plan_name, estate.name)
    return rebuild.start(estate, rebuild.make_plan(estate, request), request, listeners)
