#!/usr/bin/python
"""Runs pgBackRest's restore on a host over SSH, and says how many bytes of how many are back."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import time
from collections import deque
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: pgbackrest_restore
short_description: Restore a stanza with progress
description: Runs on the control machine. A broken connection ends pgBackRest as well.
options:
  ssh: {description: Words of ssh up to the remote command., type: list, elements: str, required: true}
  command: {description: The words of pgbackrest on the host., type: list, elements: str, required: true}
  progress: {description: File that says how many bytes of how many are back., type: path}
"""
# P01 DETAIL: restore file /srv/.../16384 (112KB, 41.72%) checksum 3f...
FILE = re.compile(
    r"(?:restore|match|checksum).* file \S+ .*?\(([\d.]+)(B|KB|MB|GB|TB)(?:[^,)]*), ([\d.]+)%\)"
)
SIZE = re.compile(r"restore size = ([\d.]+)(B|KB|MB|GB|TB)")
LABEL = re.compile(r"restore backup set ([0-9]{8}-[0-9]{6}F(?:_[0-9]{8}-[0-9]{6}[DI])?)")
UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ssh": {"type": "list", "elements": "str", "required": True},
            "command": {"type": "list", "elements": "str", "required": True},
            "progress": {"type": "path"},
        }
    )
    given = module.params
    began = time.monotonic()
    last: deque[str] = deque(maxlen=20)
    label, total = "", 0
    remote = shlex.join(given["command"])
    with subprocess.Popen(
        [*given["ssh"], remote],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as ssh:
        for line in ssh.stdout:
            last.append(line.strip())
            if found := LABEL.search(line):
                label = found[1]
            if found := SIZE.search(line):
                total = _bytes(found)
            if given["progress"] and total and (found := FILE.search(line)):
                _report(Path(given["progress"]), round(float(found[3]) / 100 * total), total)
    if ssh.returncode:
        errors = [line for line in last if "ERROR" in line] or list(last)[-1:]
        module.fail_json(msg=f"pgBackRest could not restore ({ssh.returncode}): {' '.join(errors)[-500:]}")
    seconds = round(time.monotonic() - began, 1)
    module.exit_json(changed=True, label=label, bytes=total, seconds=seconds)


def _bytes(found: re.Match) -> int:
    return round(float(found[1]) * UNITS[found[2]])


def _report(progress: Path, done: int, total: int) -> None:
    fresh = progress.with_name(f"{progress.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        fresh.write_text(f"{done} {total}\n")
        fresh.replace(progress)


if __name__ == "__main__":
    main()
