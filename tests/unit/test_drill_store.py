"""The drills that live from the store: what they break in which order, and what they allow to be lost."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_plan_estate import STORED

from rmc_dr import rebuild
from rmc_dr.drill import lost_hosts, ransom, slip, stored
from rmc_dr.drill.rehearsal import Scene
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.model import PairState, Plan
from rmc_dr.plans.moment import Moment

SCENE = Scene(Path("/none"), 100.0, 5000.0)


def quiet(_text: str) -> None:
    """Nobody listens."""


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done, in its order; every run took a minute."""
    told: list[Any] = []

    def start(_estate: Estate, plan: Plan, request: Any, _listeners: Any) -> str:
        told.append((plan.name, request.target, dict(request.options)))
        return "a-run"

    monkeypatch.setattr(stored, "observe_store", lambda _estate: STORED)
    monkeypatch.setattr(rebuild, "make_plan", lambda _estate, request: Plan(request.plan, request.target, ()))
    monkeypatch.setattr(rebuild, "start", start)
    monkeypatch.setattr(rebuild, "pair_state", lambda _estate: PairState("healthy", "db2"))
    for module in (lost_hosts, slip, ransom):
        monkeypatch.setattr(module, "find", lambda run: run)
        monkeypatch.setattr(module, "read", lambda _path: [])
        monkeypatch.setattr(module.RunState, "of", lambda _events: SimpleNamespace(rto_seconds=60.0))
        monkeypatch.setattr(module.time, "sleep", lambda seconds: told.append(f"waits {seconds}"))
    for module in (lost_hosts, ransom):
        monkeypatch.setattr(module.faults, "break_host", lambda _e, host, how: told.append(f"{host} {how}"))
    monkeypatch.setattr(lost_hosts, "save_files", lambda _estate: told.append("files saved"))
    return told


def test_of_an_estate_the_attachments_are_saved_and_every_disk_goes(estate: Estate, story: list[Any]):
    drill = lost_hosts.LostHosts(estate, "estate", quiet, [])
    assert drill.host == "app1, db1, db2, verify1"
    drill.break_()
    recovery = drill.recover(SCENE)
    blank = [f"{host} blank" for host in ("app1", "db1", "db2", "verify1")]
    assert story == ["files saved", *blank, ("rebuild-estate", "lab", {})]
    drill.mend()
    assert story[-1] == ("rebuild-verifier", "verify1", {}), "with the users at work, and not in their RTO"
    assert recovery.broke_time is not None
    interval = estate.config.backup.archive_seconds + stored.PUSH_SECONDS
    assert recovery.broke_time - recovery.writes_until == pytest.approx(interval)
    assert recovery.files_until <= recovery.broke_time


def test_of_a_pair_no_attachment_may_be_lost(estate: Estate, story: list[Any]):
    drill = lost_hosts.LostHosts(estate, "pair", quiet, [])
    drill.break_()
    recovery = drill.recover(SCENE)
    drill.mend()
    assert story == ["db1 blank", "db2 blank", ("rebuild-pair", "lab", {})]
    assert recovery.files_until == float("inf")
    assert recovery.rto_seconds == 60


def test_a_backup_is_taken_only_where_none_is_whole(estate: Estate, monkeypatch: pytest.MonkeyPatch):
    taken: list[Any] = []
    monkeypatch.setattr(stored.backup, "make_plan", lambda _estate, **what: what)
    monkeypatch.setattr(stored.backup, "run", lambda _estate, plan, _event: taken.append(plan))
    monkeypatch.setattr(stored, "observe_store", lambda _estate: STORED)
    stored.have_a_backup(estate, quiet)
    assert taken == []
    monkeypatch.setattr(stored, "usable", lambda _seen: (_ for _ in ()).throw(Refused("no-backup", "x", "y")))
    stored.have_a_backup(estate, quiet)
    assert taken == [{"database": True, "files": False}]


def slipped(monkeypatch: pytest.MonkeyPatch, code: int, out: str) -> list[tuple[str, str]]:
    calls: list[tuple[str, str]] = []

    def run(words: list[str], *, input: str, **_more: Any) -> Any:  # noqa: A002 subprocess's own name
        calls.append((words[-1], input))
        return SimpleNamespace(returncode=code, stdout=out, stderr="no such table")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_a_slip_goes_back_to_just_before_it(
    estate: Estate, story: list[Any], monkeypatch: pytest.MonkeyPatch
):
    drill = slip.Slip(estate, quiet, [])
    calls = slipped(monkeypatch, 0, "2026-11-25 11:00:00.5+08\n")
    drill.break_()
    recovery = drill.recover(SCENE)
    ((command, script),) = calls
    assert "psql -X -A -t -q -v ON_ERROR_STOP=1 -d management" in command
    assert script.index("clock_timestamp") < script.index("set local role management_owner")
    assert script.index("set local role") < script.index("delete from checks")
    options = {"restore_on": "db2", "restore_to": "2026-11-25 03:00:00.500000+00:00"}
    assert story == ["waits 5", ("restore-database", "db2", options)]
    assert recovery.writes_until == 1795575600.5


def test_a_slip_that_did_not_happen_is_no_drill(
    estate: Estate, story: list[Any], monkeypatch: pytest.MonkeyPatch
):
    drill = slip.Slip(estate, quiet, [])
    slipped(monkeypatch, 1, "")
    with pytest.raises(Error, match="no such table"):
        drill.break_()


def test_a_ransom_is_undone_up_to_the_moment_before_it(
    estate: Estate, story: list[Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ransom, "spoil", lambda _estate: story.append("spoilt"))
    rewound: list[Moment] = []
    monkeypatch.setattr(
        ransom.store_rewind, "rewind", lambda _estate, to: rewound.append(to) or SimpleNamespace(back=3)
    )
    drill = ransom.Ransom(estate, quiet, [])
    drill.break_()
    recovery = drill.recover(SCENE)
    assert story == ["waits 2", "waits 2", "spoilt", "db1 blank", "db2 blank", ("rebuild-pair", "lab", {})]
    trusted = rewound[0].time
    assert trusted is not None
    assert recovery.writes_until < trusted.timestamp()
    assert list(recovery.split) == ["rewind", "rebuild"]


def test_the_thief_has_the_writers_key_alone(estate: Estate, monkeypatch: pytest.MonkeyPatch):
    calls: list[tuple[str, str, str]] = []

    class Client:
        def __init__(self, key: str) -> None:
            self.key = key

        def __getattr__(self, name: str):
            return lambda **words: calls.append((self.key, name, words["Key"]))

    monkeypatch.setattr(ransom, "client", lambda _estate, key: Client(key))
    monkeypatch.setattr(ransom, "objects", lambda s3, _bucket, folder: [(f"{folder}{s3.key}", None)])
    ransom.spoil(estate)
    assert sorted(calls) == [
        ("writer", "delete_object", "database/verifier"),
        ("writer", "delete_object", "files/verifier"),
        ("writer", "put_object", "database/verifier"),
        ("writer", "put_object", "files/verifier"),
    ]
