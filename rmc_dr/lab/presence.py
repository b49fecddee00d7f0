"""Whether there is a lab, whose it is, and whether its hosts answer."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from rmc_dr import estate as estates
from rmc_dr import secrets, ssh
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.files import read_json
from rmc_dr.i18n import _
from rmc_dr.lab import cgroups, network
from rmc_dr.lab.place import folder, write_state

FILE = "lab.json"


def require_up(estate: Estate) -> None:
    """Raises Refused `lab-down` at once where no host of the lab can be reached from here."""
    running = [host.name for host in own_hosts(estate) if cgroups.leader(host.name) is not None]
    if read_json(folder() / FILE).get("up") and network.is_up(estate.config.network):
        return
    message = _("The lab is down.") if not running else _("The lab runs in another network namespace.")
    raise Refused("lab-down", message, _("Start it with `rmc-dr lab up`."))


def own_hosts(estate: Estate) -> list[Host]:
    """The hosts that live in the lab; builders come and go with `kit build`."""
    return [host for host in estate.hosts.values() if "builder" not in host.groups]


def take(estate: Estate) -> None:
    """Make the lab this inventory's. Raises Refused `lab-second` while another one's hosts run."""
    owner = read_json(folder() / FILE).get("inventory")
    if owner not in (None, str(estate.inventory.resolve())) and running():
        raise Refused(
            "lab-second",
            _("A lab is up already, started from {inventory}.").format(inventory=owner),
            _("Only one fits on a machine. Take it down first: `rmc-dr -i {inventory} lab down`.").format(
                inventory=owner
            ),
        )
    mark(up=True, inventory=str(estate.inventory.resolve()))


def mark(**changes: Any) -> None:
    write_state(folder() / FILE, {**read_json(folder() / FILE), **changes})


def release_network() -> None:
    """Remove the bridge, unless the lab is up or some machine still runs."""
    if not read_json(folder() / FILE).get("up") and not running():
        network.down()


def running() -> list[str]:
    return [name for name in cgroups.machines() if cgroups.processes(name)]


def answers(estate: Estate, host: Host, alias: ssh.Alias, seconds: float) -> bool:
    """Whether the host answers over SSH with the pinned key within so many seconds."""
    deadline = time.monotonic() + seconds
    command = [*ssh.command(estate, host, alias, connect_timeout=2), "true"]
    while subprocess.run(command, capture_output=True, check=False).returncode != 0:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def with_secrets(estate: Estate) -> Estate:
    """The lab's estate with its vault open; what is missing of its secrets is made."""
    secrets.make(estate)
    link, vault = vault_link(estate), secrets.vault_file(estate)
    if not (link.is_symlink() and link.resolve() == vault.resolve()):
        link.unlink(missing_ok=True)
        link.symlink_to(vault)
    return estates.load(estate.inventory)


def vault_link(estate: Estate) -> Path:
    """Where Ansible looks for the lab's vault: a link into the private folder, while the lab is up."""
    return estate.inventory / "group_vars" / "all" / "vault.yml"
