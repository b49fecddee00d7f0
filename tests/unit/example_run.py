"""A run as a hospital might have had it: interrupted once, resumed, recovered. Times are made up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from rmc_dr.history import Event

START = datetime(2026, 11, 21, 19, 4, 12, tzinfo=UTC)
PLAN = [
    ("preserve", 10, 14.2, 6), ("fence", 30, 21.0, 2), ("reinstall", 30, 48.6, 21), ("boot", 15, 6.1, 1),
    ("converge", 20, 61.3, 9), ("files", 30, 3.3, 0), ("database", 15, 2.4, 0), ("start", 10, 25.7, 2),
    ("verify", 15, 19.9, 0), ("open", 5, 1.8, 1),
]  # fmt: skip
CHECKS = [
    "Debian 13 runs", "host resolves itself and the estate", "only the estate's keys open sshd",
    "ports 22 and 9443 are open", "port 9080 is closed", "liberty runs as its own user",
    "only the used Liberty features are loaded", "the data source speaks TLS",
    "journey of management", "journey of verification", "attachments are readable", "journald keeps its log",
]  # fmt: skip


def events(*, until: str = "", failed_check: str = "") -> list[Event]:
    """The whole journal, or its part up to the end of one stage."""
    told: list[Event] = []
    at = 0.0

    def add(later: float, event: str, /, **fields: Any) -> None:
        nonlocal at
        at += later
        told.append(Event(len(told) + 1, START + timedelta(seconds=at), 5000.0 + at, event, fields))

    add(
        0, "run-started", run_id="20261121T190412Z-rebuild-appserver-3f9c", plan="rebuild-appserver",
        target="app1", estate="lab", operator="zhang", host="control1",
        centre="Rehearsal Reproductive Medicine Centre",
        rto_hours=24, language="en", tool_version="0.1.0", kit="9c1f" * 16, boot="b1", options={},
        destroys=["the system disk of app1"],
        stages=[
            {"name": name, "budget_minutes": budget, "destructive": name == "reinstall"}
            for name, budget, *_ in PLAN
        ],
    )  # fmt: skip
    add(0.1, "kit-expired-accepted", reason="the centre's change board agreed by telephone, 03:02")
    for name, budget, seconds, changed in PLAN:
        add(0.9, "gate", stage=name, question=f"may {name} begin", answer="yes", reason="", hint="")
        add(0, "stage-started", name=name, budget_minutes=budget, destructive=name == "reinstall")
        if name == "converge":
            add(
                22,
                "task",
                task="Wait for the host",
                host="app1",
                status="unreachable",
                message="Connection timed out",
            )
            add(0.4, "stage-finished", name=name, status="failed", seconds=22.4, changed=3)
            add(
                0.1,
                "run-finished",
                outcome="failed",
                reason="The stage converge failed",
                hint="rmc-dr resume",
            )
            add(41, "run-resumed", boot="b1", ended_leftovers=0)
            add(1.2, "stage-started", name=name, budget_minutes=budget)
        for number in range(3):
            add(
                seconds / 4, "task", task=f"Task {number}", host="app1", status="changed" if changed else "ok"
            )
        if name == "files":
            add(0, "facts", hosts={"app1": {"attachments_files": 412, "attachments_changed": 0}})
        if name == "verify":
            for check in CHECKS:
                passed = check != failed_check
                add(
                    0,
                    "check",
                    stage=name,
                    name=check,
                    passed=passed,
                    detail="" if passed else "nothing answered",
                )
        add(seconds / 4, "stage-finished", name=name, status="ok", seconds=seconds, changed=changed)
        if name == until:
            return told
    add(0.2, "run-finished", outcome="recovered", rto_seconds=round(at, 1))
    return told
