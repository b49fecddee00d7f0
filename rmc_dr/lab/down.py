"""`lab down`: nothing of the lab stays, whatever was killed before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rmc_dr import backup_record, deployed
from rmc_dr.errors import Error, Locked
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.kit import place, verify
from rmc_dr.lab import cgroups, disks, machine, preflight, presence
from rmc_dr.lab.place import folder, only_one_command, run


def down(estate: Estate, say: Callable[[str], None], *, purge: bool = False) -> None:
    """Power every machine off in order and remove processes, loop devices, bridge, route and vault link.

    ``purge`` deletes disks, secrets and the kit that they signed too. Raises Refused, Locked or Error.
    """
    preflight.require_root()
    if not folder().is_dir():
        say(_("There is no lab on this machine."))
        return
    with only_one_command():
        names = _ours(estate)
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            list(pool.map(machine.power_off, names))
        disks.detach(folder())
        _unmount_all()
        presence.mark(up=False)
        presence.release_network()
        presence.vault_link(estate).unlink(missing_ok=True)
        for layers in (folder() / "hosts").glob("*/rescue"):
            shutil.rmtree(layers)  # it holds the rescue system's host key
        if purge:
            _purge(estate)
    say(_("The lab is down; nothing of it is left.") if purge else _("The lab is down; its disks are kept."))


def _ours(estate: Estate) -> list[str]:
    """Every machine, but for builders that a running `kit build` is using: it cleans up after itself."""
    hosts = {host.name for host in presence.own_hosts(estate)}
    try:
        with place.alone():
            return cgroups.machines()
    except Locked:
        return [name for name in cgroups.machines() if name in hosts]


def _unmount_all() -> None:
    """Machines mount in namespaces of their own; this is for what somebody mounted by hand."""
    inside = folder().resolve()
    targets = [Path(line.split()[1]) for line in Path("/proc/self/mounts").read_text().splitlines()]
    for target in reversed(targets):
        if inside in target.parents:
            run("umount", target)


def _purge(estate: Estate) -> None:
    kit = estate.config.kit.path
    try:
        verify.prove(kit, estate.private_dir / "allowed_signers")
    except Error:
        pass  # not the lab's own kit, or none
    else:
        shutil.rmtree(kit)
    for name in ("hosts", "trees", "private"):
        shutil.rmtree(folder() / name, ignore_errors=True)
    for file in ("lab.json", "provision.log"):
        (folder() / file).unlink(missing_ok=True)
    backup_record.forget(estate.name)
    deployed.forget(estate)
