"""One control group a machine: whoever was started for it is found, and ended, through it.

Two machines in one group would also share the groups of their services: stopping a service in one would
kill it in the other.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from rmc_dr.errors import Error, Refused
from rmc_dr.i18n import _

NAME = "rmc-dr-lab"
END_SECONDS = 20


def join(machine: str) -> list[Path]:
    """Make the machine's groups and return the files that a process writes its id into to belong there."""
    groups = [root / NAME / machine for root in _roots()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return [group / "cgroup.procs" for group in groups]


def machines() -> list[str]:
    """Every machine that has a group, running or dead."""
    top = _unified() / NAME
    return sorted(entry.name for entry in top.iterdir() if entry.is_dir()) if top.is_dir() else []


def processes(machine: str) -> list[int]:
    """The ids of all processes of a machine, the systemd-nspawn outside it included."""
    found: list[int] = []
    for group in _tree(_unified() / NAME / machine):
        with suppress(OSError):
            found += [int(word) for word in (group / "cgroup.procs").read_text().split() if word != "0"]
    return found


def leader(machine: str) -> int | None:
    """The machine's first process, seen from outside."""
    for process in processes(machine):
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            numbers = next(line for line in lines if line.startswith("NSpid:")).split()[1:]
            if numbers[1:] == ["1"]:
                return process
    return None


def kill(machine: str) -> None:
    """End every process of a machine at once and forget its group. Raises Error if one cannot be ended."""
    deadline = time.monotonic() + END_SECONDS
    while found := processes(machine):
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise Error(
                "lab-process-stuck",
                _("Processes of {machine} cannot be ended: {pids}.").format(machine=machine, pids=found),
                _("Look at them with `ps`; a process that waits for a disk ends when the disk answers."),
            )
        time.sleep(0.02)
    forget(machine)


def forget(machine: str) -> None:
    """Remove the empty groups of a machine, and the lab's own when it was the last."""
    for root in _roots():
        top = root / NAME
        _remove_tree(top / machine)
        with suppress(OSError):
            top.rmdir()


def _tree(group: Path) -> list[Path]:
    """A group and those in it, parents first. os.walk bears with groups that vanish under it."""
    return [Path(path) for path, _folders, _files in os.walk(group)]


def _remove_tree(group: Path) -> None:
    """The kernel lets go of a group shortly after its last process has ended."""
    for path in reversed(_tree(group)):
        for _attempt in range(100):
            try:
                path.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.02)
            else:
                break


def _roots() -> list[Path]:
    """The unified hierarchy, and systemd's own where this machine still has one beside it."""
    return [_unified(), *_mounted("cgroup", "name=systemd")]


def _unified() -> Path:
    found = _mounted("cgroup2", "")
    if not found:
        raise Refused(
            "lab-no-cgroup2",
            _("This machine has no cgroup v2 hierarchy mounted, which systemd in the lab's hosts needs."),
            _("Mount it: `mount -t cgroup2 none /sys/fs/cgroup`, or use an ordinary Debian 12 or 13."),
        )
    return found[0]


def _mounted(kind: str, option: str) -> list[Path]:
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, target, fstype, options = line.split()[:4]
        if fstype == kind and (not option or option in options.split(",")):
            found.append(Path(target))
    return found
