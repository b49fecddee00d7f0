"""One shared SSH connection to a host, and how far its clock is from ours.

The connection is the one of a small loop on the host that answers each line with its time. It ends with its
standard input: whoever opened it and dies, kill -9 included, leaves nothing behind.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rmc_dr import ssh
from rmc_dr.i18n import _

OPEN_SECONDS = 8.0
PROBES = 5
LOOP = "while read -r line; do date +%s.%N; done"


class Silent(Exception):
    """The host cannot be reached; the text says why."""


@dataclass(frozen=True)
class Clock:
    """``ahead``: seconds that the host's clock is before ours, give or take ``within``."""

    ahead: float
    within: float


class Line:
    """The connection. ``words`` is how another command uses it."""

    def __init__(self, words: list[str], socket: Path) -> None:
        self.words = ssh.shared(words, socket, master=False)
        self._process = subprocess.Popen(
            [*ssh.shared(words, socket, master=True), LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def clock(self) -> Clock:
        """Ask the host's time a few times; the quickest answer is the nearest. Raises Silent."""
        deadline = time.monotonic() + OPEN_SECONDS
        return min((self._ask(deadline) for _probe in range(PROBES)), key=lambda clock: clock.within)

    def close(self) -> None:
        """End the connection, whatever still uses it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with suppress(OSError):
                    pipe.close()

    def _ask(self, deadline: float) -> Clock:
        assert self._process.stdin is not None  # noqa: S101 made with a pipe
        before = time.time()
        try:
            os.write(self._process.stdin.fileno(), b"\n")
        except OSError:
            raise Silent(self._why()) from None
        said = self._read(deadline)
        after = time.time()
        try:
            theirs = float(said)
        except ValueError:
            raise Silent(self._why()) from None
        return Clock(round(theirs - (before + after) / 2, 4), round((after - before) / 2, 4))

    def _read(self, deadline: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101 made with a pipe
        said = b""
        with selectors.DefaultSelector() as pipes:
            pipes.register(self._process.stdout, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                if not pipes.select(max(0.0, deadline - time.monotonic())):
                    raise Silent(_("no answer within {seconds:.0f} s").format(seconds=OPEN_SECONDS))
                chunk = os.read(self._process.stdout.fileno(), 4096)
                if not chunk:
                    break
                said += chunk
        return said

    def _why(self) -> str:
        self._process.kill()
        said = self._process.communicate()[1].decode(errors="replace").strip().splitlines()
        return said[-1][-200:] if said else _("the connection ended")
