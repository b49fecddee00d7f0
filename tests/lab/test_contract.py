"""The contract's cases, each from the fault to the archived report that names its cause."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, serving
from diagnose_faults import FAULTS
from fault_app import APP
from pair import Pair, mend
from pypdf import PdfReader
from test_diagnose import told, until_green, walk

from rmc_dr.diagnose.tree import trees

pytestmark = [pytest.mark.lab, pytest.mark.long]
DATASOURCES = ("host", "port", "database", "user", "password", "tls")


@pytest.fixture
def pair(lab: Lab) -> Iterator[Pair]:
    mend(lab)
    lab.run("incident", "close", "left by an earlier test")
    yield Pair(lab)
    lab.run("incident", "close", "left by a test")
    mend(lab)


def begin(lab: Lab, complaint: str) -> None:
    lab.ok("incident", "open", complaint)
    lab.ok("incident", "note", "on the way", "--reached", "answered")


def reported(lab: Lab, folder: Path, cause: str) -> dict[str, Any]:
    """Close the incident, make its report in Chinese, and look that the store holds it; its JSON."""
    lab.ok("incident", "note", "users work again", "--reached", "running")
    lab.ok("incident", "note", cause, "--reached", "solved")
    lab.ok("incident", "close", cause)
    made = json.loads(lab.ok("incident", "report", "--lang", "zh", "--to", str(folder), "--json").out)
    assert (made["archived"], made["without_pdf"], made["missing_characters"]) == (True, None, [])
    kept = {one["id"] for one in json.loads(lab.ok("report", "list", "--json").out)["reports"]}
    assert made["id"] in kept
    pages = PdfReader(io.BytesIO(Path(made["files"]["pdf"]).read_bytes())).pages
    said = "".join(page.extract_text() for page in pages).replace("\n", "").replace(" ", "")
    assert cause.replace(" ", "") in said
    data: dict[str, Any] = json.loads(Path(made["files"]["json"]).read_text())["data"]
    return {**data, "said": said}


def names_the_cause(report: dict[str, Any], leaf: str) -> None:
    """In the report's data, and in words on the page."""
    wanted = trees().leaves[leaf]
    assert wanted.finding in report["findings"]
    assert wanted.what.zh.replace(" ", "") in report["said"]


@pytest.mark.parametrize(
    ("complaint", "leaf"),
    [
        ("login", "network-cut"),
        ("db-timeout", "port-dropped"),
        ("login", "database-down"),
        ("db-timeout", "role-locked"),
        ("db-timeout", "role-limit"),
    ],
)
def test_what_people_mend(pair: Pair, tmp_path: Path, complaint: str, leaf: str):
    """A cable, a firewall's rule, a database or a role that somebody stopped: found here, mended by hand."""
    lab = pair.lab
    begin(lab, "nobody can log in")
    with FAULTS[leaf].inject(pair):
        time.sleep(FAULTS[leaf].settle)
        found = walk(lab, complaint)
        assert found["leaf"] == leaf, told(found)
        lab.ok("preserve")
    until_green(lab)
    assert walk(lab, complaint)["healthy"]
    names_the_cause(reported(lab, tmp_path, f"{leaf}: mended by hand"), leaf)


@pytest.mark.parametrize(
    ("complaint", "leaf"),
    [
        ("login", "liberty-dead"),
        ("db-timeout", "pool-full"),
        *(("db-timeout", f"datasource-{what}") for what in DATASOURCES),
    ],
)
def test_what_the_diagnosis_mends(pair: Pair, tmp_path: Path, complaint: str, leaf: str):
    lab = pair.lab
    begin(lab, "the database does not answer in time")
    with FAULTS[leaf].inject(pair):
        time.sleep(FAULTS[leaf].settle)
        said = lab.run("diagnose", complaint, "--fix", "--yes", "--json")
        walks = [event for event in said.events() if event["event"] == "diagnosis"]
        assert [one["leaf"] for one in walks] == [leaf, "healthy"], said.err
        assert serving(lab)
        report = reported(lab, tmp_path, f"{leaf}: mended by the diagnosis")
    names_the_cause(report, leaf)
    assert report["runs"], "the mend is a run of its own"
    assert report["evidence"], "the scene was kept before it"


def test_an_application_server_that_is_gone(pair: Pair, tmp_path: Path):
    lab = pair.lab
    begin(lab, "everything is gone")
    lab.ok("lab", "break", APP, "--how", "disk")
    found = walk(lab, "appserver")
    assert found["leaf"] in ("server-silent", "system-broken"), told(found)
    lab.ok("rebuild", "appserver", "--yes", timeout=1800)
    assert walk(lab, "appserver")["healthy"]
    report = reported(lab, tmp_path, f"{found['leaf']}: the disk was gone; rebuilt")
    names_the_cause(report, found["leaf"])
    assert report["runs"]
