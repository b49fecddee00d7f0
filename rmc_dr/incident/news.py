"""News of an incident: put into its journal, and carried to people by a process of its own.

A recovery waits for no receiver: it writes one line and starts one process. What that one cannot deliver
stays in the journal, and `rmc-dr incident watch` tries again; a kill or a power cut loses nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from rmc_dr import content
from rmc_dr.history import Event
from rmc_dr.i18n import speaking
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.words import news_text, titled
from rmc_dr.journal import Journal


def write(
    journal: Journal,
    state: IncidentState,
    kind: str,
    say: Callable[[], str],
    above: Callable[[], str] | None = None,
) -> Event:
    """Keep one piece of news in the incident's journal, in the estate's language; ``above`` stands before its
    text. Raises Error.
    """
    with speaking(state.language):
        title, text = titled(state.centre, say()), news_text(state, datetime.now(UTC))
        text = f"{above()}\n\n{text}" if above else text
    return journal.append("notice", kind=kind, title=title, text=text)


def carry(inventory: str) -> None:
    """Start the process that carries the news; whoever calls goes on at once, even where it cannot start."""
    with suppress(OSError):
        subprocess.Popen(
            [str(content.executable()), "-i", inventory, "incident", "deliver"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
