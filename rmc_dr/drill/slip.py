"""A DELETE without WHERE under load: the database goes back to just before it, what came after is lost."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from datetime import datetime

from rmc_dr import rebuild, safety_copies, ssh
from rmc_dr.drill.rehearsal import Recovery, Say, Scene
from rmc_dr.drill.stored import have_a_backup, silent
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.model import Request
from rmc_dr.plans.moment import Moment
from rmc_dr.record import RunState, find, read

NOTICED_SECONDS = 5  # the users write on until somebody sees it
# The moment is told by the server that commits, and before the slip begins.
SLIP = "select clock_timestamp(); begin; set local role {owner}; delete from checks; commit;"


class Slip:
    """Raises Refused where the pair has no primary, Error where no backup can be taken."""

    name = "slip"
    how = "delete"

    def __init__(self, estate: Estate, say: Say, listeners: Sequence[rebuild.Listener]) -> None:
        self.estate, self._listeners = estate, listeners
        primary = rebuild.pair_state(estate).primary
        if primary is None:
            raise Refused(
                "no-primary", _("No database host answers as primary."), _("Look with `rmc-dr db status`.")
            )
        self.host = primary
        self._database = estate.config.applications.apps[0].database
        self._moment = Moment()
        have_a_backup(estate, say)

    def break_(self) -> None:
        psql = f"runuser -u postgres -- psql -X -A -t -q -v ON_ERROR_STOP=1 -d {self._database}"
        done = subprocess.run(
            [*ssh.command(self.estate, self.estate.host(self.host)), f"cd / && {psql}"],
            input=SLIP.format(owner=f"{self._database}_owner"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Error(
                "lab-break-failed",
                _("{what} on {host} could not be ended: {said}").format(
                    what="PostgreSQL", host=self.host, said=done.stderr.strip()[-200:]
                ),
                _("Look with `rmc-dr db status`."),
            )
        self._moment = Moment(datetime.fromisoformat(done.stdout.split("\n", 1)[0].strip()))
        time.sleep(NOTICED_SECONDS)

    def recover(self, scene: Scene) -> Recovery:
        frozen = time.time()
        options = {"restore_on": self.host, "restore_to": str(self._moment)}
        request = Request("restore-database", self.host, options)
        run = rebuild.start(self.estate, rebuild.make_plan(self.estate, request), request, self._listeners)
        rto = RunState.of(read(find(run))).rto_seconds or 0.0
        chosen = self._moment.time.timestamp() if self._moment.time else scene.broke_time
        return Recovery(run, rto, writes_until=chosen, broke_time=frozen)

    def mend(self) -> None:
        """The drill's safety copy is nobody's; without room a second one could not stand."""
        safety_copies.release(self.estate, silent)
