"""Folders of one journal each, to which many processes add in turn: incidents, inspections.

Each writer holds a journal for one moment, cuts off what a power cut tore, and adds its lines.
"""

from __future__ import annotations

import fcntl
import os
import secrets as random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, TypeVar

from rmc_dr import content
from rmc_dr.errors import Error, Locked
from rmc_dr.history import Event
from rmc_dr.journal import NAME, Journal, sync_folder
from rmc_dr.lines import Scan, scan
from rmc_dr.redact import Redactor

WAIT_SECONDS = 5.0
LOOK_SECONDS = 0.02
State = TypeVar("State")


@dataclass(frozen=True)
class Journals(Generic[State]):
    """The journals of one ``kind``, which stands in each name, below ``content.STATE / folder``.

    ``fold`` makes their state of the lines, and raises ValueError, TypeError or KeyError for one that says
    what none can; ``begun`` is whether it has a beginning. The rest say, of a name, what is wrong.
    """

    folder: str
    kind: str
    fold: Callable[[Iterable[Event]], State]
    begun: Callable[[State], bool]
    in_use: Callable[[str], Locked]
    unreadable: Callable[[str, str], Error]
    damaged: Callable[[str], Error]

    def folder_of(self, name: str) -> Path:
        return content.STATE / self.folder / name

    def new(self) -> str:
        """Make the folder of a new journal; returns its name. Raises OSError."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{self.kind}-{random.token_hex(2)}"
        path = self.folder_of(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        sync_folder(path.parent)
        return name

    @contextmanager
    def held(self, name: str, secrets: Iterable[str] = ()) -> Iterator[Journal]:
        """The journal for as long as the block lasts; others wait a few seconds. Raises Error or Locked."""
        path = self.folder_of(name)
        descriptor = os.open(path / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._take(descriptor, name)
            found = self._scan(name)
            if found.bad:
                raise self.damaged(name)
            journal = Journal(path, descriptor, len(found.events), Redactor(secrets))
            if found.torn:
                os.ftruncate(descriptor, found.good)
                journal.append("journal-repaired", cut_bytes=found.torn)
            elif not found.events:
                sync_folder(path)
            yield journal
        finally:
            os.close(descriptor)

    def read(self, name: str) -> State:
        """What a journal tells, without a torn tail. Raises Error."""
        return self._state(name, self._scan(name))

    def _state(self, name: str, found: Scan) -> State:
        try:
            state = self.fold(found.events)
        except (ValueError, TypeError, KeyError):
            raise self.damaged(name) from None
        if found.bad or not self.begun(state):
            raise self.damaged(name)
        return state

    def every(self) -> Iterator[tuple[str, State | None, str]]:
        """Each name, newest first, with its state, or None and why its journal cannot be believed."""
        for name in self.names():
            try:
                found = self._scan(name)
                if found.events or found.bad:  # else a power cut came before its first line: it never began
                    yield name, self._state(name, found), ""
            except Error as error:
                yield name, None, error.message

    def names(self) -> list[str]:
        """Each that has a journal, newest first, whatever is in it."""
        folder = content.STATE / self.folder
        if not folder.is_dir():
            return []
        return sorted((path.name for path in folder.iterdir() if (path / NAME).is_file()), reverse=True)

    def _take(self, descriptor: int, name: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise self.in_use(name) from None
                time.sleep(LOOK_SECONDS)
            else:
                return

    def _scan(self, name: str) -> Scan:
        try:
            return scan((self.folder_of(name) / NAME).read_bytes())
        except OSError as error:
            raise self.unreadable(name, error.strerror or str(error)) from error
