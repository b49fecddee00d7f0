"""Breaks the lab's hosts for real. Each break is undone by `lab heal` or by a rebuild."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import cgroups, condition, disks, guard, machine, presence
from rmc_dr.lab.hardware import Hardware
from rmc_dr.lab.place import only_one_command, run

HEALS_ITSELF = ("off", "postgres")  # a reinstallation would mend nothing
TABLE = "rmc_dr_lab"
WAYS = {"input": "saddr", "output": "daddr"}
MIB = 1024**2
GPT = 34 * disks.SECTOR
GROUP = 128 * MIB  # an ext4 block group: a copy of the superblock may begin each
# Killed, and so that it does not come back: the runtime it would start from is gone.
END_LIBERTY = (
    (
        "pid=$(systemctl show --property=MainPID --value liberty.service);"
        " find /opt/liberty -mindepth 2 -maxdepth 3 ( -name bin -o -name lib ) -prune -exec rm -rf {} +;"
        ' [ "$pid" = 0 ] || kill -9 "$pid"'
    )
    .replace("( ", r"\( ")
    .replace(" )", r" \)")
)

# Its children end with it; Patroni lives on.
KILL_POSTGRES = 'kill -9 "$(head -n 1 /srv/postgresql/*/pair/postmaster.pid)"'


def break_host(estate: Estate, name: str, how: str, to: str | None = None) -> None:
    """Break one host of the lab. Raises Refused `lab-foreign-target` or `lab-down`, BadInput, Error."""
    guard.prove_estate(estate)
    presence.require_up(estate)
    target = guard.prove_target(estate.host(name).name)
    with only_one_command():
        _break(estate, target, how, to)


def _break(estate: Estate, target: Hardware, how: str, to: str | None) -> None:
    if how == "network":
        _cut(estate, target, to)
        return
    breaks: dict[str, Callable[[Hardware], None]] = {
        "disk": _break_disk,
        "blank": _blank_disk,
        "os": _break_os,
        "process": _break_process,
        "off": lambda hardware: machine.kill(hardware.name),
        "postgres": _kill_postgres,
    }
    if how not in HEALS_ITSELF:
        condition.broken(target, how)
    breaks[how](target)
    if how == "os":
        _prove_dead(estate, target)


def _break_disk(target: Hardware) -> None:
    """Both partition tables, the boot partitions and the root file system are gone.

    The bytes of the data partition stay, though no table names them any more.
    """
    machine.kill(target.name)
    data = next((part for part in disks.read_table(target.image) if part.kind == disks.DATA_TYPE), None)
    size = target.image.stat().st_size
    _zero(target.image, 0, data.start if data else size)
    _zero(target.image, size - GPT, GPT)


def _blank_disk(target: Hardware) -> None:
    """As if the disk was replaced by an empty one: its data is gone as well."""
    machine.kill(target.name)
    _zero(target.image, 0, target.image.stat().st_size)


def _break_os(target: Hardware) -> None:
    """The table stays; the root file system loses every superblock and its content is torn."""
    machine.kill(target.name)
    for part in disks.read_table(target.image):
        if part.kind == disks.ROOT_TYPE:
            with target.image.open("r+b") as disk:
                for start in range(0, part.size - MIB, GROUP):
                    disk.seek(part.start + start)
                    disk.write(os.urandom(MIB))


def _prove_dead(estate: Estate, target: Hardware) -> None:
    try:
        machine.boot_disk(estate, target)
    except Error:
        machine.kill(target.name)
        return
    raise Error(
        "lab-break-failed",
        _("{host} still boots.").format(host=target.name),
        _("Look at its console's log in the lab's state folder."),
    )


def _break_process(target: Hardware) -> None:
    _end(target, END_LIBERTY, "Liberty")


def _kill_postgres(target: Hardware) -> None:
    _end(target, KILL_POSTGRES, "PostgreSQL")


def _end(target: Hardware, script: str, what: str) -> None:
    done = subprocess.run(
        machine.inside(target.name, ["sh", "-c", script]), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Error(
            "lab-break-failed",
            _("{what} on {host} could not be ended: {said}").format(
                what=what, host=target.name, said=done.stderr.strip()[-200:]
            ),
            _("See `rmc-dr lab status`; only a host of its group runs it."),
        )


def _cut(estate: Estate, target: Hardware, to: str | None) -> None:
    """Drop every packet between two hosts, in the network namespace of the first."""
    if to is None:
        raise BadInput(
            "lab-break-to",
            _("A network is cut between two hosts."),
            _("Name the other one: --how network --to HOST."),
        )
    address = estate.host(to).address
    hook = "type filter hook {} priority -300; ip {} {} counter drop;"
    chains = [f"chain {way} {{ {hook.format(way, end, address)} }}" for way, end in WAYS.items()]
    _nft(target.name, f"table inet {TABLE} {{\n{chr(10).join(chains)}\n}}\n")


def join_networks(name: str) -> None:
    """Undo every cut of a running host; one that is off has none."""
    if cgroups.leader(name) is not None:
        guard.prove_target(name)
        _nft(name, f"table inet {TABLE}\ndelete table inet {TABLE}\n")


def cut_from(name: str) -> list[str]:
    """Addresses that a running host is cut from."""
    if cgroups.leader(name) is None:
        return []
    words = machine.inside(name, [], ["--net"])[:4]
    listed = subprocess.run(
        [*words, "nft", "list", "table", "inet", TABLE], capture_output=True, text=True, check=False
    )
    lines = [line.split() for line in listed.stdout.splitlines()]
    return sorted({line[2] for line in lines if line[:2] == ["ip", "saddr"]})


def _nft(name: str, rules: str) -> None:
    """With this machine's nft: what is inside the host may be broken."""
    run(*machine.inside(name, [], ["--net"])[:4], "nft", "-f", "-", stdin=rules)


def _zero(path: Path, offset: int, length: int) -> None:
    run("fallocate", "--punch-hole", "--offset", str(offset), "--length", str(length), path)
