"""The commands that the docs show are typed as they stand there; what changes a host has its own test."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Lab

from rmc_dr import content
from rmc_dr.estate import ESTATE_FILE

pytestmark = pytest.mark.lab
ROOT = content.root()
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"^ *\$ (.+)$", re.MULTILINE)
CENTRE = "inventories/mycentre"

# What changes a host, and the test that runs it.
ELSEWHERE = {
    "rmc-dr rebuild appserver --plan": "tests/lab/test_rebuild.py::test_plan_changes_nothing",
    "rmc-dr rebuild appserver --yes": "tests/lab/test_rebuild.py::test_recovers_from[disk]",
    **dict.fromkeys(
        [
            "rmc-dr restore database --to 2026-11-24T02:30:00+08:00 --plan",
            "rmc-dr restore database --to 2026-11-24T02:30:00+08:00",
        ],
        "tests/lab/test_restore.py::test_a_slip_is_undone",
    ),
    **dict.fromkeys(
        [
            "rmc-dr restore database --inspect --to 2026-11-24T02:30:00+08:00",
            "rmc-dr restore psql management",
            "rmc-dr restore table management.public.patients",
        ],
        "tests/lab/test_inspect.py::test_one_table_comes_back_beside_the_living_one",
    ),
    "rmc-dr restore release": "tests/lab/test_restore.py::test_a_slip_is_undone",
    **dict.fromkeys(
        ["rmc-dr restore files --path management --plan", "rmc-dr restore files --path management"],
        "tests/lab/test_restore.py::test_files_come_back",
    ),
    **dict.fromkeys(
        ["rmc-dr rebuild estate --plan", "rmc-dr rebuild estate --yes"],
        "tests/lab/test_rebuild_estate.py::test_a_lost_estate_comes_back_from_kit_and_store",
    ),
    **dict.fromkeys(
        ["rmc-dr rebuild pair --plan", "rmc-dr rebuild pair --yes"],
        "tests/lab/test_rebuild_estate.py::test_a_killed_rebuild_of_the_pair_is_resumed",
    ),
    **dict.fromkeys(
        [
            "rmc-dr store rewind --to 2026-11-24T02:30:00+08:00 --plan",
            "rmc-dr store rewind --to 2026-11-24T02:30:00+08:00",
        ],
        "tests/lab/test_rebuild_estate.py::test_a_store_is_rewound_and_nothing_is_deleted",
    ),
    **{
        f"rmc-dr drill {name}": f"tests/lab/test_drills.py::test_passes_twice_in_a_row[{name}]"
        for name in ("primary", "dbserver", "pair", "estate", "slip", "ransom")
    },
    "rmc-dr rebuild dbserver db2 --yes": "tests/lab/test_rebuild_dbserver.py::test_a_dead_standby[wipe]",
    "rmc-dr rebuild verifier verify1 --yes": (
        "tests/lab/test_rebuild_verifier.py::test_a_blank_host_comes_back_and_proves_the_backups"
    ),
    "rmc-dr rebuild appserver --fence-method credential": (
        "tests/lab/test_replacement.py::test_replacement_hardware_is_taken_in"
    ),
    "rmc-dr host adopt app1": "tests/lab/test_replacement.py::test_replacement_hardware_is_taken_in",
    "rmc-dr host adopt app1 --disk S6ESNS0W100123": (
        "tests/unit/test_adopt.py::test_with_several_disks_one_must_be_named"
    ),
    "rmc-dr resume": "tests/lab/test_resume.py::test_resume_after_ctrl_c",
    "rmc-dr runs abandon last": "tests/lab/test_rebuild.py::test_another_control_machine_is_refused",
    **dict.fromkeys(
        ["rmc-dr deploy management --release 1.1.0", "rmc-dr deploy management --release 1.1.0 --plan"],
        "tests/lab/test_deploy.py::test_forward_and_back",
    ),
    "rmc-dr db switchover --yes": (
        "tests/lab/test_pair.py::test_a_switchover_under_load_loses_and_doubles_nothing"
    ),
    **dict.fromkeys(
        ["rmc-dr db failover --plan", "rmc-dr db failover --accept-loss"],
        "tests/lab/test_pair.py::test_a_standby_that_was_away_is_promoted_only_with_the_loss_accepted",
    ),
    **dict.fromkeys(
        ["rmc-dr db reinit db2 --plan", "rmc-dr db reinit db2 --yes"],
        "tests/lab/test_pair.py::test_a_reinit_under_load_makes_a_new_copy_and_tells_its_bytes",
    ),
    **dict.fromkeys(
        ["rmc-dr stop --writes", "rmc-dr start"],
        "tests/lab/test_service.py::test_a_write_freeze_keeps_users_out_and_the_databases_up",
    ),
    "rmc-dr drill appserver": "tests/lab/test_rebuild.py::test_drill_loses_nothing",
    "rmc-dr backup run": "tests/lab/test_backup.py::test_what_was_backed_up_is_listed",
    "rmc-dr backup status": "tests/lab/test_backup.py::test_status_is_one_line_and_a_level",
    **dict.fromkeys(
        ["rmc-dr backup verify", "rmc-dr backup verify --plan"],
        "tests/lab/test_backup_verify.py::test_a_clean_lab_is_green_and_nothing_is_left",
    ),
    "rmc-dr backup expire --plan": "tests/lab/test_backup.py::test_an_expiry_takes_nothing_that_is_locked",
    "rmc-dr schedule install --at 01:00 --full-on Sun": (
        "tests/unit/test_schedule.py::test_installed_looked_at_and_removed"
    ),
    "rmc-dr schedule status": "tests/unit/test_schedule.py::test_installed_looked_at_and_removed",
    "rmc-dr schedule remove": "tests/unit/test_schedule.py::test_installed_looked_at_and_removed",
    **dict.fromkeys(
        [
            'rmc-dr inspect --consent "信息科 李主任"',
            "rmc-dr inspect --continue --tick label-printers --fault "
            'report-plugins="the monthly sheet does not open"',
        ],
        "tests/lab/test_rounds.py::test_what_was_looked_at_by_hand_is_added_later",
    ),
    "rmc-dr report drill last": (
        "tests/unit/test_regular_reports.py::test_both_are_given_out_by_their_commands"
    ),
    "rmc-dr check": "tests/lab/test_check.py::test_a_healthy_lab_is_green",
    **dict.fromkeys(
        ["rmc-dr lab exec app1 systemctl stop liberty", "rmc-dr diagnose login --fix"],
        "tests/lab/test_diagnose.py::test_a_dead_liberty_is_started_again",
    ),
    **dict.fromkeys(
        [
            'rmc-dr incident open "nobody can log in" --finding application-stopped',
            'rmc-dr incident note "called the ward, they go on by paper" --reached answered',
            "rmc-dr incident show",
            'rmc-dr incident note "the ward can log in again" --reached solved',
            'rmc-dr incident close "a power supply burnt; replaced"',
            'rmc-dr incident close "Liberty had been stopped by hand; started again"',
        ],
        "tests/lab/test_incident.py::test_opened_noted_and_closed_by_hand",
    ),
    **dict.fromkeys(
        [
            'rmc-dr incident note "app1 alone; the database is well" --as scope',
            'rmc-dr incident note "60 users; the laboratory checks gametes in pairs, by hand" --as effect',
            'rmc-dr incident note "started 02:10, has not spread" --as trend',
            'rmc-dr incident note "a test patient is checked before users are let in" --as next',
            'rmc-dr incident note "Zhang on site, Li by telephone" --as team',
            "rmc-dr incident progress --next-in 60",
            "rmc-dr incident report",
            "rmc-dr incident report last --lang zh --to /root/for-the-hospital",
            "rmc-dr report list",
            "rmc-dr report open last --to /root/again",
            "rmc-dr report archive",
        ],
        "tests/lab/test_reports.py::test_from_an_incident_to_its_archived_report",
    ),
    "rmc-dr kit build": "tests/lab/test_kit.py::test_a_second_build_takes_seconds_and_changes_nothing",
    "rmc-dr lab up": "tests/lab/test_lab.py::test_the_second_up_takes_seconds",
    "rmc-dr lab down": "tests/lab/test_lab.py::test_down_leaves_nothing_and_says_so",
}


def shown() -> list[str]:
    """Every command behind a prompt, in the order of the pages, once."""
    found = [
        line.strip()
        for page in PAGES
        for block in BLOCK.findall(page.read_text())
        for line in PROMPT.findall(block)
    ]
    return list(dict.fromkeys(found))


def elsewhere(command: str) -> str | None:
    return next((test for known, test in ELSEWHERE.items() if command.split(" --reason")[0] == known), None)


@pytest.fixture(scope="module", autouse=True)
def healed(lab: Lab) -> None:
    lab.ok("lab", "heal")


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a reader puts in place of the examples: a run, a file of his own, his centre's inventory."""
    folder = tmp_path_factory.mktemp("centre")
    centre = folder / "mycentre"
    shutil.copytree(ROOT / "inventories" / "example", centre)
    estate = centre / ESTATE_FILE
    estate.write_text(estate.read_text().replace("/etc/rmc-dr/private", str(folder / "private")))
    return {"3f9c": "last", "/root/recovery-2026-11-21.html": str(folder / "page.html"), CENTRE: str(centre)}


@pytest.mark.parametrize("command", [command for command in shown() if not elsewhere(command)])
def test_it_does_what_the_page_says(
    lab: Lab, typed: dict[str, str], command: str, monkeypatch: pytest.MonkeyPatch
):
    password = Path(typed[CENTRE]).parent / "private" / "vault-password"
    if CENTRE in command and password.exists():
        monkeypatch.setitem(lab.env, "RMC_DR_VAULT_PASSWORD_FILE", str(password))
    for example, own in typed.items():
        command = command.replace(example, own)
    program, *words = shlex.split(command.split(" | ")[0])
    assert program == "rmc-dr"
    said = lab.ok(*words)
    assert said.out or said.err


def test_what_changes_a_host_is_run_by_a_test():
    known = {test for folder in ("tests/lab", "tests/unit") for test in collected(folder)}
    assert set(ELSEWHERE.values()) - known == set()
    gone = [command for command in ELSEWHERE if not any(line.startswith(command) for line in shown())]
    assert gone == []


def collected(folder: str) -> list[str]:
    """The tests of one folder; of two at once, pytest would take one's conftest for the other's."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", folder],
        cwd=ROOT,
        env={**Lab().env, "RMC_DR_LONG": "all"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
