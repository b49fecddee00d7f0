"""One command at a time on an estate, and how the operator stops it."""

from __future__ import annotations

import re
import secrets as random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.observe.postgres import hold_estate_lock
from rmc_dr.record import local_lock, open_run

LONGEST_NAME = 40


@contextmanager
def alone(estate: Estate, what: str, break_lock: str | None = None) -> Iterator[Callable[[], bool]]:
    """Hold the estate on this machine and on its primary for as long as the block lasts, for a command that
    leaves no run behind; ``what`` names it in a few words.

    Gives the function that makes sure of the primary's lock again. Raises Refused while a run is not
    finished, and Locked while another command is at work, here or on another control machine; its hint is
    --break-lock, which the command must offer and pass on.
    """
    name = lock_name(what)
    with local_lock(estate.name, name):
        refuse_open_run(estate)
        with hold_estate_lock(estate, name, break_lock) as keep:
            yield keep


def lock_name(what: str) -> str:
    """A name under which no other call holds a lock, as one word that can be typed after --break-lock."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", what).strip("-")[:LONGEST_NAME]
    return f"{words}-{random.token_hex(4)}"


def refuse_open_run(estate: Estate) -> None:
    """Raises Refused while a run waits for `rmc-dr resume`."""
    run = open_run(estate.name)
    if run is not None:
        raise Refused(
            "open-run",
            _("The run {run} of this estate is not finished.").format(run=run.run_id),
            _('Go on with `rmc-dr resume`, or close it: `rmc-dr runs abandon {run} --reason "..."`.').format(
                run=run.run_id
            ),
        )


@contextmanager
def canceled_by_signal() -> Iterator[Callable[[], bool]]:
    """Ctrl-C, SIGTERM and a closed terminal end the playbook in hand; the function says whether they came."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
