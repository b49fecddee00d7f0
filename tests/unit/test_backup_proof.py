"""How a verification's answers are judged: expectations, the loss, the estimate, what Prometheus is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rmc_dr.backups.proof import (
    Proof,
    Verdict,
    loss,
    problem_of,
    prometheus,
    proofs_of,
    recovery_estimate,
)
from rmc_dr.estate_backup import Expect

NOW = datetime(2026, 11, 25, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expect", "said"),
    [
        ("5", {"min": 1, "max": 9}, None),
        ("0", {"min": 1}, "is 0: less than 1"),
        ("10", {"min": 1, "max": 9}, "is 10: more than 9"),
        ("0", {"equals": 0}, None),
        ("3", {"equals": 0}, "is 3: not 0"),
        ("1.5e3", {"max": 1500}, None),
        ("t", {"equals": True}, None),
        ("f", {"equals": True}, "is False, not True"),
        ("t", {"min": 1}, "is True, not None"),
        ("1", {"equals": True}, "is 1, not True"),
        ("", {"min": 1}, "is nothing that can be compared"),
        ("2026-11-25 03:30:00.5+00", {"newest_within_minutes": 60}, None),
        ("2026-11-25 09:30:00+08", {"newest_within_minutes": 60}, "150 minutes old, more than 60"),
        ("2026-11-25 03:30:00", {"newest_within_minutes": 60}, "without a zone"),
        ("7", {"newest_within_minutes": 60}, "nothing that can be compared"),
    ],
)
def test_a_value_is_compared_with_what_is_expected(
    value: str, expect: dict[str, Any], said: str | None
) -> None:
    problem = problem_of(value, expect, NOW)
    assert problem is None if said is None else said in (problem or "")


def test_an_expectation_that_expects_nothing_is_refused() -> None:
    with pytest.raises(ValidationError):
        Expect.model_validate({})
    with pytest.raises(ValidationError):
        Expect.model_validate({"atleast": 3})


def test_nothing_is_lost_where_the_primary_is_not_ahead_however_old_the_newest_is() -> None:
    assert loss(1000.0, 9000.0, 77, 77) == 0
    assert loss(None, 9000.0, 77, 70) == 0
    assert loss(8950.0, 9000.0, 77, 78) == 50
    assert loss(8950.0, 9000.0, 77, None) == 50, "nobody knows: the worst is assumed"
    assert loss(None, 9000.0, 77, 78) is None


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_a_loss_is_never_negative(newest: float, reached: float) -> None:
    assert (loss(newest, reached, 1, 2) or 0) >= 0


def test_the_estimate_adds_what_was_measured() -> None:
    measured = {
        "copy_seconds": 100,
        "recover_seconds": 20,
        "sample_bytes": 10_000,
        "sample_seconds": 2,
        "files_bytes": 500_000,
        "ready_seconds": 15,
    }
    assert recovery_estimate(measured) == 100 + 20 + 100 + 15
    assert recovery_estimate({"copy_seconds": 100, "recover_seconds": 20}) == 120
    assert recovery_estimate({"copy_seconds": 100}) is None
    assert recovery_estimate({**measured, "sample_seconds": 0}) == 135


VERDICT = Verdict(
    "night",
    "verify1",
    NOW - timedelta(minutes=9),
    NOW,
    (Proof("wal", True), Proof("dump", True)),
    rpo_seconds=12.5,
)


def test_green_is_only_what_was_proven_in_every_part() -> None:
    assert VERDICT.green
    assert not replace(VERDICT, proofs=()).green, "nothing proven is not green"
    red = replace(VERDICT, proofs=(*VERDICT.proofs, Proof("wal", False, "damaged", ("x",))))
    assert (red.green, [proof.name for proof in red.red]) == (False, ["wal"])


def test_what_prometheus_reads() -> None:
    red = replace(VERDICT, proofs=(*VERDICT.proofs, Proof("wal", False)))
    lines = prometheus(red, "lab").splitlines()
    assert 'rmc_dr_verification_green{estate="lab",scope="night"} 0.000' in lines
    assert 'rmc_dr_verification_rpo_seconds{estate="lab",scope="night"} 12.500' in lines
    assert 'rmc_dr_verification_duration_seconds{estate="lab",scope="night"} 540.000' in lines
    assert 'rmc_dr_verification_check_green{estate="lab",check="wal"} 0' in lines
    assert 'rmc_dr_verification_check_green{estate="lab",check="dump"} 1' in lines
    assert not any("rto" in line for line in lines), "what was not measured is not told"


def test_a_stage_that_does_not_say_green_is_not_green() -> None:
    (one, other) = proofs_of([{"name": "a", "green": "yes"}, {"name": "b", "green": True, "objects": ["x"]}])
    assert (one.green, other.green, other.objects) == (False, True, ("x",))
