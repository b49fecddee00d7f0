"""The plan of the verification host's rebuild: a dead host, and no copy on it that somebody looks into."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, gates, rebuild
from rmc_dr.engine import resume_index
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.model import HostObservation, PairState, Plan, Reach, Request
from rmc_dr.observe.inspection import Inspection
from rmc_dr.plans import read_stages
from rmc_dr.plans.rebuild_verifier import decide
from rmc_dr.words import plan_title, stage_title

STAGES = read_stages(content.root() / "playbooks" / "rebuild-verifier.yml")
NAMES = [stage.name for stage in STAGES]
VERIFY1 = "6b1d2c5e-0a11-4c1e-9d3e-00000000fe01"
DEAD = HostObservation("verify1", Reach.SILENT)
ALIVE = HostObservation("verify1", Reach.SYSTEM, identity=VERIFY1)
MEANT = {"replace_healthy": "verify1"}


def ask_for(**options: Any) -> Request:
    return Request("rebuild-verifier", "verify1", options)


def plan_of(
    estate: Estate, seen: HostObservation = DEAD, *, copy_stands: bool = False, **options: Any
) -> Plan:
    return decide(estate, STAGES, ask_for(**options), seen, copy_stands=copy_stands)


def look(reach: Reach = Reach.SYSTEM, identity: str | None = VERIFY1, **options: Any) -> gates.Look:
    seen = HostObservation("verify1", reach, identity=identity)
    return gates.Look(ask_for(**options), VERIFY1, seen, PairState("unknown"))


def test_stages_stand_in_the_order_of_the_runbook():
    assert NAMES == ["living", "preserve", "fence", "reinstall", "boot", "converge", "verify"]
    assert [stage.name for stage in STAGES if stage.destructive] == ["reinstall"]
    assert all((content.root() / "playbooks" / stage.playbook).is_file() for stage in STAGES)
    assert not any(stage.target for stage in STAGES), "each works on the host that was named, and on no other"
    assert plan_title("rebuild-verifier") != "rebuild-verifier"
    assert all(stage_title(name) != name for name in NAMES)


@pytest.mark.parametrize("reach", [Reach.SILENT, Reach.RESCUE, Reach.UNKNOWN])
def test_a_dead_or_blank_host_is_rebuilt_and_its_data_go(estate: Estate, reach: Reach):
    plan = plan_of(estate, HostObservation("verify1", reach))
    assert (plan.name, plan.target, plan.stages) == ("rebuild-verifier", "verify1", STAGES)
    assert plan.destroys[0] == "verify1: the boot partitions and the root filesystem"
    assert plan.destroys[1].startswith("verify1: everything on /srv")


@pytest.mark.parametrize(
    ("seen", "stands", "options", "code"),
    [
        (HostObservation("verify1", Reach.FOREIGN), False, MEANT, "foreign-machine"),
        (HostObservation("verify1", Reach.RESCUE, identity="another"), False, MEANT, "wrong-machine"),
        (ALIVE, False, {}, "healthy-host"),
        (ALIVE, True, {}, "healthy-host"),
        (ALIVE, False, {"replace_healthy": "db1"}, "healthy-host"),
        (ALIVE, True, MEANT, "inspection-stands"),
    ],
)
def test_what_could_make_it_worse_is_refused(
    estate: Estate, seen: HostObservation, stands: bool, options: dict[str, str], code: str
):
    with pytest.raises(Refused) as refused:
        plan_of(estate, seen, copy_stands=stands, **options)
    assert refused.value.code == code
    assert code != "inspection-stands" or "rmc-dr restore release" in refused.value.hint


def test_a_machine_that_nobody_named_is_refused(estate: Estate):
    nobody = replace(estate.host("verify1"), identity=None)
    with pytest.raises(Refused) as refused:
        plan_of(replace(estate, hosts={**estate.hosts, "verify1": nobody}))
    assert refused.value.code == "identity-unnamed"


def test_a_living_host_is_rebuilt_by_its_name(estate: Estate):
    assert plan_of(estate, ALIVE, **MEANT).target == "verify1"


@pytest.mark.parametrize("stage", ["living", "fence"])
def test_what_came_alive_meanwhile_is_not_taken_down(stage: str):
    assert gates.ask(stage, look(Reach.SILENT)).yes
    assert not gates.ask(stage, look()).yes
    assert gates.ask(stage, look(**MEANT)).yes
    assert not gates.ask(stage, look(Reach.FOREIGN)).yes


def test_a_disk_is_written_only_from_the_rescue_system_of_the_named_machine():
    assert gates.ask("reinstall", look(Reach.RESCUE)).yes
    assert not gates.ask("reinstall", look(Reach.SYSTEM, **MEANT)).yes
    assert not gates.ask("reinstall", look(Reach.RESCUE, identity="another")).yes
    assert not gates.ask("reinstall", look(Reach.RESCUE, identity=None)).yes
    for stage in ("converge", "verify"):
        assert gates.ask(stage, look()).yes, "whatever becomes of the pair"
        assert not gates.ask(stage, look(Reach.RESCUE)).yes


@given(done=st.integers(0, len(NAMES)), reach=st.sampled_from(Reach))
def test_resume_never_repeats_a_completed_destructive_stage(done: int, reach: Reach):
    again = NAMES[resume_index(STAGES, done, reach) :]
    assert not ("reinstall" in NAMES[:done] and "reinstall" in again)
    assert set(NAMES[done:]) <= set(again)


@pytest.fixture
def world(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is seen of the host, whether a copy stands there, and the runs that began."""
    world: dict[str, Any] = {"seen": DEAD, "state": "absent", "looked": [], "runs": []}

    def inspection(_estate: Estate) -> Inspection:
        world["looked"].append("inspection")
        return Inspection("verify1", world["state"])

    def start(_estate: Estate, plan: Plan, request: Request, _listeners: Any) -> str:
        world["runs"].append((plan.name, plan.target, request))
        return "a-run"

    monkeypatch.setattr(rebuild, "observe_host", lambda _estate, _host: world["seen"])
    monkeypatch.setattr(rebuild, "observe_inspection", inspection)
    monkeypatch.setattr(rebuild, "start", start)
    return world


def test_of_a_dead_host_nobody_asks_for_a_copy(estate: Estate, world: dict[str, Any]):
    made = rebuild.make_plan(estate, ask_for())
    assert [stage.name for stage in made.stages] == NAMES
    assert {stage.hosts for stage in made.stages if stage.name != "preserve"} == {("verify1",)}
    assert world["looked"] == []


@pytest.mark.parametrize("state", ["absent", "broken", "unknown"])
def test_only_a_copy_that_stands_holds_it_up(estate: Estate, world: dict[str, Any], state: str):
    world |= {"seen": ALIVE, "state": state}
    assert rebuild.make_plan(estate, ask_for(**MEANT)).target == "verify1"
    world["state"] = "stands"
    with pytest.raises(Refused, match="looks into"):
        rebuild.make_plan(estate, ask_for(**MEANT))


def test_another_group_has_a_command_of_its_own(estate: Estate, world: dict[str, Any]):
    with pytest.raises(BadInput, match="db1 is not in the group verifier"):
        rebuild.make_plan(estate, Request("rebuild-verifier", "db1"))


BEFORE = Request(
    "rebuild-estate",
    "lab",
    {
        "replace_healthy": "db1,verify1", "accept_expired_kit": "agreed", "without_files": "burnt",
        "restore_set": "F", "spare_running": True,
    },
)  # fmt: skip


def test_after_an_estate_its_verification_host_follows_as_a_run_of_its_own(
    estate: Estate, world: dict[str, Any]
):
    """Nothing of what the estate's stages are told reaches it but what was asked of both."""
    assert rebuild.start_verifier(estate, BEFORE, []) == "a-run"
    asked = ask_for(replace_healthy="db1,verify1", accept_expired_kit="agreed")
    assert world["runs"] == [("rebuild-verifier", "verify1", asked)]


def test_one_that_lives_is_left_alone(estate: Estate, world: dict[str, Any]):
    world["seen"] = ALIVE
    plain = Request("rebuild-estate", "lab", {"replace_healthy": "db1"})
    assert rebuild.plan_verifier(estate, plain) is None
    assert rebuild.start_verifier(estate, plain, []) is None
    assert world["runs"] == []


def test_nothing_follows_anything_else_nor_in_an_estate_without_such_a_host(
    estate: Estate, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rebuild, "observe_host", lambda *_: pytest.fail("looked at"))
    without = replace(estate, hosts={k: v for k, v in estate.hosts.items() if k != "verify1"})
    assert rebuild.plan_verifier(without, BEFORE) is None
    for plan in ("rebuild-pair", "rebuild-appserver", "rebuild-dbserver", "restore-database"):
        assert rebuild.start_verifier(estate, Request(plan, "lab"), []) is None
    assert world["runs"] == []


def test_that_it_is_refused_takes_no_recovery_back(estate: Estate, world: dict[str, Any]):
    world["seen"] = HostObservation("verify1", Reach.FOREIGN)
    with pytest.raises(Error) as refused:
        rebuild.start_verifier(estate, BEFORE, [])
    assert refused.value.code == "foreign-machine"
    assert refused.value.message.endswith("The estate itself is recovered, and its users are let in.")
