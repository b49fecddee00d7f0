"""Each drill passes twice in a row, and keeps what it measured."""

from __future__ import annotations

import json

import pytest
from conftest import Lab, serving

pytestmark = [pytest.mark.lab, pytest.mark.long]


@pytest.fixture
def anew(lab: Lab) -> Lab:
    """What an earlier test broke beyond healing is installed from nothing."""
    lab.run("runs", "abandon", "last", "--reason", "left by an earlier test")
    if lab.run("lab", "heal").code:
        lab.ok("lab", "up", "--fresh", timeout=1200)
    return lab


@pytest.mark.parametrize("name", ["appserver", "primary", "dbserver", "pair", "estate", "slip", "ransom"])
def test_passes_twice_in_a_row(anew: Lab, name: str):
    allowed = anew.estate().config.backup.archive_seconds + 15
    for _time in range(2):
        said = anew.ok("drill", name, "--json", timeout=3000)
        result = json.loads(said.out.splitlines()[-1])
        assert result["acknowledged_before_break"] >= 1000
        assert (result["lost"], result["duplicated"]) == (result["lost_allowed"], 0)
        assert result["attachments_missing"] == result["attachments_allowed"]
        assert 0 < result["rto_minutes"] < 24 * 60
        if name in ("pair", "estate"):
            assert result["rpo_seconds"] <= allowed
        assert serving(anew)
        assert name != "slip" or result["lost"] > 0, "what came after the slip is given up"
    kept = json.loads(anew.ok("drill", "history", "--json").out)
    last = [one for one in kept if one["drill"] == name][-2:]
    assert len(last) == 2
    assert last[-1]["trend"] is not None
