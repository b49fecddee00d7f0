"""A journal as it is written: one JSON line an event, on the disk before the next, and without a secret."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Self

from rmc_dr.files import append_whole
from rmc_dr.history import Event
from rmc_dr.lines import to_line
from rmc_dr.redact import Redactor

NAME = "journal.jsonl"
_RESERVED = frozenset({"seq", "time", "mono", "event"})


class Journal:
    """Writes to the journal in the folder ``path``, whose lock its maker holds; safe with threads."""

    def __init__(self, path: Path, descriptor: int, last_seq: int, redactor: Redactor) -> None:
        self.path = path
        self._descriptor = descriptor
        self._seq = last_seq
        self._redactor = redactor
        self._mutex = threading.Lock()
        self._listeners: list[Callable[[Event], None]] = []

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` with each event once it is on the disk."""
        self._listeners.append(listener)

    def learn(self, secrets: Iterable[str]) -> None:
        """Keep these out of every event from now on as well."""
        self._redactor.learn(secrets)

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event and wait until the disk has it. Known secrets become ``[secret]``.

        Raises Error("journal-unwritable") when the disk refuses; nothing is left half written then.
        """
        if clash := _RESERVED & fields.keys():
            raise ValueError(f"reserved field names: {sorted(clash)}")
        with self._mutex:
            now = datetime.now(UTC)
            written = Event(
                seq=self._seq + 1,
                time=now.replace(microsecond=now.microsecond // 1000 * 1000),
                mono=round(time.clock_gettime(time.CLOCK_BOOTTIME), 3),
                event=event,
                fields=self._redactor.clean(plain(fields)),
            )
            append_whole(self._descriptor, self.path / NAME, to_line(written))
            self._seq += 1
        for listener in self._listeners:
            listener(written)
        return written

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def boot_id() -> str:
    """Names this boot of the control machine: the steady clock compares only within one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8]


def plain(value: Any) -> Any:
    """What JSON can hold: dataclasses, mappings, sequences, enums and paths become plain values."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
