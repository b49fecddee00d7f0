"""Where the kit's builder keeps its things, how it runs a tool, and how it leaves nothing half done."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from rmc_dr import content
from rmc_dr.errors import Error, Refused
from rmc_dr.i18n import _
from rmc_dr.locks import only_one

Say = Callable[[str], None]
DRAFT = ".draft-"  # whatever begins so was being made when its maker died


def cache(kind: str) -> Path:
    """The folder of one kind of intermediate result; made when it is missing."""
    folder = content.STATE / "cache" / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def draft(target: Path) -> Path:
    """Where a file or folder is made before it takes its place beside it."""
    return target.with_name(f"{DRAFT}{target.name}")


def alone() -> AbstractContextManager[None]:
    """One build at a time on this machine: raises Locked `kit-busy`."""
    busy = _("Another `rmc-dr kit build` is at work (process {pid}).")
    return only_one(cache("") / "lock", "kit-busy", busy)


def remove_drafts(folders: Iterable[Path]) -> None:
    """Remove what a killed build left half made."""
    for folder in folders:
        for path in folder.glob(f"{DRAFT}*"):
            remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run(*command: str | Path, cwd: Path | None = None, code: str, hint: str, name: str = "") -> str:
    """Run a tool and return what it printed. Raises Refused `kit-tool-missing`, else Error with ``code``.

    ``name`` is what the operator reads where the tool is run by another.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise tool_missing(words[0]) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-600:]
        raise Error(code, _("`{tool}` failed: {said}").format(tool=name or words[0], said=said), hint)
    return done.stdout


def tool_missing(tool: str) -> Refused:
    return Refused(
        "kit-tool-missing",
        _("The program {tool} is not installed.").format(tool=tool),
        _("Install the Debian packages that docs/runbooks/kit.md lists."),
    )


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
