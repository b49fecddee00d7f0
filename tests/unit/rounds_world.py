"""Inspections as a centre might have had them, kept by the record's own functions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rmc_dr import backup_record
from rmc_dr.backup_record import Entry
from rmc_dr.drill_record import RESULT, DrillResult, folder_of
from rmc_dr.estate import Estate
from rmc_dr.history import Event
from rmc_dr.journal import NAME
from rmc_dr.lines import to_line
from rmc_dr.rounds import record
from rmc_dr.rounds.facts import (
    Backups,
    Certificate,
    Disk,
    Drill,
    Facts,
    Kit,
    Patch,
    Patches,
    Proof,
    Risk,
    Server,
)
from rmc_dr.rounds.history import Inspection

NOW = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
GB = 10**9
DAY = timedelta(days=1)


def risk(code: str, weight: Any = "warning", host: str = "db1", **more: Any) -> Risk:
    said = {"en": f"{code} is seen", "zh": f"发现 {code}", **more}
    return Risk(weight=weight, code=code, area="database", host=host, **said)


def facts(at: datetime = NOW, used: float = 8.0, risks: tuple[Risk, ...] = (), **more: Any) -> Facts:
    software = {
        "db1": {"postgresql": "17.6", "patroni": "4.0.6-1", "pgbackrest": "2.56-1"},
        "app1": {"liberty": "26.0.0.3", "java": "21.0.8+9-1", "jdbc": "42.7.14"},
    }
    told: dict[str, Any] = {
        "seconds": 3.2,
        "servers": (
            Server(
                name="app1", group="appserver", address="198.51.100.11", answer="system",
                os="Debian GNU/Linux 13 (trixie)", kernel="6.12.48", booted=at - 40 * DAY,
                software=software["app1"], applications={"management": "1.0.0"},
            ),
            Server(
                name="db1", group="dbserver", address="198.51.100.21", answer="system",
                os="Debian GNU/Linux 13 (trixie)", kernel="6.12.48", booted=at - 40 * DAY,
                software=software["db1"], applications={},
            ),
            Server(name="db2", group="dbserver", address="198.51.100.22", answer="silent"),
        ),
        "pair": "healthy",
        "disks": (
            Disk(host="db1", path="/srv", size=20 * GB, free=int((20 - used) * GB)),
            Disk(host="app1", path="/", size=5 * GB, free=3 * GB),
        ),
        "databases": {"management": int(used * GB / 2), "verification": GB},
        "wal": GB // 2,
        "certificates": (
            Certificate(host="db1", service="postgresql", ends=at + 1500 * DAY),
            Certificate(host="app1", service="https", ends=at + 20 * DAY),
            Certificate(host="store1", service="https", trouble="certificate has expired"),
        ),
        "kit": Kit(built=at - 100 * DAY, expires=at + 25 * DAY, sha256="9c1f" * 16),
        "backups": Backups(
            seen=True, newest=at - DAY / 24, full=at - 3 * DAY, count=9, stored=30 * GB, snapshots=40,
            locked_until=at + 27 * DAY,
            verifications=(
                Proof(at=at - 2 * DAY, good=False, scope="night", red=("pages: a checksum is wrong",)),
                Proof(at=at - DAY, good=True, scope="night", rpo_seconds=12.0, rto_estimate_seconds=840.0),
            ),
            proven=Proof(at=at - DAY, good=True, scope="night", rpo_seconds=12.0, rto_estimate_seconds=840.0),
        ),
        "drills": (
            Drill(
                drill="appserver", at=at - 9 * DAY, broke="disk", run="r", passed=True, rto_minutes=1.4,
                rpo_seconds=0.0, lost=0, duplicated=0,
            ),
        ),
        "patches": Patches(
            waiting=(
                Patch(host="db1", name="openssl", installed="3.5.1-1", offered="3.5.4-1~deb13u1"),
                Patch(host="app1", name="openssl", installed="3.5.1-1", offered="3.5.4-1~deb13u1"),
                Patch(host="app1", name="management", installed="1.0.0", offered="1.1.0"),
            ),
            unknown={"db2": "untold"},
        ),
        "risks": risks,
        "unseen": {"db2": "no answer within 30 s"},
    }  # fmt: skip
    return Facts(**{**told, **more})


def keep(estate: Estate, at: datetime, seen: Facts, *more: tuple[str, Mapping[str, Any]]) -> Inspection:
    """An inspection of that time: as `record.create` and `record.append` write it, but for the clock."""
    config = estate.config
    name = f"{at:%Y%m%dT%H%M%SZ}-inspection-0a1b"
    made = {
        "inspection": name,
        "estate": estate.name,
        "centre": config.centre,
        "timezone": config.timezone,
        "operator": "zhang",
        "host": "control1",
        "tool_version": "0.1.0",
        "days": config.inspection.days,
        "items": [item.model_dump() for item in config.inspection.items],
        "facts": seen.model_dump(mode="json"),
    }
    path = record.folder_of(name)
    path.mkdir(parents=True)
    line = to_line(Event(1, at, 100.0, "inspection-made", made))
    (path / NAME).write_bytes(line)
    record.append(name, (), more)
    return record.read(name)


def verified(estate: Estate, at: datetime, *, ok: bool = True, **about: Any) -> None:
    told = {
        "rpo_seconds": 12.0,
        "rto_estimate_seconds": 840.0,
        "red": [] if ok else ["pages: wrong"],
        **about,
    }
    backup_record.append(estate.name, Entry("verify", at - DAY / 24, at, ok, "night", "verify1", told))


def drilled(at: datetime, rto: float, **more: Any) -> DrillResult:
    told: dict[str, Any] = {
        "drill": "appserver", "at": f"{at:%Y%m%dT%H%M%SZ}", "host": "app1", "broke": "disk", "run": "",
        "rto_minutes": rto, "outage_seconds": 92, "split": {"rebuild": 80.0, "reconnection": None},
        "acknowledged_before_break": 1003, "acknowledged": 1210, "unknown": 4, "unknown_present": 4,
        "present": 1210, "lost": 0, "duplicated": 0, "attachments_acknowledged": 62, "attachments_missing": 0,
        "rpo_seconds": 0.0, "lost_allowed": 0, "attachments_allowed": 0,
    }  # fmt: skip
    told |= more
    folder = folder_of(told["at"], told["drill"])
    folder.mkdir(parents=True)
    (folder / RESULT).write_text(json.dumps(told))
    return DrillResult(**told)
