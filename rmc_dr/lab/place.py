"""Where the lab keeps its things, and the commands it runs."""

from __future__ import annotations

import fcntl
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rmc_dr import content
from rmc_dr.errors import Error, Refused
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _
from rmc_dr.locks import only_one


def folder() -> Path:
    """The lab's state folder; nothing of the lab lies outside it."""
    return content.STATE / "lab"


def host_folder(name: str) -> Path:
    """What belongs to one host: its disk, its console's log, its state."""
    return folder() / "hosts" / name


def run(*command: str | Path, stdin: str | None = None) -> str:
    """Run a tool of the system and return what it printed. Raises Error `lab-tool-failed` with its words."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Refused(
            "lab-tool-missing",
            _("The program {tool} is not installed.").format(tool=words[0]),
            _("Run `make setup`, which installs the Debian packages that the lab needs."),
        ) from None
    if done.returncode != 0:
        raise Error(
            "lab-tool-failed",
            _("`{command}` failed: {said}").format(
                command=" ".join(words)[:200], said=(done.stderr or done.stdout).strip()[-400:]
            ),
            _("`rmc-dr lab status` shows what runs; `rmc-dr lab down` cleans up."),
        )
    return done.stdout


@contextmanager
def alone(name: str) -> Iterator[None]:
    """Hold a lock of the lab, waiting for it; the kernel lets go of it when its holder dies."""
    path = folder() / "locks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def only_one_command() -> AbstractContextManager[None]:
    """Refuse a second command that changes the lab. Raises Locked `lab-busy`, naming the first one."""
    busy = _("Another command is working on the lab (process {pid}).")
    return only_one(folder() / "locks" / "command", "lab-busy", busy)


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(state), 0o644)
