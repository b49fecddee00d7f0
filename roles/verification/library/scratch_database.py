#!/usr/bin/python
"""The restored copy: recovered to the archive's end, checked, asked. Only counts of it leave the host."""

from __future__ import annotations

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.verification_host import (
    AS_POSTGRES,
    HERE,
    SIDES,
    Copy,
    Wrong,
    cores,
    finding,
    properties,
    run,
    short,
    work_on,
)
from ansible.module_utils.verification_reading import following, stopped_in
from ansible.module_utils.verification_wal import spoiled

DOCUMENTATION = r"""
module: scratch_database
short_description: Recover, check and ask a restored copy
description:
  - C(recover) starts it with a way to the store, waits until it has replayed the whole archive, and stops it.
  - C(pages) checks every page, starts it in its private network, and reads every table and index.
  - C(open) starts it in its private network and makes sure that it is alone there.
  - C(ask) puts the estate's questions to it in read-only transactions; what comes back is one value each.
  - What is wrong is told in C(found), with its object. The module fails only where it cannot look.
options:
  do: {description: The step., choices: [recover, open, pages, ask], required: true}
  side: {description: Which copy., choices: [verification, inspection], default: verification}
  stanza: {description: pgBackRest's stanza., type: str, required: true}
  binaries: {description: Folder of PostgreSQL's programs., type: path, required: true}
  port: {description: The copy's port., type: int, required: true}
  scratch: {description: The scratch., type: path, required: true}
  until: {description: The segment that recovery must have replayed to its end., type: str, default: ""}
  to: {description: "The moment that recovery ends at, or latest.", type: str, default: latest}
  questions: {description: "Each has name, database and sql.", type: list, elements: dict, default: []}
  timeout: {description: Seconds for what may take long., type: int, required: true}
author: [rmc-dr]
"""
RECOVERY, OPEN, NETWORK = "recovery", "postgres", "net"
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+[+-][0-9]{2}(:[0-9]{2})?")
ALONE = {
    "archive_mode": "off", "archive_command": "(disabled)", "primary_conninfo": "", "max_wal_senders": "0",
    "synchronous_standby_names": "",
}  # fmt: skip
REACHED = """
select coalesce(extract(epoch from pg_last_xact_replay_timestamp())::text, ''),
       (pg_last_wal_replay_lsn() - '0/0')::bigint, pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
       (select timeline_id from pg_control_checkpoint())
"""
# Damaged: the file of a page, and the relation of what amcheck or pg_dump complains about.
PAGE = re.compile(r'checksum verification failed in file "([^"]+)"')
RELATION = re.compile(r'(?:table|index) "([^"]+)"')
BAD = ("error", "FATAL", "PANIC", "ERROR")
READ_ONLY = "-c default_transaction_read_only=on -c statement_timeout={ms} -c role=pg_read_all_data"
VALUE = re.compile(
    r"[tf]|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+([+-][0-9]{2}(:?[0-9]{2})?)?"
)
QUESTION_SECONDS = 300
SHOWN = 20
DAMAGED = "damaged: {names}"


def recover(given: dict) -> dict:
    scratch, began = Path(given["scratch"]), time.monotonic()
    # What had been set by ALTER SYSTEM, and what pgBackRest wrote: the scratch's own settings stand alone.
    (scratch / "data" / "postgresql.auto.conf").write_text(_target(given["to"]))
    if not (scratch / "data" / "recovery.signal").exists():
        raise Wrong("The restored copy would not recover from the archive: it has no recovery.signal.")
    started = _systemctl("start", RECOVERY, timeout=given["timeout"])
    log = scratch / "log" / "recovery.log"
    copy = Copy(given["scratch"], given["port"])
    if started or not _open_for_questions(copy, given["timeout"]):
        return {
            "checks": [finding("recovery", False, "PostgreSQL did not start: {said}", said=_last_words(log))],
            "stop": True,
        }
    newest, lsn, following_xid, timeline = copy.sql(REACHED).split("|")
    at, seconds = time.time(), round(time.monotonic() - began, 1)
    checks = [_end_of_archive(given, int(lsn), log), _settings(copy)]
    _systemctl("stop", RECOVERY, timeout=given["timeout"])
    return {
        "checks": checks,
        "measured": {"recover_seconds": seconds, "timeline": int(timeline)},
        "reached": {
            "newest": float(newest) if newest else None,
            "at": at,
            "next": int(following_xid),
            "lsn": int(lsn),
        },
    }


def _target(moment: str) -> str:
    """PostgreSQL's words for where recovery ends; none for the archive's end."""
    if moment == "latest":
        return ""
    if not MOMENT.fullmatch(moment):
        raise Wrong(f"{moment} is no moment with a time zone.", refused=True)
    return f"recovery_target_time = '{moment}'\nrecovery_target_action = 'promote'\n"


def _open_for_questions(copy: Copy, patience: float) -> bool:
    """Whether it reached the archive's end; with hot_standby off, systemd hears of a recovery's start."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            return copy.sql("select 1") == "1"
        except Wrong:
            if list(properties(HERE.unit(RECOVERY), "ActiveState")) != ["active"]:
                return False
            time.sleep(0.5)
    return False


def _end_of_archive(given: dict, lsn: int, log: Path) -> dict:
    """PostgreSQL takes a segment that it cannot read for the archive's end, and starts all the same."""
    until = given["until"]
    place = f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
    where = stopped_in(lsn, until) if until else None
    if where is None:
        return finding("recovery", True, "consistent, replayed up to {place}", place=place)
    suspects = [where, following(where)]
    bad: list[str] = []
    for folder in _folders(given, suspects):
        bad += [name for name, _said in spoiled(given["stanza"], folder, suspects)[1]]
    named = [name.rpartition("/")[2][:24] for name in bad] or [where]
    return finding(
        "recovery",
        False,
        "stopped at {place} in {where}, although {until} is archived: {said}",
        named,
        place=place,
        where=where,
        until=until,
        said=_last_words(log),
    )


def _folders(given: dict, segments: list[str]) -> list[str]:
    """The archive's folders that hold them; the archive's part is the one that pgBackRest shows last."""
    done = run(
        *AS_POSTGRES,
        "pgbackrest",
        f"--stanza={given['stanza']}",
        "repo-ls",
        f"archive/{given['stanza']}",
        timeout=300,
    )
    parts = [line for line in done.stdout.split() if re.fullmatch(r"[0-9.]+-[0-9]+", line)]
    newest = max(parts, key=lambda part: int(part.rpartition("-")[2]), default="")
    return sorted({f"{newest}/{segment[:16]}" for segment in segments}) if newest else []


def _settings(copy: Copy) -> dict:
    rows = copy.sql("select name, setting from pg_settings").splitlines()
    found = dict(row.split("|", 1) for row in rows if "|" in row)
    wrong = [f"{name}={found.get(name)}" for name, value in ALONE.items() if found.get(name) != value]
    said = "; ".join(wrong)
    return finding("isolated", not wrong, said or "it archives nothing and follows nobody", wrong)


def pages(given: dict) -> dict:
    began = time.monotonic()
    data = f"{given['scratch']}/data"
    done = run(
        *AS_POSTGRES, f"{given['binaries']}/pg_checksums", "--check", "-D", data, timeout=given["timeout"]
    )
    files = list(dict.fromkeys(PAGE.findall(done.stderr)))
    names = [name.removeprefix(f"{data}/") for name in files][:SHOWN]
    checks = [_spoiled("checksums", done.returncode, "damaged pages in {names}", names, done.stderr)]
    copy = opened(given)
    checks.append(_network())
    checks.append(_amcheck(given, copy))
    checks += _dumps(given, copy)
    return {"checks": checks, "measured": {"pages_seconds": round(time.monotonic() - began, 1)}}


def look_in(given: dict) -> dict:
    copy = opened(given)
    return {"checks": [_network(), _settings(copy)]}


def opened(given: dict) -> Copy:
    """The copy, in its private network. Raises Wrong where it does not start."""
    if _systemctl("start", OPEN, timeout=900):
        raise Wrong(
            f"The copy does not start: {_last_words(Path(given['scratch']) / 'log' / 'postgres.log')}"
        )
    return Copy(given["scratch"], given["port"])


def _network() -> dict:
    """Whether the copy is where no network leads: not in the host's own, and beside a loopback alone."""
    (process,) = properties(HERE.unit(OPEN), "MainPID")
    (holder,) = properties(HERE.unit(NETWORK), "MainPID")
    spaces = {
        name: Path(f"/proc/{pid}/ns/net").readlink()
        for name, pid in (("copy", process), ("net", holder), ("host", "1"))
    }
    links = run(
        "nsenter", f"--net=/proc/{process}/ns/net", "ip", "-o", "link", "show", "up", timeout=60
    ).stdout.splitlines()
    alone = spaces["copy"] == spaces["net"] != spaces["host"] and len(links) == 1 and "LOOPBACK" in links[0]
    return finding(
        "isolated", alone, "a network of its own, with a loopback only" if alone else "it is not alone"
    )


def _amcheck(given: dict, copy: Copy) -> dict:
    done = run(
        *AS_POSTGRES, f"{given['binaries']}/pg_amcheck", *copy.connection(), "--all", "--install-missing",
        "--heapallindexed", "--jobs", str(cores()), timeout=given["timeout"],
    )  # fmt: skip
    names = _relations(f"{done.stdout}\n{done.stderr}")
    return _spoiled("amcheck", done.returncode, DAMAGED, names, done.stderr or done.stdout)


def _spoiled(name: str, code: int, says: str, names: list[str], said: str) -> dict:
    """What a program found that ends well where all is well: the names, or else its own words."""
    if code and names:
        return finding(name, False, says, names, names=", ".join(names))
    return finding(name, not code, short(said) if code else "")


def _dumps(given: dict, copy: Copy) -> list[dict]:
    """Every database, read the way in which a dump reads it, to nowhere."""

    def dump(database: str) -> dict:
        done = run(
            *AS_POSTGRES, f"{given['binaries']}/pg_dump", *copy.connection(), "--no-sync", "--file=/dev/null",
            f"--dbname={database}", timeout=given["timeout"],
        )  # fmt: skip
        names = _relations(done.stderr)
        if not done.returncode:
            return finding("dump", True, database)
        if names:
            return finding("dump", False, f"{database}: {', '.join(names)}", names)
        return finding(
            "dump", False, "{database}: pg_dump ended with {code}", database=database, code=done.returncode
        )

    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(dump, copy.databases()))


def _relations(text: str) -> list[str]:
    """The names of relations alone: the rest of such a message may hold a record's content."""
    return list(dict.fromkeys(RELATION.findall(text)))[:SHOWN]


def ask(given: dict) -> dict:
    copy = opened(given)
    return {"answers": {question["name"]: _answer(copy, question) for question in given["questions"]}}


def _answer(copy: Copy, question: dict) -> dict:
    """One number, truth value or time. Anything else could be a record, and is not told."""
    options = READ_ONLY.format(ms=QUESTION_SECONDS * 1000)
    try:
        said = copy.sql(
            question["sql"].rstrip().rstrip(";"),
            question["database"],
            QUESTION_SECONDS + 30,
            options,
            "sqlstate",
        )
    except Wrong as reason:
        return {"problem": str(reason)}
    if not said:
        return {"problem": "it gave no value"}
    if not VALUE.fullmatch(said):
        return {"problem": "it gave something else than one number, truth value or time"}
    return {"value": said}


def _systemctl(verb: str, name: str, timeout: float) -> int:
    done = subprocess.run(
        ["systemctl", verb, HERE.unit(name)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        check=False,
    )
    return done.returncode


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    lines = [line for line in lines if "not accepting connections" not in line]
    loud = [line for line in lines if any(word in line for word in (*BAD, "invalid", "incorrect"))]
    return short((loud or lines or ["it said nothing"])[-1])


STEPS = {"recover": recover, "open": look_in, "pages": pages, "ask": ask}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": list(STEPS), "required": True},
            "side": {"type": "str", "choices": list(SIDES), "default": "verification"},
            "stanza": {"type": "str", "required": True},
            "binaries": {"type": "path", "required": True},
            "port": {"type": "int", "required": True},
            "scratch": {"type": "path", "required": True},
            "until": {"type": "str", "default": ""},
            "to": {"type": "str", "default": "latest"},
            "questions": {"type": "list", "elements": "dict", "default": []},
            "timeout": {"type": "int", "required": True},
        }
    )
    given = module.params
    work_on(given["side"])
    try:
        module.exit_json(changed=given["do"] != "ask", found=STEPS[given["do"]](given))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, ValueError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"{given['do']} failed: {problem}")


if __name__ == "__main__":
    main()
