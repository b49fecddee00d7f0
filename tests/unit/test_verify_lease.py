"""What a verification does beside its stages: new packs are read, its copy's lease is renewed, or ends."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from test_backup import silent
from test_backup_verify import World
from test_backup_verify import world as _world
from test_verification_role import ROLE, host, tree

from rmc_dr import backup_record
from rmc_dr import backup_verify as story
from rmc_dr.backup_verify import LEASE, LEASE_SECONDS, RENEW_SECONDS
from rmc_dr.estate import Estate
from rmc_dr.store.packs import Packs

world = _world


def test_new_packs_are_read_whole_every_night(estate: Estate, world: World) -> None:
    assert story.verify(estate, "night", silent).green
    world.packs = Packs(1, 9, ("b" * 64,), {"a" * 64: "mark"})
    verdict = story.verify(estate, "files", silent)
    assert [(proof.name, proof.objects) for proof in verdict.red] == [("packs", ("b" * 64,))]
    story.verify(estate, "database", silent)
    assert world.known == [{}, {"a" * 64: "mark"}], "the database's part asks nothing of the files"
    (backup_record.folder() / f"{estate.name}.packs.json").write_text('{"torn')
    assert backup_record.packs(estate.name) == {}
    backup_record.forget(estate.name)
    assert not list(backup_record.folder().glob("*.packs.json"))


def test_a_living_verification_renews_its_lease(
    estate: Estate, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(story, "RENEW_SECONDS", 0.01)

    def ask(_estate: Estate, host: Any, remote: str, seconds: float) -> None:
        asked.append((host.name, remote))
        raise subprocess.TimeoutExpired("ssh", seconds)

    monkeypatch.setattr(story.ssh, "ask", ask)
    world.during = lambda: time.sleep(0.05)
    assert story.verify(estate, "files", silent).green, "a host that is slow to answer harms nothing"
    assert set(asked) == {("verify1", "touch --no-create --date='+1200 seconds' /srv/verify/lease")}
    seen_then = len(asked)
    time.sleep(0.1)
    assert len(asked) == seen_then


def swept(
    tmp_path: Path, *words: str, lease: float | None, old: bool = False, named: str = "verify1\n"
) -> tuple[int, bool, str]:
    """Run the program on folders of the test's own: how it ends, whether the copy stands, what it stopped."""
    text = (ROLE / "files/sweep").read_text()
    srv, etc, log = tmp_path / "srv", tmp_path / "host", tmp_path / "systemctl.log"
    text = text.replace("/srv/", f"{srv}/").replace("/etc/rmc-dr/verification/host", str(etc))
    text = text.replace("/run/rmc-dr-sweep.lock", str(tmp_path / "lock"))
    text = text.replace("systemctl ", f"echo >>{log} ")
    copy = srv / "verify"
    (copy / "data").mkdir(parents=True)
    etc.write_text(named)
    (srv / "inspect").mkdir(exist_ok=True)
    if lease is not None:
        (copy / "lease").touch()
        os.utime(copy / "lease", (time.time() + lease,) * 2)
    if old:
        os.utime(copy, (time.time() - 3600,) * 2)
    done = subprocess.run(["sh", "-c", text, "sh", *words], capture_output=True, text=True, check=False)
    return done.returncode, copy.exists(), log.read_text() if log.exists() else ""


@pytest.mark.parametrize(
    ("words", "lease", "stands"),
    [
        (("verification",), 600, False),
        (("inspection",), 600, True),
        (("--late",), 600, True),
        (("--late",), -1, False),
        (("--late",), None, True),
    ],
    ids=["asked for", "the other copy", "renewed", "over", "only just made"],
)
def test_a_copy_goes_when_it_is_asked_for_or_its_lease_is_over(
    tmp_path: Path, words: tuple[str, ...], lease: float | None, stands: bool
) -> None:
    code, there, stopped = swept(tmp_path, *words, lease=lease)
    assert (code, there) == (0, stands)
    assert ("verification.slice" in stopped) is not stands
    assert (tmp_path / "srv/inspect").exists() is (words != ("inspection",))


def test_a_copy_that_never_got_a_lease_goes_too(tmp_path: Path) -> None:
    assert swept(tmp_path, "--late", lease=None, old=True)[:2] == (0, False)


def test_the_sweep_refuses_another_host_and_unknown_words(tmp_path: Path) -> None:
    assert swept(tmp_path / "a", "data", lease=-1)[:2] == (64, True)
    for word in ("verification", "--late"):
        assert swept(tmp_path / word, word, lease=-1, named="") == (1, True, "")


def test_the_lease_is_what_the_control_machine_renews_and_the_timer_reads(tmp_path: Path) -> None:
    assert f"{host.SIDES['verification']}/lease" == LEASE
    assert LEASE_SECONDS > 4 * RENEW_SECONDS, "one answer that does not come ends nothing"
    timer = (ROLE / "templates/rmc-dr-sweep.timer.j2").read_text()
    assert "OnUnitInactiveSec=" in timer
    assert f"ExecStart={tree.PROGRAM} --late" in (ROLE / "templates/rmc-dr-sweep.service.j2").read_text()
