"""`rmc-dr inspect`: it looks once, changes nothing, keeps what it saw, and is gone on with by hand."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from check_world import NOW as LOOKED
from check_world import healthy, silent
from click.testing import CliRunner, Result
from rounds_world import DAY, drilled, facts, keep, risk, verified

from rmc_dr import runner, ssh
from rmc_dr.backups import BackupsObservation
from rmc_dr.check.seen import Seen
from rmc_dr.cli import schedule as schedule_cli
from rmc_dr.cli.common import Context
from rmc_dr.cli.inspect import inspect
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.rounds import look, record
from rmc_dr.rounds.ask import question

ANSWER = """os Debian GNU/Linux 13 (trixie)
kernel 6.12.48
booted @1763000000
package openssl 3.5.1-1
package patroni 4.0.6-1
{more}"""
MORE = {
    "appserver": "runtime 00\nliberty 26.0.0.3-0123abcd\napplication management 1.0.0\n",
    "dbserver": "postgresql 17.6\ndatabase management 8000000000\n",
}
Run = Callable[..., Result]


class Hosts:
    """What the hosts were asked; ``mute`` ones do not answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.mute: set[str] = set()

    def ask(self, _estate: Estate, host: Host, remote: str, seconds: float) -> Any:
        self.asked.append((host.name, remote))
        if host.name in self.mute:
            raise subprocess.TimeoutExpired("ssh", seconds)
        said = ANSWER.format(more=MORE.get(host.groups[0], ""))
        return subprocess.CompletedProcess([], 0, said, "")


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Hosts:
    hosts = Hosts()
    monkeypatch.setattr(ssh, "ask", hosts.ask)
    return hosts


@pytest.fixture
def run(ours: Estate, hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> Run:
    def play(*_given: Any, **_more: Any) -> Any:
        raise AssertionError("an inspection plays no playbook")

    monkeypatch.setattr(Context, "estate", lambda _self: ours)
    monkeypatch.setattr(runner, "run_playbook", play)
    nothing = BackupsObservation(LOOKED, (), (), {}, (), None)

    def call(*typed: str, seen: Seen | None = None, stdin: str = "") -> Result:
        monkeypatch.setattr(
            look, "look_at_all", lambda _estate: replace(seen or healthy(ours), stored=nothing)
        )
        words = [*typed, "--no-archive"]
        return CliRunner().invoke(inspect, words, obj=Context(), standalone_mode=False, input=stdin)

    return call


def told(done: Result) -> Any:
    assert done.exception is None, done.output
    assert done.return_value == 0
    return json.loads(done.output)["report"]


def test_each_host_is_asked_once_and_nothing_else_happens_to_it(run: Run, ours: Estate, hosts: Hosts) -> None:
    document = told(run("--json"))
    names = ["app1", "db1", "db2", "store1", "verify1"]
    assert sorted(hosts.asked) == [(name, question(ours, ours.host(name))) for name in names]
    servers = {one["name"]: one for one in document["facts"]["servers"]}
    assert servers["app1"]["software"]["liberty"] == "26.0.0.3"
    assert servers["db1"]["software"]["postgresql"] == "17.6"
    assert document["facts"]["databases"] == {"management": 8000000000}
    assert document["facts"]["pair"] == "healthy"


def test_the_second_is_compared_with_the_first(run: Run, ours: Estate) -> None:
    first = told(run("--json"))
    assert (first["compared_with"], first["new"]) == (None, None)
    second = told(run("--json", seen=silent(healthy(ours), "db2")))
    assert second["compared_with"] == first["inspection"]
    assert "host-silent" in second["new"]
    third = told(run("--json"))
    assert third["compared_with"] == second["inspection"]
    assert "host-silent" in [one["code"] for one in third["gone"]]
    assert len(record.inspections(ours.name)) == 3


def test_an_inspection_that_saw_nothing_is_none(run: Run, ours: Estate) -> None:
    seen = healthy(ours)
    for name in seen.hosts:
        seen = silent(seen, name)
    done = run("--json", seen=seen)
    assert isinstance(done.exception, Refused)
    assert done.exception.code == "nothing-seen"
    assert record.inspections(ours.name) == []


def test_a_host_that_does_not_answer_is_unknown_and_holds_up_nobody(run: Run, hosts: Hosts) -> None:
    hosts.mute = {"db2"}
    document = told(run("--json"))
    servers = {one["name"]: one for one in document["facts"]["servers"]}
    assert servers["db2"]["software"] is None
    assert document["facts"]["unseen"]["db2"] == "no answer within 30 s"
    assert document["facts"]["patches"]["unknown"]["db2"] == "untold"
    assert "patches-unknown" in [one["code"] for one in document["risks"]]


def test_what_is_proven_comes_from_the_records(run: Run, ours: Estate) -> None:
    keep(ours, LOOKED - 90 * DAY, facts())
    verified(ours, LOOKED - 100 * DAY)
    verified(ours, LOOKED - DAY, ok=False)
    verified(ours, LOOKED - DAY / 2)
    drilled(LOOKED - 100 * DAY, 9.0)
    drilled(LOOKED - DAY, 1.5)
    document = told(run("--json"))
    backups = document["facts"]["backups"]
    assert [one["good"] for one in backups["verifications"]] == [False, True]
    assert backups["proven"]["rpo_seconds"] == 12.0
    assert [one["rto_minutes"] for one in document["facts"]["drills"]] == [1.5]


def test_consent_and_ticks_are_kept_now_and_later(run: Run, hosts: Hosts) -> None:
    first = told(run("--json", "--consent", "信息科 李主任", "--tick", "label-printers"))
    assert first["consents"]["inspection"]["by"] == "信息科 李主任"
    assert (first["items"]["label-printers"]["good"], first["items"]["report-plugins"]) == (True, None)
    asked = len(hosts.asked)
    later = told(
        run("--json", "--continue", "--fault", "report-plugins=报表打不开", "--patches-consent", "王院长")
    )
    assert len(hosts.asked) == asked
    assert later["inspection"] == first["inspection"]
    assert later["items"]["report-plugins"]["remark"] == "报表打不开"
    assert later["consents"]["patches"]["by"] == "王院长"
    assert "item-report-plugins" in [one["code"] for one in later["risks"]]


def test_people_are_told_what_is_left_to_do(run: Run, ours: Estate) -> None:
    done = run(seen=silent(healthy(ours), "db2"))
    assert done.return_value == 0
    assert "Asking each host" in done.output
    assert "critical db2 host-silent" in " ".join(done.output.split())
    assert "--tick label-printers --tick report-plugins" in done.output
    assert "--consent WHO" in done.output
    assert ".html" in done.output


def test_the_plan_asks_nobody(run: Run, ours: Estate, hosts: Hosts) -> None:
    done = run("--plan")
    assert "app1, db1, db2, store1, verify1" in done.output
    assert "label-printers:" in done.output
    assert (hosts.asked, record.inspections(ours.name)) == ([], [])
    assert json.loads(run("--plan", "--json").output)["items"] == ["label-printers", "report-plugins"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--tick nothing", "unknown-item"),
        ("--fault label-printers", "fault-without-remark"),
        ("--consent a --without-consent b", "consent-twice"),
        ("--consent a --consent-at 2026-11-25T10:00:00", "time-without-zone"),
        ("--continue", "unknown-inspection"),
    ],
)
def test_bad_input_is_refused_before_anybody_is_asked(run: Run, hosts: Hosts, words: str, code: str) -> None:
    done = run(*shlex.split(words))
    assert isinstance(done.exception, BadInput)
    assert done.exception.code == code
    assert hosts.asked == []


def test_no_secret_is_kept(run: Run, ours: Estate) -> None:
    seen = healthy(ours)
    leaky = replace(seen, errors={"backups": "login with a-secret-value failed"})
    document = told(run("--json", seen=leaky))
    kept = (record.folder_of(document["inspection"]) / "journal.jsonl").read_text()
    assert "a-secret-value" not in kept
    assert "[secret]" in kept


def test_the_schedule_tells_when_the_next_one_is_due(
    ours: Estate, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Context, "estate", lambda _self: ours)

    def call(*words: str) -> Result:
        return CliRunner().invoke(schedule_cli.schedule, ["status", *words], obj=Context())

    assert "inspection: due -; last never" in call().output
    keep(ours, LOOKED - 400 * DAY, facts(risks=(risk("x"),)))
    assert "inspection: LATE" in call().output
    due = json.loads(call("--json").output)[-1]
    assert (due["job"], due["late"]) == ("inspection", True)
    assert call("--json").exit_code == 1
