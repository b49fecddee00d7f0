"""The fences of a host: is the machine held in the rescue system, are users kept off? Works without a run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rmc_dr import content, ssh, target_lock
from rmc_dr.errors import Error, Interrupted, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.exclusive import canceled_by_signal, lock_name
from rmc_dr.i18n import _
from rmc_dr.model import Reach
from rmc_dr.observe.hosts import observe_host
from rmc_dr.observe.postgres import hold_estate_lock
from rmc_dr.record import local_lock
from rmc_dr.runner import run_playbook

UsersFence = Literal["closed", "open", "unknown"]
# `closed` also where only the file is left: the next boot would close it again.
READ_FENCE = (
    "if test -e /etc/rmc-dr/fence.nft || nft list table inet rmc_dr_fence >/dev/null 2>&1;"
    " then echo closed; else echo open; fi"
)
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Fences:
    """``machine`` is what answers at the host's address; ``users`` whether they are kept off."""

    host: str
    machine: Reach
    users: UsersFence


def status(estate: Estate, host: Host) -> Fences:
    """Look at both fences; changes nothing, costs a few seconds where nothing answers."""
    reach = observe_host(estate, host).reach
    return Fences(host.name, reach, users_fence(estate, host) if reach is Reach.SYSTEM else "unknown")


def release(
    estate: Estate, host: Host, on_event: Callable[..., Any], break_lock: str | None = None
) -> Fences:
    """Boot a host that is held in its rescue system, and let users in; a run that waits to be resumed is no
    hindrance.

    Raises Locked while a command is at work, here or on another control machine, unless ``break_lock`` names
    it; Refused where no system of the estate answers, Error where a playbook fails.
    """
    name = lock_name(f"fence-release-{host.name}")
    with local_lock(estate.name, name), hold_estate_lock(estate, name, break_lock):
        found = status(estate, host)
        if found.machine not in (Reach.SYSTEM, Reach.RESCUE):
            raise Refused(
                "host-silent",
                _("{host} does not answer with a pinned key (it is: {reach}).").format(
                    host=host.name, reach=found.machine
                ),
                _("Look at its power and its cable. `rmc-dr rebuild appserver` brings back a dead host."),
            )
        target_lock.take(estate, host, name, found.machine, break_lock)
        try:
            if found.machine is Reach.RESCUE:
                _play(estate, host, "stages/boot.yml", on_event)
                target_lock.take(estate, host, name, Reach.SYSTEM, break_lock)
            _play(estate, host, "fence-release.yml", on_event)
        finally:
            _give_back(estate, host, name)
        return status(estate, host)


def _give_back(estate: Estate, host: Host, name: str) -> None:
    """Where it does not answer, its lock is forgotten with its next boot, and known as stale before that."""
    with suppress(Error):
        reach = observe_host(estate, host).reach
        target_lock.release(estate, host, name, reach)


def users_fence(estate: Estate, host: Host) -> UsersFence:
    """Whether users are kept off a host that runs its installed system."""
    try:
        said = ssh.ask(estate, host, READ_FENCE, TIMEOUT_SECONDS).stdout.strip()
    except subprocess.TimeoutExpired:
        return "unknown"
    if said == "closed":
        return "closed"
    return "open" if said == "open" else "unknown"


def _play(estate: Estate, host: Host, playbook: str, on_event: Callable[..., Any]) -> None:
    log = content.STATE / "logs" / f"{Path(playbook).stem}-{host.name}.log"
    with canceled_by_signal() as canceled:
        outcome = run_playbook(
            estate, playbook, variables={"target": host.name}, on_event=on_event, log=log, canceled=canceled
        )
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped in the middle; {host} may still be fenced.").format(host=host.name),
            _("`rmc-dr fence status {host}` tells; give the same command again.").format(host=host.name),
        )
    if outcome.status != "ok":
        said = outcome.said
        raise Error(
            "fence-not-released",
            _("The fence of {host} is not released: {said}").format(host=host.name, said=said),
            _("Read {log}, mend the cause and try again.").format(log=log),
        )
