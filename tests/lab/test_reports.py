"""From an incident to its report in the store: locked there, listed, and brought back to the byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from conftest import Lab

from rmc_dr.publish.archive import INDEX, PREFIX
from rmc_dr.store.client import client

pytestmark = pytest.mark.lab
CAUSE = "a power supply burnt; replaced"
FORMS = ("html", "pdf", "json")


@pytest.fixture
def calm(lab: Lab) -> Iterator[Lab]:
    """The lab without an open incident, before and after."""
    lab.run("incident", "close", "left by an earlier test")
    yield lab
    lab.run("incident", "close", "left by an earlier test")


def test_from_an_incident_to_its_archived_report(calm: Lab, tmp_path: Path):
    calm.ok("incident", "open", "nobody can log in", "--finding", "application-stopped")
    calm.ok("incident", "note", "app1 alone; the database is well", "--as", "scope")
    calm.ok("incident", "note", "Zhang on site, Li by telephone", "--as", "team")
    progress = json.loads(calm.ok("incident", "progress", "--next-in", "60", "--json").out)
    assert progress["archived"], progress
    calm.ok("incident", "classify", "--class", "major", "--reason", "one clerk only")
    calm.ok("incident", "close", CAUSE)
    made = json.loads(calm.ok("incident", "report", "--lang", "zh", "--to", str(tmp_path), "--json").out)
    assert (made["archived"], made["without_pdf"], made["missing_characters"]) == (True, None, [])
    assert CAUSE in Path(made["files"]["html"]).read_text()

    listed = {one["id"]: one for one in json.loads(calm.ok("report", "list", "--json").out)["reports"]}
    report, estate = listed[made["id"]], calm.estate()
    least = datetime.now(UTC) + timedelta(days=estate.config.s3.lock_days - 1)
    assert datetime.fromisoformat(report["locked_until"]) > least
    verifier, bucket = client(estate, "verifier"), estate.config.s3.bucket
    keys = [*(f"{PREFIX}{made['id']}/{made['id']}.{form}" for form in FORMS), f"{INDEX}{made['id']}.json"]
    for key in keys:
        version = verifier.head_object(Bucket=bucket, Key=key)["VersionId"]
        lock = verifier.get_object_retention(Bucket=bucket, Key=key, VersionId=version)["Retention"]
        assert lock["RetainUntilDate"] > least
        with pytest.raises(ClientError):
            client(estate, "writer").delete_object(Bucket=bucket, Key=key, VersionId=version)

    back = calm.ok("report", "open", made["id"], "--to", str(tmp_path / "again"))
    assert "Proven" in back.out
    for path in map(Path, made["files"].values()):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    assert "every report" in calm.ok("report", "archive").out
