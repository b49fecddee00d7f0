"""The lab's own network: a bridge, this machine's addresses on it, and no way out."""

from __future__ import annotations

import ipaddress
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Network
from rmc_dr.i18n import _
from rmc_dr.lab.place import alone, run

MARK = "rmc-dr lab"
# Behind every other route: it is only used when the bridge is gone.
LAST_METRIC = 4278198272


def up(network: Network) -> None:
    """Make the bridge, if it is not there yet. Raises Refused `lab-address-taken`.

    The unreachable route comes first and goes last, so that no packet for the lab can leave this machine.
    """
    bridge = _bridge(network)
    with alone("network"):
        check_free(network)
        if str(network.cidr) not in _unreachable():
            run("ip", "route", "add", "unreachable", str(network.cidr), "metric", str(LAST_METRIC))
        if bridge not in _links():
            run("ip", "-batch", "-", stdin=_made(bridge))
        for address in (network.control[0], network.drill_address):  # the first is where rmc-dr comes from
            if address is not None:
                run("ip", "address", "replace", f"{address}/{network.cidr.prefixlen}", "dev", bridge)
        for setting, value in (("ipv4/conf/{}/forwarding", "0"), ("ipv6/conf/{}/disable_ipv6", "1")):
            with suppress(FileNotFoundError):  # a machine without IPv6
                Path("/proc/sys/net", setting.format(bridge)).write_text(value)
        run("ip", "link", "set", bridge, "up")


def down() -> None:
    """Remove every bridge with the lab's mark, what hangs on it, and the route behind it."""
    with alone("network"):
        links = _links()
        for bridge in [name for name, link in links.items() if link.get("ifalias") == MARK]:
            for name, link in links.items():
                if link.get("master") == bridge:
                    with suppress(Error):  # it goes with its machine's namespace
                        run("ip", "link", "delete", name)
            run("ip", "link", "delete", bridge)
        for destination in _unreachable():
            run("ip", "route", "del", "unreachable", destination, "metric", str(LAST_METRIC))


def unplug(machine: str) -> None:
    """Remove a dead machine's end of its cable; the kernel takes its time with that of a killed one."""
    while True:
        try:
            run("ip", "link", "show", "dev", f"vb-{machine}")
        except Error:
            return
        with suppress(Error):
            run("ip", "link", "delete", "dev", f"vb-{machine}")


def is_up(network: Network) -> bool:
    """Whether the lab's bridge is in this network namespace."""
    return _links().get(_bridge(network), {}).get("ifalias") == MARK


def check_free(network: Network) -> None:
    """Raises Refused `lab-address-taken` where something else here uses the bridge's name or addresses."""
    bridge = _bridge(network)
    links = _links()
    if bridge in links and links[bridge].get("ifalias") != MARK:
        raise _taken(_("a network interface named {name} exists already").format(name=bridge))
    for name, link in links.items():
        for entry in link.get("addr_info", ()):
            if name != bridge and ipaddress.ip_address(entry["local"]) in network.cidr:
                raise _taken(_("{name} has the address {address}").format(name=name, address=entry["local"]))
    for route in json.loads(run("ip", "-4", "-json", "route", "show") or "[]"):
        if route["dst"] == "default" or route.get("dev") == bridge:
            continue
        ours = route.get("type") == "unreachable" and route.get("metric") == LAST_METRIC
        if not ours and ipaddress.ip_network(route["dst"], strict=False).overlaps(network.cidr):
            raise _taken(_("there is a route to {destination}").format(destination=route["dst"]))


def _made(bridge: str) -> str:
    """One batch, so that no kill of rmc-dr leaves a bridge without its mark."""
    return f'link add {bridge} type bridge stp_state 0 forward_delay 0\nlink set {bridge} alias "{MARK}"\n'


def _taken(what: str) -> Refused:
    return Refused(
        "lab-address-taken",
        _("The lab's network cannot be made: {what}.").format(what=what),
        _("Change estate.network and the addresses in inventories/lab, or free what is in use."),
    )


def _bridge(network: Network) -> str:
    if network.bridge is None:
        raise BadInput(
            "lab-no-bridge",
            _("The lab's estate names no bridge."),
            _("Set estate.network.bridge in inventories/lab/group_vars/all/estate.yml."),
        )
    return network.bridge


def _links() -> dict[str, dict[str, Any]]:
    """Every interface of this network namespace; /sys would show those of another one."""
    found: dict[str, dict[str, Any]] = {}
    for what in ("link", "address"):  # only the first tells the alias, only the second the addresses
        for link in json.loads(run("ip", "-json", what, "show") or "[]"):
            if link:
                found.setdefault(link["ifname"], {}).update(link)
    return found


def _unreachable() -> list[str]:
    """The destinations of the lab's unreachable routes."""
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "type", "unreachable") or "[]")
    return [route["dst"] for route in routes if route.get("metric") == LAST_METRIC]
