"""Fetches every source of every host at once, each bounded by itself: a stuck one never holds up the rest."""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from rmc_dr import scratch, ssh
from rmc_dr.estate import Estate
from rmc_dr.evidence.line import Clock, Line, Silent
from rmc_dr.evidence.mask import Masker
from rmc_dr.evidence.sources import CONTROL, Task
from rmc_dr.i18n import _

CHUNK = 256 * 1024
MIB = 1024 * 1024
AT_ONCE = 12  # sessions over one connection; sshd allows 20 here, and the quick ones go first
GRACE_SECONDS = 3  # the host ends a source itself; this is for one that no longer can
SAID = 2000
TIMED_OUT = (124, 137)  # what timeout(1) ends with
NO_SESSION = 255  # ssh itself
LEFT_ALONE = 1  # tar: a file changed while it was read


@dataclass(frozen=True)
class Piece:
    """One source of one host, as it was had. ``file`` is empty where nothing was; ``why`` says why not all.

    ``masked`` counts the secrets of the estate that were covered.
    """

    host: str
    source: str
    patient: bool
    file: str = ""
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    complete: bool = False
    why: str = ""
    masked: int = 0


@dataclass(frozen=True)
class Collected:
    """All pieces, the clocks of the hosts that answered, and why the others did not."""

    pieces: tuple[Piece, ...]
    clocks: dict[str, Clock]
    silent: dict[str, str]


class Room:
    """How many bytes may still be written here, shared by all that write."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._mutex = threading.Lock()

    def take(self, size: int) -> bool:
        with self._mutex:
            if size > self._left:
                return False
            self._left -= size
            return True


@dataclass(frozen=True)
class Job:
    """What all that collect have in common. ``alias`` says which system of a host is asked.

    Heaps share a room of their own, so that the largest source takes none of the others'.
    """

    estate: Estate
    folder: Path
    room: Room
    alias: ssh.Alias = "system"
    canceled: Callable[[], bool] = lambda: False
    heap_room: Room = field(default_factory=lambda: Room(0))

    def room_of(self, task: Task) -> Room:
        return self.heap_room if task.source.heap else self.room


def collect(job: Job, tasks: Sequence[Task]) -> Collected:
    """Run every task, hosts side by side. Ends when the slowest source's time is over, whatever hangs."""
    names = list(dict.fromkeys(task.host for task in tasks))
    clocks: dict[str, Clock] = {}
    silent: dict[str, str] = {}

    def host(name: str) -> list[Piece]:
        mine = [task for task in tasks if task.host == name]
        if name == CONTROL:
            return _all(job, mine, ["sh", "-c"])
        line = Line(ssh.command(job.estate, job.estate.host(name), job.alias), sockets / name)
        try:
            clocks[name] = line.clock()
            return _all(job, mine, line.words)
        except Silent as error:
            silent[name] = str(error)
            return [_not_had(task, str(error)) for task in mine]
        finally:
            line.close()

    with scratch.folder() as sockets, ThreadPoolExecutor(max(1, len(names))) as pool:
        pieces = [piece for found in pool.map(host, names) for piece in found]
    return Collected(tuple(pieces), dict(sorted(clocks.items())), dict(sorted(silent.items())))


def _all(job: Job, tasks: Iterable[Task], words: list[str]) -> list[Piece]:
    quick_first = sorted(tasks, key=lambda task: task.source.seconds)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda task: fetch(job, task, [*words, task.line]), quick_first))


def fetch(job: Job, task: Task, words: Sequence[str]) -> Piece:
    """Save what one command prints. Never raises: what went wrong stands in the piece."""
    target = job.folder / task.file
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        with subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                piece = _save(job, task, process, target)
            finally:
                process.kill()
    except OSError as error:
        piece = _not_had(task, error.strerror or str(error))
    if not piece.bytes:
        target.unlink(missing_ok=True)
        piece = replace(piece, file="", sha256="")
    return replace(piece, seconds=round(time.monotonic() - began, 2))


def _save(job: Job, task: Task, process: subprocess.Popen[bytes], target: Path) -> Piece:
    masker = Masker(job.estate.secrets.values() if job.estate.secrets else ())
    digest, size, said = hashlib.sha256(), 0, b""
    deadline = time.monotonic() + task.source.seconds + GRACE_SECONDS
    limit, stopped, room = task.source.mib * MIB, "", job.room_of(task)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file, selectors.DefaultSelector() as pipes:
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None  # noqa: S101 both are pipes
            pipes.register(pipe, selectors.EVENT_READ)
        while pipes.get_map() and not stopped:
            for key, _events in pipes.select(0.5):
                chunk = os.read(key.fd, CHUNK)
                if not chunk:
                    pipes.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    said = (said + chunk)[-SAID:]
                else:
                    kept = masker.feed(chunk)[: max(0, limit - size)]
                    if not room.take(len(kept)):
                        stopped = _no_room()
                        break
                    size += len(kept)
                    digest.update(kept)
                    file.write(kept)
                    if size >= limit:
                        stopped = _("cut off at {mib} MiB").format(mib=task.source.mib)
                        break
            stopped = stopped or _asked_to_stop(job, deadline, task.source.seconds)
        rest = masker.rest()[: max(0, limit - size)]
        if not room.take(len(rest)):
            stopped = stopped or _no_room()
        else:
            size += len(rest)
            digest.update(rest)
            file.write(rest)
        file.flush()
        os.fsync(file.fileno())
    if stopped:
        process.kill()
    try:
        why = stopped or _why(process.wait(GRACE_SECONDS), task, said)
    except subprocess.TimeoutExpired:
        why = _hung(task.source.seconds)
    return Piece(
        task.host,
        task.label,
        task.source.patient,
        file=task.file,
        bytes=size,
        sha256=digest.hexdigest(),
        complete=not why,
        why=why,
        masked=masker.masked,
    )


def _asked_to_stop(job: Job, deadline: float, seconds: int) -> str:
    if job.canceled():
        return _("stopped by the operator")
    return _hung(seconds) if time.monotonic() > deadline else ""


def _no_room() -> str:
    return _("no room left for more")


def _hung(seconds: int) -> str:
    return _("not done within {seconds} s").format(seconds=seconds)


def _why(code: int, task: Task, said: bytes) -> str:
    """Why a command that ended gave less than all; "" where it gave all."""
    if code == 0 or (code == LEFT_ALONE and task.source.suffix == "tar"):
        return ""
    if code in TIMED_OUT:
        return _hung(task.source.seconds)
    if code == NO_SESSION:
        return _("the connection broke")
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    words = "".join(letter for letter in lines[-1] if letter.isprintable())[:200] if lines else ""
    return words or _("it ended with {code}").format(code=code)


def _not_had(task: Task, why: str) -> Piece:
    return Piece(task.host, task.label, task.source.patient, why=why)
