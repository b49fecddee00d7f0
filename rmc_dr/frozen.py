"""The news that users are kept out on purpose: an incident holds it, and its outbox carries it to people."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass

from rmc_dr import notify, outbox, response
from rmc_dr.diagnose.tree import Leaf
from rmc_dr.errors import Error, Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import addresses, known
from rmc_dr.history import Event
from rmc_dr.i18n import _, language, speaking
from rmc_dr.incident import news
from rmc_dr.incident.history import IncidentState
from rmc_dr.incident.record import held, open_incident, read
from rmc_dr.incident.words import titled

HEARD_SECONDS = 40.0  # a receiver that does not answer is given up after half a minute
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Told:
    """Receivers by label: who took the news, who is asked again for a day, whom nobody asks again.

    ``incident`` holds the news; "" where none could be written, and whoever did not take it has missed it.
    """

    incident: str = ""
    took: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


def join_incident(estate: Estate, leaf: Leaf) -> IncidentState | None:
    """The estate's open incident, or a new one: who keeps users out has a critical fault.

    None where its record can be neither read nor written: that stops no freeze.
    """
    with suppress(Error, OSError):
        with suppress(Refused, Locked), speaking(estate.config.language):  # somebody opens one just now
            title = leaf.what.said(language())
            return open_incident(estate.name) or response.start(estate, title, [leaf.finding])
        return open_incident(estate.name)
    return None


def tell(estate: Estate, state: IncidentState | None, leaf: Leaf) -> Told:
    """Say to whom the vault names that users are kept out, and why; what became of it. Never stops anything.

    Waits for the receivers, for at most about a minute: what follows is for people.
    """
    said = _kept(estate, state, leaf) if state else None
    if state is None or said is None:
        return _directly(estate, leaf)
    with suppress(Error, OSError):
        outbox.deliver(estate.name, addresses(estate), patience=0)  # unless another process is at it
    took = _who_took(estate, state.incident, said)
    labels = tuple(notify.labels(addresses(estate)))
    news.carry(state.inventory)
    return Told(
        state.incident,
        tuple(one for one in labels if one in took),
        tuple(one for one in labels if one not in took),
    )


def _kept(estate: Estate, state: IncidentState, leaf: Leaf) -> Event | None:
    with suppress(Error, OSError), held(state.incident, known(estate)) as journal:
        return news.write(journal, state, "frozen", _title, lambda: _text(leaf))
    return None


def _who_took(estate: Estate, incident: str, said: Event) -> frozenset[str]:
    """Look until everybody was asked once, by this process or by the one that carries the news."""
    labels, deadline = set(notify.labels(addresses(estate))), time.monotonic() + HEARD_SECONDS
    took: set[str] = set()
    with suppress(Error, OSError):
        while True:
            mine = [one for one in read(incident).deliveries if one.get("notice") == said.seq]
            took = {str(one.get("to")) for one in mine if one.event == "notice-sent"}
            if labels <= {one.get("to") for one in mine} or time.monotonic() > deadline:
                break
            time.sleep(LOOK_SECONDS)
    return frozenset(took)


def _directly(estate: Estate, leaf: Leaf) -> Told:
    """Without an incident nothing is tried twice."""
    receivers = addresses(estate)
    taken = dict.fromkeys(notify.labels(receivers), False)
    with suppress(Error, OSError), speaking(estate.config.language):
        taken |= notify.send_all(receivers, titled(estate.config.centre, _title()), _text(leaf))
    return Told(
        took=tuple(to for to, was in taken.items() if was),
        missed=tuple(to for to, was in taken.items() if not was),
    )


def _title() -> str:
    return _("users are kept out, somebody is needed")


def _text(leaf: Leaf) -> str:
    return f"{leaf.what.said(language())}\n{leaf.do.said(language())}"
