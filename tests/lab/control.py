"""A control machine that systemd runs: this machine's own tree, booted under a throw-away layer."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rmc_dr import content
from rmc_dr.lab import cgroups

NAME = "control1"
BOOT_SECONDS = 30


def on_control(*command: str, code: int | None = 0) -> str:
    """Run a command inside and return what it printed; its exit code must be the one given, if one is."""
    leader = cgroups.leader(NAME)
    inside = ["nsenter", "--target", str(leader), "--all", "--", "env", "-i", f"PATH={os.environ['PATH']}"]
    done = subprocess.run([*inside, *command], capture_output=True, text=True, timeout=900)
    assert code is None or done.returncode == code, (
        f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done.stdout


@contextmanager
def control_machine(shown: Mapping[Path, Path]) -> Iterator[None]:
    """Boot it up to its timers, on this machine's network. ``shown`` maps what lies here to where it is seen.

    It sees the lab's state folder, the checkout and the Python that runs this; what it writes elsewhere is
    gone when it ends.
    """
    binds = {path: path for path in (content.STATE, content.root(), Path(sys.base_prefix), Path(sys.prefix))}
    boot = [
        "systemd-nspawn", "--quiet", "--boot", "--directory=/mnt/root", f"--machine={NAME}", "--register=no",
        "--keep-unit", "--console=pipe", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
        *(f"--bind={here}:{there}" for here, there in {**binds, **shown}.items()),
        "--", "--unit=timers.target",
    ]  # fmt: skip
    steps = [
        *(f"echo $$ >{group}" for group in cgroups.join(NAME)),
        "mount -t tmpfs -o mode=0755 tmpfs /run",
        "mount -t tmpfs tmpfs /mnt",
        "mkdir /mnt/upper /mnt/work /mnt/root",
        "mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root",
        f"exec {shlex.join(boot)}",
    ]
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "set -e\n" + "\n".join(steps)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + BOOT_SECONDS
        while not _booted():
            assert process.poll() is None, "the control machine does not boot"
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield
    finally:
        cgroups.kill(NAME)
        process.wait(timeout=30)


def _booted() -> bool:
    if cgroups.leader(NAME) is None:
        return False
    return "active" in on_control("systemctl", "is-active", "timers.target", code=None).split()
