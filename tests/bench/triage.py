"""`rmc-dr check` beside a playbook that asks the same (triage.yml). Both read only.

The rounds take turns, so that a busy moment of the machine meets both.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

import page
from measure import ENV, INVENTORY, Row, say, timed

from rmc_dr import content

AIM_RATIO, AIM_SECONDS = 0.2, 2.0
CHECK = ("rmc-dr", "check")
PLAYBOOK = ("ansible-playbook", "-i", str(INVENTORY), "tests/bench/triage.yml")
FOUND = (0, 1)  # 1: it found something; the look is the same


def bench(rounds: int) -> str:
    look(CHECK, FOUND)  # the first one opens the connections that the others share; Ansible's likewise
    ours, theirs = [], []
    for number in range(1, rounds + 1):
        say(f"check and its rival, round {number} of {rounds}")
        ours.append(timed(lambda: look(CHECK, FOUND)))
        theirs.append(timed(lambda: look(PLAYBOOK, (0,))))
    median = statistics.median(ours)
    verdict = "met" if median <= AIM_SECONDS else "lost"
    row = Row("rmc-dr check", "a playbook that asks the same", ours, theirs, AIM_RATIO)
    return page.section(
        rounds, [row], [f"By itself: {median:.2f} s of the {AIM_SECONDS:g} s aimed at ({verdict})."]
    )


def look(words: tuple[str, ...], fine: tuple[int, ...]) -> None:
    """One look; one that ended otherwise than ``fine`` is no measure, and ends the benchmark."""
    done = subprocess.run(words, env=ENV, cwd=content.root(), capture_output=True, text=True, check=False)
    if done.returncode not in fine:
        sys.exit(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
