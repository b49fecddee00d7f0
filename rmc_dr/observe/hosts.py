"""Looks at one host: who answers over SSH, which machine it is, and whether it serves its applications."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import httpx

from rmc_dr import ssh
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, Host
from rmc_dr.https import Https, refused
from rmc_dr.model import HostObservation, Reach

TIMEOUT_SECONDS = 8
SERVING_TIMEOUT_SECONDS = 4
# Identity readers, one line each: the lab's mark, and what the board's firmware says.
READ_IDENTITY = (
    "u=$(tr '\\0' '\\n' </proc/1/environ | sed -n 's/^container_uuid=//p');"
    'echo "lab $u";'
    'echo "dmi $(cat /sys/class/dmi/id/product_uuid 2>/dev/null)";'
    'echo "dmi $(cat /sys/class/dmi/id/product_serial 2>/dev/null)";'
)
# Inodes in all and free: the filesystem knows without looking at a single file.
READ_DATA = "mountpoint -q {path} && echo data $(stat -f -c '%c %d' {path}); true"
EXT4_OWN_INODES = 11


def observe_host(estate: Estate, host: Host) -> HostObservation:
    """One look, bounded by about eight seconds; a dead host costs its timeouts once."""
    with ThreadPoolExecutor() as pool:
        serving = pool.submit(_serving, estate, host)
        reach, said = _reach(estate, host)
        return HostObservation(
            name=host.name,
            reach=reach,
            identity=_machine(host, said),
            serving=serving.result(),
            data_files=_data_files(said) if reach is Reach.SYSTEM else None,
            detail="" if reach in (Reach.SYSTEM, Reach.RESCUE) else said.strip()[-200:],
        )


def _reach(estate: Estate, host: Host) -> tuple[Reach, str]:
    for alias, reach in (("system", Reach.SYSTEM), ("rescue", Reach.RESCUE)):
        script = READ_IDENTITY + (READ_DATA.format(path=host.disk.data) if host.disk else "")
        try:
            done = ssh.ask(estate, host, script, TIMEOUT_SECONDS, alias)  # type: ignore[arg-type]
        except subprocess.TimeoutExpired:
            return Reach.UNKNOWN, "ssh did not end in time"
        if done.returncode == 0:
            return reach, done.stdout
        if "verification failed" not in done.stderr and "HOST IDENTIFICATION" not in done.stderr:
            break
    else:
        return Reach.FOREIGN, done.stderr
    return (Reach.UNKNOWN if _listens(host) else Reach.SILENT), done.stderr


def _listens(host: Host) -> bool:
    try:
        with socket.create_connection((host.address, 22), timeout=2):
            return True
    except OSError:
        return False


def _machine(host: Host, said: str) -> str | None:
    """The machine's identity by the reader that the estate names; DMI offers two, either may match."""
    if host.identity is None:
        return None
    lines = [line.split(None, 1) for line in said.splitlines()]
    seen = [line[1].strip().lower() for line in lines if len(line) == 2 and line[0] == host.identity.reader]
    wanted = host.identity.machine.lower()
    if wanted in seen:
        return host.identity.machine
    return seen[0] if seen else None


def _data_files(said: str) -> int | None:
    for words in map(str.split, said.splitlines()):
        if len(words) == 3 and words[0] == "data":
            return int(words[1]) - int(words[2]) - EXT4_OWN_INODES
    return None


def _serving(estate: Estate, host: Host) -> bool | None:
    """True: every application's health answers 200. False: one answers otherwise, or the port is closed.

    None: nobody can tell. A busy server that answers too late may serve its users all the same.
    """
    if "appserver" not in host.groups:
        return None
    config = estate.config.applications
    try:
        with Https(estate, host, config.port, SERVING_TIMEOUT_SECONDS) as https:
            for application in config.apps:
                answer = https.request("GET", f"{application.context_root}/api/health")
                if answer.status_code != httpx.codes.OK:
                    return False
    except BadInput:
        return None
    except httpx.HTTPError as error:
        return False if refused(error) else None
    return True
