#!/usr/bin/python
"""Brings files back from a snapshot; what differs from it is replaced, and kept beside."""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: files_back
short_description: Restore a folder from restic without losing what is there now
description:
  - C(fetch) unpacks the snapshot beside the folder, on the same filesystem, once it has seen that there is
    room beside what the applications need; what is there already, byte for byte, is dropped again.
  - C(put) moves what was fetched to its place. A file that differs is not overwritten. It moves into a folder
    of its own, which stays until somebody removes it. Files that the snapshot does not know stay where they
    are.
  - C(sweep) removes what was fetched. C(all) does all three.
  - Killed in the middle, it is repeated from its beginning; nothing is lost, for every step is a move.
options:
  do: {description: The step., choices: [fetch, put, sweep, all], default: all}
  folder: {description: What is restored., type: path, required: true}
  paths: {description: Only these, below the folder; empty for all., type: list, elements: str, default: []}
  host: {description: The host that took the snapshot., type: str, required: true}
  tag: {description: The snapshot's name., type: str, required: true}
  to: {description: The newest snapshot up to this time (ISO 8601), or latest., type: str, default: latest}
  run: {description: Names the folder of what was replaced., type: str, required: true}
  only_missing: {description: Leave what differs where it is., type: bool, default: false}
  spare: {description: Bytes that stay free while it is unpacked., type: int, default: 536870912}
"""
RESTIC = "/usr/local/sbin/rmc-dr-restic"
# Bytes that are fetched, and in all; rmc-dr reads it meanwhile.
PROGRESS = Path("/run/rmc-dr-files")
LOCK = Path("/run/rmc-dr-files.lock")
GIB = 1024**3


class Wrong(Exception):
    """The sentence that the operator reads; nothing was changed."""


def choose(snapshots: list[dict[str, Any]], to: str) -> dict[str, Any]:
    """The newest snapshot that is not younger than the moment. Raises Wrong where there is none."""
    known = sorted(snapshots, key=_taken)
    try:
        limit = None if to == "latest" else datetime.fromisoformat(to)
    except ValueError:
        raise Wrong(f"{to} is not a time. Nothing was changed.") from None
    if limit is not None and limit.tzinfo is None:
        raise Wrong(f"{to} does not say in which time zone. Nothing was changed.")
    fitting = [snapshot for snapshot in known if limit is None or _taken(snapshot) <= limit]
    if not fitting:
        first = f"; the oldest is of {_taken(known[0]).isoformat()}" if known else ""
        raise Wrong(f"There is no snapshot from before {to}{first}. Nothing was changed.")
    return fitting[-1]


def _taken(snapshot: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(snapshot["time"])


def merge(staged: Path, folder: Path, aside: Path, *, only_missing: bool = False) -> dict[str, int]:
    """Move every staged file to its place; what differs goes aside first, or stays (``only_missing``)."""
    counts = {"restored": 0, "replaced": 0, "same": 0}
    for path in sorted(staged.rglob("*")):
        place = folder / path.relative_to(staged)
        if path.is_dir() and not path.is_symlink():
            if not place.is_dir():
                if place.exists() or place.is_symlink():
                    _set_aside(place, aside / path.relative_to(staged))
                    counts["replaced"] += 1
                place.mkdir(parents=True)
                shutil.copystat(path, place)
                seen = path.stat()
                os.chown(place, seen.st_uid, seen.st_gid)
            continue
        if only_missing:  # somebody may write it at this moment: a link never replaces
            with contextlib.suppress(FileExistsError):
                os.link(path, place, follow_symlinks=False)
                counts["restored"] += 1
            continue
        if place.exists() or place.is_symlink():
            if _same(path, place):
                counts["same"] += 1
                continue
            _set_aside(place, aside / path.relative_to(staged))
            counts["replaced"] += 1
        else:
            counts["restored"] += 1
        path.rename(place)
    return counts


def compare(staged: Path, folder: Path) -> dict[str, int]:
    """How many staged files are missing in the folder, or differ; those that are the same are dropped."""
    counts = {"missing": 0, "differ": 0, "same": 0}
    for path in sorted(staged.rglob("*")):
        place = folder / path.relative_to(staged)
        there = place.exists() or place.is_symlink()
        if path.is_dir() and not path.is_symlink():
            counts["differ"] += there and not place.is_dir()
        elif not there:
            counts["missing"] += 1
        elif _same(path, place):
            counts["same"] += 1
            path.unlink()
        else:
            counts["differ"] += 1
    return counts


def _set_aside(place: Path, kept: Path) -> None:
    if kept.exists() or kept.is_symlink():
        raise Wrong(f"{kept} is kept already from an earlier restore; it was not overwritten.")
    kept.parent.mkdir(parents=True, exist_ok=True)
    place.rename(kept)


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def literal(path: str) -> str:
    """As restic's patterns write it: a name may hold the signs that they read."""
    return "".join(f"\\{sign}" if sign in "*?[]\\" else sign for sign in path)


def measure(nodes: Iterable[dict[str, Any]], folder: Path, paths: list[str]) -> int:
    """Bytes of the files that are wanted. Raises Wrong with the paths that the snapshot does not hold."""
    roots = {path: str(folder / path.strip("/")) for path in paths}
    unseen, total = set(paths), 0
    for node in nodes:
        name = node.get("path", "")
        holding = {path for path, root in roots.items() if name == root or name.startswith(f"{root}/")}
        unseen -= holding
        if node.get("type") == "file" and (holding or not paths):
            total += int(node.get("size", 0))
    if unseen:
        raise Wrong(f"The snapshot holds nothing at {', '.join(sorted(unseen))}. Nothing was changed.")
    return total


def refuse_full(needed: int, free: int, spare: int, folder: Path) -> None:
    """Raises Wrong where unpacking would take the room that the applications write into."""
    if needed + spare > free:
        raise Wrong(
            f"{needed / GIB:.1f} GiB would be unpacked beside {folder}, and {free / GIB:.1f} GiB are free "
            f"there, of which {spare / GIB:.1f} stay for the applications. Take less with --path. "
            "Nothing was changed."
        )


def restic(*words: str) -> str:
    done = subprocess.run(
        [RESTIC, "--quiet", *words], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise _unread(done.returncode, done.stderr)
    return done.stdout


def told(*words: str, lock: int) -> Iterator[dict[str, Any]]:
    """What restic says in JSON, line by line, while it works. It holds the lock as long as it lives."""
    with (
        tempfile.TemporaryFile("w+", errors="replace") as errors,
        subprocess.Popen(
            [RESTIC, "--json", *words],
            env={**os.environ, "RESTIC_PROGRESS_FPS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            errors="replace",
            pass_fds=[lock],
        ) as process,
    ):
        for line in process.stdout or ():
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict):
                    yield said
        if process.wait():
            errors.seek(0)
            raise _unread(process.returncode, errors.read())


def _unread(code: int, said: str) -> Wrong:
    return Wrong(
        f"restic could not read the backup ({code}): {' '.join(said.split())[-400:]}. Nothing was changed."
    )


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """Raises Wrong while another one unpacks here, also one whose control machine is gone."""
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Wrong("Another restore of files is at work on this host. Nothing was changed.") from None
        yield file.fileno()


class Restore:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given
        self.folder = Path(given["folder"])
        self.beside = self.folder.with_name(f"{self.folder.name}.restoring")
        self.aside = self.folder.with_name(f"{self.folder.name}.before-{given['run']}")
        self.staged = self.beside / self.folder.relative_to("/")
        self.mark = self.beside / ".run"

    def fetch(self, lock: int) -> dict[str, Any]:
        given = self.given
        listed = restic("snapshots", "--json", f"--host={given['host']}", f"--tag={given['tag']}")
        snapshot = choose(json.loads(listed), given["to"])
        self.sweep()
        nodes = told("ls", snapshot["id"], str(self.folder), "--recursive", lock=lock)
        needed = measure(nodes, self.folder, given["paths"])
        refuse_full(needed, shutil.disk_usage(self.folder.parent).free, given["spare"], self.folder)
        self.beside.mkdir(mode=0o700)
        wanted = [f"--include={self.folder / literal(path.strip('/'))}" for path in given["paths"]]
        for said in told("restore", snapshot["id"], f"--target={self.beside}", *wanted, lock=lock):
            if said.get("message_type") == "status" and needed:
                PROGRESS.write_text(f"{min(int(said.get('bytes_restored', 0)), needed)} {needed}\n")
        self.mark.write_text(given["run"])
        counts = (
            compare(self.staged, self.folder)
            if self.staged.is_dir()
            else {"missing": 0, "differ": 0, "same": 0}
        )
        return {
            "changed": True,
            "snapshot": snapshot["short_id"],
            "taken": _taken(snapshot).isoformat(),
            "bytes": needed,
            **counts,
        }

    def put(self) -> dict[str, Any]:
        if not self.mark.is_file() or self.mark.read_text() != self.given["run"]:
            raise Wrong("What this restore had fetched is not there any more. Nothing was changed.")
        self.folder.mkdir(parents=True, exist_ok=True)
        counts = {"restored": 0, "replaced": 0, "same": 0}
        if self.staged.is_dir():
            counts = merge(self.staged, self.folder, self.aside, only_missing=self.given["only_missing"])
        return {
            "changed": bool(counts["restored"] or counts["replaced"]),
            "aside": str(self.aside) if counts["replaced"] else None,
            **counts,
        }

    def sweep(self) -> dict[str, Any]:
        there = self.beside.exists()
        shutil.rmtree(self.beside, ignore_errors=True)
        PROGRESS.unlink(missing_ok=True)
        return {"changed": there}


def work(given: dict[str, Any]) -> dict[str, Any]:
    """One step, or all; raises Wrong."""
    began = time.monotonic()
    restore = Restore(given)
    with alone() as lock:
        if given["do"] == "fetch":
            done = restore.fetch(lock)
        elif given["do"] == "put":
            done = restore.put()
        elif given["do"] == "sweep":
            done = restore.sweep()
        else:
            try:
                fetched, put = restore.fetch(lock), restore.put()
                done = {**fetched, **put, "same": fetched["same"] + put["same"]}
            finally:
                restore.sweep()
    return {**done, "seconds": round(time.monotonic() - began, 1)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": ["fetch", "put", "sweep", "all"], "default": "all"},
            "folder": {"type": "path", "required": True},
            "paths": {"type": "list", "elements": "str", "default": []},
            "host": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "to": {"type": "str", "default": "latest"},
            "run": {"type": "str", "required": True},
            "only_missing": {"type": "bool", "default": False},
            "spare": {"type": "int", "default": 512 * 2**20},
        }
    )
    try:
        module.exit_json(**work(module.params))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=True)
    except (OSError, ValueError, KeyError) as problem:
        module.fail_json(msg=f"The files could not be brought back: {problem}")


if __name__ == "__main__":
    main()
