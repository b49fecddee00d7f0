"""`rmc-dr inspect` on real hosts: the second compares with the first, no host changes, the month is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab

from rmc_dr import content, ssh
from rmc_dr.record import runs

pytestmark = pytest.mark.lab
# What no host writes by itself: there an inspection would leave its traces.
QUIET = "/etc /opt /usr /root /home /var/lib/dpkg /var/lib/apt /srv/attachments"
# The lab's hosts share this machine with its tests.
BUSY = {"load-high", "latency-high", "archive-behind"}


def changed_since(lab: Lab, moment: int) -> dict[str, str]:
    """Host to the quiet files whose contents or rights changed since then, by its own clock."""
    estate = lab.estate()
    asked = f"for folder in {QUIET}; do [ ! -d $folder ] || find $folder -xdev -newerct @{moment}; done"
    hosts = [host for host in estate.hosts.values() if "builder" not in host.groups]
    return {host.name: ssh.ask(estate, host, asked, 60).stdout.strip() for host in hosts}


def found(lab: Lab) -> set[tuple[str, str]]:
    document = json.loads(lab.run("check", "--json").out)
    return {(one["code"], one["host"]) for one in document["findings"] if one["code"] not in BUSY}


def inspected(lab: Lab, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(lab.ok("inspect", "--json", *words).out)
    return document


def test_the_second_compares_with_the_first_and_no_host_is_changed(lab: Lab, tmp_path: Path) -> None:
    records, before, moment = {run.run_id for run in runs()}, found(lab), int(time.time())
    first = inspected(lab, "--consent", "信息科 李主任", "--tick", "label-printers", "--no-archive")["report"]
    given = inspected(lab, "--no-archive", "--lang", "zh", "--to", str(tmp_path))
    traces = changed_since(lab, moment)
    assert not any(traces.values()), traces
    assert {run.run_id for run in runs()} == records
    assert found(lab) == before

    second = given["report"]
    assert second["compared_with"] == first["inspection"]
    assert set(second["new"]) | set(second["still"]) == {one["code"] for one in second["risks"]}
    for server in second["facts"]["servers"]:
        assert server["answer"] == "system"
        assert (server["os"], server["kernel"], server["booted"]) != (None, None, None)
        assert server["software"]["openssl"]
    software = {one["name"]: one["software"] for one in second["facts"]["servers"]}
    assert {"postgresql", "patroni", "pgbackrest", "etcd"} <= set(software["db1"])
    assert {"liberty", "java", "jdbc"} <= set(software["app1"])
    assert set(second["facts"]["databases"]) >= {"management", "verification"}
    assert second["facts"]["patches"]["unknown"] == {}
    assert second["items"]["label-printers"] is None  # ticked in the first, not in this one
    assert "巡检报告" in Path(given["files"]["html"]).read_text()


@pytest.mark.long
def test_what_was_looked_at_by_hand_is_added_later(lab: Lab) -> None:
    first = inspected(lab, "--no-archive")["report"]
    later = inspected(lab, "--continue", "--fault", "report-plugins=报表打不开", "--no-archive")["report"]
    assert later["inspection"] == first["inspection"]
    assert later["items"]["report-plugins"]["remark"] == "报表打不开"
    month = json.loads(lab.ok("report", "monthly", "--json", "--no-archive").out)
    assert first["inspection"] in month["report"]["inspections"]
    assert "item-report-plugins" in {one["code"] for one in month["report"]["risks"]}
    assert (content.STATE / "inspections" / first["inspection"] / "journal.jsonl").is_file()
    status = json.loads(lab.run("schedule", "status", "--json").out)
    assert (status[-1]["job"], status[-1]["late"]) == ("inspection", False)
