"""Launching the host checks: the exact call, literal strict SSH, and nothing that passes without proof."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rmc_dr import verify as subject
from rmc_dr.errors import BadInput, Error
from rmc_dr.model import Check

JUNIT = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="test_common" name="test_time_zone[ansible://app1]" time="0.1"/>
<testcase classname="test_common" name="test_no_unit_failed[ansible://app1]" time="0.1">
  <failure message="assert 'x' ==\n ''&#10; +  where 'x' = f()">long text</failure></testcase>
<testcase classname="test_common" name="test_clock[ansible://app-2]"><skipped message="no clock"/></testcase>
<testcase classname="test_common" name="test_broken"><error>no connection</error></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def junit(tmp_path: Path) -> Path:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    return path


def test_checks_are_read_from_junit(junit):
    assert list(subject.read_junit(junit)) == [
        Check("app1: time zone", True),
        Check("app1: no unit failed", False, "assert 'x' == ''"),
        Check("app-2: clock", False, "no clock"),
        Check("broken", False, "no connection"),
    ]


def test_details_are_bounded(junit):
    junit.write_text(JUNIT.replace("no connection", "x" * 10_000))
    assert max(len(check.detail) for check in subject.read_junit(junit)) == subject.DETAIL_LENGTH


@pytest.mark.parametrize(
    "said",
    ["Host key verification failed", "ssh: connect to host 198.51.100.11 port 22: No route to host"],
)
def test_what_ssh_refused_is_said_without_its_banner(junit, said):
    banner = f"RuntimeError: Unexpected exit code 255: {'@' * 900} {said}\\r\\n"
    junit.write_text(JUNIT.replace("no connection", banner))
    assert list(subject.read_junit(junit))[-1].detail == said


@pytest.mark.parametrize("poison", ['<!DOCTYPE x [<!ENTITY a "b">]>', "<!ENTITY a 'b'>"])
def test_xml_with_entities_is_not_read(junit, poison):
    junit.write_text(poison + JUNIT)
    with pytest.raises(Error, match="cannot be trusted"):
        list(subject.read_junit(junit))


def test_a_report_beyond_measure_is_not_read(junit, monkeypatch):
    monkeypatch.setattr(subject, "LARGEST_JUNIT_BYTES", 10)
    with pytest.raises(Error, match="cannot be trusted"):
        list(subject.read_junit(junit))


def test_journeys_join_the_junit_file(junit):
    subject.add_to_junit(junit, "journeys", [Check("journey a", True), Check("journey b", False, "why")])
    assert list(subject.read_junit(junit))[-2:] == [
        Check("journey a", True),
        Check("journey b", False, "why"),
    ]


def test_groups_are_known(estate):
    assert [host.name for host in subject.hosts_of(estate, None)] == [
        "app1",
        "db1",
        "db2",
        "store1",
        "verify1",
    ]
    assert [host.name for host in subject.hosts_of(estate, "dbserver")] == ["db1", "db2"]
    with pytest.raises(BadInput, match="no group builder"):
        subject.hosts_of(estate, "builder")


def test_testinfra_speaks_strict_ssh_with_literal_values(estate, tmp_path):
    given = subject.inventory(estate, subject.hosts_of(estate, None), tmp_path)
    hosts = {
        name: values for group in given["all"]["children"].values() for name, values in group["hosts"].items()
    }
    assert set(hosts) == {"app1", "db1", "db2", "store1", "verify1"}
    for name, values in hosts.items():
        words = shlex.split(values["ansible_ssh_common_args"])
        assert values["ansible_host"] == estate.host(name).address
        assert "StrictHostKeyChecking=yes" in words
        assert f"UserKnownHostsFile={estate.private_dir}/known_hosts" in words
        assert "GlobalKnownHostsFile=/dev/null" in words
        assert f"ControlPath={tmp_path}/%C" in words
    assert "{{" not in str(given)


def test_what_the_checks_are_told_holds_no_secret(estate):
    assert "a-secret-value" not in str(subject.facts(estate))


def test_pytest_is_called_for_the_groups_at_hand(estate, tmp_path):
    words = subject.command([estate.host("app1")], tmp_path, tmp_path / "junit.xml")
    assert words[:3] == [sys.executable, "-m", "pytest"]
    assert [Path(word).name for word in words if word.endswith(".py")] == [
        "test_common.py",
        "test_appserver.py",
    ]
    assert f"--junit-xml={tmp_path}/junit.xml" in words
    assert f"--ansible-inventory={tmp_path}/inventory.yml" in words
    assert "--hosts" not in words


@pytest.fixture
def launched(estate, tmp_path, monkeypatch):
    """verify() with a program of the test's own in place of pytest; no host is reached."""
    monkeypatch.setattr(subject, "_close_connections", lambda *_: None)
    monkeypatch.setattr(subject.journey, "prove", lambda *_: [Check("journey", True)])

    def launch(program: str) -> list[Check]:
        junit = tmp_path / "junit.xml"
        monkeypatch.setattr(subject, "command", lambda *_: [sys.executable, "-c", program, str(junit)])
        return subject.verify(estate, [estate.host("app1")], junit)

    return launch


WRITE = f"import sys; open(sys.argv[1], 'w').write('''{JUNIT}'''); sys.exit(%d)"


def test_failed_checks_are_told_and_journeys_follow(launched):
    checks = launched(WRITE % 1)
    assert [check.passed for check in checks] == [True, False, False, False, True]


@pytest.mark.parametrize("code", [2, 3, 4, 5])
def test_checks_that_did_not_run_are_an_error(launched, code):
    with pytest.raises(Error) as error:
        launched(WRITE % code)
    assert error.value.code == "verify-broken"


def test_a_report_that_was_not_written_is_an_error(launched):
    with pytest.raises(Error) as error:
        launched("print('out of memory')")
    assert error.value.code == "verify-broken"
    assert "out of memory" in error.value.hint


def test_an_old_report_proves_nothing(launched, junit):
    with pytest.raises(Error):
        launched("pass")
    assert not junit.exists()


def test_what_hangs_is_ended_with_its_children(launched, monkeypatch, tmp_path):
    monkeypatch.setattr(subject, "TIMEOUT_SECONDS", 1)
    mark = tmp_path / "child"
    program = (
        "import subprocess, time; child = subprocess.Popen(['sleep', '300']);"
        f"open({str(mark)!r}, 'w').write(str(child.pid)); time.sleep(300)"
    )
    with pytest.raises(Error) as error:
        launched(program)
    assert error.value.code == "verify-slow"
    deadline = time.monotonic() + 5
    status = Path(f"/proc/{mark.read_text()}/stat")
    while status.exists() and status.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not status.exists() or status.read_text().split()[2] == "Z"


def test_the_vaults_password_is_not_handed_on(launched, monkeypatch, tmp_path):
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD", "open sesame")
    seen = tmp_path / "environment"
    launched(f"import os; open({str(seen)!r}, 'w').write(str(dict(os.environ)));" + WRITE % 0)
    assert "open sesame" not in seen.read_text()


def test_every_host_check_can_be_collected(estate, tmp_path):
    """Without a host nothing can run, but a file that pytest cannot import would prove nothing either."""
    words = subject.command(subject.hosts_of(estate, None), tmp_path, tmp_path / "junit.xml")
    words = [word for word in words if not word.startswith("--ansible-inventory")]
    done = subprocess.run(
        [*words, "--collect-only", "--hosts=local://"],
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    for name in ("common", "appserver", "dbserver", "store", "verifier"):
        assert f"test_{name}.py::test_" in done.stdout
