"""`make bench`: each number beside its limit or rival, in one run on one machine. Needs the lab up, and root.

    bench.py [appserver] [check] [restore] [pair] [verification] [outage] [--sizes 1,8]
        [--rounds 3] [--print]

Each part prints its table in Markdown and puts it into its section of docs/benchmarks.md. Losses are printed
as plainly as wins. `restore`, `pair` and `verification` share one filling of each size, in GiB.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable

import appserver
import nightly
import outage
import page
import side_restore
import triage
import whole_pair
from filling import bench_database, grow_to
from measure import ENV, Row, Stages, run, say

from rmc_dr.errors import Error

FILLED = ("restore", "verification", "pair")  # in this order: the last one makes the hosts anew
Keep = Callable[[str, str], None]
PARTS = ("appserver", "check", *FILLED, "outage")


def sizes(text: str) -> list[int]:
    """Whole GiB, the smallest first. Raises ValueError, which argparse names."""
    given = sorted({int(word) for word in text.split(",")})
    if given[0] < 1:
        raise ValueError(text)
    return given


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none means all")
    parser.add_argument("--sizes", "--size", type=sizes, default=[1, 8], help="GiB, as 1,8")
    rounds = int(os.environ.get("RMC_DR_BENCH_ROUNDS", "3"))
    parser.add_argument("--rounds", type=int, default=rounds, help="how often each thing is measured")
    parser.add_argument("--print", action="store_true", help="leave docs/benchmarks.md as it is")
    given = parser.parse_args(words)
    unknown = [part for part in given.parts if part not in PARTS]
    if unknown or given.rounds < 1:
        parser.error(f"no such part: {', '.join(unknown)}" if unknown else "--rounds begins at 1")
    return given


def filled_parts(parts: Iterable[str], given: argparse.Namespace, keep: Keep) -> None:
    """The parts that need a database of a size; each section grows with every size that was measured."""
    rounds = given.rounds
    rows: dict[str, list[Row]] = {part: [] for part in FILLED if part in parts}
    proven: Stages = {}
    rebuilt: Stages = {}
    with bench_database():
        for size in given.sizes:
            filled = grow_to(size)
            if "restore" in rows:
                rows["restore"] += side_restore.bench(rounds, filled)
                keep("restore", side_restore.section(rounds, rows["restore"]))
            if "verification" in rows:
                rows["verification"] += nightly.bench(rounds, filled, proven)
                keep("verification", nightly.section(rounds, rows["verification"], proven))
            if "pair" in rows:
                rows["pair"] += whole_pair.bench(rounds, filled, rebuilt)
                keep("pair", whole_pair.section(rounds, rows["pair"], rebuilt))


def main() -> None:
    given = arguments()
    parts = given.parts or list(PARTS)
    os.environ.update(ENV)

    def keep(part: str, text: str) -> None:
        """Show what a part has measured, and write it down before the next one begins."""
        sys.stdout.write(f"\n## {part}\n\n{text}\n")
        sys.stdout.flush()
        if not given.print:
            page.write(part, text)

    say(f"benchmark: {', '.join(parts)}; {given.rounds} rounds")
    run("rmc-dr", "lab", "up")
    try:
        if "appserver" in parts:
            keep("appserver", appserver.bench(given.rounds))
        if "check" in parts:
            keep("check", triage.bench(given.rounds))
        if "outage" in parts:
            keep("outage", outage.bench(given.rounds))
        if set(FILLED) & set(parts):
            filled_parts(parts, given, keep)
    except Error as error:
        sys.exit(f"{error.message}\n{error.hint}")


if __name__ == "__main__":
    main()
