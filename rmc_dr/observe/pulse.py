"""Watches from here when the application servers are ready, and for how long they were not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType

import httpx

from rmc_dr.errors import BadInput
from rmc_dr.estate import Host
from rmc_dr.https import Https
from rmc_dr.observe.vigil import Vigil

READY = "/health/ready"
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 2.0


class Pulse(Vigil):
    """Asks every application server again and again for as long as the block lasts."""

    GROUP = "appserver"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for thread in self._threads:
            thread.join()

    def out_seconds(self, since: float) -> float | None:
        """The longest time since then that no server was ready for; None where nobody could tell.

        ``since`` is of the steady clock, and before it every server must have been ready once.
        """
        gaps = [longest_gap(moments, since) for moments in self._moments.values()]
        known = [gap for gap in gaps if gap is not None]
        return max(known) if known and len(known) == len(gaps) else None

    def beats(self, after: float = 0.0) -> bool:
        """Whether every server was ready at least once after that moment of the steady clock."""
        return all(moments and moments[-1] > after for moments in self._moments.values())

    def _watch(self, host: Host) -> None:
        port = self._estate.config.applications.port
        while not self._over.wait(PAUSE_SECONDS):
            try:
                with Https(self._estate, host, port, ANSWER_SECONDS) as https:
                    if https.request("GET", READY).status_code == httpx.codes.OK:
                        self._moments[host.name].append(time.monotonic())
            except httpx.HTTPError:
                continue
            except BadInput:
                return


def longest_gap(moments: Sequence[float], since: float) -> float | None:
    """Seconds between two answers, of which the later came after ``since``. Pure; None without such two."""
    gaps = [later - earlier for earlier, later in pairwise(moments) if later > since]
    return max(gaps) if gaps and moments[0] <= since else None
