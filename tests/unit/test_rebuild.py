"""Who may begin or go on with a run: the locks and the kit come before its record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_plan_estate import DIFF, STORED

from rmc_dr import content, engine, rebuild, record
from rmc_dr.errors import BadInput, Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.kit.manifest import Manifest
from rmc_dr.model import HostObservation, PairState, Plan, Reach, Request
from rmc_dr.plans import read_stages, restore_database, wanted
from rmc_dr.plans.moment import Moment
from rmc_dr.record import RunState, read, run_dir

NOW = datetime.now(UTC)
PLAN = Plan("rebuild-appserver", "app1", ())


@dataclass
class Around:
    """What stands in for the kit's proof, the primary and the engine."""

    kit: str = "a" * 64
    expires: datetime = NOW + timedelta(days=1)
    lock: Exception | None = None
    stop: Exception | None = None
    held: list[str] = field(default_factory=list)
    asked: dict[str, Any] = field(default_factory=dict)

    def verify(self, _estate: Estate, accept_expired: str | None = None) -> Any:
        if self.expires < NOW and not accept_expired:
            raise Refused("kit-expired", "The kit expired.", "Build a new one.")
        manifest = SimpleNamespace(built=NOW - timedelta(days=9), expires=self.expires)
        in_date = Manifest.in_date(manifest, NOW)  # type: ignore[arg-type]
        return SimpleNamespace(sha256=self.kit, root=Path("/kit"), in_date=lambda _now: in_date)

    @contextmanager
    def hold(self, _estate: Estate, name: str, _break_lock: str | None = None) -> Iterator[Any]:
        if self.lock:
            raise self.lock
        self.held.append(name)
        yield lambda: True

    def execute(self, run: Any) -> None:
        self.asked = dict(run.request.options)
        if self.stop:
            run.journal.append("run-finished", outcome="failed", reason="x", hint="y")
            raise self.stop
        run.journal.append("run-finished", outcome="recovered", rto_seconds=1)


@pytest.fixture
def around(state: Path, monkeypatch: pytest.MonkeyPatch) -> Around:
    around = Around()
    monkeypatch.setattr(rebuild.kit_verify, "verify", around.verify)
    monkeypatch.setattr(rebuild, "hold_estate_lock", around.hold)
    monkeypatch.setattr(rebuild.engine, "execute", around.execute)
    return around


def start(estate: Estate, **options: Any) -> str:
    return rebuild.start(estate, PLAN, Request(PLAN.name, "app1", options), [])


def fail(estate: Estate, around: Around, **options: Any) -> str:
    """A run that has failed in the middle; returns its id."""
    around.stop = RuntimeError("stopped")
    with pytest.raises(RuntimeError):
        start(estate, **options)
    around.stop = None
    return next(record.runs()).run_id


def accepted(run_id: str) -> list[str]:
    return [str(event.get("reason")) for event in RunState.of(read(run_dir(run_id))).accepted]


def test_the_run_bears_the_name_of_its_lock(estate: Estate, around: Around) -> None:
    assert around.held == [start(estate)] == [run.run_id for run in record.runs()]


@pytest.mark.parametrize("lock", [Locked("estate-locked", "theirs-1 holds it.", "Speak to them."), OSError()])
def test_a_second_operator_is_refused_without_a_run_of_his_own(
    estate: Estate, around: Around, lock: Exception
) -> None:
    around.lock = lock
    with pytest.raises(type(lock)):
        start(estate)
    assert list(record.runs()) == []
    around.lock = None
    assert start(estate)


def test_a_run_goes_on_with_the_kit_that_it_began_with(estate: Estate, around: Around) -> None:
    run_id = fail(estate, around)
    began_with, around.kit = around.kit, "b" * 64
    with pytest.raises(Refused) as refused:
        rebuild.resume(estate, [])
    assert refused.value.code == "kit-changed"
    assert f"rmc-dr runs abandon {run_id} --reason" in refused.value.hint
    assert RunState.of(read(run_dir(run_id))).resumes == ()
    around.kit = began_with
    assert rebuild.resume(estate, []) == run_id


def test_a_kit_that_expired_meanwhile_can_be_accepted(estate: Estate, around: Around) -> None:
    run_id = fail(estate, around)
    around.expires = NOW - timedelta(hours=1)
    with pytest.raises(Refused, match="expired"):
        rebuild.resume(estate, [])
    rebuild.resume(estate, [], accept_expired_kit="the change board agreed", break_lock="theirs-1")
    assert accepted(run_id) == ["the change board agreed"]
    assert around.asked == {"accept_expired_kit": "the change board agreed", "break_lock": "theirs-1"}


def test_a_reason_is_recorded_where_it_decided_something(estate: Estate, around: Around) -> None:
    assert accepted(start(estate, accept_expired_kit="in any case")) == []
    around.expires = NOW - timedelta(hours=1)
    assert accepted(start(estate, accept_expired_kit="in any case")) == ["in any case"]


def test_what_was_asked_for_is_asked_for_again(estate: Estate, around: Around) -> None:
    fail(estate, around, wipe_data=True)
    rebuild.resume(estate, [])
    assert around.asked == {"wipe_data": True}


MANY = ("rebuild-estate", ["app1", "db1", "db2"]), ("rebuild-pair", ["db1", "db2"])


@pytest.mark.parametrize(("plan", "hosts"), MANY)
def test_a_plan_of_many_hosts_looks_at_each_and_at_the_store(
    estate: Estate, around: Around, monkeypatch: pytest.MonkeyPatch, plan: str, hosts: list[str]
) -> None:
    looked: list[str] = []

    def look(_estate: Estate, host: Any) -> HostObservation:
        looked.append(host.name)
        return HostObservation(host.name, Reach.SILENT)

    monkeypatch.setattr(rebuild, "observe_host", look)
    monkeypatch.setattr(rebuild, "pair_state", lambda _estate: PairState("unknown"))
    monkeypatch.setattr(rebuild, "observe_store", lambda _estate: STORED)
    made = rebuild.make_plan(estate, Request(plan, estate.name, {"replace_healthy": "db1"}))
    assert sorted(looked) == hosts
    rejoin = next(stage for stage in made.stages if stage.name == "rejoin")
    assert rejoin.hosts == ("db2",), "the first database host is the one that is restored"
    rebuild.start(estate, made, Request(plan, estate.name, {"replace_healthy": "db1"}), [])
    assert around.asked == {
        "replace_healthy": "db1", "restore_on": "db1", "restore_to": "latest", "restore_set": DIFF.label,
        "spare_running": True,
    }  # fmt: skip
    about = RunState.of(read(next(record.runs()).path)).about
    assert about["restores"] == list(made.restores)
    assert datetime.fromisoformat(about["archived_at"]) == STORED.archived_at


def test_a_host_that_does_not_exist_cannot_be_meant(estate: Estate) -> None:
    with pytest.raises(BadInput):
        rebuild.make_plan(estate, Request("rebuild-estate", estate.name, {"replace_healthy": "db1,db9"}))


def test_attachments_can_be_given_up_when_a_run_goes_on(estate: Estate, around: Around) -> None:
    run_id = fail(estate, around)
    rebuild.resume(estate, [], without_files="the store burnt as well")
    assert accepted(run_id) == ["the store burnt as well"]
    assert around.asked == {"without_files": "the store burnt as well"}


def test_a_disk_that_two_hosts_claim_is_refused_before_anything_is_looked_at(estate, monkeypatch):
    """Once the server is in its rescue system it is too late to find that out."""
    db1 = estate.host("db1").identity
    twice = replace(
        estate.host("app1"), identity=estate.host("app1").identity.model_copy(update={"disk": db1.disk})
    )
    estate = replace(estate, hosts={**estate.hosts, "app1": twice})
    monkeypatch.setattr(rebuild, "observe_host", lambda *_: pytest.fail("looked at"))
    with pytest.raises(BadInput) as refused:
        rebuild.make_plan(estate, Request("rebuild-appserver", "app1", {}))
    assert refused.value.code == "identity-shared"


def test_a_scene_is_left_only_with_a_reason_that_the_run_keeps(estate: Estate, around: Around) -> None:
    assert accepted(start(estate, skip_preserve="the power goes")) == ["the power goes"]
    stages = read_stages(content.root() / "playbooks" / "rebuild-appserver.yml")
    asked = Request("rebuild-appserver", "app1", {"skip_preserve": "the power goes"})
    assert wanted(stages, asked) == stages[1:]
    assert wanted(stages, Request("rebuild-appserver", "app1")) == stages
    told = engine.stage_variables(asked, stages[2])
    assert told["skip_preserve"] is True, "Ansible is told that there is a reason, not which"


@pytest.mark.parametrize(
    "plan",
    [
        "rebuild-appserver", "rebuild-dbserver", "rebuild-verifier", "rebuild-estate", "rebuild-pair",
        "restore-database", "restore-files",
        "stop", "stop-writes", "db-failover", "db-reinit", "db-switchover",
    ],
)  # fmt: skip
def test_every_plan_that_stops_or_destroys_keeps_the_scene_first(plan: str) -> None:
    names = [stage.name for stage in read_stages(content.root() / "playbooks" / f"{plan}.yml")]
    changing = [name for name in names if name not in ("preserve", "living", "fetch")]
    assert names.index("preserve") < names.index(changing[0])


def recorded(
    estate: Estate, run_id: str, *facts: dict[str, Any], stages: tuple[str, ...] = ("lead",)
) -> None:
    """A restore to 02:30 that got as far as these stages, and what its hosts published."""
    plan = Plan("restore-database", "db1", read_stages(content.root() / "playbooks" / "restore-database.yml"))
    request = Request(plan.name, "db1", {"restore_to": "2026-11-24 02:30:00+00:00"})
    with record.Journal.create(
        plan, request, run_id=run_id, estate=estate.name, operator="o", secrets=(), listeners=()
    ) as journal:
        for said in facts:
            journal.append("facts", hosts={"db1": said})
        for name in stages:
            journal.append("stage-started", name=name)
            journal.append("stage-finished", name=name, status="ok")


def test_what_was_written_until_the_freeze_is_given_up(estate: Estate, state: Path) -> None:
    """Users write on while the scene is kept: the run's begin is not the end of what it gives up."""
    frozen = datetime.now(UTC) + timedelta(minutes=3)
    flushed = {"running": True, "time": frozen.strftime("%Y-%m-%d %H:%M:%S.%f+00")}
    recorded(estate, "restore-database-1", {"flush": flushed})
    [gone] = rebuild.given_up(estate)
    assert (gone.since, gone.until) == (datetime(2026, 11, 24, 2, 30, tzinfo=UTC), frozen)
    with pytest.raises(Refused) as refused:
        restore_database.refuse_given_up(Moment(frozen - timedelta(minutes=1)), [gone])
    assert refused.value.code == "given-up"
    restore_database.refuse_given_up(Moment(frozen + timedelta(minutes=1)), [gone])


def test_where_no_primary_was_left_writes_had_stopped_when_the_safety_copy_was_made(
    estate: Estate, state: Path
) -> None:
    recorded(estate, "restore-database-1", {"flush": {"running": False}}, stages=("safety", "lead"))
    [gone] = rebuild.given_up(estate)
    assert gone.until == RunState.of(read(run_dir("restore-database-1"))).stage("safety").started


def test_a_restore_that_never_led_has_given_up_nothing(estate: Estate, state: Path) -> None:
    recorded(estate, "restore-database-1", stages=("safety", "restore"))
    assert rebuild.given_up(estate) == []
