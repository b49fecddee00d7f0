"""Deploys on real hosts: forward, back, and a release that does not work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, copy_inventory

from rmc_dr.estate import ESTATE_FILE, Host
from rmc_dr.https import Https

pytestmark = [pytest.mark.lab, pytest.mark.long]
APP = "management"


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


def test_a_release_that_fails_its_journey_goes_back(first_release: Lab, tmp_path: Path) -> None:
    """A journey that asks for what no release has: all works but the proof, of either release."""
    copy = copy_inventory(tmp_path)
    file = copy / ESTATE_FILE
    asked = f"- {{get: /{APP}/api/health, status: 200"
    file.write_text(file.read_text().replace(asked, asked.replace("200", "418"), 1))
    said = first_release.run("-i", str(copy), "deploy", APP, "--release", "1.1.0", "--json")
    assert (said.code, said.events()[-1]["error"]) == (1, "deploy-broken")
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
