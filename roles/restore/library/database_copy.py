#!/usr/bin/python
"""The steps of a restore that a database host takes by itself, from Patroni's stop to its start."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: database_copy
short_description: Flush, hold, set aside, recover and check one node's copy of the database
description:
  - C(room) says whether C(room) bytes find room in place of the data, and beside it.
  - C(flush), on the primary, makes sure that its last write is archived and says which standby holds it too.
  - C(hold) stops Patroni and keeps it from starting again, also over a reboot, until C(free).
  - C(followed) says which timeline C(flush) saw the primary on; latest where no primary was.
  - C(stop) ends PostgreSQL, which a step that was cut may have left running.
  - C(aside) renames the data; it is the safety copy until somebody releases it.
  - C(recover) starts PostgreSQL for nobody but this module and waits until the restore's target is reached.
  - C(check) looks at every page and index, then stops PostgreSQL.
  - C(free) lets Patroni start again.
options:
  do:
    description: The step.
    choices: [room, flush, hold, followed, stop, aside, recover, check, free]
    required: true
  data: {description: The data directory., type: path, required: true}
  run: {description: What names this restore; part of the safety copy's name., type: str, required: true}
  binaries: {description: Folder of PostgreSQL's programs., type: path, required: true}
  port: {description: PostgreSQL's port., type: int, required: true}
  held: {description: The file that keeps Patroni down., type: path, required: true}
  timeout: {description: Seconds for what may take long., type: int, default: 120}
  room: {description: Bytes that what comes back needs., type: int, default: 0}
"""
STATE = Path("/var/lib/rmc-dr")
LOG = Path("/var/log/postgresql/rmc-dr-restore.log")
# For nobody but this host's own account: no network, no waiting for a standby.
ALONE = "-c listen_addresses='' -c synchronous_standby_names='' -c hot_standby=on"
BEHIND = """
select application_name from pg_stat_replication
 where state = 'streaming' and replay_lsn >= '{lsn}'::pg_lsn order by 1
"""


def account() -> dict:
    """Who PostgreSQL runs as, with all its groups: one of them may read the host's private key."""
    group = pwd.getpwnam("postgres").pw_gid
    return {"user": "postgres", "group": group, "extra_groups": os.getgrouplist("postgres", group)}


class Wrong(Exception):
    """The sentence that the operator reads; ``refused`` where nothing was changed."""

    def __init__(self, said: str, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused


class Node:
    def __init__(self, given: dict) -> None:
        self.data = Path(given["data"])
        self.aside_path = self.data.with_name(f"{self.data.name}.before-{given['run']}")
        self.run = given["run"]
        self.flushed = STATE / f"restore-{self.run}.json"
        self.binaries = Path(given["binaries"])
        self.port = given["port"]
        self.held = Path(given["held"])
        self.timeout = given["timeout"]
        self.room = given["room"]

    def call(self, *words: str, timeout: float = 60, check: bool = True) -> str:
        """As postgres, which the socket lets in (peer). Raises Wrong with what was said."""
        done = subprocess.run(
            words,
            cwd="/",
            **account(),
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            said = " ".join(f"{done.stdout} {done.stderr}".split())[-500:]
            raise Wrong(f"{Path(words[0]).name} failed ({done.returncode}): {said}")
        return done.stdout.strip()

    def sql(self, statement: str, database: str = "postgres", timeout: float = 60) -> str:
        psql = ("psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-p", str(self.port), "-d", database)
        return self.call(*psql, "-c", statement, timeout=timeout)

    def control(self, *words: str, timeout: float = 60, check: bool = True) -> str:
        program = str(self.binaries / "pg_ctl")
        return self.call(program, "-D", str(self.data), *words, timeout=timeout, check=check)

    def runs(self) -> bool:
        done = subprocess.run(
            [str(self.binaries / "pg_ctl"), "-D", str(self.data), "status"],
            cwd="/", capture_output=True, check=False, **account(),
        )  # fmt: skip
        return done.returncode == 0


def room(node: Node) -> dict:
    """What ``aside`` would leave where it is, a half restored copy, is written over in any case."""
    there = next(path for path in (node.data, *node.data.parents) if path.is_dir())
    free, data = shutil.disk_usage(there).free, _taken(node.data)
    stays = data if _to_be_renamed(node) else 0
    return {
        "changed": False,
        "free": free,
        "data": data,
        "in_place": free + data >= node.room,
        "beside": free + data - stays >= node.room,
    }


def _to_be_renamed(node: Node) -> bool:
    return not node.aside_path.exists() and (node.data / "PG_VERSION").is_file()


def _taken(folder: Path) -> int:
    """Bytes on the disk; a living PostgreSQL's files come and go meanwhile."""
    done = subprocess.run(
        ["du", "--summarize", "--block-size=1", str(folder)], capture_output=True, text=True, check=False
    )
    return int(done.stdout.split()[0]) if done.stdout.strip() else 0


def flush(node: Node) -> dict:
    """The last write reaches the archive before anything is stopped. A dead node has nothing to flush.

    What was seen is kept: a repeated stage finds the primary stopped, and must know its standby in step.
    """
    if node.flushed.is_file():
        return json.loads(node.flushed.read_text())
    if not node.runs():
        return {"changed": False, "running": False, "in_step": []}
    if node.sql("select pg_is_in_recovery()") == "t":
        raise Wrong("This host is a standby; a restore begins on the primary. Nothing was changed.", True)
    users = node.sql("select count(*) from pg_stat_activity where usename like '%\\_app'")
    if users != "0":
        raise Wrong(
            f"{users} connections of applications are open; stop those first. Nothing was changed.",
            True,
        )
    # A moment is reached only by a commit after it; on a quiet night this is the one.
    node.sql("select pg_current_xact_id()")
    lsn = node.sql("select pg_current_wal_insert_lsn()")
    wal = node.sql("select pg_walfile_name(pg_switch_wal())")
    deadline = time.monotonic() + node.timeout
    while (archived := node.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver")) < wal:
        if time.monotonic() > deadline:
            raise Wrong(
                f"The last writes are not archived ({wal}; the archive ends at {archived or 'nothing'}). "
                "Look with `rmc-dr backup status`. Nothing was stopped.",
                True,
            )
        time.sleep(0.5)
    flushed = {
        "changed": True,
        "running": True,
        "lsn": lsn,
        "wal": wal,
        "time": node.sql("select clock_timestamp()"),
        "in_step": node.sql(BEHIND.format(lsn=lsn)).split(),
    }
    node.flushed.write_text(json.dumps(flushed))
    return flushed


def followed(node: Node) -> dict:
    """Recovery follows the primary's timeline: a node promoted by hand may have archived a newer one."""
    if not node.flushed.is_file():
        return {"changed": False, "timeline": "latest"}
    return {"changed": False, "timeline": str(int(json.loads(node.flushed.read_text())["wal"][:8], 16))}


def hold(node: Node) -> dict:
    node.held.parent.mkdir(parents=True, exist_ok=True)
    node.held.write_text(f"Patroni stays down for the restore {node.run}.\n")
    subprocess.run(["systemctl", "stop", "patroni.service"], check=True, timeout=node.timeout)
    stop(node)
    return {"changed": True, "control": _control_data(node)}


def stop(node: Node) -> dict:
    """PostgreSQL ends in order, whoever started it; what a power cut left of it is cleared."""
    if node.runs():
        node.control("-w", "-m", "fast", "-t", "600", "stop", timeout=660)
    (node.data / "postmaster.pid").unlink(missing_ok=True)
    return {"changed": True}


def _control_data(node: Node) -> dict:
    if not (node.data / "global" / "pg_control").is_file():
        return {}
    said = node.call(str(node.binaries / "pg_controldata"), str(node.data))
    lines = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
    wanted = {
        "state": "Database cluster state",
        "system_identifier": "Database system identifier",
        "checkpoint": "Latest checkpoint location",
        "timeline": "Latest checkpoint's TimeLineID",
        "time": "Time of latest checkpoint",
    }
    return {name: lines.get(key, "").strip() for name, key in wanted.items()}


def aside(node: Node) -> dict:
    """Rename, never copy and never erase. A repeated run finds that it has been done."""
    if node.runs():
        raise Wrong("PostgreSQL runs on the data that should be set aside.", True)
    if not _to_be_renamed(node):
        return {"changed": False, "aside": str(node.aside_path) if node.aside_path.exists() else None}
    free = shutil.disk_usage(node.data).free
    if free < node.room:
        raise Wrong(
            f"Beside the safety copy {free} bytes are free, and {node.room} are needed. Nothing was changed.",
            True,
        )
    node.data.rename(node.aside_path)
    return {"changed": True, "aside": str(node.aside_path)}


def recover(node: Node) -> dict:
    """Start, and wait until the target is reached and PostgreSQL takes a timeline of its own."""
    began = time.monotonic()
    LOG.unlink(missing_ok=True)
    if not node.runs():
        node.control("-W", "-l", str(LOG), "-o", ALONE, "start")
    while True:
        if not node.runs() and time.monotonic() - began > 5:
            raise Wrong(f"PostgreSQL ended before the target was reached: {_last_words()}")
        with contextlib.suppress(Wrong):  # not yet accepting connections
            if node.sql("select pg_is_in_recovery()") == "f":
                break
        if time.monotonic() - began > node.timeout:
            raise Wrong(f"The target was not reached within {node.timeout} s: {_last_words()}")
        time.sleep(0.5)
    newest = node.sql("select coalesce(pg_last_xact_replay_timestamp()::text, '')")
    timeline = node.sql("select timeline_id from pg_control_checkpoint()")
    lsn = node.sql("select pg_current_wal_lsn()")
    seconds = round(time.monotonic() - began, 1)
    return {"changed": True, "newest": newest, "timeline": timeline, "lsn": lsn, "seconds": seconds}


def _last_words() -> str:
    lines = LOG.read_text(errors="replace").splitlines() if LOG.is_file() else []
    loud = [line for line in lines if any(word in line for word in ("FATAL", "PANIC", "ERROR"))]
    return " ".join((loud or lines or ["it said nothing"])[-1].split())[-400:]


def check(node: Node) -> dict:
    """Every page by its checksum, every heap and index by amcheck."""
    began = time.monotonic()
    if not node.runs():  # a repeated stage: the last one was cut after PostgreSQL had stopped
        node.control(
            "-w", "-t", str(node.timeout), "-l", str(LOG), "-o", ALONE, "start", timeout=node.timeout
        )
    databases = node.sql("select datname from pg_database where datallowconn order by 1").splitlines()
    lacking = [
        name
        for name in databases
        if node.sql("select count(*) from pg_extension where extname = 'amcheck'", name) == "0"
    ]
    jobs = str(os.cpu_count() or 1)
    try:
        node.call(
            str(node.binaries / "pg_amcheck"), "-p", str(node.port), "--all", "--install-missing",
            "--heapallindexed", "--jobs", jobs, timeout=node.timeout,
        )  # fmt: skip
    finally:
        for name in lacking:
            node.sql("drop extension if exists amcheck", name)
    node.control("-w", "-m", "fast", "-t", "600", "stop", timeout=660)
    node.call(str(node.binaries / "pg_checksums"), "--check", "-D", str(node.data), timeout=node.timeout)
    return {"changed": False, "databases": databases, "seconds": round(time.monotonic() - began, 1)}


def free(node: Node) -> dict:
    if not node.held.exists():
        return {"changed": False}
    node.held.unlink()
    return {"changed": True}


STEPS = {
    "room": room,
    "flush": flush,
    "hold": hold,
    "followed": followed,
    "stop": stop,
    "aside": aside,
    "recover": recover,
    "check": check,
    "free": free,
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": list(STEPS), "required": True},
            "data": {"type": "path", "required": True},
            "run": {"type": "str", "required": True},
            "binaries": {"type": "path", "required": True},
            "port": {"type": "int", "required": True},
            "held": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 120},
            "room": {"type": "int", "default": 0},
        }
    )
    try:
        module.exit_json(**STEPS[module.params["do"]](Node(module.params)))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"{module.params['do']} failed: {problem}")


if __name__ == "__main__":
    main()
