"""The primary is lost, dies or hands over under load: how long its users wait, and for what."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack

from rmc_dr import db
from rmc_dr.command import Listener, meanwhile
from rmc_dr.drill.rehearsal import Recovery, Say, Scene
from rmc_dr.drill.users import outage_after, wait_until_all_go_on
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import faults, load, up
from rmc_dr.observe.dcs import observe_keys
from rmc_dr.observe.pair import observe_pair, tls_context
from rmc_dr.observe.writes import Writes
from rmc_dr.pair import Name, Role, verdict

TAKEOVER_SECONDS = 120
HEALTHY_SECONDS = 300
LOOK_SECONDS = 0.2


class LostPrimary:
    """``how``: `off` (its host loses power), `postgres` (its PostgreSQL is killed) or `switchover`.

    Raises Refused unless the pair is healthy.
    """

    name = "primary"

    def __init__(self, estate: Estate, how: str, say: Say, listeners: Sequence[Listener]) -> None:
        seen = observe_pair(estate)
        judged = verdict(seen)
        if judged.name is not Name.HEALTHY:
            raise Refused(
                "pair-not-healthy",
                _("The pair is {verdict}: {reason}").format(
                    verdict=judged.name, reason=" ".join(judged.reasons)
                ),
                _("A drill begins with a healthy pair. Look with `rmc-dr db status`."),
            )
        self.estate, self.how = estate, how
        self._say, self._listeners = say, listeners
        self.host = seen.with_role(Role.PRIMARY)[0].name
        self._others = [node.name for node in seen.nodes if node.name != self.host]
        self._watching = ExitStack()
        self._writes = Writes(estate)
        self._trust = tls_context(estate)
        self._locked_at: float | None = None
        self._broken_at = 0.0
        self._run = ""

    def break_(self) -> None:
        self._watching.enter_context(self._writes)
        self._watching.enter_context(meanwhile(self._watch_the_lock, LOOK_SECONDS))
        if self.how == "switchover":
            self._broken_at = time.monotonic()
            self._run = db.switchover(self.estate, None, self._listeners).run
        else:
            faults.break_host(self.estate, self.host, self.how)
            self._broken_at = time.monotonic()

    def _watch_the_lock(self) -> None:
        if self._locked_at is None and observe_keys(self.estate, self._trust).leader in self._others:
            self._locked_at = time.monotonic()

    def recover(self, scene: Scene) -> Recovery:
        """Patroni does it; this waits, and splits the outage where both ends of a part were seen."""
        with self._watching:
            writes_at = self._first_write()
            wait_until_all_go_on(scene.ledger, writes_at)
        _length, over = outage_after(load.read_ledger(scene.ledger), scene.broke_at)
        locked = self._locked_at
        return Recovery(
            self._run,
            None,
            {
                "detection": None if locked is None else locked - scene.broke_at,
                "promotion": None if locked is None else writes_at - locked,
                "reconnection": over - writes_at,
            },
        )

    def _first_write(self) -> float:
        """When a host first confirmed a write after the break; in a switchover, another host than before."""
        hosts = self._others if self.how == "switchover" else [self.host, *self._others]
        deadline = time.monotonic() + TAKEOVER_SECONDS
        while not (moments := self._confirmed(hosts)):
            if time.monotonic() > deadline:
                raise Error(
                    "no-takeover",
                    _("No host took writes within {seconds} s.").format(seconds=TAKEOVER_SECONDS),
                    _("Look with `rmc-dr db status`."),
                )
            time.sleep(0.05)
        return min(moments)

    def _confirmed(self, hosts: Sequence[str]) -> list[float]:
        firsts = (self._writes.first(host, self._broken_at) for host in hosts)
        return [moment for moment in firsts if moment is not None]

    def mend(self) -> None:
        """Bring the host back; the pair must be healthy in the end. Raises Error where it is not."""
        if self.how == "off":
            self._say(_("Bringing {host} back.").format(host=self.host))
            up.heal(self.estate, [self.host], self._say)
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (judged := verdict(observe_pair(self.estate))).name is not Name.HEALTHY:
            if time.monotonic() > deadline:
                raise Error(
                    "pair-not-well",
                    _("The pair is {verdict} {seconds:.0f} s afterwards: {reason}").format(
                        verdict=judged.name, seconds=HEALTHY_SECONDS, reason=" ".join(judged.reasons)
                    ),
                    _("Look with `rmc-dr db status`, which names the next step."),
                )
            time.sleep(1)
