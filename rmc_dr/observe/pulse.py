"""Watches from here when the application servers are ready, and for how long they were not."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType

import httpx

from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, Host
from rmc_dr.https import Https

READY = "/health/ready"
PAUSE_SECONDS = 0.2
ANSWER_SECONDS = 2.0


class Pulse:
    """Asks every application server again and again for as long as the block lasts."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate
        self._over = threading.Event()
        self._ready: dict[str, list[float]] = {host.name: [] for host in estate.group("appserver")}
        self._threads = [
            threading.Thread(target=self._watch, args=(host,), daemon=True)
            for host in estate.group("appserver")
        ]

    def __enter__(self) -> Pulse:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def out_seconds(self, since: float) -> float | None:
        """The longest time since then that no server was ready for; None where nobody could tell.

        ``since`` is of the steady clock, and before it every server must have been ready once.
        """
        gaps = [longest_gap(moments, since) for moments in self._ready.values()]
        known = [gap for gap in gaps if gap is not None]
        return max(known) if known and len(known) == len(gaps) else None

    def beats(self, after: float = 0.0) -> bool:
        """Whether every server was ready at least once after that moment of the steady clock."""
        return all(moments and moments[-1] > after for moments in self._ready.values())

    def _watch(self, host: Host) -> None:
        port = self._estate.config.applications.port
        while not self._over.wait(PAUSE_SECONDS):
            try:
                with Https(self._estate, host, port, ANSWER_SECONDS) as https:
                    if https.request("GET", READY).status_code == httpx.codes.OK:
                        self._ready[host.name].append(time.monotonic())
            except httpx.HTTPError:
                continue
            except BadInput:
                return


def longest_gap(moments: Sequence[float], since: float) -> float | None:
    """Seconds between two answers, of which the later came after ``since``. Pure; None without such two."""
    gaps = [later - earlier for earlier, later in pairwise(moments) if later > since]
    return max(gaps) if gaps and moments[0] <= since else None
