"""`make bench`: each number beside its limit or rival, in one run on one machine. Needs the lab up and root.

Prints a table in Markdown and puts it into docs/benchmarks.md, above what stands there of drills. Losses are
printed as plainly as wins.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

from rmc_dr import content
from rmc_dr.estate import load
from rmc_dr.https import Https
from rmc_dr.kit import packages
from rmc_dr.ssh import command

ROUNDS = int(os.environ.get("RMC_DR_BENCH_ROUNDS", "3"))
PATIENCE_SECONDS = 180
BIN = Path(sys.executable).parent
INVENTORY = content.root() / "inventories" / "lab"
ENV = {
    **os.environ,
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "RMC_DR_INVENTORY": str(INVENTORY),
    "RMC_DR_LANG": "en",
}
DRILLS = "## Drills"
HEAD = """# Benchmarks

`make bench` on {machine}, {date}, {rounds} rounds, seconds as median (least to most). A ratio above
its aim is a loss and stands here like the others.

| what | measured | against | ratio | aim |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of the rival's, round by round."""

    what: str
    against: str
    ours: list[float]
    theirs: list[float]
    aim: float

    def line(self) -> str:
        ratio = statistics.median(self.ours) / statistics.median(self.theirs)
        verdict = "" if ratio <= self.aim else " (lost)"
        return (
            f"| {self.what} | {spread(self.ours)} | {self.against}: {spread(self.theirs)} "
            f"| {ratio:.2f}x{verdict} | {self.aim:g}x |"
        )


def spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def timed(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def run(*words: str, **more: object) -> str:
    done = subprocess.run(
        words, env=ENV, cwd=content.root(), capture_output=True, text=True, check=False, **more
    )
    if done.returncode != 0:
        sys.exit(
            f"{' '.join(words)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return done.stdout


def break_disk() -> None:
    run("rmc-dr", "lab", "break", "app1", "--how", "disk")


def rebuild() -> float:
    """Seconds of one rebuild by rmc-dr after the disk was destroyed."""
    break_disk()
    return timed(lambda: run("rmc-dr", "rebuild", "appserver", "--yes"))


def rebuild_by_ansible() -> float:
    break_disk()
    return timed(lambda: run("ansible-playbook", "-i", str(INVENTORY), "playbooks/rebuild-appserver.yml"))


def limit() -> float:
    """The least it can take: the image's bytes written raw, one boot, Liberty until it is ready."""
    image = load(INVENTORY).config.kit.path / "images" / "appserver.tar.zst"
    with tempfile.TemporaryDirectory(dir=content.STATE) as folder:
        unpacked = Path(folder) / "image.tar"
        run("zstd", "-q", "-d", str(image), "-o", str(unpacked))
        target = Path(folder) / "raw"
        seconds = timed(
            lambda: run("dd", f"if={unpacked}", f"of={target}", "bs=4M", "conv=fsync", "status=none")
        )
    run("rmc-dr", "power", "off", "app1", "--yes")
    seconds += timed(lambda: (run("rmc-dr", "power", "disk", "app1", "--yes"), wait_for_ssh()))
    run("rmc-dr", "lab", "exec", "app1", "--", "systemctl", "stop", "liberty")
    return seconds + timed(start_liberty)


def wait_for_ssh() -> None:
    estate = load(INVENTORY)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while subprocess.run([*command(estate, estate.host("app1")), "true"], capture_output=True).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"app1 does not answer after {PATIENCE_SECONDS} s")
        time.sleep(0.1)


def start_liberty() -> None:
    """Start it, and wait for what its users would see."""
    run("rmc-dr", "lab", "exec", "app1", "--", "systemctl", "start", "liberty")
    estate = load(INVENTORY)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Https(estate, estate.host("app1"), estate.config.applications.port, 2) as https:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if https.request("GET", "/health/ready").status_code == httpx.codes.OK:
                    return
            if time.monotonic() > deadline:
                sys.exit(f"Liberty is not ready after {PATIENCE_SECONDS} s")
            time.sleep(0.1)


def by_hand() -> float:
    """Seconds of the plain way up to the first boot: minimal system, packages, unzip, applications."""
    table = packages.image_roles()
    folder = packages.obtain(packages.package_lists(table), lambda _text: None)
    wanted = packages.package_lists(table)["appserver"]
    kit = load(INVENTORY).config.kit.path
    work = Path(tempfile.mkdtemp(dir=content.STATE, prefix="bench-"))
    about = {
        "folder": str(work),
        "packages": wanted,
        "base": str(folder.base),
        "debs": str(folder.folder),
        "liberty": str(next((kit / "liberty").glob("*.zip"))),
        "applications": str(kit / "applications"),
    }
    try:
        return timed(
            lambda: run(
                "ansible-playbook",
                "-i",
                "localhost,",
                "-c",
                "local",
                "-e",
                json.dumps(about),
                "tests/bench/by-hand.yml",
            )
        )
    finally:
        shutil.rmtree(work, ignore_errors=True)


def start_up(*words: str) -> float:
    return timed(lambda: run(*words))


def rows() -> list[Row]:
    run("rmc-dr", "lab", "up")
    ours = [rebuild() for _ in range(ROUNDS)]
    limits = [limit() for _ in range(ROUNDS)]
    plain = [rebuild_by_ansible() for _ in range(ROUNDS)]
    hand = [by_hand() + least for least in limits]
    helps = [start_up("rmc-dr", "--help") for _ in range(10 * ROUNDS)]
    clicks = [start_up(str(BIN / "python"), "-c", "import click") for _ in range(10 * ROUNDS)]
    return [
        Row("rebuild appserver", "raw write + boot + Liberty ready", ours, limits, 2.0),
        Row("rebuild appserver", "by hand: minimal system, packages, unzip, boot, start", ours, hand, 0.25),
        Row("rebuild appserver", "ansible-playbook on the same plan", ours, plain, 1.1),
        Row("rmc-dr --help", "python -c 'import click'", helps, clicks, 1.5),
    ]


def main() -> None:
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    head = HEAD.format(machine=machine, date=datetime.now(UTC).date(), rounds=ROUNDS)
    page = head + "\n".join(row.line() for row in rows()) + "\n"
    sys.stdout.write(page)
    path = content.root() / "docs" / "benchmarks.md"
    _, mark, drills = path.read_text().partition(DRILLS)
    path.write_text(f"{page}\n{mark}{drills}")


if __name__ == "__main__":
    main()
