"""The rules of `rmc-dr rebuild verifier`: a dead host, and no copy on it that somebody looks into. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, Plan, Reach, Request, Stage
from rmc_dr.plans.machine import refuse_unproven, system_of

NAME = "rebuild-verifier"
GROUP = "verifier"


def decide(
    estate: Estate, stages: Sequence[Stage], request: Request, seen: HostObservation, *, copy_stands: bool
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then.

    ``copy_stands``: a backup was seen on it that was brought back to be looked into, and answers.
    """
    host = estate.host(request.target)
    refuse_unproven(host, seen)
    _refuse_healthy(host, seen, request)
    _refuse_in_use(host, copy_stands)
    return Plan(NAME, host.name, tuple(stages), (system_of(host), _data_of(host)))


def _refuse_healthy(host: Host, seen: HostObservation, request: Request) -> None:
    if seen.reach is Reach.SYSTEM and not request.replaces(host.name):
        raise Refused(
            "healthy-host",
            _("{host} runs its own system.").format(host=host.name),
            _(
                "See what it lacks: `rmc-dr verify verifier`. If it is to be rebuilt, add "
                "--replace-healthy {host}."
            ).format(host=host.name),
        )


def _refuse_in_use(host: Host, copy_stands: bool) -> None:
    """Whoever looks into it has agreed on it with the hospital; it goes by their word alone."""
    if copy_stands:
        raise Refused(
            "inspection-stands",
            _("On {host} a backup stands that somebody looks into.").format(host=host.name),
            _("When it is done with, `rmc-dr restore release` removes it; then give this command again."),
        )


def _data_of(host: Host) -> str:
    """Nothing there is the only one of its kind: all of it came out of the store."""
    return _(
        "{host}: everything on {path}: what is left of verifications, and of a backup that was looked into"
    ).format(host=host.name, path=host.disk.data if host.disk else "")
