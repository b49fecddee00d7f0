"""The engine's exact calls: which playbook with which variables, in which order, and how a run ends.

Ansible and the hosts are stood in for here; tests/lab plays the same on real ones.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rmc_dr import content, engine, gates
from rmc_dr.errors import BadInput, Error, Interrupted, Locked, Refused
from rmc_dr.estate import Estate, Secrets
from rmc_dr.model import Check, HostObservation, PairState, Plan, Reach, Request
from rmc_dr.plans import read_stages
from rmc_dr.record import Journal, RunState, open_run, read
from rmc_dr.runner import Failure, Outcome

STAGES = read_stages(content.root() / "playbooks" / "rebuild-appserver.yml")
NAMES = [stage.name for stage in STAGES]
APP1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000a001"


class World:
    """What stands in for Ansible and the hosts: remembers the calls, answers as told."""

    def __init__(self, estate) -> None:
        self.estate = estate
        self.calls: list[tuple[str, dict]] = []
        self.fail: dict[str, Outcome] = {}
        self.pair = "healthy"
        self.checks = [Check("liberty-answers", True)]
        self.done: list[str] = []
        self.lock_lost_after = ""
        self.tells: dict[str, str] = {}
        self.estates: list[Estate] = []
        self.stop_after = ""
        self.looks = 0
        self.stop_at_look = 0

    def keep_lock(self) -> bool:
        if self.done and self.done[-1] == self.lock_lost_after:
            raise Locked("estate-locked", "The run theirs-1 holds the estate.", "Speak to them.")
        return True

    def run_playbook(self, estate, playbook, *, variables, on_event, **_rest):
        stage = Path(playbook).stem
        self.calls.append((playbook, dict(variables)))
        self.estates.append(estate)
        on_event("task", task=self.tells.get(stage, f"Do {stage}"), status="started")
        outcome = self.fail.pop(stage, Outcome("ok", 0.1, changed=1))
        if outcome.status == "ok":
            self.done.append(stage)
        return outcome

    def canceled(self) -> bool:
        """Ctrl-C came after a stage was done, or while a gate looked."""
        after_stage = bool(self.done) and self.done[-1] == self.stop_after
        return after_stage or (self.stop_at_look > 0 and self.looks >= self.stop_at_look)

    def observe_host(self, _estate, host):
        self.looks += 1
        reach = {"": Reach.SILENT, "preserve": Reach.SILENT, "fence": Reach.RESCUE, "reinstall": Reach.RESCUE}
        last = self.done[-1] if self.done else ""
        return HostObservation(host.name, reach.get(last, Reach.SYSTEM), identity=APP1)


@pytest.fixture
def world(estate, state, monkeypatch) -> World:
    world = World(estate)
    monkeypatch.setattr(engine, "run_playbook", world.run_playbook)
    monkeypatch.setattr(engine, "observe_host", world.observe_host)
    monkeypatch.setattr(engine.target_lock, "take", lambda *_: None)
    monkeypatch.setattr(engine.target_lock, "release", lambda *_: None)
    return world


def start(world: World, **options) -> engine.Run:
    plan = Plan("rebuild-appserver", "app1", STAGES)
    request = Request("rebuild-appserver", "app1", options)
    journal = Journal.create(plan, request, estate="lab", operator="test")
    return engine.Run(
        estate=world.estate,
        plan=plan,
        request=request,
        journal=journal,
        keep_lock=world.keep_lock,
        observe_pair=lambda: PairState(world.pair, "db1"),
        prove=lambda: world.checks,
        canceled=world.canceled,
    )


def end_of(run: engine.Run) -> RunState:
    return RunState.of(read(run.journal.path))


def test_every_stage_once_in_order_with_its_variables(world):
    run = start(world, replace_healthy="app1", accept_expired_kit="why")
    engine.execute(run)
    expected = {
        "target": "app1",
        "run_id": run.journal.run_id,
        "run_dir": str(run.journal.path),
        "replace_healthy": "app1",
    }
    assert world.calls == [(f"stages/{name}.yml", expected) for name in NAMES]
    state = end_of(run)
    assert state.outcome == "recovered"
    assert state.rto_seconds is not None
    assert list(state.completed) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_failed_stage_stops_and_resume_goes_on_there(world, name):
    world.fail[name] = Outcome("failed", 0.1, failures=(Failure("app1", "Do it", "disk full"),))
    run = start(world)
    with pytest.raises(engine.StageFailed, match="disk full"):
        engine.execute(run)
    assert end_of(run).outcome == "failed"
    assert open_run("lab") is not None
    first = len(world.calls)
    run.journal.append("run-resumed")
    engine.execute(run)
    again = [Path(playbook).stem for playbook, _variables in world.calls[first:]]
    assert again[-1] == "open"
    assert name in again
    assert ("reinstall" in again) == (NAMES.index(name) <= NAMES.index("reinstall"))
    assert end_of(run).outcome == "recovered"


def test_a_canceled_stage_is_an_interruption(world):
    world.fail["converge"] = Outcome("canceled", 0.1)
    run = start(world)
    with pytest.raises(Interrupted):
        engine.execute(run)
    assert (end_of(run).outcome, end_of(run).open) == ("interrupted", True)


@pytest.mark.parametrize("name", NAMES[:-1])
def test_ctrl_c_between_two_stages_begins_no_other(world, name):
    """While a gate looks, the lock is made sure of or the checks run, nothing but this asks."""
    world.stop_after = name
    run = start(world)
    with pytest.raises(Interrupted, match=NAMES[NAMES.index(name) + 1]):
        engine.execute(run)
    assert world.done[-1] == name
    assert len(world.calls) == len(world.done)
    assert (end_of(run).outcome, end_of(run).open) == ("interrupted", True)


def test_ctrl_c_while_a_gate_looks_does_not_begin_its_stage(world):
    world.stop_at_look = NAMES.index("reinstall") + 1
    run = start(world)
    with pytest.raises(Interrupted, match="before the stage reinstall"):
        engine.execute(run)
    assert world.done[-1] == "fence"


def test_ctrl_c_after_the_last_stage_takes_nothing_back(world):
    world.stop_after = "open"
    run = start(world)
    engine.execute(run)
    assert end_of(run).outcome == "recovered"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Error("target-unanswered", "No answer.", "Look."), "failed"),
        (Locked("target-locked", "Held by theirs-1.", "Speak to them."), "refused"),
        (BadInput("ca-missing", "No CA.", "Make one."), "refused"),
    ],
)
def test_what_ends_a_run_says_what_was_changed_and_is_recorded_by_its_exit_code(
    world, monkeypatch, error, outcome
):
    def refuse_after_boot(*_words):
        if "boot" in world.done:
            raise error

    monkeypatch.setattr(engine.target_lock, "take", refuse_after_boot)
    run = start(world)
    with pytest.raises(type(error)) as ended:
        engine.execute(run)
    assert ended.value.message.endswith("Stages begun that change something: fence, reinstall, boot.")
    assert ended.value.message.count("Stages begun") == 1
    state = end_of(run)
    assert (state.outcome, state.reason, state.open) == (outcome, ended.value.message, True)


def test_a_lock_held_from_the_start_leaves_no_run_open(world, monkeypatch):
    def refuse(*_words):
        raise Locked("estate-locked", "Held by theirs-1.", "Speak to them.")

    world.keep_lock = refuse
    run = start(world)
    with pytest.raises(Locked) as ended:
        engine.execute(run)
    assert ended.value.message.endswith("Nothing was changed.")
    assert open_run("lab") is None


def test_a_lock_that_cannot_be_given_back_takes_no_recovery_back(world, monkeypatch):
    def unanswered(*_words):
        raise Error("target-unanswered", "The lock on app1 could not be asked for.", "Look.")

    monkeypatch.setattr(engine.target_lock, "release", unanswered)
    run = start(world)
    engine.execute(run)
    state = end_of(run)
    assert state.outcome == "recovered"
    assert "could not be asked for" in str(state.notes[-1].get("text"))


def test_secrets_that_a_stage_renewed_are_kept_out_of_the_record(world, monkeypatch):
    renewed = replace(world.estate, secrets=Secrets({"password": "a-renewed-password"}))
    monkeypatch.setattr(
        engine, "with_new_secrets", lambda estate: renewed if "fence" in world.done else estate
    )
    world.tells["reinstall"] = "it is a-renewed-password"
    run = start(world)
    engine.execute(run)
    assert "a-renewed-password" not in (run.journal.path / "journal.jsonl").read_text()
    assert "it is [secret]" in (run.journal.path / "journal.jsonl").read_text()
    assert [estate is renewed for estate in world.estates] == [
        name not in ("preserve", "fence") for name in NAMES
    ]


def test_a_run_of_many_hosts_looks_at_each_and_holds_each(world, monkeypatch):
    """Every stage asks all of them; the variables name what the plan says, not the estate."""
    stages = read_stages(content.root() / "playbooks" / "rebuild-estate.yml")
    identities = {host.name: host.identity.machine for host in world.estate.hosts.values() if host.identity}
    monkeypatch.setattr(
        engine,
        "observe_host",
        lambda estate, host: replace(world.observe_host(estate, host), identity=identities[host.name]),
    )
    taken, released = [], []
    monkeypatch.setattr(engine.target_lock, "take", lambda _estate, host, *_: taken.append(host.name))
    monkeypatch.setattr(engine.target_lock, "release", lambda _estate, host, *_: released.append(host.name))
    options = {
        "restore_on": "db1",
        "restore_to": "latest",
        "spare_running": True,
        "without_files": "a {{ b }}",
    }
    plan, request = Plan("rebuild-estate", "lab", stages), Request("rebuild-estate", "lab", options)
    journal = Journal.create(plan, request, estate="lab", operator="test")
    hosts = [world.estate.host(name) for name in ("app1", "db1", "db2")]

    def pair() -> PairState:
        return PairState("healthy", "db1", ("db1", "db2")) if "lead" in world.done else PairState("unknown")

    run = engine.Run(
        world.estate,
        plan,
        request,
        journal,
        world.keep_lock,
        pair,
        lambda: world.checks,
        world.canceled,
        hosts,
    )
    engine.execute(run)
    told = {stage.name: variables for stage, (_playbook, variables) in zip(stages, world.calls, strict=True)}
    assert told["reinstall"]["target"] == "appserver:dbserver"
    assert told["restore"]["restore_on"] == "db1"
    assert {variables["without_files"] for variables in told.values()} == {True}, (
        "no text for Ansible to template"
    )
    assert set(taken) == set(released) == {"app1", "db1", "db2"}
    looks = [event for event in read(journal.path) if event.event == "observation"]
    assert len(looks) == 3 * len(stages)
    assert end_of(run).outcome == "recovered"


def test_a_failed_check_keeps_users_out(world):
    world.checks = [Check("liberty-answers", True), Check("journey-management", False, "503")]
    run = start(world)
    with pytest.raises(engine.StageFailed, match="journey-management"):
        engine.execute(run)
    assert "stages/open.yml" not in [playbook for playbook, _variables in world.calls]


def test_no_check_at_all_is_no_proof(world):
    world.checks = []
    with pytest.raises(engine.StageFailed):
        engine.execute(start(world))
    assert "open" not in world.done


def test_a_gate_that_says_no_is_a_refusal_with_its_reason(world):
    world.pair = "split-brain"
    run = start(world)
    with pytest.raises(Refused, match="split-brain") as refused:
        engine.execute(run)
    assert refused.value.code == "gate-database"
    assert world.done[-1] == "files"
    gate = [event for event in read(run.journal.path) if event.event == "gate"][-1]
    assert (gate.get("stage"), gate.get("answer")) == ("database", "no")


def test_every_gate_belongs_to_a_stage():
    for plan, questions in gates.GATES.items():
        stages = read_stages(content.root() / "playbooks" / f"{plan}.yml")
        assert set(questions) <= {stage.name for stage in stages}


def test_what_a_module_refused_is_a_refusal(world):
    world.fail["fence"] = Outcome(
        "failed", 0.1, failures=(Failure("app1", "Prove", "This is not the machine", refused=True),)
    )
    run = start(world)
    with pytest.raises(Refused, match="This is not the machine") as refused:
        engine.execute(run)
    assert refused.value.code == "refused-fence"
    assert end_of(run).outcome == "refused"


def test_a_lock_that_another_run_took_stops_before_the_next_stage(world):
    world.lock_lost_after = "boot"
    run = start(world)
    with pytest.raises(Locked, match="theirs-1"):
        engine.execute(run)
    assert world.done[-1] == "boot"
    world.lock_lost_after = ""
    engine.execute(run)
    assert world.done == NAMES
