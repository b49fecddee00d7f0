"""The units of the timetable as text, what is refused, and when a timer counts as late."""

from __future__ import annotations

import configparser
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from test_docs import resolve

from rmc_dr import backup_record, content, schedule
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.incident.terms import Terms

NOW = datetime(2026, 11, 24, tzinfo=UTC)
HOUR = timedelta(hours=1)


def made(**changes: str) -> dict[str, str]:
    given = {"inventory": "/etc/rmc-dr/inventory", "at": "01:30", "full_on": "Sun", **changes}
    return schedule.units(
        "lab",
        Path(given["inventory"]),
        Path("/opt/rmc-dr/bin/rmc-dr"),
        given["at"],
        given["full_on"],
        Path("/etc/rmc-dr/vault-password"),
    )


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def test_each_job_has_a_service_and_a_timer_that_catches_up() -> None:
    units = made()
    assert set(units) == {
        f"rmc-dr-lab-{job.name}.{kind}" for job in schedule.JOBS for kind in ("service", "timer")
    }
    for name, text in units.items():
        unit = parsed(text)
        if name.endswith(".timer"):
            assert unit["Timer"]["Persistent"] == "true"
            often = name.endswith(
                "incident.timer"
            )  # a clock near its breach does not wait for the nights' spread
            assert unit["Timer"]["RandomizedDelaySec"] == ("0" if often else "20min")
            assert unit["Install"]["WantedBy"] == "timers.target"
        else:
            assert unit["Service"]["Type"] == "oneshot"
            assert "RMC_DR_VAULT_PASSWORD_FILE=/etc/rmc-dr/vault-password" in text


def test_what_a_job_tells_is_in_the_estates_language(
    estate: Estate, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", "/etc/rmc-dr/vault-password")
    chinese = replace(estate, config=estate.config.model_copy(update={"language": "zh"}))
    for one, language in ((chinese, "zh"), (estate, "en")):
        schedule.install(one, "01:00", "Sun")
        services = [path.read_text() for path in systemd.glob("*.service")]
        assert services
        assert all(f"\nEnvironment=RMC_DR_LANG={language}\n" in text for text in services)


def test_the_full_backup_has_its_day_and_the_differential_ones_the_others() -> None:
    times = {
        name: parsed(text)["Timer"]["OnCalendar"]
        for name, text in made(full_on="Wed").items()
        if "timer" in name
    }
    assert times == {
        "rmc-dr-lab-full.timer": "Wed 01:30",
        "rmc-dr-lab-diff.timer": "Mon,Tue,Thu,Fri,Sat,Sun 01:30",
        "rmc-dr-lab-files.timer": "01:30",
        "rmc-dr-lab-expire.timer": "Wed 07:30",
        "rmc-dr-lab-verify.timer": "04:30",
        "rmc-dr-lab-watch.timer": "08:30",
        "rmc-dr-lab-incident.timer": "*:*",
    }


@pytest.mark.parametrize("name", ["lab", "example"])
def test_the_clocks_are_looked_at_often_enough_to_warn_before_the_shortest_one_breaks(name: str) -> None:
    """Between the first mark and the breach there must be a look, whenever the clock began."""
    path = content.root() / "inventories" / name / "group_vars/all/estate.yml"
    terms = Terms.model_validate(yaml.safe_load(path.read_text())["estate"]["incident"])
    (job,) = [one for one in schedule.JOBS if one.name == "incident"]
    timer = parsed(made()["rmc-dr-lab-incident.timer"])["Timer"]
    assert (timer["OnCalendar"], job.every) == ("*:*", timedelta(minutes=1)), "every minute, said twice"
    assert timer["AccuracySec"] == "5s", "systemd's own minute would double the period"
    shortest = min(HOUR * clock.hours for clock in terms.clocks if clock.hours)
    room = shortest * (1 - min(terms.warn_at_percent) / 100)
    assert job.every + timedelta(seconds=schedule.ACCURACY_SECONDS) < room
    between_marks = shortest * (1 - max(terms.warn_at_percent) / 100)
    assert job.every < between_marks, "the last mark is told as well"


def test_what_a_service_starts_is_a_command_of_rmc_dr() -> None:
    for job in schedule.JOBS:
        words = parsed(made()[f"rmc-dr-lab-{job.name}.service"])["Service"]["ExecStart"].split()
        assert words[:3] == ["/opt/rmc-dr/bin/rmc-dr", "-i", "/etc/rmc-dr/inventory"]
        command, rest = resolve(words[1:])
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(rest) <= options
        assert rest or job.name in ("verify", "incident")


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/srv/a b", '"/srv/a b"'),
        ("/srv/100%", "/srv/100%%"),
        ("/srv/$x", "/srv/$$x"),
        ('/srv/"q"', '"/srv/\\"q\\""'),
    ],
)
def test_a_path_with_signs_that_systemd_reads_stays_what_it_is(path: str, written: str) -> None:
    assert f" -i {written} backup" in made(inventory=path)["rmc-dr-lab-full.service"]


@given(st.integers(0, 400), st.integers(0, 400))
def test_late_is_only_what_had_its_time(since_success: int, since_install: int) -> None:
    job = schedule.JOBS[1]
    last, installed = NOW - since_success * HOUR, NOW - since_install * HOUR
    late = schedule.is_late(job, last, installed, NOW)
    assert late == (min(since_success, since_install) > 26)
    assert schedule.is_late(job, None, installed, NOW) == (since_install > 26)


@pytest.mark.parametrize(
    ("at", "day"), [("25:00", "Sun"), ("1", "Sun"), ("01:00", "Sunday"), ("01:00\nx", "Sun")]
)
def test_a_time_that_is_none_is_refused(estate: Estate, at: str, day: str) -> None:
    with pytest.raises(BadInput) as error:
        schedule.install(estate, at, day)
    assert error.value.code == "schedule-time"


def test_without_systemd_nothing_is_written(
    estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "UNITS", tmp_path / "units")
    monkeypatch.setattr(schedule, "BOOTED", tmp_path / "absent")
    for call in (lambda: schedule.install(estate, "01:00", "Sun"), lambda: schedule.remove(estate)):
        with pytest.raises(Refused) as error:
            call()
        assert error.value.code == "no-systemd"
    assert not (tmp_path / "units").exists()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Path) -> Path:
    """A folder of units, and a systemctl that only notes what it is told."""
    folder = tmp_path / "units"
    folder.mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/told\ntest "$1" != show || echo ActiveState=active\n'
    )
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(schedule, "UNITS", folder)
    monkeypatch.setattr(schedule, "BOOTED", tmp_path)
    monkeypatch.setattr(schedule.os, "geteuid", lambda: 0)
    return folder


def test_installed_looked_at_and_removed(
    estate: Estate, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", "/etc/rmc-dr/vault-password")
    timers = schedule.install(estate, "01:00", "Sun")
    assert [(timer.job, timer.installed, timer.active, timer.late) for timer in timers] == [
        (job.name, True, True, False) for job in schedule.jobs(estate)
    ]
    assert {path.stat().st_mode & 0o777 for path in systemd.iterdir()} == {0o644}
    told = (systemd.parent / "told").read_text()
    assert "enable --now rmc-dr-lab-full.timer" in told
    assert len(schedule.remove(estate)) == 12
    assert list(systemd.iterdir()) == []
    assert "disable --now" in (systemd.parent / "told").read_text()
    assert not any(timer.installed for timer in schedule.status(estate))


def test_silence_is_late(estate: Estate, systemd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", "/etc/rmc-dr/vault-password")
    schedule.install(estate, "01:00", "Sun")
    assert schedule.late(estate) == {}
    for path in systemd.iterdir():
        old = path.stat().st_mtime - 30 * HOUR.total_seconds()
        os.utime(path, (old, old))
    assert schedule.late(estate) == {"diff": None, "files": None, "verify": None}
    now = datetime.now(UTC)
    backup_record.append(estate.name, backup_record.Entry("database", now, now, True, "diff"))
    assert schedule.late(estate) == {"files": None, "verify": None}
    for kind, left in (("database", {"files": None, "verify": None}), ("night", {"files": None})):
        backup_record.append(estate.name, backup_record.Entry("verify", now, now, True, kind))
        assert schedule.late(estate) == left


def test_without_a_verification_host_nothing_is_scheduled_for_it(
    estate: Estate, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", "/etc/rmc-dr/vault-password")
    hosts = {name: host for name, host in estate.hosts.items() if "verifier" not in host.groups}
    timers = schedule.install(replace(estate, hosts=hosts), "01:00", "Sun")
    assert [timer.job for timer in timers] == ["full", "diff", "files", "incident"]
    assert not [*systemd.glob("*verify*"), *systemd.glob("*expire*")]


def test_bad_news_of_the_backups_is_looked_for_where_somebody_can_be_told(estate: Estate) -> None:
    told = replace(estate, secrets=Secrets({"notify": {"addresses": "json://127.0.0.1"}}))
    names = [job.name for job in schedule.jobs(told)]
    assert "watch" in names
    assert names == [job.name for job in schedule.JOBS]
    assert "watch" not in [job.name for job in schedule.jobs(estate)]


def test_only_who_brings_bad_news_may_end_with_its_code() -> None:
    tolerant = [name for name, text in made().items() if "SuccessExitStatus" in text]
    assert tolerant == ["rmc-dr-lab-watch.service"]


def test_a_password_that_nobody_keeps_cannot_be_used_at_night(
    estate: Estate, systemd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD_FILE", raising=False)
    with pytest.raises(Refused) as error:
        schedule.install(estate, "01:00", "Sun")
    assert error.value.code == "vault-password-unkept"
    assert list(systemd.iterdir()) == []
