"""The outage that the users see when the primary is lost, dies or hands over, and what it is made of."""

from __future__ import annotations

import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import page
from measure import estate, on, say, spread

from rmc_dr.drill.primary import LostPrimary
from rmc_dr.drill.rehearsal import Recovery, Scene, rehearse
from rmc_dr.drill.users import outage_after
from rmc_dr.drill_record import DrillResult
from rmc_dr.lab import load, up

# What happens, in words, and how many seconds the users may wait.
AIMS = {
    "off": ("its host loses power", 25.0),
    "postgres": ("its PostgreSQL is killed", 10.0),
    "switchover": ("switchover", 5.0),
}
MOMENTS = ("detection", "promotion", "reconnection")
COLUMNS = ("the primary", "outage", "aim", *MOMENTS, "lost, duplicated")
# What Patroni logs once it knows, and then acts.
NOTICED = re.compile(
    r"Postgresql is not running|starting primary after failure"
    r"|promoted self to leader by acquiring session lock"
)
STAMPED = re.compile(r"^(\d+\.\d+) ")
NOTE = """The outage is the longest time in which one of the two applications acknowledged no write, by the
ledger of the users' program (60 writes a second, none repeated). Detection reaches from its beginning until
another host holds the leader's lock in etcd, or, where PostgreSQL was killed, until Patroni logs that it
knows; promotion until a host confirms a write to the observer, of a killed PostgreSQL its restart in place;
reconnection until the last application's write is acknowledged. The moments are looked for every 0.05 to
0.2 s. `-`: could not be told."""


@dataclass(frozen=True)
class Split:
    """Seconds of an outage; their sum is the whole where all are known."""

    outage: float
    detection: float | None
    promotion: float | None
    reconnection: float


def split(began: float, noticed: float | None, wrote: float, over: float) -> Split:
    """The parts of an outage out of its moments on one clock. Pure.

    A moment outside of the outage, as a lock that changed hands before the users felt it, counts as its edge.
    """
    wrote = min(max(wrote, began), over)
    if noticed is None:
        return Split(over - began, None, None, over - wrote)
    noticed = min(max(noticed, began), wrote)
    return Split(over - began, noticed - began, wrote - noticed, over - wrote)


def noticed_at(lines: Iterable[str], since: float) -> float | None:
    """When Patroni first said that it knows, at or after a Unix time; lines of `journalctl -o short-unix`."""
    for line in lines:
        stamp = STAMPED.match(line)
        if stamp and float(stamp[1]) >= since and NOTICED.search(line):
            return float(stamp[1])
    return None


class Watched(LostPrimary):
    """The drill, which also keeps the moments that its split is made of, on the steady clock."""

    parts: Split | None = None

    def recover(self, scene: Scene) -> Recovery:
        recovery = super().recover(scene)
        length, over = outage_after(load.read_ledger(scene.ledger), scene.broke_at)
        locked, reconnected = recovery.split["detection"], recovery.split["reconnection"]
        if reconnected is None:
            sys.exit("The drill did not see when a host took writes again.")
        noticed = self._logged(scene) if locked is None else scene.broke_at + locked
        self.parts = split(over - length, noticed, over - reconnected, over)
        return recovery

    def _logged(self, scene: Scene) -> float | None:
        """When the Patroni beside a killed PostgreSQL knew of it."""
        since = int(scene.broke_time)
        words = ("journalctl", "--unit=patroni", "--output=short-unix", "--no-pager", f"--since=@{since}")
        at = noticed_at(on(self.host, *words).splitlines(), scene.broke_time)
        return None if at is None else scene.broke_at + at - scene.broke_time


def outage(how: str) -> tuple[Split, DrillResult]:
    """One drill. Ends the benchmark where a write was lost or doubled: its seconds would mean nothing."""
    lab = up.up(estate(), lambda _text: None)
    disaster = Watched(lab, how, lambda _text: None, ())
    result = rehearse(lab, disaster, lambda _text: None)
    if not result.passed:
        sys.exit(f"The drill lost {result.lost} and doubled {result.duplicated} writes: rmc-dr drill history")
    if disaster.parts is None:
        sys.exit("The drill ended without a measure.")
    return disaster.parts, result


def line(how: str, rounds: Sequence[tuple[Split, DrillResult]]) -> str:
    words, aim = AIMS[how]
    parts = [part for part, _result in rounds]
    outages = [part.outage for part in parts]
    verdict = "" if statistics.median(outages) <= aim else " (lost)"
    told = [_median(getattr(part, name) for part in parts) for name in MOMENTS]
    lost, doubled = (sum(getattr(result, of) for _part, result in rounds) for of in ("lost", "duplicated"))
    cells = [words, f"{spread(outages)}{verdict}", f"{aim:g} s", *told, f"{lost}, {doubled}"]
    return f"| {' | '.join(cells)} |"


def _median(seconds: Iterable[float | None]) -> str:
    known = [value for value in seconds if value is not None]
    return f"{statistics.median(known):.2f}" if known else "-"


def bench(rounds: int) -> str:
    lines = []
    for how in AIMS:
        measured = []
        for number in range(rounds):
            say(f"outage, {how}, round {number + 1} of {rounds}")
            measured.append(outage(how))
        lines.append(line(how, measured))
    return "\n\n".join([page.head(rounds), page.table(COLUMNS, lines), NOTE])
