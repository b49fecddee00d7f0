#!/usr/bin/python
"""Copies one table out of the inspected copy onto the primary, under another name: all of it, or nothing."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: table_copy
short_description: Copy a table between two hosts over SSH
description:
  - Runs on the control machine; the rows pass through its memory, never over its disk.
  - The new table holds columns and rows, no key, index or trigger, and belongs to the superuser alone. It is
    made in one transaction, which is committed only once every row has arrived.
  - Refuses where the source has no such table, the name is taken, or the target takes no writes, has no room.
options:
  source: {description: Words of ssh up to the remote command., type: list, elements: str, required: true}
  socket: {description: Folder of the source's socket., type: path, required: true}
  target: {description: Words of ssh up to the remote command., type: list, elements: str, required: true}
  port: {description: Port of both., type: int, required: true}
  data: {description: The target's data directory., type: path, required: true}
  database: {description: The database., type: str, required: true}
  schema: {description: The table's schema., type: str, required: true}
  table: {description: The table's name., type: str, required: true}
  new: {description: The copy's name., type: str, required: true}
  moment: {description: What the copy is as of., type: str, required: true}
author: [rmc-dr]
"""
# Text that means the same on both sides.
SAME = (
    "set client_encoding to 'UTF8'; set datestyle to 'ISO'; set intervalstyle to 'postgres';"
    " set extra_float_digits to 3; set search_path to pg_catalog; set statement_timeout to 0;\n"
)
DESCRIBE = """
select json_build_object(
  'columns', coalesce((
    select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum)
      from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped), ''),
  'bytes', greatest(pg_table_size(c.oid), (select sum(pg_table_size(relid)) from pg_partition_tree(c.oid))))
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = {schema} and c.relname = {table} and c.relkind in ('r', 'p');
"""
LOOK = """
select json_build_object(
  'primary', not pg_is_in_recovery(),
  'schema', exists (select from pg_namespace where nspname = {schema}),
  'taken', to_regclass({new}) is not null);
"""
# An error while rows arrive may hold one of them; then only its code is told.
BEGIN = """begin;
create table {new} ({columns});
comment on table {new} is {comment};
\\set VERBOSITY sqlstate
copy {new} from stdin;
"""
END = """\\.
do $$ begin if (select count(*) from {new}) <> {rows} then raise data_exception; end if; end $$;
commit;
select 'committed';
"""
GIVE = "copy (select * from {table}) to stdout;\n"
CHUNK = 1 << 20
ASK_SECONDS = 60
# The rows once more as WAL, and some that is nobody's.
ROOM_FACTOR = 2
ROOM_BYTES = 2**30
SHOWN = 300


class Wrong(Exception):
    """The sentence that the operator reads; ``refused`` where nothing was changed."""

    def __init__(self, said: str, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused


def name(*parts: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@dataclass(frozen=True)
class Side:
    """One PostgreSQL, reached over SSH as its superuser."""

    ssh: Sequence[str]
    psql: tuple[str, ...]

    def words(self, *command: str) -> list[str]:
        return [*self.ssh, "cd / && " + shlex.join(command or self.psql)]

    def ask(self, statement: str) -> dict | None:
        """The one JSON value that it gives; None without a row. Raises Wrong."""
        said = _run(self.words(), SAME + statement)
        return json.loads(said) if said.strip() else None


def psql(database: str, port: int, *more: str) -> tuple[str, ...]:
    return (
        "runuser", "--user=postgres", "--", "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1",
        "-v", "VERBOSITY=terse", *more, f"--port={port}", f"--dbname={database}",
    )  # fmt: skip


def _run(words: Sequence[str], stdin: str = "") -> str:
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, encoding="utf-8", timeout=ASK_SECONDS, check=False
    )
    if done.returncode:
        raise Wrong(f"{short(done.stderr) or done.returncode}. Nothing was changed.", refused=True)
    return done.stdout


def short(said: str) -> str:
    return " ".join(said.split())[-SHOWN:].rstrip(".")


def copy(given: dict) -> int:
    """How many rows the new table holds. Raises Wrong."""
    source = Side(given["source"], psql(given["database"], given["port"], f"--host={given['socket']}"))
    target = Side(given["target"], psql(given["database"], given["port"]))
    new = name(given["schema"], given["new"])
    found = source.ask(DESCRIBE.format(schema=text(given["schema"]), table=text(given["table"])))
    if found is None:
        raise Wrong(
            f"The inspected copy has no table {given['schema']}.{given['table']} in {given['database']}.",
            True,
        )
    _refuse_target(target.ask(LOOK.format(schema=text(given["schema"]), new=text(new))) or {}, given)
    _refuse_without_room(target, given["data"], found["bytes"])
    comment = text(f"As of {given['moment']}, brought back by rmc-dr.")
    begin = SAME + BEGIN.format(new=new, columns=found["columns"], comment=comment)
    out = GIVE.format(table=name(given["schema"], given["table"]))
    return stream(source, SAME + out, target, begin, new)


def _refuse_target(seen: dict, given: dict) -> None:
    if not seen.get("primary"):
        raise Wrong("The target takes no writes: it is no primary. Nothing was changed.", True)
    if not seen["schema"]:
        raise Wrong(
            f"The primary has no schema {given['schema']}; create it first. Nothing was changed.", True
        )
    if seen["taken"]:
        raise Wrong(
            f"The primary has a {given['schema']}.{given['new']} already, which is never written over. "
            "Rename or drop it. Nothing was changed.",
            True,
        )


def _refuse_without_room(target: Side, data: str, needed: int) -> None:
    shown = _run(target.words("df", "--output=avail", "--block-size=1", data))
    free, wanted = int(shown.split()[-1]), needed * ROOM_FACTOR + ROOM_BYTES
    if free < wanted:
        raise Wrong(
            f"The primary has {free} bytes free in {data}; {wanted} are needed. Nothing was changed.", True
        )


def stream(source: Side, out: str, target: Side, begin: str, new: str) -> int:
    """Lead the rows over. The target commits behind the last one; an end before that undoes all of it."""
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(source.words(), stdin=pipe, stdout=pipe, stderr=pipe) as giving,
        subprocess.Popen(target.words(), stdin=pipe, stdout=pipe, stderr=pipe) as taking,
    ):
        rows, broken = 0, False
        try:
            giving.stdin.write(out.encode())
            giving.stdin.close()
            taking.stdin.write(begin.encode())
            while chunk := giving.stdout.read(CHUNK):
                rows += chunk.count(b"\n")  # in this format a row is a line
                taking.stdin.write(chunk)
            if not giving.wait():
                taking.stdin.write(END.format(new=new, rows=rows).encode())
            taking.stdin.close()
        except BrokenPipeError:
            broken = True
            giving.kill()
            giving.stdout.close()
            for one in (giving, taking):
                with contextlib.suppress(BrokenPipeError):
                    one.stdin.close()
        said = taking.stdout.read().decode(errors="replace")
        lost = [short(one.stderr.read().decode(errors="replace")) for one in (giving, taking)]
        codes = giving.wait(), taking.wait()
    if broken or any(codes) or said.split() != ["committed"]:
        raise Wrong(
            f"The table was not copied: {'; '.join(filter(None, lost)) or codes}. Nothing of it stays."
        )
    return rows


def main() -> None:
    kinds = {"port": "int", "data": "path", "socket": "path", "source": "list", "target": "list"}
    names = (*kinds, "database", "schema", "table", "new", "moment")
    module = AnsibleModule(
        argument_spec={
            one: {
                "type": kinds.get(one, "str"),
                "required": True,
                **({"elements": "str"} if kinds.get(one) == "list" else {}),
            }
            for one in names
        }
    )
    began = time.monotonic()
    try:
        rows = copy(module.params)
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"The table was not copied: {type(problem).__name__}. Nothing of it stays.")
    module.exit_json(changed=True, rows=rows, seconds=round(time.monotonic() - began, 1))


if __name__ == "__main__":
    main()
