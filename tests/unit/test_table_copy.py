"""A table's way between two hosts: ssh and psql are played by a script, the pipes between them are real."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from test_verification_role import loaded

from rmc_dr import content

copying = loaded(content.root() / "roles/restore/library/table_copy.py", "table_copy")
# What psql is asked lands in a file beside, by the side that it is asked on.
PSQL = """#!/bin/sh
case "$*" in
*--host=*) side=source ;;
*) side=target ;;
esac
asked=$(mktemp {folder}/$side.XXXXXX)
cat >$asked
case "$(cat $asked)" in
*pg_table_size*) cat {folder}/describe ;;
*pg_is_in_recovery*) cat {folder}/look ;;
*"to stdout"*) cat {folder}/rows; exit $(cat {folder}/source-code) ;;
*committed*) cat {folder}/end ;;
esac
"""
DF = "#!/bin/sh\necho avail\ncat {folder}/free\n"


class World:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, text in {"runuser": PSQL, "df": DF}.items():
            (programs / name).write_text(text.format(folder=folder))
            (programs / name).chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        self.say("describe", '{"columns": "id bigint, \\"名\\" text", "bytes": 8192}')
        self.say("look", '{"primary": true, "schema": true, "taken": false}')
        self.say("rows", "1\tLi\n2\tWang\\nFang\n")
        self.say("free", str(2**40))
        self.say("source-code", "0")
        self.say("end", "committed\n")

    def say(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def copy(self, **others: Any) -> int:
        given = {
            "source": ["sh", "-c"], "target": ["sh", "-c"], "socket": "/srv/inspect/run", "port": 5432,
            "data": "/srv/postgresql", "database": "management", "schema": "public", "table": "patients",
            "new": "patients_restored_1", "moment": "latest",
        }  # fmt: skip
        rows: int = copying.copy({**given, **others})
        return rows

    def asked(self, side: str) -> list[str]:
        return [path.read_text() for path in self.folder.glob(f"{side}.*")]

    def sent(self) -> str:
        return next((text for text in self.asked("target") if "copy" in text), "")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_rows_arrive_and_are_counted_before_the_commit(world: World) -> None:
    assert world.copy() == 2
    lines = world.sent().splitlines()
    begin = lines.index("begin;")
    assert lines[begin + 1] == 'create table "public"."patients_restored_1" (id bigint, "名" text);'
    assert lines[begin + 3 : begin + 7] == [
        "\\set VERBOSITY sqlstate",
        'copy "public"."patients_restored_1" from stdin;',
        "1\tLi",
        "2\tWang\\nFang",
    ]
    assert lines[begin + 7] == "\\."
    assert "<> 2" in lines[begin + 8]
    assert lines[begin + 9] == "commit;"
    given = next(text for text in world.asked("source") if "to stdout" in text)
    assert 'copy (select * from "public"."patients") to stdout;' in given


def test_an_empty_table_is_one_as_well(world: World) -> None:
    world.say("rows", "")
    assert world.copy() == 0
    assert "from stdin;\n\\.\n" in world.sent()


def test_a_source_that_breaks_off_is_never_committed(world: World) -> None:
    world.say("source-code", "3")
    with pytest.raises(copying.Wrong, match="Nothing of it stays"):
        world.copy()
    assert "1\tLi\n" in world.sent()
    assert "commit;" not in world.sent()
    assert "\\." not in world.sent()


def test_a_target_that_does_not_say_so_has_not_committed(world: World) -> None:
    world.say("end", "")
    with pytest.raises(copying.Wrong, match="not copied"):
        world.copy()


def test_a_target_that_is_gone_is_told_and_ends_the_source(world: World) -> None:
    pipe_full = 1 << 20
    world.say("rows", "1\n" * pipe_full)
    source = copying.Side(["sh", "-c"], copying.psql("management", 5432, "--host=/srv/inspect/run"))
    gone = copying.Side(["sh", "-c"], ("sh", "-c", "echo no route >&2; exit 255"))
    with pytest.raises(copying.Wrong, match="no route"):
        copying.stream(source, "copy (select 1) to stdout;\n", gone, "begin;\n", '"public"."x"')


@pytest.mark.parametrize(
    ("what", "text", "said"),
    [
        ("describe", "", "no table public.patients in management"),
        ("look", '{"primary": false, "schema": true, "taken": false}', "takes no writes"),
        ("look", '{"primary": true, "schema": false, "taken": false}', "no schema public"),
        ("look", '{"primary": true, "schema": true, "taken": true}', "never written over"),
        ("free", str(2**30), "bytes free"),
    ],
)
def test_what_is_refused_before_a_row_moves(world: World, what: str, text: str, said: str) -> None:
    world.say(what, text)
    with pytest.raises(copying.Wrong, match=said) as refused:
        world.copy()
    assert refused.value.refused
    assert world.sent() == ""


def test_names_and_texts_cannot_leave_their_quotes() -> None:
    assert copying.name("public", 'a"b') == '"public"."a""b"'
    assert copying.text("a'b") == "'a''b'"
