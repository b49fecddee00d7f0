"""Whether a lab can run on this machine. Changes nothing."""

from __future__ import annotations

import os
import shutil

from rmc_dr import content
from rmc_dr.errors import Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import cgroups, disks, network
from rmc_dr.lab.place import folder, host_folder
from rmc_dr.lab.presence import own_hosts

# Program -> the Debian package that brings it.
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "nft": "nftables",
    "losetup": "mount",
    "partx": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "fallocate": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "zstd": "zstd",
}
NEEDED_GIB = {"host": 3.0, "kit": 6.0}


def require_root() -> None:
    """Raises Refused `lab-not-root`."""
    if os.geteuid() != 0:
        raise Refused(
            "lab-not-root",
            _("Only root can run the lab: it boots machines, makes a bridge and loop devices."),
            _("Run it as root, on a machine for rehearsals."),
        )


def check(estate: Estate) -> None:
    """Raises Refused with a code for each thing that stands in the way of `lab up`."""
    require_root()
    missing = {tool: package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if missing:
        raise Refused(
            "lab-tool-missing",
            _("These programs are missing: {tools}.").format(tools=", ".join(sorted(missing))),
            _("Install them: `apt-get install {packages}`.").format(
                packages=" ".join(sorted(set(missing.values())))
            ),
        )
    cgroups.machines()
    network.check_free(estate.config.network)
    _check_room(estate)


def _check_room(estate: Estate) -> None:
    new = [host for host in own_hosts(estate) if not any(host_folder(host.name).glob("*.img"))]
    kit = not (estate.config.kit.path / "manifest.json").is_file()
    needed = len(new) * NEEDED_GIB["host"] + kit * NEEDED_GIB["kit"]
    place = next(path for path in (folder(), *folder().parents) if path.exists())
    free = shutil.disk_usage(place).free / disks.GIB
    if free < needed:
        raise Refused(
            "lab-no-room",
            _("The lab needs {needed:.0f} GiB below {place}; {free:.1f} GiB are free.").format(
                needed=needed, place=content.STATE, free=free
            ),
            _("Free some room, or mount a larger disk there."),
        )
