"""What would make it worse is refused: each with its own name and exit code, and not one byte is written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Lab, content_hash, copy_inventory
from pair import KILL_PATRONI, RUN, Pair, mend

from rmc_dr.estate import ESTATE_FILE
from rmc_dr.kit import signature
from rmc_dr.kit.manifest import NAME

pytestmark = pytest.mark.lab
REFUSED = 3
REBUILD = ("rebuild", "appserver", "--yes")
DRIVER = "jdbc/postgresql.jar"


@pytest.fixture(scope="module", autouse=True)
def healed(lab: Lab) -> Iterator[None]:
    """Every host is well before the first test and after the last."""
    mend(lab)
    yield
    mend(lab)


@pytest.fixture
def dead(lab: Lab) -> Iterator[Lab]:
    """The lab with app1 off; afterwards its disk holds what it held before."""
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    lab.ok("lab", "break", "app1", "--how", "off")
    before = content_hash(lab.disk("app1"))
    yield lab
    lab.ok("power", "off", "app1", "--yes")
    assert content_hash(lab.disk("app1")) == before


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    yield Pair(lab)
    mend(lab)


def refusal(lab: Lab, *words: str) -> tuple[int, str]:
    """Exit code and the error's stable name."""
    said = lab.run("--json", *words)
    return said.code, str(said.events()[-1].get("error"))


def altered(folder: Path, file: str, own: str, other: str) -> str:
    """A copy of the lab's inventory that says something else in one place."""
    path = copy_inventory(folder) / file
    text = path.read_text()
    assert own in text
    path.write_text(text.replace(own, other, 1))
    return str(folder / "inventory")


@pytest.mark.parametrize(
    ("own", "other"), [("00000000a001", "00000000a0ff"), ("disk: app1.img", "disk: other.img")]
)
def test_a_wrong_machine_or_disk_is_refused(dead: Lab, tmp_path: Path, own: str, other: str):
    """While the host is off neither can be seen; the rescue system, which writes nothing, proves it."""
    said = dead.run("-i", altered(tmp_path, "hosts.yml", own, other), *REBUILD)
    assert (said.code, "This is not the machine that the estate names" in said.err) == (REFUSED, True)
    assert other.removeprefix("disk: ") in said.err


def test_a_wrong_machine_that_answers_is_refused_before_a_run_begins(dead: Lab, tmp_path: Path):
    dead.ok("power", "rescue", "app1", "--yes")
    before = dead.run("runs").out
    inventory = altered(tmp_path, "hosts.yml", "00000000a001", "00000000a0ff")
    assert refusal(dead, "-i", inventory, *REBUILD) == (REFUSED, "wrong-machine")
    assert dead.run("runs").out == before


BUSY = "table inet busy"
NO_ANSWER = "chain input { type filter hook input priority -300; tcp dport 9443 drop; };"


@pytest.fixture
def busy(lab: Lab) -> Iterator[Lab]:
    """app1 runs, and what it is asked over HTTPS is not answered in time."""
    mend(lab)
    lab.ok("lab", "exec", "app1", "sh", "-c", f"nft '{BUSY} {{ {NO_ANSWER} }}'")
    yield lab
    lab.ok("lab", "exec", "app1", "sh", "-c", f"nft delete {BUSY}")


def test_a_server_that_may_serve_is_not_taken_down(busy: Lab):
    before = busy.run("runs").out
    seen = json.loads(busy.ok("--json").out)
    assert (seen["serving"], seen["next"]) == ({"app1": None}, "rmc-dr verify appserver")
    assert refusal(busy, *REBUILD) == (REFUSED, "serving-unknown")
    assert busy.run("runs").out == before
    busy.ok("rebuild", "appserver", "--plan", "--replace-healthy", "app1")
    by_hand = busy.by_hand("stages/fence.yml", timeout=120)
    assert by_hand.code != 0
    assert "It cannot be told whether app1 serves" in " ".join(by_hand.out.split())
    assert busy.ok("power", "status", "app1").out.strip() == "app1: disk"


@pytest.mark.long
def test_a_disk_with_somebody_elses_partitions_is_refused(dead: Lab):
    """As a hospital's existing server is before its first rebuild: a GPT with an ESP and LVM in one piece."""
    own = dead.disk("app1")
    aside, size = own.with_suffix(".aside"), own.stat().st_size
    own.rename(aside)
    try:
        with own.open("wb") as file:
            file.truncate(size)
        words = ["--new=1:2048:+512M", "--typecode=1:ef00", "--new=2:0:0", "--typecode=2:8e00"]
        subprocess.run(["sgdisk", *words, own], check=True, capture_output=True)
        before = content_hash(own)
        said = dead.run(*REBUILD)
        dead.ok("power", "off", "app1", "--yes")
        assert (said.code, "partitions that are not rmc-dr's: number 1" in said.err) == (REFUSED, True)
        assert content_hash(own) == before
    finally:
        dead.run("power", "off", "app1", "--yes")
        own.unlink()
        aside.rename(own)


def change_a_byte(kit: Path) -> None:
    driver = (kit / DRIVER).read_bytes()
    (kit / DRIVER).unlink()  # a hard link: the lab's own kit stays as it is
    (kit / DRIVER).write_bytes(driver[:-1] + bytes([driver[-1] ^ 1]))


def take_a_file_away(kit: Path) -> None:
    (kit / DRIVER).unlink()


def add_a_file(kit: Path) -> None:
    (kit / "jdbc" / "extra.jar").write_bytes(b"from nobody knows where")


def sign_by_another(kit: Path) -> None:
    key = kit.parent / "another_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signature.sign(kit / NAME, key)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (change_a_byte, "kit-tampered"),
        (take_a_file_away, "kit-missing-file"),
        (add_a_file, "kit-foreign-file"),
        (sign_by_another, "kit-foreign-signer"),
    ],
)
def test_a_kit_that_somebody_touched_is_refused(
    dead: Lab, tmp_path: Path, change: Callable[[Path], None], code: str
):
    own = dead.estate().config.kit.path
    kit = tmp_path / "kit"
    shutil.copytree(own, kit, copy_function=os.link)
    change(kit)
    inventory = altered(tmp_path, ESTATE_FILE, f"path: {own}", f"path: {kit}")
    assert refusal(dead, "-i", inventory, *REBUILD) == (REFUSED, code)


@pytest.mark.long  # the pair is torn, and one of its nodes must be copied anew afterwards
def test_a_pair_in_split_brain_is_refused(pair: Pair, dead: Lab):
    pair.on(pair.standby, f"{KILL_PATRONI}; {RUN} promote")
    pair.until("split-brain")
    assert refusal(dead, *REBUILD) == (REFUSED, "split-brain")


def test_a_foreign_target_is_not_broken(dead: Lab, tmp_path: Path):
    words = ("lab", "break", "app1", "--how", "disk")
    assert refusal(dead, "-i", str(copy_inventory(tmp_path)), *words) == (REFUSED, "lab-foreign-inventory")
    assert dead.run("lab", "break", "hospital1", "--how", "disk").code == 2
