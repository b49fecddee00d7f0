"""A backup that is looked into, a table out of it: hosts and playbooks are played, locks and record real."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from test_backup import PRIMARY, STANDBY, Stage, silent
from test_backups import DIFF, seen

from rmc_dr import backup as backups
from rmc_dr import backup_record, inspection, restore_table, safety_copies
from rmc_dr.backups import BackupsObservation
from rmc_dr.cli.common import Context
from rmc_dr.cli.restore import restore
from rmc_dr.errors import BadInput, Error, Interrupted, Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.observe import inspection as eyes
from rmc_dr.observe.inspection import Inspection
from rmc_dr.pair import Name, Verdict
from rmc_dr.plans import restore_database, table
from rmc_dr.plans.moment import Moment
from rmc_dr.runner import Failure, Outcome

TO = Moment(datetime(2026, 11, 24, 2, 30, tzinfo=UTC))
STANDS = Inspection("verify1", "stands", str(TO), DIFF.label, TO.time, "2026-11-24T03:00:00+00:00", 5 * 2**30)
ABSENT = Inspection("verify1", "absent")
BROKEN = Inspection("verify1", "broken", bytes=7)


class World(Stage):
    """The verification host and the primary, as they answer; what the playbooks were given."""

    def __init__(self) -> None:
        super().__init__(PRIMARY, STANDBY)
        self.there: list[Inspection] = [ABSENT, ABSENT, STANDS]
        self.given: list[tuple[str, dict[str, Any]]] = []
        self.outcomes: dict[str, Outcome] = {}
        self.locks: list[str] = []
        self.verdict = Name.HEALTHY

    def look_there(self, _estate: Estate) -> Inspection:
        return self.there.pop(0) if len(self.there) > 1 else self.there[0]

    def play(self, _estate: Estate, playbook: str, **options: Any) -> Outcome:
        self.given.append((playbook, options["variables"]))
        return self.outcomes.get(playbook, Outcome("ok", 1.0))

    def names(self) -> list[str]:
        return [playbook for playbook, _variables in self.given]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, state: Any, estate: Estate) -> World:
    played = World()
    monkeypatch.setattr(inspection, "observe_inspection", played.look_there)
    monkeypatch.setattr(eyes, "observe_inspection", played.look_there)
    for story in (inspection, restore_table):
        monkeypatch.setattr(story, "run_playbook", played.play)
    monkeypatch.setattr(restore_table, "observe_pair", played.pair)
    monkeypatch.setattr(restore_table, "verdict", lambda _seen: Verdict(played.verdict))
    monkeypatch.setattr("rmc_dr.exclusive.hold_estate_lock", Held)
    monkeypatch.setattr(inspection.target_lock, "take", lambda *_: played.locks.append("take"))
    monkeypatch.setattr(inspection.target_lock, "release", lambda *_: played.locks.append("release"))
    return played


class Held:
    def __init__(self, *_: Any) -> None: ...

    def __enter__(self) -> Any:
        return lambda: True

    def __exit__(self, *_: object) -> None: ...


def planned(estate: Estate, **others: Any) -> inspection.InspectionPlan:
    return replace(inspection.make_plan(estate, TO, None, seen()), **others)


def test_a_backup_is_brought_back_and_kept_in_the_record(estate: Estate, world: World) -> None:
    assert inspection.begin(estate, planned(estate), silent) == STANDS
    ((playbook, variables),) = world.given
    assert playbook == "restore-inspect.yml"
    assert variables == {
        "run_id": "inspect-lab",
        "verification_to": "2026-11-24 02:30:00+00:00",
        "verification_label": "",
        "verification_room_bytes": round(max(one.size for one in seen().database or ()) * 1.2) + 2**30,
        "inspection_replace": True,
    }
    assert world.locks == ["take", "release"]
    (entry,) = backup_record.entries(estate.name)
    assert (entry.what, entry.ok, entry.host, entry.kind) == ("inspect", True, "verify1", str(TO))


def test_one_that_failed_is_removed_again(estate: Estate, world: World) -> None:
    said = "PostgreSQL did not start: recovery ended before configured recovery target was reached"
    world.outcomes["restore-inspect.yml"] = Outcome("failed", 1.0, failures=(Failure("verify1", "t", said),))
    world.there = [ABSENT]
    with pytest.raises(Error, match=r"target was reached\. Production was not touched") as failed:
        inspection.begin(estate, planned(estate), silent)
    assert failed.value.code == "not-inspected"
    assert world.names() == ["restore-inspect.yml", "inspection-release.yml"]
    assert world.locks == ["take", "release"]
    assert not next(backup_record.entries(estate.name)).ok


def test_the_one_before_stays_where_nothing_of_it_was_touched(estate: Estate, world: World) -> None:
    said = "3.0 GiB are free in /srv, 9.0 are needed"
    world.outcomes["restore-inspect.yml"] = Outcome("failed", 1.0, failures=(Failure("verify1", "t", said),))
    world.there = [STANDS]
    with pytest.raises(Error, match="The inspection before stands untouched") as failed:
        inspection.begin(estate, planned(estate), silent)
    assert (failed.value.code, world.names()) == ("not-inspected", ["restore-inspect.yml"])
    world.given.clear()
    world.there = [STANDS, STANDS, replace(STANDS, state="broken")]
    with pytest.raises(Error, match="Production was not touched"):
        inspection.begin(estate, planned(estate), silent)
    assert world.names() == ["restore-inspect.yml", "inspection-release.yml"], "half of it helps nobody"


def test_one_that_was_stopped_is_removed_again(estate: Estate, world: World) -> None:
    world.outcomes["restore-inspect.yml"] = Outcome("canceled", 1.0)
    world.there = [ABSENT]
    with pytest.raises(Interrupted):
        inspection.begin(estate, planned(estate), silent)
    assert world.names() == ["restore-inspect.yml", "inspection-release.yml"]


def test_one_that_nobody_agreed_to_lose_stays(estate: Estate, world: World) -> None:
    plan = planned(estate)
    world.there = [STANDS]
    with pytest.raises(Refused) as refused:
        inspection.begin(estate, plan, silent)
    assert refused.value.code == "inspection-stands"
    assert world.given == []
    other = replace(STANDS, made="2026-11-23T00:00:00+00:00")
    with pytest.raises(Refused):
        inspection.begin(estate, replace(plan, replaces=other), silent)
    inspection.begin(estate, replace(plan, replaces=STANDS), silent)


def test_while_a_verification_is_at_work_nothing_begins(estate: Estate, world: World) -> None:
    plan = planned(estate)
    with backups.one_at_a_time(estate, "verify"), pytest.raises(Locked):
        inspection.begin(estate, plan, silent)
    assert world.given == []


def test_what_is_refused_before_anything(estate: Estate, world: World) -> None:
    blind = BackupsObservation(TO.time or datetime.now(UTC), None, None, None, None, None, {"store": "gone"})
    with pytest.raises(Refused, match="gone"):
        inspection.make_plan(estate, TO, None, blind)
    world.there = [Inspection("verify1", "unknown", detail="No route to host")]
    with pytest.raises(Refused, match="No route"):
        inspection.make_plan(estate, TO, None, seen())
    without = replace(estate, hosts={name: one for name, one in estate.hosts.items() if name != "verify1"})
    with pytest.raises(BadInput) as refused:
        inspection.make_plan(without, TO, None, seen())
    assert refused.value.code == "which-host"


def test_a_moment_that_nothing_archived_reaches(estate: Estate) -> None:
    assert TO.time is not None
    early = replace(seen(), archived_at=datetime(2026, 11, 24, 2, 29, tzinfo=UTC))
    with pytest.raises(Refused) as refused:
        restore_database.refuse_unarchived(TO, early)
    assert refused.value.code == "not-archived"
    restore_database.refuse_unarchived(TO, replace(early, archived_at=TO.time))
    restore_database.refuse_unarchived(Moment(), early)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("", "absent"),
        (
            'unit active\nbytes 4096\nabout {"to": "latest", "label": "x", "newest": 5.5, "made": "m"}\n',
            "stands",
        ),
        ('unit inactive\nbytes 4096\nabout {"to": "latest", "newest": null}\n', "broken"),
        ("unit active\nbytes 4096\nabout \n", "broken"),
        ('unit active\nbytes \nabout {"to": "lat', "broken"),
    ],
)
def test_what_the_host_says(said: str, state: str) -> None:
    found = eyes.read("verify1", said)
    assert found.state == state
    if state == "stands":
        assert (found.to, found.label, found.bytes, found.made) == ("latest", "x", 4096, "m")
        assert found.newest == datetime.fromtimestamp(5.5, UTC)


def test_looking_into_it_is_one_psql_over_the_pinned_key(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []
    world.there = [STANDS]

    class Done:
        returncode = 2

    def run(words: list[str], **_options: Any) -> type[Done]:
        called.append(words)
        return Done

    monkeypatch.setattr(inspection.subprocess, "run", run)
    assert inspection.look(estate, "management") == 2
    ((*ssh, remote),) = called
    assert "StrictHostKeyChecking=yes" in ssh
    assert remote == (
        "cd / && runuser --user=postgres -- psql -X -v HISTFILE=/dev/null --host=/srv/inspect/run "
        "--port=5432 --dbname=management"
    )
    with pytest.raises(BadInput) as unknown:
        inspection.look(estate, "host=elsewhere")
    assert unknown.value.code == "unknown-database"
    for state in (ABSENT, BROKEN):
        world.there = [state]
        with pytest.raises(Refused) as refused:
            inspection.look(estate, "management")
        assert refused.value.code == "no-inspection"


@pytest.mark.parametrize(
    "text",
    [
        "patients",
        "public.patients",
        "management.public.a.b",
        "management..x",
        "management.public.{{x}}",
        'management.public."x"',
        "management.public.x;drop",
        "management.public.1x",
        "",
    ],
)
def test_what_is_no_table(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        table.parse(text, ("management",))
    assert refused.value.code == "table-unreadable"


def test_a_table_is_read_as_the_catalogue_holds_it() -> None:
    assert table.parse("management.public.患者Table", ("management",)).name == "患者Table"
    with pytest.raises(BadInput) as refused:
        table.parse("postgres.public.x", ("management",))
    assert refused.value.code == "unknown-database"


def test_its_name_says_what_it_is_as_of() -> None:
    assert TO.time is not None
    assert table.beside("checks", TO.time, "Asia/Shanghai") == "checks_restored_202611241030"


@given(st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=63))
def test_its_name_always_fits(name: str) -> None:
    assert TO.time is not None
    new = table.beside(name, TO.time, "UTC")
    assert len(new.encode()) <= table.LONGEST_NAME
    assert name.startswith(new.removesuffix("_restored_202611240230"))


def back(rows: int) -> Outcome:
    return Outcome("ok", 1.0, facts={"db1": {"table": {"rows": str(rows), "seconds": "1.5"}}})


def test_a_table_comes_back_under_another_name(estate: Estate, world: World) -> None:
    world.there = [STANDS]
    world.outcomes["restore-table.yml"] = back(1000)
    plan = restore_table.make_plan(estate, "management.public.checks")
    assert restore_table.take_back(estate, plan, silent).rows == 1000
    ((playbook, variables),) = world.given
    assert playbook == "restore-table.yml"
    assert variables == {
        "run_id": "table-lab",
        "restore_on": "db1",
        "restore_database": "management",
        "restore_schema": "public",
        "restore_table": "checks",
        "restore_as": "checks_restored_202611241030",
        "restore_table_to": "2026-11-24 02:30:00+00:00",
    }
    (entry,) = backup_record.entries(estate.name)
    assert (entry.what, entry.ok, entry.about["rows"]) == ("table", True, 1000)


def test_a_table_of_everything_archived_is_named_by_when_it_was_made(estate: Estate, world: World) -> None:
    world.there = [replace(STANDS, to="latest")]
    assert restore_table.make_plan(estate, "management.public.x").new == "x_restored_202611241100"


@pytest.mark.parametrize(("refused", "kind"), [(True, Refused), (False, Error)])
def test_a_table_that_did_not_come_back_is_told(
    estate: Estate, world: World, refused: bool, kind: type[Error]
) -> None:
    world.there = [STANDS]
    failure = Failure("localhost", "Copy the table", "The name is taken.", refused=refused)
    world.outcomes["restore-table.yml"] = Outcome("failed", 1.0, failures=(failure,))
    plan = restore_table.make_plan(estate, "management.public.checks")
    with pytest.raises(kind, match="The name is taken") as raised:
        restore_table.take_back(estate, plan, silent)
    assert type(raised.value) is kind
    assert not next(backup_record.entries(estate.name)).ok


def test_without_one_primary_no_table_comes_back(estate: Estate, world: World) -> None:
    world.there = [STANDS]
    plan = restore_table.make_plan(estate, "management.public.checks")
    for nodes, verdict in (((STANDBY,), Name.NO_PRIMARY), ((PRIMARY, STANDBY), Name.SPLIT_BRAIN)):
        world.nodes, world.verdict = nodes, verdict
        with pytest.raises(Refused) as refused:
            restore_table.take_back(estate, plan, silent)
        assert refused.value.code == "no-primary"
    assert world.given == []


def test_release_lists_and_removes_what_stands(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety_copies, "safety_copies", lambda *_: [])
    context = Context()
    context._estate = estate
    for there in (STANDS, BROKEN):
        world.there = [there]
        world.given.clear()
        said = CliRunner().invoke(restore, ["release", "--plan"], obj=context)
        assert (said.exit_code, "verify1" in said.output, world.given) == (0, True, [])
        said = CliRunner().invoke(restore, ["release", "--yes", "--json"], obj=context)
        assert json.loads(said.output)["inspection"]["state"] == there.state
        assert world.names() == ["inspection-release.yml"]
        context.json = False


def test_an_inspection_takes_no_word_of_a_restore(estate: Estate) -> None:
    context = Context()
    context._estate = estate
    for words in (["--on", "db1"], ["--unprotected", "no room"], ["--accept-expired-kit", "agreed"]):
        said = CliRunner().invoke(restore, ["database", "--inspect", *words], obj=context)
        assert isinstance(said.exception, BadInput)
        assert said.exception.code == "inspect-what"


def test_the_commands_end_with_what_can_be_done_next(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rmc_dr.observe.repository.observe_store", lambda _estate: seen())
    monkeypatch.setattr("rmc_dr.observe.backups.observe_lineage", lambda _estate: None)
    monkeypatch.setattr("rmc_dr.plans.restore_database.choose_backup", lambda *_, **__: None)
    monkeypatch.setattr("rmc_dr.plans.restore_database.refuse_unarchived", lambda *_: None)
    context = Context()
    context._estate = estate
    words = ["database", "--inspect", "--to", "2026-11-24T10:30:00+08:00"]
    said = CliRunner().invoke(restore, [*words, "--plan"], obj=context)
    assert ("2026-11-24 10:30:00+08:00" in said.output, world.given) == (True, [])
    world.there = [ABSENT, ABSENT, STANDS]
    said = CliRunner().invoke(restore, words, obj=context)
    for next_one in ("restore psql management", "restore table management.public.TABLE", "restore release"):
        assert f"rmc-dr {next_one}" in said.output
    world.given.clear()
    said = CliRunner().invoke(restore, words, obj=context)
    assert isinstance(said.exception, BadInput), "one that stands is not lost unasked"
    assert world.given == []
    world.outcomes["restore-table.yml"] = back(7)
    said = CliRunner().invoke(restore, ["table", "management.public.checks", "--yes"], obj=context)
    assert "7 rows are back in public.checks_restored_202611241030" in said.output
