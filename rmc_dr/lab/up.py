"""`lab up` and `lab heal`: every host of the lab's inventory boots its own disk, installed like any other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from rmc_dr import backup_record, deployed
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.i18n import _
from rmc_dr.kit import build, verify
from rmc_dr.kit.manifest import Manifest
from rmc_dr.lab import (
    cgroups,
    condition,
    faults,
    guard,
    hardware,
    machine,
    network,
    preflight,
    presence,
    rescue,
)
from rmc_dr.lab.place import folder, only_one_command
from rmc_dr.observe.hosts import observe_host
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import Role, verdict
from rmc_dr.runner import run_playbook

Say = Callable[[str], None]
ANSWER_SECONDS = 60.0
SERVE_SECONDS = 60.0


def up(estate: Estate, say: Say, *, fresh: bool = False) -> Estate:
    """Bring the whole lab up; returns the estate with its vault open. ``fresh`` blanks every disk.

    Raises Refused (what stands in the way), Locked `lab-busy`, or Error when a host cannot be installed.
    """
    guard.prove_estate(estate)
    preflight.check(estate)
    with only_one_command():
        presence.take(estate)
        if fresh:
            deployed.forget(estate)
        estate = presence.with_secrets(estate)
        manifest = _kit(estate, say)
        network.up(estate.config.network)
        hosts = presence.own_hosts(estate)
        for host in hosts:
            _machine(host, fresh)
        if fresh:
            backup_record.forget(estate.name)
        wanted = [host for host in hosts if _needs_install(estate, host, manifest)]
        kept = [host for host in hosts if host not in wanted]
        wanted += _boot(estate, kept, say)
        _install(estate, wanted, manifest, say)
        _install_silent(estate, [host for host in kept if host not in wanted], manifest, say)
    say(_("The lab is up: {hosts}.").format(hosts=_names(hosts)))
    return estate


def heal(estate: Estate, names: Sequence[str], say: Say) -> None:
    """Undo what was broken on these hosts, or on all. Raises Refused `lab-down`, Locked or Error."""
    guard.prove_estate(estate)
    preflight.require_root()
    presence.require_up(estate)
    hosts = [estate.host(name) for name in names] or presence.own_hosts(estate)
    with only_one_command():
        for host in hosts:
            guard.prove_target(host.name)
            faults.join_networks(host.name)
        manifest = verify.verify(estate)
        wanted = [host for host in hosts if _is_broken(estate, host)]
        wanted += _boot(estate, [host for host in hosts if host not in wanted], say)
        _install(estate, wanted, manifest, say)
        _install_silent(estate, [host for host in hosts if host not in wanted], manifest, say)
    say(_("Well: {hosts}.").format(hosts=_names(hosts)))


def _kit(estate: Estate, say: Say) -> Manifest:
    try:
        return verify.verify(estate)
    except Refused as error:
        if error.code != "kit-missing":
            raise
    say(_("There is no kit yet; building it (about 6 minutes, once) ..."))
    return build.build(estate, say)


def _machine(host: Host, fresh: bool) -> None:
    made = hardware.make(host)
    if fresh:
        machine.kill(guard.prove_target(host.name).name)
        made.image.unlink()
        hardware.make(host)


def _needs_install(estate: Estate, host: Host, manifest: Manifest) -> bool:
    """A disk is kept if it holds the kit's image and nothing on it was broken."""
    if _is_broken(estate, host):
        return True
    return condition.of(hardware.of(host.name)).image not in (None, _image(host, manifest))


def _is_broken(estate: Estate, host: Host) -> bool:
    """What is seen wins over the mark of an installation cut short: a rebuild may have finished it."""
    made = hardware.of(host.name)
    known = condition.of(made)
    if known.root is not None and known.broken == condition.INSTALLING and _works(estate, host):
        condition.recovered(made)
        return False
    return known.root is None or known.broken is not None


def _works(estate: Estate, host: Host) -> bool:
    """Whether a host runs its own system and is seen to do what it is for; of the others nobody can tell."""
    if machine.mode(host.name) != "disk":
        return False
    if "appserver" in host.groups:
        return bool(observe_host(estate, host).serving)
    return "dbserver" in host.groups and any(
        node.name == host.name and node.role in (Role.PRIMARY, Role.STANDBY)
        for node in observe_pair(estate).nodes
    )


def _image(host: Host, manifest: Manifest) -> str:
    return manifest.files[f"images/{host.image}.tar.zst"].sha256


def _boot(estate: Estate, hosts: Sequence[Host], say: Say) -> list[Host]:
    """Boot the installed systems side by side; returns those that do not come up."""

    def fails(host: Host) -> bool:
        target = guard.prove_target(host.name)
        try:
            if machine.mode(host.name) != "disk":
                machine.boot_disk(estate, target)
        except Error as error:
            if isinstance(error, Refused):
                raise
            say(error.message)
            return True
        return not presence.answers(estate, host, "system", ANSWER_SECONDS)

    return _those(fails, hosts)


def _install_silent(estate: Estate, hosts: Sequence[Host], manifest: Manifest, say: Say) -> None:
    """Application servers that do not serve are installed anew, once the hosts that they need are up."""
    _install(estate, _silent_applications(estate, hosts), manifest, say)


def _silent_applications(estate: Estate, hosts: Sequence[Host]) -> list[Host]:
    """Application servers that are up, but do not serve within a minute of their start.

    Raises Error `lab-no-primary` where no reinstallation would help them.
    """

    def silent(host: Host) -> bool:
        deadline = time.monotonic() + SERVE_SECONDS
        while not observe_host(estate, host).serving:
            if time.monotonic() > deadline:
                return True
            time.sleep(1)
        return False

    found = _those(silent, [host for host in hosts if "appserver" in host.groups])
    if found and (state := verdict(observe_pair(estate)).name) not in PRIMARY_EXISTS:
        raise Error(
            "lab-no-primary",
            _("{hosts} cannot serve: the pair has no primary ({verdict}).").format(
                hosts=_names(found), verdict=state
            ),
            _("`rmc-dr db status` shows the pair; `rmc-dr lab up --fresh` begins again with blank disks."),
        )
    return found


def _those(question: Callable[[Host], bool], hosts: Sequence[Host]) -> list[Host]:
    if not hosts:
        return []
    with ThreadPoolExecutor(len(hosts)) as pool:
        answers = list(pool.map(question, hosts))
    return [host for host, yes in zip(hosts, answers, strict=True) if yes]


def _install(estate: Estate, hosts: Sequence[Host], manifest: Manifest, say: Say) -> None:
    """Boot the rescue system and run the playbook that installs, boots and converges."""
    if not hosts:
        return
    say(_("Installing {hosts} (about 3 minutes) ...").format(hosts=_names(hosts)))
    rescue.tree(estate.config.kit.path)

    def silent(host: Host) -> bool:
        target = guard.prove_target(host.name)
        condition.broken(target, condition.INSTALLING)
        machine.boot_rescue(estate, target)
        return not presence.answers(estate, host, "rescue", ANSWER_SECONDS)

    if dead := _those(silent, hosts):
        raise Error(
            "lab-rescue-silent",
            _("The rescue system of {hosts} does not answer.").format(hosts=_names(dead)),
            _("See console.log below {folder}.").format(folder=folder() / "hosts"),
        )
    log = folder() / "provision.log"
    outcome = run_playbook(
        estate,
        "provision.yml",
        variables={},
        limit=",".join(host.name for host in hosts),
        on_event=partial(_tell, say),
        log=log,
    )
    if outcome.status != "ok":
        first = outcome.failures[0] if outcome.failures else None
        raise Error(
            "lab-provision-failed",
            _("The lab could not be installed: {host}: {task}: {said}").format(
                host=first.host, task=first.task, said=first.message
            )
            if first
            else _("The lab could not be installed."),
            _("What Ansible said is in {log}. `rmc-dr lab up` goes on.").format(log=log),
        )
    for host in hosts:
        condition.installed(hardware.of(host.name), _image(host, manifest))
    if all(machine.mode(name) != "rescue" for name in cgroups.machines()):
        rescue.forget_others(estate.config.kit.path)


def _names(hosts: Iterable[Host]) -> str:
    return ", ".join(host.name for host in hosts)


def _tell(say: Say, kind: str, **fields: Any) -> None:
    if kind == "task" and fields.get("status") == "started":
        say(f"  {fields['task']}")
