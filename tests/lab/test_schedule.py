"""An installed schedule in the hands of a real systemd: its timer verifies, and its silence alarms."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import INVENTORY, RMC_DR, Lab
from control import control_machine, on_control

from rmc_dr import backup_record

pytestmark = [pytest.mark.lab, pytest.mark.long]
SECONDS = 600
VERIFY = "rmc-dr-lab-verify"
AT_ONCE = f"mkdir -p /etc/systemd/system/{VERIFY}.timer.d; printf '[Timer]\\nRandomizedDelaySec=0\\n'"


@pytest.fixture
def control(healthy: Lab, tmp_path: Path) -> Iterator[Path]:
    """A control machine on which nothing was ever verified; yields its record of backups."""
    healthy.ok("backup", "run", timeout=600)
    kept = tmp_path / "backups"
    shutil.copytree(backup_record.folder(), kept)
    record = kept / "lab.jsonl"
    others = [entry for entry in read(record) if entry["what"] != "verify"]
    record.write_text("".join(f"{json.dumps(entry)}\n" for entry in others))
    with control_machine({kept: backup_record.folder()}):
        yield record


def read(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


def verifications(record: Path) -> list[dict[str, Any]]:
    return [entry for entry in read(record) if entry["what"] == "verify"]


def rmc_dr(*words: str, code: int | None = 0) -> str:
    return on_control(str(RMC_DR), "-i", str(INVENTORY), *words, code=code)


def remarks() -> dict[str, str]:
    status: dict[str, Any] = json.loads(rmc_dr("backup", "status", "--json", code=None))
    return {remark["code"]: remark["text"] for remark in status["remarks"]}


def test_a_timer_verifies_and_an_overdue_one_alarms(control: Path):
    on_control("sh", "-c", f"{AT_ONCE} >/etc/systemd/system/{VERIFY}.timer.d/at-once.conf")
    soon = datetime.fromisoformat(on_control("date", "-Iminutes").strip()) + timedelta(minutes=2)
    rmc_dr("schedule", "install", "--at", (soon - timedelta(hours=3)).strftime("%H:%M"))
    timers = {timer["job"]: timer for timer in json.loads(rmc_dr("schedule", "status", "--json"))}
    assert timers["verify"]["active"]
    assert not timers["verify"]["late"]

    on_control("touch", "-d", "2 days ago", f"/etc/systemd/system/{VERIFY}.timer")
    assert "verify" in remarks()["timer-late"], "installed two days ago, and silent since"
    assert "late" in rmc_dr("schedule", "status", code=1)

    deadline = time.monotonic() + SECONDS
    while not (ended := verifications(control)):
        assert time.monotonic() < deadline, on_control("journalctl", "-u", VERIFY, "-n", "40", code=None)
        time.sleep(2)
    assert ended[0]["ok"], ended[0]
    assert datetime.fromisoformat(ended[0]["started"]) >= soon.astimezone(UTC)
    assert not {"timer-late", "never-verified"} & set(remarks())

    removed = rmc_dr("schedule", "remove")
    assert f"{VERIFY}.timer" in removed
    assert VERIFY not in on_control("systemctl", "list-timers", "--all")
