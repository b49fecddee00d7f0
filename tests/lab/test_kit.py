"""The real kit: no secret in its images, cheap to prove, built again in seconds, killed without remains."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from rmc_dr import content
from rmc_dr.kit import place, sealed
from rmc_dr.kit.manifest import Manifest
from rmc_dr.kit.verify import verify
from rmc_dr.lab import cgroups
from tests.lab.conftest import Lab, secret_lines

pytestmark = pytest.mark.lab
IMAGES = ("appserver", "dbserver", "store", "verifier", "rescue")


@pytest.fixture(scope="module")
def manifest(lab: Lab) -> Manifest:
    return verify(lab.estate())


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_no_secret(lab: Lab, manifest: Manifest, image: str) -> None:
    secrets = secret_lines(lab)
    assert len(secrets) > 20
    with tempfile.NamedTemporaryFile("w") as patterns:
        patterns.write("\n".join(sorted(secrets)) + "\n")
        patterns.flush()
        archive = manifest.path(f"images/{image}.tar.zst")
        with subprocess.Popen(["zstd", "-dc", str(archive)], stdout=subprocess.PIPE) as unpacked:
            done = subprocess.run(
                ["grep", "--text", "--count", "--fixed-strings", f"--file={patterns.name}"],
                stdin=unpacked.stdout,
                capture_output=True,
                text=True,
            )
    assert done.stdout.strip() == "0", f"{image} holds {done.stdout.strip()} lines with secrets"


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_sealed(manifest: Manifest, tmp_path: Path, image: str) -> None:
    archive = manifest.path(f"images/{image}.tar.zst")
    subprocess.run(
        ["tar", "--extract", "--zstd", "--file", archive, "--directory", tmp_path, "--numeric-owner"],
        check=True,
    )
    assert sealed.remains(tmp_path) == []
    assert (tmp_path / "etc/machine-id").stat().st_size == 0
    assert bool(list(tmp_path.glob("boot/vmlinuz-*"))) is (image != "rescue")


def test_the_manifest_tells_versions(manifest: Manifest) -> None:
    versions = manifest.versions
    assert versions.images["dbserver"]["postgresql-17"].startswith("17.")
    assert "linux-image-amd64" in versions.images["appserver"]
    assert versions.applications == {
        "management": ["1.0.0", "1.1.0"],
        "verification": ["1.0.0", "1.1.0"],
    }


def test_proving_the_kit_is_cheap(lab: Lab) -> None:
    answer = json.loads(lab.ok("kit", "verify", "--json").out)
    assert answer["seconds"] < 15


def test_a_changed_byte_is_refused_by_every_command(lab: Lab, manifest: Manifest) -> None:
    path = manifest.path("jdbc/postgresql.jar")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        said = lab.run("kit", "verify")
        assert said.code == 3
        assert "jdbc/postgresql.jar" in said.err
        shown = lab.run("kit", "show", "--json")
        assert (shown.code, json.loads(shown.out.splitlines()[0])["error"]) == (3, "kit-tampered")
    finally:
        path.write_bytes(good)
    lab.ok("kit", "verify")


def test_a_second_build_takes_seconds_and_changes_nothing(lab: Lab, manifest: Manifest) -> None:
    started = time.monotonic()
    answer = json.loads(lab.ok("kit", "build", "--json").out)
    assert time.monotonic() - started < 60
    assert answer["sha256"] == manifest.sha256


@pytest.mark.long
def test_a_killed_build_leaves_nothing_and_the_next_one_ends(
    lab: Lab, manifest: Manifest, seed: random.Random
) -> None:
    images = content.STATE / "cache" / "images"
    for note in images.glob("rescue-*.json"):
        note.unlink()
    build = lab.popen("kit", "build")
    time.sleep(seed.uniform(3, 40))
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    lab.ok("kit", "build", timeout=1800)
    assert not [name for name in cgroups.machines() if name.startswith("builder-")]
    assert not list((content.STATE / "lab" / "hosts").glob("builder-*"))
    assert not list(content.STATE.glob(f"**/{place.DRAFT}*"))
    assert verify(lab.estate()).files["jdbc/postgresql.jar"] == manifest.files["jdbc/postgresql.jar"]
