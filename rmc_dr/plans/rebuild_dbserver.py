"""The rules of `rmc-dr rebuild dbserver`: a database host is rebuilt only while the other one leads. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, PairState, Plan, Request, Stage
from rmc_dr.pair import Name
from rmc_dr.plans.machine import refuse_unproven, system_of

NAME = "rebuild-dbserver"
GROUP = "dbserver"


def decide(
    estate: Estate, stages: Sequence[Stage], request: Request, seen: HostObservation, pair: PairState
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    host = estate.host(request.target)
    refuse_unproven(host, seen)
    _refuse_without_primary(pair)
    _refuse_diverged(host, pair)
    _refuse_healthy(host, pair, request)
    _refuse_only_copy(host, pair)
    return Plan(NAME, host.name, tuple(stages), _destroys(host, request))


def _refuse_without_primary(pair: PairState) -> None:
    if pair.primary is None:
        raise Refused(
            "no-primary",
            _("No single host of the pair takes writes (it is: {verdict}).").format(verdict=pair.verdict),
            _("Look with `rmc-dr db status`: each disk may hold writes that the other lacks."),
        )


def _refuse_diverged(host: Host, pair: PairState) -> None:
    if pair.verdict == Name.DIVERGED:
        raise Refused(
            "diverged",
            _("{host} holds writes that the primary lacks, or the other way round.").format(host=host.name),
            _("Nothing of it may be lost: `rmc-dr db reinit {host}` puts its data aside.").format(
                host=host.name
            ),
        )


def _refuse_healthy(host: Host, pair: PairState, request: Request) -> None:
    if pair.verdict == Name.HEALTHY and not request.replaces(host.name):
        raise Refused(
            "healthy-host",
            _("{host} is healthy: the pair replicates.").format(host=host.name),
            _("A rebuild would leave the primary alone meanwhile. If that is meant, add {option}.").format(
                option=f"--replace-healthy {host.name}"
            ),
        )


def _refuse_only_copy(host: Host, pair: PairState) -> None:
    if pair.primary == host.name and pair.verdict != Name.HEALTHY:
        raise Refused(
            "only-copy",
            _("{host} takes the writes, and no other host is proven to hold them all.").format(
                host=host.name
            ),
            _("Mend the standby first: `rmc-dr db status` names the next command."),
        )


def _destroys(host: Host, request: Request) -> tuple[str, ...]:
    if not request.options.get("wipe_data"):
        return (system_of(host),)
    path = host.disk.data if host.disk else ""
    copy = _("{host}: this node's copy of the database on {path}").format(host=host.name, path=path)
    return (system_of(host), copy)
