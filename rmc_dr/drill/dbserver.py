"""A database host loses its disk under load: the other one serves, and the host is rebuilt as its standby."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rmc_dr import rebuild
from rmc_dr.drill.rehearsal import Recovery, Scene
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import faults
from rmc_dr.model import Request
from rmc_dr.record import RunState, find, read

TAKEOVER_SECONDS = 120


class LostDbserver:
    """``role`` is what the lost host was, primary or standby. Raises Error where the pair has no primary."""

    name = "dbserver"
    how = "disk"

    def __init__(self, estate: Estate, role: str, listeners: Sequence[rebuild.Listener]) -> None:
        self.estate = estate
        self._listeners = listeners
        primary = self._primary()
        others = [host.name for host in estate.group("dbserver") if host.name != primary]
        self.host = primary if role == "primary" else others[0]

    def _primary(self) -> str:
        deadline = time.monotonic() + TAKEOVER_SECONDS
        while (pair := rebuild.pair_state(self.estate)).primary is None:
            if time.monotonic() > deadline:
                raise Error(
                    "no-takeover",
                    _("No host took writes within {seconds} s.").format(seconds=TAKEOVER_SECONDS),
                    _("Look with `rmc-dr db status`."),
                )
            time.sleep(1)
        return pair.primary

    def break_(self) -> None:
        faults.break_host(self.estate, self.host, self.how)

    def recover(self, scene: Scene) -> Recovery:  # noqa: ARG002 a rebuild measures itself
        self._primary()
        request = Request("rebuild-dbserver", self.host)
        plan = rebuild.make_plan(self.estate, request)
        run = rebuild.start(self.estate, plan, request, self._listeners)
        return Recovery(run, RunState.of(read(find(run))).rto_seconds or 0.0)

    def mend(self) -> None:
        """A rebuild leaves nothing broken."""
