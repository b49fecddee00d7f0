"""Proves that hosts are as the estate describes them: the host checks, then the journeys.

The only launcher of pytest and testinfra. A check that could not run counts as failed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from rmc_dr import content, journey, ssh
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import Check

TIMEOUT_SECONDS = 900
GROUPS = ("appserver", "dbserver", "store")
DETAIL_LENGTH = 300


def hosts_of(estate: Estate, group: str | None) -> list[Host]:
    """The hosts of one group, or of all. Raises BadInput for a group that cannot be verified."""
    if group is not None and group not in GROUPS:
        raise BadInput(
            "unknown-group",
            _("There is no group {group} to verify.").format(group=group),
            _("Groups: {groups}.").format(groups=", ".join(GROUPS)),
        )
    return [host for name in GROUPS if group in (None, name) for host in estate.group(name)]


def verify(estate: Estate, hosts: Sequence[Host], junit: Path) -> list[Check]:
    """Run every check of these hosts; what pytest saw is kept in ``junit``. Raises Error if it cannot run."""
    checks = [*_host_checks(estate, hosts, junit)]
    for host in hosts:
        if "appserver" in host.groups:
            checks += journey.prove(estate, host)
    return checks


def _host_checks(estate: Estate, hosts: Sequence[Host], junit: Path) -> Iterator[Check]:
    groups = [group for group in GROUPS if any(group in host.groups for host in hosts)]
    files = [content.root() / "tests" / "host" / f"test_{name}.py" for name in ("common", *groups)]
    junit.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="rmc-dr-verify-") as folder:
        inventory, facts = Path(folder) / "inventory.yml", Path(folder) / "facts.json"
        inventory.write_text(yaml.safe_dump(_inventory(estate, hosts)))
        facts.write_text(json.dumps(_facts(estate)))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
                *("--rootdir", str(content.root() / "tests" / "host"), f"--ansible-inventory={inventory}"),
                *(f"--junit-xml={junit}", *map(str, files)),
            ],
            env={**os.environ, "RMC_DR_HOST_FACTS": str(facts)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode not in (0, 1) or not junit.is_file():
        raise Error(
            "verify-broken",
            _("The host checks could not run (pytest ended with {code}).").format(code=done.returncode),
            _("They said: {said}").format(said=" ".join(done.stdout.split())[-DETAIL_LENGTH:]),
        )
    yield from read_junit(junit)


def read_junit(junit: Path) -> Iterator[Check]:
    """The checks of a JUnit file; a skipped one has proven nothing and counts as failed."""
    for case in ElementTree.parse(junit).iter("testcase"):  # noqa: S314 our own pytest wrote it
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        name = case.get("name", "?").replace("ansible://", "")
        yield Check(name, not bad, _first_line(bad[0]) if bad else "")


def _first_line(element: ElementTree.Element) -> str:
    return " ".join((element.get("message") or element.text or "").split())[:DETAIL_LENGTH]


def _inventory(estate: Estate, hosts: Sequence[Host]) -> dict[str, Any]:
    """An inventory with literal values: testinfra speaks SSH by itself and renders no template."""
    children: dict[str, Any] = {group: {"hosts": {}} for group in GROUPS}
    for host in hosts:
        _program, *options, destination = ssh.command(estate, host)
        user, _at, address = destination.partition("@")
        connection = {
            "ansible_host": address,
            "ansible_user": user,
            "ansible_ssh_common_args": " ".join(options),
        }
        for group in host.groups:
            children[group]["hosts"][host.name] = connection
    return {"all": {"children": children}}


def _facts(estate: Estate) -> dict[str, Any]:
    config = estate.config
    etcd = [config.etcd.client_port, config.etcd.peer_port]
    ports = {
        "appserver": [config.applications.port],
        "dbserver": [config.database.port, config.database.rest_port, *etcd],
        "store": [443, *etcd],
    }
    hosts = hosts_of(estate, None)
    return {
        "timezone": config.timezone,
        "hosts": {host.name: host.address for host in hosts},
        "ports": {host.name: [port for group in host.groups for port in ports[group]] for host in hosts},
        "port": config.applications.port,
        "applications": [
            {"name": app.name, "context_root": app.context_root, "release": app.release}
            for app in config.applications.apps
        ],
    }
