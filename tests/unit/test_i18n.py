"""Every sentence that an operator reads exists in both languages."""

from __future__ import annotations

import ast
import io
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from rmc_dr import found, i18n, retold
from rmc_dr.cli.click_words import SENTENCES

PACKAGE = Path(i18n.__file__).parent
FOLDER = PACKAGE / "locale" / "zh_CN" / "LC_MESSAGES"
SPOKEN = {"echo", "print", "prompt", "confirm", "secho", "Answer", "say", "Sealed", "Silent"}
DETAILED = {"Check", "Proof", "Remark", "Problem"}  # their first two words are names for machines
SPOKEN_KEYWORDS = {"help", "hint", "reason", "prompt", "short_help", "epilog"}
FORMS = {"note"}  # journal events whose `text` an operator reads
LETTERS = re.compile(r"[A-Za-z]{2,}")
MARKUP = re.compile(r"\[/?[a-z ]*\]")  # rich's
UNTOUCHED = {"lab/load.py"}  # independent of rmc_dr; speaks JSON


@cache
def catalogue() -> Catalog:
    with (FOLDER / "rmc_dr.po").open("rb") as file:
        return read_po(file, locale="zh_CN")


@cache
def extracted() -> dict[str, str]:
    with (PACKAGE / "locale" / "babel.cfg").open(encoding="utf-8") as file:
        methods, options = parse_mapping_cfg(file)
    found = extract_from_dir(PACKAGE, methods, options)
    return {first(text): f"{file}:{line}" for file, line, text, _comments, _context in found}


def first(text: str | list[str] | tuple[str, ...]) -> str:
    """The singular, which names a sentence in the catalogue."""
    return text if isinstance(text, str) else str(text[0])


def last(text: str | list[str] | tuple[str, ...]) -> str:
    """The plural, the one form that Chinese has."""
    return text if isinstance(text, str) else str(text[-1])


def translations() -> list[Message]:
    return [message for message in catalogue() if message.id]


def test_every_sentence_is_translated() -> None:
    missing = {
        text: where
        for text, where in extracted().items()
        if not (catalogue().get(text) or Message("")).string
    }
    assert not missing, f"{len(missing)} sentences lack a translation; run `make locale` and fill them in"


def test_no_translation_is_only_guessed() -> None:
    assert not [message.id for message in translations() if message.fuzzy]


def test_no_translation_has_outlived_its_sentence() -> None:
    assert not {first(message.id) for message in translations()} - set(extracted())


def test_placeholders_are_the_same_in_both_languages() -> None:
    def fields(text: str) -> list[tuple[str, str | None]]:
        return sorted(
            (name, spec) for _text, name, spec, _conversion in string.Formatter().parse(text) if name
        )

    wrong = [
        message.id
        for message in translations()
        if message.string and fields(last(message.id)) != fields(last(message.string))
    ]
    assert not wrong


def test_commands_and_options_are_not_translated() -> None:
    def commands(text: str) -> list[str]:
        return sorted(re.findall(r"`[^`]+`|--[a-z-]+|RMC_DR_[A-Z_]+", text))

    wrong = [
        message.id
        for message in translations()
        if message.string and commands(last(message.id)) != commands(last(message.string))
    ]
    assert not wrong


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalogue())
    assert (FOLDER / "rmc_dr.mo").read_bytes() == compiled.getvalue(), "run `make locale`"


def test_the_language_follows_the_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMC_DR_LANG", "zh")
    assert i18n._("not done") == "未执行"
    monkeypatch.setenv("RMC_DR_LANG", "en")
    assert i18n._("not done") == "not done"


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name not in UNTOUCHED:
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@cache
def errors() -> frozenset[str]:
    """The names of Error and of everything that inherits from it, in any module."""
    known = {"Error"}
    classes = [node for _name, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while (
        grown := {node.name for node in classes for base in node.bases if getattr(base, "id", "") in known}
        - known
    ):
        known |= grown
    return frozenset(known)


def spoken(node: ast.Call) -> Iterator[ast.expr]:
    """The arguments of a call that an operator reads."""
    name = called(node)
    if name in errors():
        yield from node.args[1:]
    elif name in SPOKEN:
        yield from node.args
    elif name in DETAILED:
        yield from node.args[2:]
    elif name == "append" and node.args and getattr(node.args[0], "value", None) in FORMS:
        yield from (keyword.value for keyword in node.keywords if keyword.arg == "text")
    click = isinstance(node.func, ast.Attribute) and name in (
        "command",
        "group",
        "option",
        "argument",
        "prompt",
    )
    if click or name in errors() | {"Answer"}:
        yield from (keyword.value for keyword in node.keywords if keyword.arg in SPOKEN_KEYWORDS)


def bare_words(node: ast.expr) -> str | None:
    """The English in an expression that no `_` has seen."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if LETTERS.search(node.value) else None
    if isinstance(node, ast.JoinedStr):
        parts = "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        return parts if LETTERS.search(MARKUP.sub("", parts)) else None
    if isinstance(node, ast.Call) and called(node) in ("Text", "format", "style"):
        inner = node.func.value if isinstance(node.func, ast.Attribute) and called(node) == "format" else None
        return (
            bare_words(inner)
            if inner is not None
            else next(filter(None, map(bare_words, node.args[:1])), None)
        )
    if isinstance(node, ast.IfExp):
        return bare_words(node.body) or bare_words(node.orelse)
    if isinstance(node, ast.BinOp):
        return bare_words(node.left) or bare_words(node.right)
    return None


def test_what_is_said_goes_through_the_catalogue() -> None:
    bare = [
        f"{name}:{node.lineno}: {words}"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for argument in spoken(node)
        if (words := bare_words(argument)) and words.strip() != "UTC"  # the same in both languages
    ]
    assert not bare


def test_what_a_record_keeps_is_told_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(retold.SENTENCES) <= set(extracted())
    values = {
        "host": "app1",
        "path": "/srv",
        "count": "7",
        "moment": "2026-11-24 02:30:00+08:00",
        "time": "x y",
    }
    values |= {
        "label": "20261124-010012F",
        "taken": "2026-11-24 01:00:12 UTC",
        "wal": "00000001000000000000000A",
    }
    values |= {"size": "50.0 GB", "minutes": "9", "at": "2026-11-23 03:00 UTC"}
    for sentence in retold.SENTENCES:
        told = {
            lang: i18n.catalogue(code).gettext(sentence).format(**values)
            for lang, code in (("en", "en"), ("zh", "zh_CN"))
        }
        for lang, text in told.items():
            monkeypatch.setenv("RMC_DR_LANG", lang)
            assert [retold.retold(kept) for kept in told.values()] == [text, text]
    assert retold.retold("something else") == "something else"


def test_every_sentence_that_plans_record_can_be_retold() -> None:
    """Those are what the functions return that make `destroys` and `restores`."""
    makers = {"_destroys", "_restores", "_lost", "system_of"}
    said = {
        str(getattr(call.args[0], "value", ""))
        for name, tree in trees()
        if name.startswith("plans/")
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name in makers
        for call in ast.walk(function)
        if isinstance(call, ast.Call) and called(call) == "_"
    }
    assert said == set(retold.SENTENCES)


def test_what_the_verification_host_says_is_known_by_its_words() -> None:
    """Its modules run in that host's Python; the sentences stand on both sides, and each in the catalogue."""
    role = PACKAGE.parent / "roles/verification"
    calls = [
        node
        for path in sorted([*role.glob("library/*.py"), *role.glob("module_utils/*.py")])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and called(node) in ("finding", "_spoiled") and len(node.args) > 2
    ]
    assert len(calls) > 20
    sentences = {
        str(part.value)
        for node in calls
        for part in ast.walk(node.args[2])
        if isinstance(part, ast.Constant) and LETTERS.search(str(part.value))
    }
    assert sentences <= found.KNOWN
    texts = "".join(path.read_text(encoding="utf-8") for path in role.glob("library/*.py"))
    assert [one for one in found.SENTENCES if f'"{one}"' not in texts] == []
    assert set(extracted()) >= found.KNOWN


def test_a_finding_is_told_in_the_language_of_who_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"detail": "3 segments, whose turn it was", "says": "{count} segments, whose turn it was"}
    assert found.told({**kept, "values": {"count": "3"}}) == kept["detail"]
    assert found.told({**kept, "values": {}}) == "{count} segments, whose turn it was"
    assert found.told({**kept, "values": {"other": "3"}}) == kept["detail"]
    assert found.told({"detail": "pg_dump: broken {x}", "says": "pg_dump: broken {x}", "values": {}}) == (
        "pg_dump: broken {x}"
    )
    assert found.told({"detail": "of an older host"}) == "of an older host"


def test_the_extractor_reads_every_sentence() -> None:
    """One put together before `_` sees it, or asked for inside an f-string, is in no catalogue."""
    known = extracted()
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) == "_"
        if not (len(node.args) == 1 and getattr(node.args[0], "value", None) in known)
    ]
    assert not wrong


def test_the_sentences_of_click_are_still_its_own() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(click.__file__).parent.glob("*.py"))
    assert not [sentence for sentence in SENTENCES if f'"{sentence}"' not in source]


def test_a_mistake_is_answered_in_chinese() -> None:
    command = [sys.executable, "-c", "from rmc_dr.cli import main; main(prog_name='rmc-dr')", "--nonsense"]
    done = subprocess.run(
        command, env={**os.environ, "RMC_DR_LANG": "zh"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "没有选项 '--nonsense'" in done.stderr
    assert "用法：" in done.stderr
