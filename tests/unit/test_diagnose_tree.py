"""The trees are whole, a world leads to each leaf, and what nobody saw is neither well nor guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import pytest
from diagnose_world import APP, NOT_READY, WORLDS, both, datasource, refused, sessions, well
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rmc_dr import content, diagnosis
from rmc_dr.cli.diagnose import NAMES
from rmc_dr.diagnose.ask import QUESTIONS
from rmc_dr.diagnose.question import UNKNOWN
from rmc_dr.diagnose.sight import Sight
from rmc_dr.diagnose.tree import TREES, Node, Trees, Walk, problems, trees, walk
from rmc_dr.estate import Estate
from rmc_dr.incident.findings import table


def paths(whole: Trees, name: str, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if name in whole.nodes:
        for to in whole.nodes[name].branches.values():
            yield from paths(whole, to, (*way, name))
    else:
        yield (*way, name)


def test_every_way_ends_in_a_leaf_and_every_leaf_is_reached() -> None:
    whole = trees()
    assert list(problems(whole)) == []
    ends = {way[-1] for root in whole.roots.values() for way in paths(whole, root)}
    assert ends == set(whole.leaves)
    assert set(whole.roots) == set(TREES) == set(NAMES)


def test_no_question_is_without_use() -> None:
    assert {node.asks for node in trees().nodes.values()} == set(QUESTIONS)


def test_every_leaf_names_a_finding_of_the_table_unless_nothing_is_found() -> None:
    for name, leaf in trees().leaves.items():
        assert (leaf.finding == "") == (leaf.mend in ("nothing", "look") or name in WAITING), name
        assert leaf.finding in ("", *table().findings), name
    assert trees().leaves[diagnosis.HEALTHY].mend == "nothing"


WAITING = ("look-again", "liberty-starting")


def test_what_is_unknown_leads_only_to_leaves_that_say_so() -> None:
    whole = trees()
    for name, node in whole.nodes.items():
        assert whole.leaves[node.branches[UNKNOWN]].mend == "look", name


@pytest.mark.parametrize("leaf", WORLDS)
def test_each_leaf_has_a_world(estate: Estate, leaf: str) -> None:
    tree, change = WORLDS[leaf]
    found = walk(tree, change(well(estate)))
    assert found.leaf == leaf, told(found)
    assert all(step.seen for step in found.steps)


def test_every_leaf_is_among_the_worlds() -> None:
    assert set(WORLDS) == set(trees().leaves)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize(
    "leaf", [leaf for leaf in WORLDS if not leaf.startswith(("disk", "inodes", "unknown"))]
)
def test_whatever_the_complaint_the_cause_is_found(estate: Estate, leaf: str, tree: str) -> None:
    """Whoever names the wrong complaint is led to the same leaf, or to health where his users are served."""
    found = walk(tree, WORLDS[leaf][1](well(estate)))
    allowed = {leaf, diagnosis.HEALTHY} if hides(leaf, tree) else {leaf}
    assert found.leaf in allowed, told(found)


def hides(leaf: str, tree: str) -> bool:
    """In such a world the applications still work, and a tree that asks no further says so."""
    served = leaf in LATENT
    return served and (tree != WORLDS[leaf][0])


# Worlds whose applications still work, or whose server is asked by the tree before it comes there.
LATENT = {
    leaf for leaf in WORLDS
    if leaf.startswith(("name-", "port-", "mtu-", "network-", "datasource-", "role-", "database-"))
    or leaf in ("not-allowed", "no-database", "look-again", "users-fenced", "server-limit")
}  # fmt: skip


def told(found: Walk) -> str:
    return (
        "\n".join(f"{step.node}: {step.branch} ({step.seen})" for step in found.steps) + f"\n-> {found.leaf}"
    )


def test_a_question_is_not_asked_twice(estate: Estate) -> None:
    found = walk("login", NOT_READY(well(estate)))
    asked = [step.asks for step in found.steps]
    assert len(asked) == len(set(asked))
    assert found.leaf == "application-stale"


PARTS = [field.name for field in fields(Sight) if field.name in ("sources", "inside", "sessions", "later")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(
    leaf=st.sampled_from(sorted(WORLDS)), tree=st.sampled_from(TREES), gone=st.sets(st.sampled_from(PARTS))
)
def test_a_look_that_is_missing_never_makes_another_finding(
    estate: Estate, leaf: str, tree: str, gone: set[str]
) -> None:
    sight = WORLDS[leaf][1](well(estate))
    whole = walk(tree, sight)
    less = walk(tree, replace(sight, **dict.fromkeys(gone)))
    assert less.leaf == whole.leaf or trees().leaves[less.leaf].mend in ("look", "nothing"), told(less)
    if trees().leaves[less.leaf].mend == "nothing":
        assert whole.leaf == diagnosis.HEALTHY, told(less)


def test_a_password_that_nobody_can_judge_is_not_called_wrong(estate: Estate) -> None:
    sight = replace(
        refused("28P01", "auth_failed")(well(estate)), sessions=None, errors={"sessions": "no route"}
    )
    found = walk("db-timeout", sight)
    assert found.leaf == "unknown-datasource"
    assert "no route" in found.steps[-1].seen


def test_idle_sessions_do_not_make_a_full_pool_while_users_are_served(estate: Estate) -> None:
    assert walk("db-timeout", sessions(40)(well(estate))).leaf == "healthy"
    assert walk("db-timeout", both(NOT_READY, sessions(19))(well(estate))).leaf == "application-stale"


def test_a_wrong_password_beside_idle_transactions_is_still_the_password(estate: Estate) -> None:
    sight = both(NOT_READY, sessions(20), datasource(password=False))(well(estate))
    assert walk("db-timeout", sight).leaf == "datasource-password"


def test_a_tree_that_is_not_whole_is_told() -> None:
    whole = trees()
    node = whole.nodes["login/server"]
    broken: list[tuple[Node, str]] = [
        (node.model_copy(update={"asks": "weather"}), "nobody answers"),
        (node.model_copy(update={"branches": {"system": "login/names"}}), "differ"),
        (node.model_copy(update={"branches": {**node.branches, "silent": "nowhere"}}), "which is nothing"),
        (node.model_copy(update={"branches": {**node.branches, UNKNOWN: "server-silent"}}), "unknown must"),
        (node.model_copy(update={"branches": {**node.branches, "silent": "login/server"}}), "a circle"),
    ]
    for other, said in broken:
        torn = whole.model_copy(update={"nodes": {**whole.nodes, "login/server": other}})
        assert any(said in problem for problem in problems(torn)), said
    more = whole.model_copy(update={"leaves": {**whole.leaves, "spare": whole.leaves["healthy"]}})
    assert list(problems(more)) == ["no way leads to spare"]


def test_the_leaf_of_a_tree_names_the_host(estate: Estate) -> None:
    found = walk("appserver", WORLDS["server-silent"][1](well(estate)))
    assert diagnosis.command_of(found) == f"rmc-dr rebuild appserver {APP}"


def test_the_runbook_tells_of_every_leaf_and_its_mend() -> None:
    page = (content.root() / "docs/runbooks/diagnose.md").read_text()
    lines = [line for line in page.partition("## The leaves")[2].splitlines() if line.startswith("| `")]
    for name, leaf in trees().leaves.items():
        words = (f"`{name}`", f"`{name.removeprefix('datasource')}`")
        row = next((line for line in lines if any(word in line for word in words)), "")
        assert row.endswith(f"| {'-' if leaf.mend == 'nothing' else leaf.mend} |"), name
