"""A person switches the power; rmc-dr says what to do and waits until it can see that it was done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from rmc_dr.errors import Error, Interrupted
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import Reach
from rmc_dr.observe.hosts import observe_host
from rmc_dr.power.states import State

POLL_SECONDS = 2


@dataclass(frozen=True)
class ManualPower:
    """Waits at most estate.power.manual_timeout_minutes; Ctrl-C gives up."""

    estate: Estate
    say: Callable[[str], None]

    def off(self, host: Host) -> None:
        self.say(_("Take the power of {host} ({address}) away.").format(host=host.name, address=host.address))
        self._wait(host, Reach.SILENT)

    def rescue(self, host: Host) -> None:
        self.say(
            _("Boot {host} ({address}) from the rescue medium of the kit.").format(
                host=host.name, address=host.address
            )
        )
        self._wait(host, Reach.RESCUE)

    def disk(self, host: Host) -> None:
        self.say(
            _("Remove the rescue medium of {host} ({address}) and boot it from its disk.").format(
                host=host.name, address=host.address
            )
        )
        self._wait(host, Reach.SYSTEM)

    def state(self, host: Host) -> State:
        """Silence proves nothing: the network may be cut."""
        seen = observe_host(self.estate, host).reach
        known: dict[Reach, State] = {Reach.SYSTEM: "disk", Reach.RESCUE: "rescue"}
        return known.get(seen, "unknown")

    def _wait(self, host: Host, wanted: Reach) -> None:
        minutes = self.estate.config.power.manual_timeout_minutes
        self.say(
            _("Waiting until it is seen to be done, at most {minutes:.0f} min. Ctrl-C gives up.").format(
                minutes=minutes
            )
        )
        deadline = time.monotonic() + minutes * 60
        try:
            while (seen := observe_host(self.estate, host).reach) is not wanted:
                if time.monotonic() > deadline:
                    raise Error(
                        "power-timeout",
                        _(
                            "{host} was not seen to be `{wanted}` within {minutes:.0f} min; it is `{seen}`."
                        ).format(host=host.name, wanted=wanted.value, minutes=minutes, seen=seen.value),
                        self._hint(host, seen),
                    )
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            raise Interrupted(
                "power-given-up",
                _("Given up waiting for {host}.").format(host=host.name),
                _("Its power is as you left it. `rmc-dr resume` asks again."),
            ) from None

    def _hint(self, host: Host, seen: Reach) -> str:
        if seen is Reach.FOREIGN:
            return _(
                "A system with a key that nobody pinned answers at {address}: wrong medium, or wrong machine."
            ).format(address=host.address)
        return _("Do it and run `rmc-dr resume`, or raise estate.power.manual_timeout_minutes.")
