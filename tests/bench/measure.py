"""What every part of the benchmark shares: commands, clocks, rows of a comparison."""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rmc_dr import content, ssh
from rmc_dr.estate import Estate, load

BIN = Path(sys.executable).parent
INVENTORY = content.root() / "inventories" / "lab"
ENV = {
    **os.environ,
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "RMC_DR_INVENTORY": str(INVENTORY),
    "RMC_DR_LANG": "en",
}
SHOWN = 2000
# Size in GiB -> the seconds of each stage, round by round.
Stages = dict[int, list[dict[str, float]]]


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of the rival's, round by round, and the ratio that is aimed at.

    ``size`` is the database's in GiB; 0 where the measure has none.
    """

    what: str
    against: str
    ours: Sequence[float]
    theirs: Sequence[float]
    aim: float
    size: int = 0

    @property
    def ratio(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.theirs)

    def line(self) -> str:
        verdict = "" if self.ratio <= self.aim else " (lost)"
        size = f", {self.size} GiB" if self.size else ""
        return (
            f"| {self.what}{size} | {spread(self.ours)} | {self.against}: {spread(self.theirs)} "
            f"| {self.ratio:.2f}x{verdict} | {self.aim:g}x |"
        )


def spread(seconds: Sequence[float]) -> str:
    """Median (least to most)."""
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def growth(rows: Iterable[Row]) -> list[str]:
    """How the medians of the largest size stand to those of the smallest, a line for each measure. Pure."""
    kinds: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kinds.setdefault((row.what, row.against), []).append(row)
    lines = []
    for (what, against), same in kinds.items():
        small, large = min(same, key=lambda row: row.size), max(same, key=lambda row: row.size)
        if small.size == large.size:
            continue
        ours = statistics.median(large.ours) / statistics.median(small.ours)
        theirs = statistics.median(large.theirs) / statistics.median(small.theirs)
        lines.append(
            f"From {small.size} to {large.size} GiB ({large.size / small.size:g}x the data): {what} takes "
            f"{ours:.1f}x as long, {against} {theirs:.1f}x."
        )
    return lines


def medians(rounds: Sequence[Mapping[str, float]]) -> str:
    """The median seconds of each stage over the rounds, in the stages' own order. Pure."""
    names = dict.fromkeys(name for parts in rounds for name in parts)
    told = {name: statistics.median(parts.get(name, 0.0) for parts in rounds) for name in names}
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in told.items())


def by_size(stages: Mapping[int, Sequence[Mapping[str, float]]]) -> str:
    """What each size's stages took. Pure."""
    return "; ".join(f"{size} GiB: {medians(rounds)}" for size, rounds in sorted(stages.items()))


def say(text: str) -> None:
    """Progress, apart from the table."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def run(*words: str, **more: Any) -> str:
    """A command's output. Ends the benchmark with its words where it fails."""
    done = subprocess.run(
        words, env=ENV, cwd=content.root(), capture_output=True, text=True, check=False, **more
    )
    return _output(shlex.join(words), done)


@cache
def estate() -> Estate:
    """The lab's estate, its vault open once the lab is up; read once, for it takes a second."""
    return load(INVENTORY)


def on(host: str, *words: str) -> str:
    """A command's output on a host of the lab, as root."""
    return in_shell(host, shlex.join(words))


def in_shell(host: str, script: str, stdin: str = "") -> str:
    """What a script prints on a host of the lab, in root's shell. Ends the benchmark where it fails."""
    lab = estate()
    command = [*ssh.command(lab, lab.host(host)), script]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    return _output(f"{host}: {script}", done)


def _output(what: str, done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode != 0:
        sys.exit(f"{what} ended with {done.returncode}\n{done.stdout[-SHOWN:]}\n{done.stderr[-SHOWN:]}")
    return done.stdout
