"""The part `check` of estate.yml: each threshold has a default, and none can be nonsense."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rmc_dr import content
from rmc_dr.estate_limits import Above, Below, Percent, Thresholds


def test_an_estate_names_only_what_it_wants_otherwise() -> None:
    limits = Thresholds.model_validate({"disk_percent": {"warning": 70, "critical": 80}})
    assert limits.disk_percent == Percent(warning=70, critical=80)
    assert limits.inodes_percent == Thresholds().inodes_percent


@pytest.mark.parametrize(
    "wrong",
    [
        {"disk_percent": {"warning": 90, "critical": 80}},
        {"disk_percent": {"warning": 90, "critical": 101}},
        {"disk_percent": {"warning": -1, "critical": 80}},
        {"disk_percent": {"warning": 90}},
        {"disk_percent": 90},
        {"certificate_days": {"warning": 7, "critical": 30}},
        {"latency_ms": {"warning": math.nan, "critical": math.nan}},
        {"latency_ms": {"warning": 1, "critical": math.inf}},
        {"disk": {"warning": 1, "critical": 2}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Thresholds.model_validate(wrong)


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_the_order_of_both_is_kept(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert Above(warning=low, critical=high).critical >= low
    assert Below(warning=high, critical=low).critical <= high


def test_the_runbook_shows_the_defaults() -> None:
    page = (content.root() / "docs" / "runbooks" / "estate.md").read_text()
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "check:" in text]
    assert Thresholds.model_validate(yaml.safe_load(block)["check"]) == Thresholds()
    assert set(yaml.safe_load(block)["check"]) == set(Thresholds.model_fields)
