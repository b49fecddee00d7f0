"""The rules of `rmc-dr rebuild appserver`: what was observed and asked for -> a plan, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, PairState, Plan, Request, Stage
from rmc_dr.plans.machine import refuse_unproven, system_of

NAME = "rebuild-appserver"
GROUP = "appserver"


def decide(
    estate: Estate, stages: Sequence[Stage], request: Request, seen: HostObservation, pair: PairState
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    host = estate.host(request.target)
    refuse_unproven(host, seen)
    _refuse_healthy(host, seen, request)
    _refuse_split_brain(pair.verdict)
    return Plan(NAME, host.name, tuple(stages), _destroys(host, request, seen))


def _refuse_healthy(host: Host, seen: HostObservation, request: Request) -> None:
    if request.replaces(host.name):
        return
    if seen.may_serve:
        raise Refused(
            "serving-unknown",
            _("It cannot be told whether {host} serves its applications: its system runs.").format(
                host=host.name
            ),
            _("Ask its users and look at it. If it is to be rebuilt, add --replace-healthy {host}.").format(
                host=host.name
            ),
        )
    if seen.serving:
        raise Refused(
            "healthy-host",
            _("{host} is healthy and serves all its applications.").format(host=host.name),
            _("A rebuild would stop it. If that is meant, add --replace-healthy {host}.").format(
                host=host.name
            ),
        )


def _refuse_split_brain(verdict: str) -> None:
    if verdict in ("split-brain", "diverged"):
        raise Refused(
            "split-brain",
            _("The database pair is in the state {verdict}.").format(verdict=verdict),
            _("An application server must not write into it. Look with `rmc-dr db status` first."),
        )


def _destroys(host: Host, request: Request, seen: HostObservation) -> tuple[str, ...]:
    if not request.options.get("wipe_data"):
        return (system_of(host),)
    path = host.disk.data if host.disk else ""
    if seen.data_files is None:
        return (system_of(host), _("{host}: every attachment on {path}").format(host=host.name, path=path))
    data = _("{host}: every attachment on {path}, about {count} files and folders")
    return (system_of(host), data.format(host=host.name, path=path, count=seen.data_files))
