"""One command at a time on an estate, and how the operator stops it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.observe.postgres import hold_estate_lock
from rmc_dr.record import local_lock, open_run


@contextmanager
def alone(estate: Estate, what: str) -> Iterator[Callable[[], bool]]:
    """Hold the estate on this machine and on its primary for as long as the block lasts.

    Gives the function that makes sure of the primary's lock again. Raises Locked while another command is at
    work, here or on another control machine, and Refused while a run is not finished.
    """
    with local_lock(estate.name, what):
        refuse_open_run(estate)
        with hold_estate_lock(estate, what) as keep:
            yield keep


def refuse_open_run(estate: Estate) -> None:
    """Raises Refused while a run waits for `rmc-dr resume`."""
    run = open_run(estate.name)
    if run is not None:
        raise Refused(
            "open-run",
            _("The run {run} of this estate is not finished.").format(run=run.run_id),
            _("Go on with `rmc-dr resume`, or close it by `rmc-dr runs abandon {run}`.").format(
                run=run.run_id
            ),
        )


@contextmanager
def canceled_by_signal() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM end the playbook in hand; the function says whether they came."""
    asked = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: asked.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
