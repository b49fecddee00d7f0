"""The trees: read out of their files, proven whole, and walked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from rmc_dr.diagnose.ask import QUESTIONS
from rmc_dr.diagnose.sight import Sight
from rmc_dr.strict import Strict
from rmc_dr.wording import Wording

FOLDER = Path(__file__).parent
TREES = ("login", "db-timeout", "appserver")
LEAVES = ("leaves.yml", "leaves-database.yml")
UNKNOWN = "unknown"
# nothing: all is well; restart, reconfigure: rmc-dr mends it; freeze: keep the scene, let nobody write, tell;
# rebuild, hand: a person decides; look: something was not seen; wait: it mends itself.
Mend = Literal["nothing", "restart", "reconfigure", "freeze", "rebuild", "hand", "look", "wait"]


class Node(Wording):
    """A question: ``asks`` names it among the pure ones, ``branches`` where each of its answers leads."""

    asks: str
    branches: Mapping[str, str]


class Leaf(Strict):
    """An end. ``finding`` is of the incident's table, "" where nothing is wrong or nothing is known.

    ``is`` says what it is, ``proved`` what the way here proves, ``do`` what mends it; ``command`` is typed.
    ``felt``: users meet it although they can log in, as where nothing can be written; only such a fault is
    mended by a stop while every log-in works.
    """

    finding: str = ""
    mend: Mend
    felt: bool = False
    what: Wording = Field(alias="is")
    proved: Wording
    do: Wording
    command: str = ""


class Trees(Strict):
    """All nodes by TREE/NAME, all leaves, and the node that each tree begins with."""

    roots: Mapping[str, str]
    nodes: Mapping[str, Node]
    leaves: Mapping[str, Leaf]


class _File(Strict):
    begins: str
    nodes: Mapping[str, Node]


@dataclass(frozen=True)
class Step:
    """One question of a walk: what was asked, what was seen, and the branch that was taken."""

    node: str
    asks: str
    seen: str
    branch: str


@dataclass(frozen=True)
class Walk:
    """The way from a tree's root to its leaf. ``served``: in the same look users could log in."""

    tree: str
    host: str
    steps: tuple[Step, ...]
    leaf: str
    served: bool = False


class Crooked(ValueError):
    """A tree that is not whole; a defect of its file."""


@cache
def trees() -> Trees:
    """Read and proven. Raises Crooked, or pydantic's ValidationError."""
    nodes: dict[str, Node] = {}
    roots: dict[str, str] = {}
    for tree in TREES:
        file = _File.model_validate(_yaml(f"{tree}.yml"))
        roots[tree] = _full(tree, file.begins)
        for name, node in file.nodes.items():
            ways = {answer: _target(tree, file, to) for answer, to in node.branches.items()}
            nodes[f"{tree}/{name}"] = node.model_copy(update={"branches": ways})
    raw = {name: leaf for file in LEAVES for name, leaf in _yaml(file).items()}
    leaves = {name: Leaf.model_validate(leaf) for name, leaf in raw.items()}
    whole = Trees(roots=roots, nodes=nodes, leaves=leaves)
    if wrong := sorted(problems(whole)):
        raise Crooked("; ".join(wrong))
    return whole


def _yaml(name: str) -> dict[str, object]:
    read: dict[str, object] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return read


def _target(tree: str, file: _File, to: str) -> str:
    """A node of the same file by its name, one of another file as TREE/NAME; else a leaf."""
    return _full(tree, to) if to in file.nodes else to


def _full(tree: str, name: str) -> str:
    return f"{tree}/{name}"


def problems(whole: Trees) -> Iterator[str]:
    """What keeps the trees from always ending in a leaf. Pure."""
    for name, node in whole.nodes.items():
        question = QUESTIONS.get(node.asks)
        if question is None:
            yield f"{name} asks {node.asks}, which nobody answers"
            continue
        if question.answers != set(node.branches):
            odd = ", ".join(sorted(question.answers ^ set(node.branches)))
            yield f"{name} and the answers of {node.asks} differ: {odd}"
        for answer, to in node.branches.items():
            if to not in whole.nodes and to not in whole.leaves:
                yield f"{name}, {answer}: leads to {to}, which is nothing"
            elif answer == UNKNOWN and (to in whole.nodes or whole.leaves[to].mend != "look"):
                yield f"{name}: unknown must lead to a leaf that says which look is missing"
    for root in whole.roots.values():
        yield from _circles(whole, root, ())
    reached = {to for node in whole.nodes.values() for to in node.branches.values()}
    yield from (f"no way leads to {name}" for name in whole.leaves.keys() - reached)
    yield from (
        f"no way leads to {name}" for name in whole.nodes.keys() - reached - set(whole.roots.values())
    )


def _circles(whole: Trees, name: str, path: tuple[str, ...]) -> Iterator[str]:
    if name in path:
        yield f"a circle: {' -> '.join([*path, name])}"
        return
    if name in whole.nodes:
        for to in dict.fromkeys(whole.nodes[name].branches.values()):
            yield from _circles(whole, to, (*path, name))


def walk(tree: str, sight: Sight, whole: Trees | None = None) -> Walk:
    """From the root to a leaf. A question that was asked on the way is not asked again."""
    known = whole or trees()
    at, steps = known.roots[tree], list[Step]()
    answered: dict[str, str] = {}
    while at in known.nodes:
        node = known.nodes[at]
        if node.asks not in answered:
            reply = QUESTIONS[node.asks].ask(sight)
            answered[node.asks] = reply.branch
            steps.append(Step(at, node.asks, reply.seen, reply.branch))
        at = node.branches[answered[node.asks]]
    return Walk(tree, sight.host, tuple(steps), at, QUESTIONS["application"].ask(sight).branch == "well")
