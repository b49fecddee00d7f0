"""Proves that hosts are as the estate describes them: the host checks, then the journeys.

The only launcher of pytest and testinfra. A check that could not run counts as failed.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from rmc_dr import content, journey, scratch, ssh
from rmc_dr.check.roads import PGBACKREST_PORT
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate, Host
from rmc_dr.i18n import _
from rmc_dr.model import Check
from rmc_dr.store import endpoint

TIMEOUT_SECONDS = 900
GROUPS = ("appserver", "dbserver", "store", "verifier")
DETAIL_LENGTH = 300
LARGEST_JUNIT_BYTES = 20_000_000
SSH_REFUSED = re.compile(r"Host key verification failed|ssh: connect to host [^\\\n]+")
TESTED = re.compile(r"test_(?P<what>\w+)(?:\[(?:ansible://)?(?P<host>[^\]]+)\])?")


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
    """Run every check of these hosts; ``junit`` keeps them as JUnit XML. Raises Error if they cannot run."""
    checks = _host_checks(estate, hosts, junit)
    journeys = [
        check for host in hosts if "appserver" in host.groups for check in journey.prove(estate, host)
    ]
    add_to_junit(junit, "journeys", journeys)
    return [*checks, *journeys]


def _host_checks(estate: Estate, hosts: Sequence[Host], junit: Path) -> list[Check]:
    junit.unlink(missing_ok=True)
    with scratch.folder() as folder:
        (folder / "inventory.yml").write_text(yaml.safe_dump(inventory(estate, hosts, folder)))
        (folder / "facts.json").write_text(json.dumps(facts(estate)))
        (folder / "ansible.cfg").write_text("[defaults]\n")
        try:
            code, said = _run(command(hosts, folder, junit), folder)
        finally:
            _close_connections(estate, hosts, folder)
    if code not in (0, 1) or not junit.is_file():
        raise Error(
            "verify-broken",
            _("The host checks could not run (pytest ended with {code}).").format(code=code),
            _("They said: {said}").format(said=" ".join(said.split())[-DETAIL_LENGTH:]),
        )
    return list(read_junit(junit))


def command(hosts: Sequence[Host], folder: Path, junit: Path) -> list[str]:
    """The call of pytest. Of its plugins only testinfra is loaded, whatever else is installed here."""
    checks = content.root() / "tests" / "host"
    groups = [group for group in GROUPS if any(group in host.groups for host in hosts)]
    return [
        *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-c", os.devnull, "--rootdir", str(checks)),
        *("-p", "testinfra.plugin", "-p", "no:cacheprovider"),
        *(f"--ansible-inventory={folder / 'inventory.yml'}", f"--junit-xml={junit}"),
        *(str(checks / f"test_{name}.py") for name in ("common", *groups)),
    ]


def _run(words: Sequence[str], folder: Path) -> tuple[int, str]:
    """Exit code and output; everything that was started ends with it."""
    environment = {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTEST_", "RMC_DR_VAULT_"))
        },
        "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RMC_DR_HOST_FACTS": str(folder / "facts.json"),
    }
    output = folder / "output"
    with output.open("w") as stream:
        child = subprocess.Popen(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = child.wait(TIMEOUT_SECONDS)
        except BaseException as error:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            raise Error(
                "verify-slow",
                _("The host checks did not end within {minutes} minutes.").format(
                    minutes=TIMEOUT_SECONDS // 60
                ),
                _("Look whether the hosts answer: `rmc-dr` says what state the estate is in."),
            ) from None
    return code, output.read_text(errors="replace")


def read_junit(junit: Path) -> Iterator[Check]:
    """The checks of a JUnit file; a skipped one has proven nothing and counts as failed."""
    for case in _parsed(junit).iter("testcase"):
        bad = [child for child in case if child.tag in ("failure", "error", "skipped")]
        yield Check(readable(case.get("name", "?")), not bad, _first_line(bad[0]) if bad else "")


def readable(name: str) -> str:
    """`test_time_zone[ansible://app1]` as an operator reads it: `app1: time zone`."""
    match = TESTED.fullmatch(name)
    if match is None:
        return name
    what = match["what"].replace("_", " ")
    return f"{match['host']}: {what}" if match["host"] else what


def add_to_junit(junit: Path, suite: str, checks: Sequence[Check]) -> None:
    """Add checks that pytest has not run to its file, as a suite of their own."""
    if not checks:
        return
    root = _parsed(junit)
    failed = sum(not check.passed for check in checks)
    added = ElementTree.SubElement(
        root, "testsuite", name=suite, tests=str(len(checks)), failures=str(failed)
    )
    for check in checks:
        case = ElementTree.SubElement(added, "testcase", classname=suite, name=check.name)
        if not check.passed:
            ElementTree.SubElement(case, "failure", message=check.detail)
    ElementTree.ElementTree(root).write(junit, encoding="utf-8", xml_declaration=True)


def _parsed(junit: Path) -> ElementTree.Element:
    """Our own pytest wrote the file, but what failed hosts said is in it."""
    text = junit.read_bytes()
    if len(text) > LARGEST_JUNIT_BYTES or b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise Error(
            "verify-broken",
            _("The report of the host checks cannot be trusted: {path}.").format(path=junit),
            _("Look at the file; remove it and verify again."),
        )
    return ElementTree.fromstring(text)  # noqa: S314 no entities, as seen above


def _first_line(element: ElementTree.Element) -> str:
    message = element.get("message") or element.text or ""
    # Behind a banner and testinfra's own words, and pytest cuts a long message.
    if refused := SSH_REFUSED.search(f"{message} {element.text}"):
        return refused[0]
    said = message.partition("\n +  where ")[0]
    return " ".join(said.split())[:DETAIL_LENGTH]


def inventory(estate: Estate, hosts: Sequence[Host], folder: Path) -> dict[str, Any]:
    """An inventory with literal values: testinfra speaks SSH by itself and renders no template."""
    children: dict[str, Any] = {group: {"hosts": {}} for group in GROUPS}
    for host in hosts:
        _program, *options, destination = ssh.command(estate, host)
        user, _at, address = destination.partition("@")
        shared = ("-o", "ControlMaster=auto", "-o", f"ControlPath={folder}/%C", "-o", "ControlPersist=60")
        connection = {
            "ansible_host": address,
            "ansible_user": user,
            "ansible_ssh_common_args": shlex.join([*options, *shared]),
        }
        for group in host.groups:
            children[group]["hosts"][host.name] = connection
    return {"all": {"children": children}}


def _close_connections(estate: Estate, hosts: Sequence[Host], folder: Path) -> None:
    for host in hosts:
        program, *options, destination = ssh.command(estate, host)
        subprocess.run(
            [program, *options, "-o", f"ControlPath={folder}/%C", "-O", "exit", destination],
            capture_output=True,
            check=False,
            timeout=10,
        )


def facts(estate: Estate) -> dict[str, Any]:
    """What the checks compare the hosts with. No secret is in it."""
    config = estate.config
    etcd = [config.etcd.client_port, config.etcd.peer_port]
    ports = {
        "appserver": [config.applications.port],
        "dbserver": [config.database.port, config.database.rest_port, PGBACKREST_PORT, *etcd],
        "store": [443, *etcd],
        "verifier": [],
    }
    return {
        "timezone": config.timezone,
        "language": config.language,
        "control": [str(address) for address in config.network.control],
        "hosts": {
            host.name: {
                "address": host.address,
                "ports": [port for group in host.groups for port in ports[group]],
                "data": host.disk.data if host.disk else None,
            }
            for host in hosts_of(estate, None)
        },
        "port": config.applications.port,
        "rest_port": config.database.rest_port,
        "etcd_port": config.etcd.client_port,
        "archive_seconds": config.backup.archive_seconds,
        "dbservers": [host.name for host in estate.group("dbserver")],
        "s3_host": endpoint.of(estate).name,
        "applications": [
            {"name": app.name, "context_root": app.context_root, "release": app.release}
            for app in config.applications.apps
        ],
    }
