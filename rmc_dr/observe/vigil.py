"""Watches hosts from here, one thread each, for as long as a block lasts."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Self

from rmc_dr.estate import Estate, Host


class Vigil(ABC):
    """Keeps for each host of a group the moments, of the steady clock, at which it was well."""

    GROUP: ClassVar[str]

    def __init__(self, estate: Estate) -> None:
        hosts = estate.group(self.GROUP)
        self._estate = estate
        self._over = threading.Event()
        self._moments: dict[str, list[float]] = {host.name: [] for host in hosts}
        self._threads = [threading.Thread(target=self._watch, args=(host,), daemon=True) for host in hosts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._over.set()

    @abstractmethod
    def _watch(self, host: Host) -> None:
        """Look at one host until ``_over`` is set."""
