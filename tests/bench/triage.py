"""`rmc-dr check` beside a playbook that asks the same (triage.yml). Needs the lab up and well, and root.

Runs alone: prints its table in Markdown. Both read only; the rounds take turns, so that a busy moment of the
machine meets both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from measure import ENV, INVENTORY

from rmc_dr import content

ROUNDS = int(os.environ.get("RMC_DR_BENCH_ROUNDS", "5"))
AIM_RATIO = 0.2
AIM_SECONDS = 2.0
CHECK = ("rmc-dr", "check")
PLAYBOOK = ("ansible-playbook", "-i", str(INVENTORY), "tests/bench/triage.yml")


def seconds(words: tuple[str, ...], fine: tuple[int, ...]) -> float:
    """How long one run took; a run that ended otherwise than ``fine`` is no measure."""
    began = time.monotonic()
    done = subprocess.run(words, env=ENV, cwd=content.root(), capture_output=True, text=True, check=False)
    took = time.monotonic() - began
    if done.returncode not in fine:
        sys.exit(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return took


def spread(measured: list[float]) -> str:
    return f"{statistics.median(measured):.2f} ({min(measured):.2f} to {max(measured):.2f})"


def main() -> None:
    seconds(CHECK, (0, 1))  # the first one opens the connections that the others share; Ansible's likewise
    ours, theirs = [], []
    for _round in range(ROUNDS):
        ours.append(seconds(CHECK, (0, 1)))  # 1: it found something; the look is the same
        theirs.append(seconds(PLAYBOOK, (0,)))
    ratio = statistics.median(ours) / statistics.median(theirs)
    aims = {"ratio": ratio <= AIM_RATIO, "seconds": statistics.median(ours) <= AIM_SECONDS}
    lost = ", ".join(what for what, met in aims.items() if not met)
    sys.stdout.write(
        "| what | measured | against | ratio | aim |\n|---|---|---|---|---|\n"
        f"| rmc-dr check | {spread(ours)} | a playbook that asks the same: {spread(theirs)} "
        f"| {ratio:.2f}x{f' (lost: {lost})' if lost else ''} "
        f"| {AIM_RATIO:g}x, {AIM_SECONDS:g} s |\n"
    )


if __name__ == "__main__":
    main()
