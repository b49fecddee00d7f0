"""How rmc-dr itself reaches a host: strict host keys, no questions, bounded in time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Literal

from rmc_dr.estate import Estate, Host

RESCUE_ALIAS = "rescue"
Alias = Literal["system", "rescue"]
SHARED = {"ControlMaster": "auto", "ControlPersist": 90, "ServerAliveInterval": 2}


def command(
    estate: Estate,
    host: Host,
    alias: Alias = "system",
    *,
    connect_timeout: int = 3,
    shared: Path | None = None,
) -> list[str]:
    """The ssh command line up to, but without, the remote command.

    ``alias`` says which pinned key must answer: the host's own, or the rescue system's. ``connect_timeout``
    is in seconds. ``shared`` is the socket of a connection that stays open for the next call; a dead host
    is noticed on it within six seconds, by itself.
    """
    pinned = host.name if alias == "system" else RESCUE_ALIAS
    options: dict[str, object] = {
        "UserKnownHostsFile": estate.private_dir / "known_hosts",
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlias": pinned,
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": connect_timeout,
        "ServerAliveInterval": 5,
        "ServerAliveCountMax": 3,
        "LogLevel": "ERROR",
    }
    if shared:
        options |= SHARED | {"ControlPath": shared}
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    return ["ssh", "-F", "none", "-i", str(estate.private_dir / "id_ed25519"), *words, f"root@{host.address}"]


def ask(
    estate: Estate, host: Host, remote: str, seconds: float, alias: Alias = "system", given: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command on a host and wait for it; bytes that are no text are replaced.

    ``given`` is what the command reads. Raises subprocess.TimeoutExpired after so many seconds.
    """
    return subprocess.run(
        [*command(estate, host, alias), remote],
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def shared(words: list[str], socket: Path, *, master: bool) -> list[str]:
    """The same command line over one connection: ``master`` opens it at the socket, the others use it."""
    options = [
        "-o",
        f"ControlMaster={'yes' if master else 'no'}",
        "-o",
        f"ControlPath={socket}",
        "-o",
        "ControlPersist=no",
    ]
    return [*words[:-1], *options, words[-1]]
