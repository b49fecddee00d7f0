#!/usr/bin/python
"""The scratch of a verification: made, and taken away with everything that lives in it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.verification_host import SIDES, Wrong, finding, short

DOCUMENTATION = r"""
module: scratch_tree
short_description: Make or remove the scratch of a verification, or of an inspection
description:
  - C(sweep) ends every process of the slice, then removes the folder, by the same program that a timer of the
    host runs once the lease is over. C(prepare) does the same with what a killed one left, and makes an empty
    tree; where that would not give the room that is needed, nothing is removed.
  - Refuses on a host that the estate has not named as its verification host.
options:
  do: {description: What to do., choices: [prepare, sweep], required: true}
  host: {description: The host's name in the inventory., type: str, required: true}
  side: {description: Whose scratch., choices: [verification, inspection], default: verification}
  folder: {description: The scratch., type: path, required: true}
  room_bytes: {description: Room that it will need., type: int, default: 0}
  lease_seconds: {description: How long it stands if nobody renews the lease., type: int, default: 86400}
author: [rmc-dr]
"""
NAMED = Path("/etc/rmc-dr/verification/host")
PROGRAM = "/usr/local/lib/rmc-dr-sweep"
THERE = "active,activating,deactivating,failed"
STOP_SECONDS = 300
GIB = 1024**3
ROOM = "{free} GiB are free in {place}, {needed} are needed"
ROOM_BESIDE = "{free} GiB are free in {place}, {needed} are needed; {beside} takes some, too"
ROOM_FREED = "{free} GiB are free in {place}, {freed} more without the earlier one, {needed} are needed"
BLOCK = 512  # bytes of one of st_blocks, whatever the filesystem's own
# Folder -> owner and mode; the applications' server writes below its own.
TREE = {
    "data": ("postgres", 0o700),
    "run": ("postgres", 0o700),
    "spool": ("postgres", 0o700),
    "lock": ("postgres", 0o770),
    "log": ("postgres", 0o755),
}
FOR_APPLICATIONS = {
    "log/liberty": ("liberty", 0o750),
    "files": ("root", 0o711),
    "cache": ("root", 0o700),
    "liberty": ("liberty", 0o750),
    "liberty/servers": ("liberty", 0o750),
    "liberty/servers/rmc": ("liberty", 0o750),
    "liberty/servers/rmc/variables": ("liberty", 0o750),
}


def prove(folder: Path, host: str, named: Path = NAMED) -> None:
    """Raises Wrong where this is not the verification host, or the folder is not what it seems."""
    if not named.is_file() or named.read_text().strip() != host:
        raise Wrong(
            f"This host is not named as the verification host {host}. Nothing was removed.", refused=True
        )
    if folder.is_symlink() or os.path.ismount(folder) or folder.parent in (folder, Path("/")):
        raise Wrong(
            f"{folder} is a link, a mount point or too near the root. Nothing was removed.", refused=True
        )


def left(folder: Path, side: str) -> list[str]:
    """What is there of an earlier one."""
    listed = subprocess.run(
        ["systemctl", "list-units", "--plain", "--no-legend", f"--state={THERE}", f"{side}*"],
        capture_output=True,
        text=True,
        check=False,
    )
    units = [line.split()[0] for line in listed.stdout.splitlines() if line.split()]
    return [*units, *([str(folder)] if folder.exists() else [])]


def sweep(folder: Path, side: str) -> list[str]:
    """End everything, remove everything; what was there before. Raises Wrong where something stays."""
    found = left(folder, side)
    done = subprocess.run(
        [PROGRAM, side], timeout=STOP_SECONDS, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise Wrong(f"The {side} could not be removed: {short(done.stderr)}")
    if remains := left(folder, side):
        raise Wrong(f"Of the {side} remains: {', '.join(remains)}.")
    return found


def make(folder: Path, side: str, lease_seconds: float) -> None:
    folder.mkdir(mode=0o755)
    lease, ends = folder / "lease", time.time() + lease_seconds
    lease.touch()
    os.utime(lease, (ends, ends))
    folder.chmod(0o755)
    (folder / "life").write_text(
        uuid.uuid4().hex
    )  # a module that outlived its control machine sees another one
    tree = {**TREE, **FOR_APPLICATIONS} if side == "verification" else TREE
    for name, (owner, mode) in tree.items():
        account = pwd.getpwnam(owner)
        path = folder / name
        path.mkdir()
        path.chmod(mode)
        os.chown(path, account.pw_uid, account.pw_gid)


def taken(folder: Path) -> int:
    """Bytes that the folder's files take on its disk, each file once; what goes meanwhile is left out."""
    blocks = {}
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                seen = (Path(where) / name).lstat()
                blocks[seen.st_dev, seen.st_ino] = seen.st_blocks
    return sum(blocks.values()) * BLOCK


def room(folder: Path, needed: int) -> dict:
    """Whether there is room once what is there of an earlier one is gone."""
    free = shutil.disk_usage(folder.parent).free
    freed = taken(folder) if folder.exists() else 0
    told = {"free": f"{free / GIB:.1f}", "place": folder.parent, "needed": f"{needed / GIB:.1f}"}
    sentence = ROOM
    if freed:
        sentence, told["freed"] = ROOM_FREED, f"{freed / GIB:.1f}"
    if free + freed >= needed:
        return finding("room", True, sentence, **told)
    short_of = (str(folder.parent),)
    beside = [path for path in map(Path, SIDES.values()) if path != folder and path.exists()]
    if beside and not freed:
        return finding("room", False, ROOM_BESIDE, short_of, beside=beside[0], **told)
    return finding("room", False, sentence, short_of, **told)


def work(do: str, folder: Path, side: str, needed: int, lease_seconds: int) -> dict:
    """What was done, as findings; ``stop`` where there is no room, and nothing was removed then."""
    if do == "sweep":
        removed = sweep(folder, side)
        swept = (
            finding("sweep", True, "removed: {what}", what=", ".join(removed))
            if removed
            else finding("sweep", True, "nothing was there to remove")
        )
        return {"checks": [swept], "stop": False, "left": []}
    check = room(folder, needed)
    if not check["green"]:
        return {"checks": [check], "stop": True, "left": []}
    found = sweep(folder, side)
    make(folder, side, lease_seconds)
    return {"checks": [check], "stop": False, "left": found}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": ["prepare", "sweep"], "required": True},
            "host": {"type": "str", "required": True},
            "side": {"type": "str", "choices": list(SIDES), "default": "verification"},
            "folder": {"type": "path", "required": True},
            "room_bytes": {"type": "int", "default": 0},
            "lease_seconds": {"type": "int", "default": 86400},
        }
    )
    given = module.params
    folder, side = Path(given["folder"]), given["side"]
    try:
        prove(folder, given["host"])
        found = work(given["do"], folder, side, given["room_bytes"], given["lease_seconds"])
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, KeyError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"The scratch: {problem}")
    module.exit_json(changed=not found["stop"], found=found)


if __name__ == "__main__":
    main()
