"""The backups' timetable on the control machine: systemd units as text, installed, removed, looked at."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rmc_dr import backup_record, content
from rmc_dr.backup_record import WHOLE, What
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import addresses
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _
from rmc_dr.observe.certificates import founded
from rmc_dr.rounds import record as rounds

UNITS = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
TIME = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]")
DELAY_MINUTES = 20  # spread, so that several estates do not ask one store at the same moment
ACCURACY_SECONDS = 5  # systemd's own is a minute, as long as the shortest period
GRACE = timedelta(hours=2)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Job:
    """One thing that runs on time. ``kinds`` are the entries of the record that count as its success.

    One without ``what`` leaves nothing in the record, so nobody can say that it is late. ``calendar`` is its
    own time, where it has no part in the nights' work; ``spread`` is how long systemd may put it off.
    One that ``tells`` ends with monitoring's exit codes.
    """

    name: str
    says: str
    command: str
    every: timedelta
    what: What | None
    kinds: tuple[str, ...] = ()
    calendar: str = ""
    spread: str = f"{DELAY_MINUTES}min"
    tells: bool = False


JOBS = (
    Job("full", "full backup of the pair", "backup run --database --full", 7 * DAY, "database", ("full",)),
    Job("diff", "differential backup of the pair", "backup run --database", DAY, "database"),
    Job("files", "backup of files", "backup run --files", DAY, "files"),
    Job("expire", "expiry of old backups", "backup expire --yes", 7 * DAY, "expire"),
    Job("verify", "nightly verification of the backups", "backup verify", DAY, "verify", WHOLE),
    Job("watch", "look for bad news of the backups", "backup status --notify", DAY, None, tells=True),
    Job("incident", "look at the clocks of an open incident", "incident watch", MINUTE, None, (), "*:*", "0"),
)  # fmt: skip


@dataclass(frozen=True)
class Timer:
    """One job as systemd and the record see it. ``late``: installed, and its last success is too long ago."""

    job: str
    installed: bool
    active: bool
    calendar: str
    next: str
    last_success: datetime | None
    late: bool


def jobs(estate: Estate) -> tuple[Job, ...]:
    """The jobs of an estate: nothing is verified or expires without a host for it, nor is anything told where
    nobody is named.
    """
    there = bool(estate.group("verifier"))
    wanted = {"verify": there, "expire": there, "watch": bool(addresses(estate))}
    return tuple(job for job in JOBS if wanted.get(job.name, True))


def unit_name(estate: str, job: str) -> str:
    return f"rmc-dr-{estate}-{job}"


def units(
    estate: str,
    inventory: Path,
    executable: Path,
    at: str,
    full_on: str,
    password_file: Path,
    wanted: Sequence[Job] = JOBS,
    language: str = "en",
) -> dict[str, str]:
    """The text of every unit by its file name. ``at`` is the hour and minute when the nights' work begins;
    what a job tells, and keeps to be told, is in the estate's ``language``.
    """
    calendars = _calendars(at, full_on)
    texts = {}
    for job in wanted:
        name = unit_name(estate, job.name)
        words = (str(executable), "-i", str(inventory), *job.command.split())
        command = " ".join(_quoted(word).replace("$", "$$") for word in words)
        texts[f"{name}.service"] = _service(estate, job, command, password_file, language)
        texts[f"{name}.timer"] = _timer(estate, job, job.calendar or calendars[job.name])
    return texts


def _calendars(at: str, full_on: str) -> dict[str, str]:
    others = ",".join(day for day in DAYS if day != full_on)
    hour, minute = at.split(":")

    def later(hours: int) -> str:
        return f"{(int(hour) + hours) % 24:02}:{minute}"

    return {
        "full": f"{full_on} {at}",
        "diff": f"{others} {at}",
        "files": at,
        "expire": f"{full_on} {later(6)}",
        "verify": later(3),
        "watch": later(7),
    }


def _service(estate: str, job: Job, command: str, password_file: Path, language: str) -> str:
    lines = [
        "# Written by `rmc-dr schedule install`.",
        "[Unit]",
        f"Description=rmc-dr: {job.says} ({estate})",
        "Wants=network-online.target",
        "After=network-online.target",
        "",
        "[Service]",
        "Type=oneshot",
        *(["SuccessExitStatus=1 2 3"] if job.tells else []),  # bad news is no failure of who brings it
        f"ExecStart={command}",
        f"Environment=RMC_DR_LANG={language}",
        f"Environment={_quoted(f'RMC_DR_VAULT_PASSWORD_FILE={password_file}')}",
        "Nice=10",
        "IOSchedulingClass=idle",
        "",
    ]
    return "\n".join(lines)


def _timer(estate: str, job: Job, calendar: str) -> str:
    return "\n".join(
        [
            "# Written by `rmc-dr schedule install`.",
            "[Unit]",
            f"Description=rmc-dr: time for the {job.says} ({estate})",
            "",
            "[Timer]",
            f"OnCalendar={calendar}",
            "Persistent=true",
            f"RandomizedDelaySec={job.spread}",
            f"AccuracySec={ACCURACY_SECONDS}s",
            "",
            "[Install]",
            "WantedBy=timers.target",
            "",
        ]
    )


def _quoted(word: str) -> str:
    """A word as systemd reads it back, with its specifiers taken literally."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return text if re.fullmatch(r"[\w@%+=:,./$-]+", text) else f'"{text}"'


def install(estate: Estate, at: str, full_on: str) -> list[Timer]:
    """Write the units and start the timers. Raises BadInput or Refused before anything changes."""
    if not TIME.fullmatch(at) or full_on not in DAYS:
        raise BadInput(
            "schedule-time",
            _("{at} on {day} is no time of the week.").format(at=at, day=full_on),
            _("Give --at HH:MM and --full-on with one of {days}.").format(days=", ".join(DAYS)),
        )
    _require_systemd()
    password = _password_file(estate)
    texts = units(
        estate.name,
        estate.inventory,
        content.executable(),
        at,
        full_on,
        password,
        jobs(estate),
        estate.config.language,
    )
    for name, text in texts.items():
        write_atomically(UNITS / name, text, 0o644)
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", *(name for name in texts if name.endswith(".timer")))
    return status(estate)


def remove(estate: Estate) -> list[str]:
    """Stop the timers and remove the units; returns their names. Raises Refused without systemd."""
    _require_systemd()
    present = [
        UNITS / f"{unit_name(estate.name, job.name)}.{kind}" for job in JOBS for kind in ("timer", "service")
    ]
    present = [path for path in present if path.exists()]
    if timers := [path.name for path in present if path.suffix == ".timer"]:
        _systemctl("disable", "--now", *timers)
    for path in present:
        path.unlink()
    _systemctl("daemon-reload")
    return [path.name for path in present]


def status(estate: Estate) -> list[Timer]:
    """Every job of the schedule, installed or not."""
    return [_look(estate.name, job) for job in jobs(estate)]


def late(estate: Estate) -> Mapping[str, datetime | None]:
    """The installed jobs that did not do their work in time, and when they last did: silence must alarm."""
    return {timer.job: timer.last_success for timer in status(estate) if timer.late}


def inspection(estate: Estate) -> rounds.Due:
    """When the next inspection is due. No timer makes one: it needs people, and the hospital's consent."""
    return rounds.due(estate.name, estate.config.inspection.days, founded(estate))


def _look(estate: str, job: Job) -> Timer:
    path = UNITS / f"{unit_name(estate, job.name)}.timer"
    last = backup_record.last_ended_well(estate, job.what, job.kinds) if job.what else None
    if not path.is_file():
        return Timer(job.name, False, False, "", "", last, False)
    installed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    asked = _ask(path.name)
    return Timer(
        job=job.name,
        installed=True,
        active=asked.get("ActiveState") == "active",
        calendar=next(
            (line[11:] for line in path.read_text().splitlines() if line.startswith("OnCalendar=")), ""
        ),
        next=asked.get("NextElapseUSecRealtime", ""),
        last_success=last,
        late=job.what is not None and is_late(job, last, installed, datetime.now(UTC)),
    )


def is_late(job: Job, last: datetime | None, installed: datetime, now: datetime) -> bool:
    """Whether a job should have succeeded since; a fresh schedule is given its first period."""
    return now - max(last or installed, installed) > job.every + GRACE


def _ask(unit: str) -> dict[str, str]:
    if not BOOTED.is_dir():
        return {}
    words = ["systemctl", "show", unit, "--property=ActiveState,NextElapseUSecRealtime"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _equals, value in pairs}


def _require_systemd() -> None:
    if not BOOTED.is_dir():
        raise Refused(
            "no-systemd",
            _("systemd does not run this machine, so it has no timers."),
            _("Let its own scheduler call `rmc-dr backup run`, and monitoring `rmc-dr backup status`."),
        )
    if os.geteuid() != 0:
        raise BadInput("not-permitted", _("Timers are written by root alone."), _("Run rmc-dr as root."))


def _password_file(estate: Estate) -> Path:
    """The file that a timer's run reads the vault's password from."""
    if named := os.environ.get("RMC_DR_VAULT_PASSWORD_FILE"):
        return Path(named).absolute()
    kept = estate.private_dir / "vault-password"
    if kept.is_file():
        return kept
    raise Refused(
        "vault-password-unkept",
        _("A timer has nobody to ask for the vault's password."),
        _("Keep it in a file of mode 600 and name that in RMC_DR_VAULT_PASSWORD_FILE."),
    )


def _systemctl(*words: str) -> None:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Error(
            "schedule-failed",
            _("systemctl {words} failed: {said}").format(
                words=" ".join(words), said=done.stderr.strip()[-200:]
            ),
            _("Look with `rmc-dr schedule status`; installing again is harmless."),
        )
