"""The safety copies that restores leave beside the data: listed, and removed once they are released."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from rmc_dr import content
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.i18n import _
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import verdict
from rmc_dr.runner import run_playbook

OnEvent = Callable[..., object]


@dataclass(frozen=True)
class SafetyCopy:
    """What stood on one host before a restore; its size in bytes."""

    host: str
    path: str
    bytes: int


def safety_copies(estate: Estate, on_event: OnEvent) -> list[SafetyCopy]:
    """All that stand now. Raises Error where a host does not answer."""
    return _play(estate, on_event, release=False)


def release(estate: Estate, on_event: OnEvent, break_lock: str | None = None) -> list[SafetyCopy]:
    """Remove them all; returns what is gone. Raises Locked, Error, and Refused while a run is not finished or
    the pair has no primary."""
    with alone(estate, "restore release", break_lock):
        state = verdict(observe_pair(estate)).name
        if state not in PRIMARY_EXISTS:
            raise Refused(
                "copies-needed",
                _("The pair is {verdict}: a safety copy may be all there is.").format(verdict=state),
                _("Look with `rmc-dr db status`; release them once the pair serves again."),
            )
        return _play(estate, on_event, release=True)


def _play(estate: Estate, on_event: OnEvent, *, release: bool) -> list[SafetyCopy]:
    outcome = run_playbook(
        estate,
        "restore-release.yml",
        variables={"restore_release": release},
        on_event=on_event,
        log=content.STATE / "restores" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-release.log",
    )
    if outcome.status != "ok":
        said = outcome.said
        raise Error(
            "copies-unknown",
            _("The safety copies could not be looked at: {said}").format(said=said),
            _("Look with `rmc-dr db status` whether both database hosts answer; then try again."),
        )
    return [
        SafetyCopy(host, line.split("\t", 1)[1], int(line.split("\t", 1)[0]))
        for host, facts in sorted(outcome.facts.items())
        if isinstance(facts, Mapping)
        for line in facts.get("copies", [])
    ]
