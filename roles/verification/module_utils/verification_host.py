"""What every step on the verification host shares: its copy's slice, one form for its findings."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# The copies that may stand on this host, each with its units, its slice and its folder.
SIDES = {"verification": "/srv/verify", "inspection": "/srv/inspect"}
AS_POSTGRES = ("runuser", "--user=postgres", "--")
RESTIC = "/usr/local/sbin/rmc-dr-restic"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root"}
SHOWN = 400


class Wrong(Exception):
    """The sentence that the operator reads; ``refused`` where nothing was changed."""

    def __init__(self, said: str, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused


@dataclass
class Here:
    """The copy that this module works on, and its life when the module began."""

    side: str = "verification"
    born: str = ""

    def unit(self, name: str) -> str:
        return f"{self.side}-{name}.service"


HERE = Here()


def life() -> str:
    """What names this copy's scratch; "" where there is none."""
    path = Path(SIDES[HERE.side]) / "life"
    return path.read_text() if path.is_file() else ""


def work_on(side: str) -> None:
    """Say first of all which copy this module works on."""
    HERE.side = side
    HERE.born = life()


work_on("verification")


def still_ours() -> None:
    """Raises Wrong in a module whose control machine was killed, once another one has begun anew."""
    if life() != HERE.born:
        raise Wrong(f"This {HERE.side} was ended: the scratch is another one's, or gone.")


def in_slice() -> tuple[str, ...]:
    return "systemd-run", "--quiet", "--scope", "--collect", f"--slice={HERE.side}.slice", "--"


def run(
    *words: str, timeout: float, stdin: str | None = None, more: dict | None = None
) -> subprocess.CompletedProcess:
    """A command in the slice, which the next one of its sort ends if this one is killed."""
    still_ours()
    try:
        return subprocess.run(
            [*in_slice(), *words],
            cwd="/",
            env={**ENVIRONMENT, **(more or {})},
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Wrong(f"{_program(words)} did not end within {timeout:.0f} s.") from None


def _program(words: Sequence[str]) -> str:
    plain = [word for word in words if word not in AS_POSTGRES]
    return Path(plain[0]).name


def finding(name: str, green: bool, says: str = "", objects: Sequence[str] = (), /, **values: object) -> dict:
    """What was found. ``says`` is a sentence of ours, which rmc_dr/found.py knows and translates, its
    blanks filled with ``values``; or what a program said.
    """
    detail = says.format(**values) if values else says
    told = {"says": says, "values": {name: str(value) for name, value in values.items()}}
    return {"name": name, "green": green, "detail": detail, "objects": list(objects), **told}


def short(text: str) -> str:
    """The end of what a program said, on one line."""
    return " ".join(text.split())[-SHOWN:]


def cores() -> int:
    return os.cpu_count() or 1


class Copy:
    """The restored database, asked over its socket, which no network leads to."""

    def __init__(self, scratch: str, port: int) -> None:
        self.socket = f"{scratch}/run"
        self.port = str(port)

    def connection(self) -> tuple[str, ...]:
        return ("--host", self.socket, "--port", self.port)

    def sql(
        self,
        statement: str,
        database: str = "postgres",
        timeout: float = 60,
        options: str = "",
        verbosity: str = "terse",
    ) -> str:
        """What the statement gives, unaligned. Raises Wrong with PostgreSQL's first line."""
        done = run(
            *AS_POSTGRES, "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1",
            "-v", f"VERBOSITY={verbosity}",
            *self.connection(), "--dbname", database, "--file=-",
            timeout=timeout,
            stdin=f"{statement}\n;\n",
            more={"PGOPTIONS": options} if options else None,
        )  # fmt: skip
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or ["psql failed"]
            raise Wrong(f"{database}: {short(lines[0])}")
        return done.stdout.rstrip("\n")

    def databases(self) -> list[str]:
        said = self.sql("select datname from pg_database where datallowconn and not datistemplate order by 1")
        return said.splitlines()


def properties(unit: str, *names: str) -> Iterator[str]:
    """A unit's properties, in the order in which they are asked for."""
    for name in names:
        done = subprocess.run(
            ["systemctl", "show", "--value", f"--property={name}", unit],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        yield done.stdout.strip()
