"""Every command that the docs, the README or a hint names exists, with the options that it is given."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import click
import pytest

from rmc_dr import content
from rmc_dr.cli import main

ROOT = content.root()
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = sorted((ROOT / "rmc_dr").rglob("*.py"))
INLINE = re.compile(r"`(rmc-dr(?: [^`]*)?)`")
CONSOLE = re.compile(r"^\s*\$ (rmc-dr.*)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def commands() -> list[tuple[str, str]]:
    found = []
    for path in [*PAGES, *SOURCES]:
        for text in spoken(path):
            matches = (*INLINE.finditer(text), *CONSOLE.finditer(text))
            found.extend((path.name, match.group(1)) for match in matches)
    return sorted(set(found))


def spoken(path: Path) -> list[str]:
    """A page as it stands; of a source its strings, put together as Python does."""
    if path.suffix != ".py":
        return [path.read_text()]
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what follows it."""
    command: click.Command = main
    context = click.Context(main, info_name="rmc-dr")
    while words:
        if isinstance(command, click.Group):
            if words[0].startswith("-"):
                takes_value = words[0] in ("-i", "--inventory")
                words = words[2:] if takes_value else words[1:]
                continue
            below = command.get_command(context, words[0])
            assert below is not None, f"no command {words[0]}"
            command, words = below, words[1:]
            continue
        break
    return command, words


@pytest.mark.parametrize(("page", "line"), commands())
def test_command_exists(page: str, line: str):
    command, rest = resolve(shlex.split(line.split(" | ")[0], comments=True)[1:])
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= {"--help", "-h", "--version"}
    for word in rest:
        if word == "--":
            break
        if word.startswith("-") and word != "-":
            assert word.split("=")[0] in known, f"{page}: {line}: no option {word}"
    given = {word.split("=")[0] for word in rest}
    for parameter in command.params:
        if parameter.required and isinstance(parameter, click.Option):
            assert given & set(parameter.opts), f"{page}: {line}: {parameter.opts[0]} must be given"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_command_has_a_page():
    pages = " ".join(path.read_text() for path in PAGES)
    context = click.Context(main, info_name="rmc-dr")
    missing = [name for name in main.list_commands(context) if f"rmc-dr {name}" not in pages]
    assert not missing


def test_how_long_things_take_is_said_by_the_makefile_alone():
    """The pages and what the program says repeat its numbers."""
    makefile = (ROOT / "Makefile").read_text()

    def told(pattern: str) -> set[str]:
        return set(re.findall(pattern, makefile))

    [setup] = told(r"## Install what is needed .*about (\d+) min")
    [kit] = told(r"Building the recovery kit \(about (\d+) min the first time")
    [drill] = told(r"The drill \(about (\d+) min the first time")
    whole = int(setup) + int(kit) + int(drill)
    assert (
        f"about {whole} min the first time, about {drill} min after that" in (ROOT / "README.md").read_text()
    )
    assert f"首次约 {whole} 分钟，之后约 {drill} 分钟" in (ROOT / "README.zh-CN.md").read_text()
    assert f"The first build takes about {kit} min" in (ROOT / "docs/runbooks/kit.md").read_text()
    assert f"builds the kit (about {kit} min)" in (ROOT / "docs/runbooks/lab.md").read_text()
    assert f"(about {kit} minutes, once)" in (ROOT / "rmc_dr/lab/up.py").read_text()
