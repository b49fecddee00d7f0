"""The dependency rule of the house, over the import graph, and who alone may call what."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "rmc_dr"
LONGEST = 400
CODE = {".py", ".yml", ".yaml", ".java", ".html", ".j2", ".sh", ".toml", ".cfg"}

DRIVERS = {
    "ansible_runner", "asyncio", "boto3", "http", "httpx", "os", "psycopg", "pytest", "requests", "select",
    "shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "testinfra", "threading", "time", "urllib",
}  # fmt: skip
PURE = ("model", "gates", "plans", "pair", "backups", "diagnose", "history", "timeline")
MAY_BE_PURE = {
    "backups",
    "errors",
    "estate",
    "gates",
    "history",
    "i18n",
    "model",
    "pair",
    "plans",
    "prometheus",
    "retold",
    "spoken",
    "diagnose",
    "timeline",
}
# Of triage only what looks and what watches touches anything; what is asked and judged does not.
PURE_TRIAGE = {
    "check.confirm",
    "check.contract",
    "check.findings",
    "check.judge",
    "check.judge_hosts",
    "check.judge_network",
    "check.judge_services",
    "check.monitoring",
    "check.roads",
    "check.seen",
}
# A diagnosis reads the same look.
DIAGNOSED = PURE_TRIAGE | {"check", "estate_limits", "spoken", "strict", "wording", "words"}
READERS = ("view", "notify", "incident", "report", "retold", "spoken", "words")
READ = {
    "backup_record", "console", "content", "drill_record", "errors", "history", "i18n", "incident", "journal",
    "journals", "lines", "locks", "model", "names", "record", "redact", "releases", "report", "retold",
    "rounds", "spoken", "strict", "wording", "words",
}  # fmt: skip
# Of inspections only what looks at the estate, asks it and keeps what was seen touches anything.
PURE_ROUNDS = {
    "rounds.capacity", "rounds.compare", "rounds.facts", "rounds.history", "rounds.patches", "rounds.proofs",
    "rounds.risks", "rounds.told", "rounds.trend", "rounds.versions",
}  # fmt: skip
STORIES = {"cli", "drill", "engine", "publish", "rebuild", "report", "view"}


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name below rmc_dr."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        found[name if name != "__init__" else ""] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def top(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever in it; for our own, each module by itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            ours = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in ours if name.removeprefix("rmc_dr.") in modules()}
            yield from known if known and node.module == "rmc_dr" else {node.module} | known


def own(tree: ast.Module) -> set[str]:
    return {name.removeprefix("rmc_dr.") for name in imports(tree) if name.startswith("rmc_dr.")}


def foreign(tree: ast.Module) -> set[str]:
    return {top(name) for name in imports(tree) if not name.startswith("rmc_dr")}


def texts(tree: ast.Module) -> set[str]:
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def those(names: tuple[str, ...]) -> list[str]:
    return [name for name in modules() if top(name) in names]


def test_relative_imports_are_not_used() -> None:
    nodes = [(name, node) for name, tree in modules().items() for node in ast.walk(tree)]
    assert not [name for name, node in nodes if isinstance(node, ast.ImportFrom) and node.level]


def test_nothing_imports_the_command_line() -> None:
    assert not [
        name for name, tree in modules().items() if top(name) != "cli" and "cli" in map(top, own(tree))
    ]


@pytest.mark.parametrize("name", those(PURE))
def test_what_decides_touches_no_network_clock_or_disk(name: str) -> None:
    tree = modules()[name]
    assert not foreign(tree) & DRIVERS
    others = own(tree) - (DIAGNOSED if top(name) == "diagnose" else set())
    assert {top(other) for other in others} <= MAY_BE_PURE
    clocks = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {
        "now",
        "utcnow",
        "today",
    }
    assert not clocks


@pytest.mark.parametrize("name", sorted(PURE_TRIAGE))
def test_what_judges_a_look_looks_at_nothing(name: str) -> None:
    tree = modules()[name]
    assert not foreign(tree) & (DRIVERS - {"urllib"})  # urllib.parse takes a URL apart
    ours = own(tree)
    assert {other for other in ours if top(other) == "check"} <= PURE_TRIAGE | {"check"}
    others = {top(other) for other in ours - {"store", "store.endpoint"}}
    assert others <= MAY_BE_PURE | {"check", "estate_limits", "words"}


@pytest.mark.parametrize("name", sorted(PURE_ROUNDS))
def test_what_an_inspection_makes_of_what_it_saw_touches_nothing(name: str) -> None:
    tree = modules()[name]
    assert not foreign(tree) & DRIVERS
    assert {other for other in own(tree) if top(other) == "rounds"} <= PURE_ROUNDS | {"rounds"}


@pytest.mark.parametrize(
    "name", ["check.probe", "observe.datasource_remote", "observe.liberty_remote", "observe.holdings_remote"]
)
def test_what_is_sent_to_the_hosts_is_alone(name: str) -> None:
    tree = modules()[name]
    assert own(tree) == set()
    assert foreign(tree) <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", those(READERS))
def test_who_tells_of_a_run_reads_only_its_journal(name: str) -> None:
    assert {top(other) for other in own(modules()[name])} <= READ


def test_below_the_engine_nothing_knows_who_stands_above() -> None:
    wrong = {
        name: above
        for name, tree in modules().items()
        if top(name) not in STORIES | {"lab", "kit"}
        and (above := {top(other) for other in own(tree)} & STORIES)
    }
    assert not wrong


def test_errors_know_nobody() -> None:
    assert own(modules()["errors"]) == set()
    assert own(modules()["model"]) <= {"errors"}


def test_no_circle() -> None:
    graph = {name: own(tree) & set(modules()) - {name} for name, tree in modules().items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle of imports: {' -> '.join([*path, name])}"
        if name not in done:
            for other in graph[name]:
                visit(other, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    ("word", "alone"),
    [("systemd-nspawn", "lab"), ("ansible-inventory", "estate"), ("ansible-playbook", "nobody")],
)
def test_who_alone_calls(word: str, alone: str) -> None:
    assert not [name for name, tree in modules().items() if top(name) != alone and word in texts(tree)]


@pytest.mark.parametrize(("library", "alone"), [("ansible_runner", "runner"), ("pytest", "verify")])
def test_who_alone_imports(library: str, alone: str) -> None:
    assert not [name for name, tree in modules().items() if top(name) != alone and library in foreign(tree)]


def test_the_load_program_shares_nothing_with_what_it_judges() -> None:
    tree = modules()["lab.load"]
    assert own(tree) == set()
    assert foreign(tree) - {"rmc_dr"} <= set(sys.stdlib_module_names) | {"httpx"}
    assert "rmc_dr" not in {top(name) for name in imports(tree)}


def test_no_file_is_too_long() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / line for line in listed.splitlines()]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in paths
        if path.is_file() and path.suffix in CODE
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST}
