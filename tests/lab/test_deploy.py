"""Deploys on real hosts: forward, back, and a release that does not work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, copy_inventory

from rmc_dr import content
from rmc_dr.estate import ESTATE_FILE, Host
from rmc_dr.https import Https
from rmc_dr.kit import signature
from rmc_dr.kit.manifest import NAME

pytestmark = [pytest.mark.lab, pytest.mark.long]
APP = "management"
SCHEMA = f"applications/{APP}/1.1.0/schema.sql"


@pytest.fixture
def first_release(healthy: Lab) -> Iterator[Lab]:
    """The estate's own release runs before, and again afterwards; estate.yml is the same to the byte."""
    file = healthy.estate().inventory / ESTATE_FILE
    text = file.read_bytes()
    yield healthy
    healthy.ok("deploy", APP, "--release", "1.0.0")
    assert file.read_bytes() == text


def version(lab: Lab) -> str:
    estate = lab.estate()
    (host,) = estate.group("appserver")
    with Https(estate, host, estate.config.applications.port, 15) as https:
        answer: str = https.request("GET", f"/{APP}/api/version").json()["version"]
        return answer


def liberty_process(lab: Lab) -> str:
    return lab.ok("lab", "exec", "app1", "systemctl", "show", "liberty", "--property=MainPID").out


def release_in_estate(lab: Lab) -> str:
    return next(app.release for app in lab.estate().config.applications.apps if app.name == APP)


def test_forward_and_back(first_release: Lab) -> None:
    said = first_release.ok("deploy", APP, "--release", "1.1.0", "--json")
    done: dict[str, Any] = json.loads(said.out)
    assert (done["before"], done["release"], done["pinned"]) == ("1.0.0", "1.1.0", True)
    assert all(check["passed"] for check in done["checks"])
    assert version(first_release) == release_in_estate(first_release) == "1.1.0"
    first_release.ok("deploy", APP, "--rollback")
    assert version(first_release) == release_in_estate(first_release) == "1.0.0"


def test_a_deploy_that_was_cut_before_the_restart_is_finished(first_release: Lab) -> None:
    """The files say 1.1.0 and Liberty runs 1.0.0: so it is after a kill at the worst moment."""
    first_release.ok("deploy", APP, "--release", "1.1.0")
    first_release.ok("deploy", APP, "--rollback")
    cut = (
        f"cd /opt/apps/{APP} && touch ../.restart-owed && ln -sfn releases/1.0.0 previous && "
        "ln -sfn releases/1.1.0 current"
    )
    first_release.ok("lab", "exec", "app1", "--", "sh", "-c", cut)
    before = liberty_process(first_release)
    done = json.loads(first_release.ok("deploy", APP, "--release", "1.1.0", "--json").out)
    assert (done["before"], done["release"]) == ("1.0.0", "1.1.0")
    assert liberty_process(first_release) != before, "it serves from memory what it was started with"
    assert version(first_release) == "1.1.0"


def test_a_release_that_fails_its_journey_goes_back(first_release: Lab, tmp_path: Path) -> None:
    """A journey that asks for what no release has: all works but the proof, of either release."""
    copy = copy_inventory(tmp_path)
    file = copy / ESTATE_FILE
    asked = f"- {{get: /{APP}/api/health, status: 200"
    file.write_text(file.read_text().replace(asked, asked.replace("200", "418"), 1))
    said = first_release.run("-i", str(copy), "deploy", APP, "--release", "1.1.0", "--json")
    assert (said.code, said.events()[-1]["error"]) == (1, "deploy-broken")
    assert version(first_release) == "1.0.0"


@pytest.fixture
def other_kit(first_release: Lab, tmp_path: Path) -> tuple[Path, Path]:
    """An inventory and a copy of the kit that it names; the lab's own kit stays as it is."""
    inventory, kit = copy_inventory(tmp_path), tmp_path / "kit"
    own = first_release.estate().config.kit.path
    shutil.copytree(own, kit, copy_function=os.link)
    file = inventory / ESTATE_FILE
    file.write_text(file.read_text().replace(f"path: {own}", f"path: {kit}", 1))
    return inventory, kit


def change(kit: Path, name: str, text: bytes) -> None:
    (kit / name).unlink()  # a hard link
    (kit / name).write_bytes(text)


def test_a_schema_that_postgresql_refuses_is_told_in_its_words(
    first_release: Lab, other_kit: tuple[Path, Path]
) -> None:
    inventory, kit = other_kit
    text = b"create table half_made ();\nselect no_such_column from patients;\n"
    change(kit, SCHEMA, text)
    manifest = json.loads((kit / NAME).read_text())
    manifest["files"][SCHEMA] = {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
    change(kit, NAME, json.dumps(manifest).encode())
    signature.sign(kit / NAME, first_release.estate().private_dir / "kit_signing_key")

    said = first_release.run("-i", str(inventory), "deploy", APP, "--release", "1.1.0")

    assert (said.code, 'column "no_such_column" does not exist' in said.err) == (1, True), said.err
    assert version(first_release) == "1.0.0"


def test_by_hand_a_kit_that_somebody_touched_is_refused(
    first_release: Lab, other_kit: tuple[Path, Path]
) -> None:
    inventory, kit = other_kit
    change(kit, SCHEMA, b"drop table patients;\n")
    words = ["-e", f"deploy_application={APP}", "-e", "deploy_release=1.1.0"]
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), "playbooks/deploy.yml", *words],
        cwd=content.root(),
        env={**first_release.env, "PATH": f"{content.root() / '.venv/bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert "schema.sql is not the file that the kit" in " ".join(done.stdout.split())
    assert version(first_release) == "1.0.0"


def test_what_is_refused(healthy: Lab) -> None:
    assert healthy.run("deploy", "laboratory", "--release", "1.0.0").code == 2
    assert healthy.run("deploy", APP, "--release", "9.9.9").code == 2
    assert healthy.run("deploy", APP).code == 2
    assert version(healthy) == "1.0.0"


def test_the_attachments_folder_belongs_to_the_fixed_user(healthy: Lab) -> None:
    """The data partition outlives the system that wrote it: the number must not change with an image."""
    host: Host = healthy.estate().group("appserver")[0]
    said = healthy.ok("lab", "exec", host.name, "--", "stat", "-c", "%u:%g", f"/srv/attachments/{APP}")
    assert said.out.strip() == "700:700"
