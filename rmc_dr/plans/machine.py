"""What every rebuild asks of the machine first, and what it destroys on it. Pure."""

from __future__ import annotations

from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import HostObservation, Reach


def refuse_unproven(host: Host, seen: HostObservation) -> None:
    """Raises Refused where the estate does not say which machine the host is, or another one answers."""
    if host.identity is None or host.disk is None:
        raise Refused(
            "identity-unnamed",
            _("The estate does not say which machine and which disk {host} is.").format(host=host.name),
            _("Run `rmc-dr host adopt {host}` from its rescue system first.").format(host=host.name),
        )
    if seen.reach is Reach.FOREIGN:
        raise Refused(
            "foreign-machine",
            _("A machine that the estate does not know answers at {address}.").format(address=host.address),
            _("Find out what it is before anything is written; its SSH host key is not the pinned one."),
        )
    if seen.identity is not None and seen.identity != host.identity.machine:
        raise Refused(
            "wrong-machine",
            _("The machine at {address} is {found}, but the estate says {host} is {wanted}.").format(
                address=host.address, found=seen.identity, host=host.name, wanted=host.identity.machine
            ),
            _("Check the address and the cabling; replacement hardware is taken in by `rmc-dr host adopt`."),
        )


def member(estate: Estate, name: str, group: str) -> Host:
    """A host of a group. Raises BadInput for one that is unknown, or of another group."""
    host = estate.host(name)
    if group not in host.groups:
        raise BadInput(
            "wrong-group",
            _("{host} is not in the group {group}.").format(host=host.name, group=group),
            _("The group's hosts: {hosts}.").format(
                hosts=", ".join(other.name for other in estate.group(group))
            ),
        )
    return host


def system_of(host: Host) -> str:
    """What every reinstallation destroys."""
    return _("{host}: the boot partitions and the root filesystem").format(host=host.name)


def refuse_shared_identity(estate: Estate, host: Host) -> None:
    """Raises BadInput where another host bears the same machine or disk; later, the server would be down."""
    if host.identity is None:
        return
    mine = {host.identity.machine.lower(), host.identity.disk.lower()}
    for other in estate.hosts.values():
        known = other.identity
        if known and other.name != host.name and mine & {known.machine.lower(), known.disk.lower()}:
            raise BadInput(
                "identity-shared",
                _("{host} and {other} are described as the same machine or disk.").format(
                    host=host.name, other=other.name
                ),
                _("Correct hosts.yml; `rmc-dr estate check` names the value. Nothing was changed."),
            )
