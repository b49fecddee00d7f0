"""The rules of `rmc-dr rebuild appserver`: what was observed and asked for -> a plan, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, Plan, Reach, Request, Stage

NAME = "rebuild-appserver"


def decide(
    estate: Estate, stages: Sequence[Stage], request: Request, seen: HostObservation, verdict: str
) -> Plan:
    """The plan. Raises Refused where going on could make it worse; nothing has changed by then."""
    host = estate.host(request.target)
    _refuse_unnamed_machine(host)
    _refuse_foreign_machine(host, seen)
    _refuse_healthy(host, seen, request)
    _refuse_split_brain(verdict)
    return Plan(NAME, host.name, tuple(stages), _destroys(host, request, seen))


def _refuse_unnamed_machine(host: Host) -> None:
    if host.identity is None or host.disk is None:
        raise Refused(
            "identity-unnamed",
            _("The estate does not say which machine and which disk {host} is.").format(host=host.name),
            _("Run `rmc-dr host adopt {host}` from its rescue system first.").format(host=host.name),
        )


def _refuse_foreign_machine(host: Host, seen: HostObservation) -> None:
    if seen.reach is Reach.FOREIGN:
        raise Refused(
            "foreign-machine",
            _("A machine that the estate does not know answers at {address}.").format(address=host.address),
            _("Find out what it is before anything is written; its SSH host key is not the pinned one."),
        )
    if host.identity and seen.identity is not None and seen.identity != host.identity.machine:
        raise Refused(
            "wrong-machine",
            _("The machine at {address} is {found}, but the estate says {host} is {wanted}.").format(
                address=host.address, found=seen.identity, host=host.name, wanted=host.identity.machine
            ),
            _("Check the address and the cabling; replacement hardware is taken in by `rmc-dr host adopt`."),
        )


def _refuse_healthy(host: Host, seen: HostObservation, request: Request) -> None:
    if seen.serving and request.options.get("replace_healthy") != host.name:
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
    system = _("{host}: the boot partitions and the root filesystem").format(host=host.name)
    if not request.options.get("wipe_data"):
        return (system,)
    path = host.disk.data if host.disk else ""
    if seen.data_files is None:
        return (system, _("{host}: every attachment on {path}").format(host=host.name, path=path))
    data = _("{host}: every attachment on {path}, {count} files and folders")
    return (system, data.format(host=host.name, path=path, count=seen.data_files))
