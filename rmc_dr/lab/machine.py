"""Starts, stops and finds the lab's machines.

A machine's file systems are mounted in a mount namespace of its own, which the kernel takes away with its
last process: whatever is killed, no mount is left behind.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from rmc_dr.errors import Error
from rmc_dr.estate import Estate, Network
from rmc_dr.i18n import _
from rmc_dr.lab import cgroups, disks, guard, network, rescue
from rmc_dr.lab.hardware import Hardware
from rmc_dr.lab.place import alone, host_folder, write_state

Mode = Literal["off", "disk", "rescue", "tree"]
START_SECONDS = 15
CLEAN_SECONDS = 60
SETTLE_SECONDS = 0.3
POWER_OFF = signal.SIGRTMIN + 4  # systemd as a machine's first process powers it off in order
NETWORK_FILE = "/run/systemd/network/10-rmc-dr-lab.network"
INSIDE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
Command = Sequence[str | Path]


def boot_disk(estate: Estate, hardware: Hardware) -> None:
    """Boot the system on the host's disk. Raises Error `lab-no-system` or `lab-no-boot`."""
    with alone(hardware.name):
        _stop(hardware.name)
        device = disks.attach(hardware.image)
        root, data = disks.system_partitions(device)
        target = _mount_point(hardware.name)
        mounts: list[Command] = [["mount", root, target]]
        if data is not None:
            mounts += [["mkdir", "-p", target / "srv"], ["mount", data, target / "srv"]]
        network.up(estate.config.network)
        _start(
            hardware.name,
            _nspawn(hardware.name, target, estate.config.network, uuid=hardware.machine),
            mounts,
        )


def boot_rescue(estate: Estate, hardware: Hardware) -> None:
    """Boot the rescue system, which sees the host's disk as a block device and nothing else of ours."""
    with alone(hardware.name):
        _stop(hardware.name)
        device = disks.attach(hardware.image)
        layers = rescue.prepare(estate, hardware)
        target = _mount_point(hardware.name)
        options = f"lowerdir={layers.lower},upperdir={layers.upper},workdir={layers.work}"
        network.up(estate.config.network)
        command = [
            *_nspawn(hardware.name, target, estate.config.network, uuid=hardware.machine),
            f"--bind={device}",
            _address_bind(hardware.name, hardware.address, estate.config.network),
        ]
        _start(hardware.name, command, [["mount", "-t", "overlay", "overlay", "-o", options, target]])


def boot_tree(
    name: str, tree: Path, address: str, on: Network, binds_ro: Mapping[Path, str] | None = None
) -> None:
    """Boot a folder that holds a Debian system, on the lab's bridge; the kit's builders live so.

    ``binds_ro`` maps folders of this machine to where the machine sees them, read-only. Its address is
    configured under /run, so that nothing of it stays in the tree. The caller waits for its sshd.
    """
    with alone(name):
        _stop(name)
        network.up(on)
        write_state(host_folder(name) / guard.TREE_STATE, {"tree": str(tree.resolve())})
        binds = [f"--bind-ro={source}:{target}" for source, target in (binds_ro or {}).items()]
        _start(name, [*_nspawn(name, tree, on), *binds, _address_bind(name, address, on)], [])


def power_off(name: str) -> None:
    """Shut a machine down in order; after a minute, or where there is no systemd left, at once."""
    with alone(name):
        leader = cgroups.leader(name)
        if leader is not None:
            guard.prove_process(name, leader)
            with suppress(ProcessLookupError):
                os.kill(leader, POWER_OFF)
            deadline = time.monotonic() + CLEAN_SECONDS
            while cgroups.processes(name) and time.monotonic() < deadline:
                time.sleep(0.05)
        _stop(name)


def kill(name: str) -> None:
    """Take a machine's power away: every process ends at once."""
    with alone(name):
        leader = cgroups.leader(name)
        if leader is not None:
            guard.prove_process(name, leader)
        _stop(name)


def mode(name: str) -> Mode:
    """What a machine runs, as the kernel says."""
    leader = cgroups.leader(name)
    if leader is None:
        return "off"
    root = guard.root_mount(leader)
    if root is None:
        return "off"
    if root.fstype == "overlay":
        return "rescue"
    return "disk" if Path(root.source).name.startswith("loop") else "tree"


def inside(name: str, command: Sequence[str], namespaces: Sequence[str] = ("--all",)) -> list[str]:
    """The command line that runs a command inside a running machine. Raises Error `lab-host-off`."""
    leader = cgroups.leader(name)
    if leader is None:
        raise Error(
            "lab-host-off",
            _("The host {host} is off.").format(host=name),
            _("Start it: `rmc-dr lab heal {host}`.").format(host=name),
        )
    guard.prove_process(name, leader)
    environment = [f"{key}={value}" for key, value in INSIDE.items()]
    return ["nsenter", "--target", str(leader), *namespaces, "--", "env", "-i", *environment, *command]


def _nspawn(name: str, root: Path, on: Network, uuid: str | None = None) -> list[str]:
    return [
        "systemd-nspawn", "--quiet", "--boot", f"--directory={root}",
        f"--machine={name}", f"--hostname={name}", f"--network-bridge={on.bridge}",
        "--register=no", "--keep-unit", "--console=pipe", "--timezone=off", "--link-journal=no",
        *([f"--uuid={uuid}"] if uuid else []),
    ]  # fmt: skip


def _address_bind(name: str, address: str, on: Network) -> str:
    path = host_folder(name) / "host0.network"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "[Match]\nName=host0\n\n[Network]\n"
        f"Address={address}/{on.cidr.prefixlen}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
    )
    path.chmod(0o644)
    return f"--bind-ro={path}:{NETWORK_FILE}"


def _mount_point(name: str) -> Path:
    target = host_folder(name) / "root"
    target.mkdir(parents=True, exist_ok=True)
    return target


def _start(name: str, nspawn: Sequence[str], mounts: Sequence[Command]) -> None:
    """Start systemd-nspawn in its own session, control group and mount namespace; wait for its first process.

    Its /run is its own too: systemd-nspawn leaves folders there when it is killed.
    """
    steps: list[Command] = [["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run"], *mounts]
    script = "\n".join(
        [
            "set -e",
            *(f"echo $$ >{shlex.quote(str(group))}" for group in cgroups.join(name)),
            *(shlex.join(str(word) for word in step) for step in steps),
            f"exec {shlex.join(nspawn)}",
        ]
    )
    log = host_folder(name) / "console.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as console:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "rmc-dr-lab"],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            env={**INSIDE, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    while not _systemd_runs(name):
        if process.poll() is not None or time.monotonic() > deadline:
            raise _no_boot(name, log)
        time.sleep(0.02)
    time.sleep(SETTLE_SECONDS)
    if process.poll() is not None:
        raise _no_boot(name, log)
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives on


def _systemd_runs(name: str) -> bool:
    leader = cgroups.leader(name)
    if leader is None:
        return False
    try:
        return Path(f"/proc/{leader}/comm").read_text().strip() in ("systemd", "init")
    except OSError:
        return False


def _no_boot(name: str, log: Path) -> Error:
    said = log.read_text(errors="replace").strip().splitlines()[-3:]
    _stop(name)
    return Error(
        "lab-no-boot",
        _("The host {host} does not boot: {said}").format(host=name, said=" / ".join(said) or "-"),
        _("Its console's log is {log}. `rmc-dr rebuild` or `rmc-dr lab heal` installs it anew.").format(
            log=log
        ),
    )


def _stop(name: str) -> None:
    cgroups.kill(name)
    network.unplug(name)
    disks.detach(host_folder(name))
