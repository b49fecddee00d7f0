#!/usr/bin/python
"""Brings files back from a snapshot; what differs from it is replaced, and kept beside."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: files_back
short_description: Restore a folder from restic without losing what is there now
description:
  - The snapshot is unpacked beside the folder first, on the same filesystem. Only then are files moved.
  - A file that differs is not overwritten. It moves into a folder of its own, which stays until somebody
    removes it. Files that the snapshot does not know stay where they are.
  - Killed in the middle, it is repeated from its beginning; nothing is lost, for every step is a move.
options:
  folder: {description: What is restored., type: path, required: true}
  paths: {description: Only these, below the folder; empty for all., type: list, elements: str, default: []}
  host: {description: The host that took the snapshot., type: str, required: true}
  tag: {description: The snapshot's name., type: str, required: true}
  to: {description: The newest snapshot up to this time (ISO 8601), or latest., type: str, default: latest}
  run: {description: Names the folder of what was replaced., type: str, required: true}
"""
RESTIC = "/usr/local/sbin/rmc-dr-restic"


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


def merge(staged: Path, folder: Path, aside: Path) -> dict[str, int]:
    """Move every staged file to its place; what differs there goes aside first."""
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


def _set_aside(place: Path, kept: Path) -> None:
    if kept.exists() or kept.is_symlink():
        raise Wrong(f"{kept} is kept already from an earlier restore; it was not overwritten.")
    kept.parent.mkdir(parents=True, exist_ok=True)
    place.rename(kept)


def _same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return other.is_file() and filecmp.cmp(one, other, shallow=False)


def restic(*words: str) -> str:
    done = subprocess.run(
        [RESTIC, "--quiet", *words], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[-400:]
        raise Wrong(f"restic could not read the backup ({done.returncode}): {said}. Nothing was changed.")
    return done.stdout


def bring_back(given: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    folder = Path(given["folder"])
    listed = json.loads(restic("snapshots", "--json", f"--host={given['host']}", f"--tag={given['tag']}"))
    snapshot = choose(listed, given["to"])
    beside = folder.with_name(f"{folder.name}.restoring")
    aside = folder.with_name(f"{folder.name}.before-{given['run']}")
    shutil.rmtree(beside, ignore_errors=True)
    wanted = [f"--include={folder / path.strip('/')}" for path in given["paths"]]
    try:
        restic("restore", snapshot["id"], f"--target={beside}", *wanted)
        staged = beside / folder.relative_to("/")
        folder.mkdir(parents=True, exist_ok=True)
        counts = (
            merge(staged, folder, aside) if staged.is_dir() else {"restored": 0, "replaced": 0, "same": 0}
        )
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return {
        "changed": bool(counts["restored"] or counts["replaced"]),
        "snapshot": snapshot["short_id"],
        "taken": _taken(snapshot).isoformat(),
        "aside": str(aside) if counts["replaced"] else None,
        "seconds": round(time.monotonic() - began, 1),
        **counts,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "paths": {"type": "list", "elements": "str", "default": []},
            "host": {"type": "str", "required": True},
            "tag": {"type": "str", "required": True},
            "to": {"type": "str", "default": "latest"},
            "run": {"type": "str", "required": True},
        }
    )
    try:
        module.exit_json(**bring_back(module.params))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=True)
    except OSError as problem:
        module.fail_json(msg=f"The files could not be brought back: {problem}")


if __name__ == "__main__":
    main()
