"""The rebuild of the application server against the least it can take, and against doing it by hand."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import page
from measure import BIN, INVENTORY, Row, estate, run, say, timed

from rmc_dr import content
from rmc_dr.https import Https
from rmc_dr.kit import packages
from rmc_dr.ssh import command

PATIENCE_SECONDS = 180


def bench(rounds: int) -> str:
    say("appserver: rebuilds by rmc-dr")
    ours = [rebuild() for _ in range(rounds)]
    say("appserver: the limit")
    limits = [limit() for _ in range(rounds)]
    say("appserver: rebuilds by ansible-playbook, and by hand")
    plain = [rebuild_by_ansible() for _ in range(rounds)]
    hand = [by_hand() + least for least in limits]
    helps = [start_up("rmc-dr", "--help") for _ in range(10 * rounds)]
    clicks = [start_up(str(BIN / "python"), "-c", "import click") for _ in range(10 * rounds)]
    rows = [
        Row("rebuild appserver", "raw write + boot + Liberty ready", ours, limits, 2.0),
        Row("rebuild appserver", "by hand: minimal system, packages, unzip, boot, start", ours, hand, 0.25),
        Row("rebuild appserver", "ansible-playbook on the same plan", ours, plain, 1.1),
        Row("rmc-dr --help", "python -c 'import click'", helps, clicks, 1.5),
    ]
    return page.section(rounds, rows)


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
    image = estate().config.kit.path / "images" / "appserver.tar.zst"
    with tempfile.TemporaryDirectory(dir=content.STATE) as folder:
        unpacked = Path(folder) / "image.tar"
        run("zstd", "-q", "-d", str(image), "-o", str(unpacked))
        target = Path(folder) / "raw"
        seconds = timed(
            lambda: run("dd", f"if={unpacked}", f"of={target}", "bs=4M", "conv=fsync", "status=none")
        )
    run("rmc-dr", "power", "off", "app1", "--yes")
    seconds += timed(boot)
    run("rmc-dr", "lab", "exec", "app1", "--", "systemctl", "stop", "liberty")
    return seconds + timed(start_liberty)


def boot() -> None:
    """Power on, until it answers."""
    run("rmc-dr", "power", "disk", "app1", "--yes")
    lab = estate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while subprocess.run([*command(lab, lab.host("app1")), "true"], capture_output=True).returncode:
        if time.monotonic() > deadline:
            sys.exit(f"app1 does not answer after {PATIENCE_SECONDS} s")
        time.sleep(0.1)


def start_liberty() -> None:
    """Start it, and wait for what its users would see."""
    run("rmc-dr", "lab", "exec", "app1", "--", "systemctl", "start", "liberty")
    lab = estate()
    deadline = time.monotonic() + PATIENCE_SECONDS
    with Https(lab, lab.host("app1"), lab.config.applications.port, 2) as https:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if https.request("GET", "/health/ready").status_code == httpx.codes.OK:
                    return
            if time.monotonic() > deadline:
                sys.exit(f"Liberty is not ready after {PATIENCE_SECONDS} s")
            time.sleep(0.1)


def by_hand() -> float:
    """Seconds of the plain way up to the first boot: minimal system, packages, unzip, applications."""
    image_roles = packages.image_roles()
    folder = packages.obtain(packages.package_lists(image_roles), lambda _text: None)
    wanted = packages.package_lists(image_roles)["appserver"]
    kit = estate().config.kit.path
    work = Path(tempfile.mkdtemp(dir=content.STATE, prefix="bench-"))
    about = {
        "folder": str(work),
        "packages": wanted,
        "base": str(folder.base),
        "debs": str(folder.folder),
        "liberty": str(next((kit / "liberty").glob("*.zip"))),
        "applications": str(kit / "applications"),
    }
    playbook = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", json.dumps(about)]
    try:
        return timed(lambda: run(*playbook, "tests/bench/by-hand.yml"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def start_up(*words: str) -> float:
    return timed(lambda: run(*words))
