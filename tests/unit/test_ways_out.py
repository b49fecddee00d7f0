"""What is said at a dead end names the way out of it: a held pair, a rescue system, a lock."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from rmc_dr import record, ssh
from rmc_dr.cli.common import Context
from rmc_dr.cli.db import status
from rmc_dr.errors import Locked
from rmc_dr.estate import Estate
from rmc_dr.exclusive import lock_name
from rmc_dr.gates import Look, ask
from rmc_dr.model import HostObservation, PairState, Reach, Request
from rmc_dr.observe import held, pair
from rmc_dr.observe.postgres import _locked
from rmc_dr.pair import EtcdMember, Health, Limits, Node, PairObservation, Role

RUN = "20261125T010203Z-restore-database-ab12"


@pytest.fixture
def down(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> PairObservation:
    voters = tuple(EtcdMember(name, Health.HEALTHY) for name in ("db1", "db2", "store1"))
    seen = PairObservation((Node("db1", Role.DOWN), Node("db2", Role.DOWN)), (), voters, Limits(1, 1))
    monkeypatch.setattr(pair, "observe_pair", lambda _estate: seen)
    return seen


def following(estate: Estate) -> dict[str, object]:
    context = Context(json=True)
    context.__dict__["_estate"] = estate
    said: dict[str, object] = json.loads(CliRunner().invoke(status, obj=context).output)
    return said


def test_a_restore_that_holds_patroni_is_named_and_nobody_told_to_start_it(
    estate: Estate, down: PairObservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "observe_held", lambda _estate, hosts: {host.name: RUN for host in hosts})
    said = following(estate)
    assert said["held"] == {"db1": RUN, "db2": RUN}
    assert RUN in str(said["next"])
    assert "systemctl" not in str(said["next"])


def test_without_one_patroni_is_to_be_started(
    estate: Estate, down: PairObservation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "observe_held", lambda _estate, _hosts: {})
    assert "systemctl start patroni" in str(following(estate)["next"])


def test_who_holds_is_read_from_the_hosts_file(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(line: list[str], **_options: object) -> SimpleNamespace:
        asked.append(line)
        if estate.host("db1").address in line[-2]:
            return SimpleNamespace(returncode=0, stdout=f"Patroni stays down for the restore {RUN}.\n")
        return SimpleNamespace(returncode=1, stdout="")

    monkeypatch.setattr(subprocess, "run", run)
    assert held.observe_held(estate, estate.group("dbserver")) == {"db1": RUN}
    assert sorted(asked) == sorted(
        [*ssh.command(estate, host), "cat /etc/rmc-dr/held"] for host in estate.group("dbserver")
    )
    monkeypatch.setattr(subprocess, "run", lambda *_w, **_o: SimpleNamespace(returncode=0, stdout="other\n"))
    assert held.observe_held(estate, [estate.host("db1")]) == {"db1": ""}


def test_a_host_that_does_not_answer_is_not_held(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_words: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired("ssh", 8)

    monkeypatch.setattr(subprocess, "run", run)
    assert held.observe_held(estate, [estate.host("db1")]) == {}


@pytest.mark.parametrize(("stage", "identity"), [("converge", "m"), ("reinstall", None)])
def test_who_stands_in_the_rescue_system_is_let_out_by_the_fence(stage: str, identity: str | None) -> None:
    host = HostObservation("app1", Reach.RESCUE, identity=identity)
    look = Look(Request("rebuild-appserver", "app1"), "m", host, PairState("healthy", "db1"))
    assert "`rmc-dr fence release app1`" in ask(stage, look).hint
    silent = replace(look, host=replace(host, reach=Reach.SILENT))
    assert "fence release" not in ask(stage, silent).hint


def test_the_lock_of_a_command_is_not_called_a_run(state: Path) -> None:
    deploy = lock_name("deploy management 1.1.0")
    with record.local_lock("lab", deploy), pytest.raises(Locked) as locked, record.local_lock("lab", "b"):
        pass
    assert f"The command {deploy} (process " in locked.value.message
    assert "runs show" not in locked.value.hint


def test_the_lock_of_a_run_leads_to_that_run(state: Path) -> None:
    record.run_dir(RUN).mkdir(parents=True)
    with record.local_lock("lab", RUN), pytest.raises(Locked) as locked, record.local_lock("lab", "b"):
        pass
    assert f"The run {RUN} (process " in locked.value.message
    assert f"`rmc-dr runs show {RUN}`" in locked.value.hint


@pytest.mark.parametrize(
    ("name", "word"), [(RUN, "The run "), ("deploy-management-1.1.0-ab", "The command ")]
)
def test_the_lock_of_the_pair_names_what_holds_it(name: str, word: str) -> None:
    from datetime import UTC, datetime

    assert _locked(name, "10.0.0.5", datetime.now(UTC)).message.startswith(f"{word}{name} ")


@pytest.mark.parametrize(
    "word", ["", "{}", "[]", "7", '{"run_id": 1, "pid": "x", "host": 1, "since": 1}', "[" * 4000]
)
def test_a_lock_whose_word_nobody_understands_still_holds(state: Path, word: str) -> None:
    with record.local_lock("lab", "a"):
        (state / "locks" / "lab.lock").write_text(word)
        with pytest.raises(Locked, match="Another process holds"), record.local_lock("lab", "b"):
            pass
