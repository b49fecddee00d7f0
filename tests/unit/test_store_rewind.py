"""A bucket shows again what it showed: which version counts, what is hidden, and the calls that are made."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content, store_rewind
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.plans.moment import Moment
from rmc_dr.runner import Failure, Outcome

sys.path.insert(0, str(content.root() / "roles/store/library"))
from store_rewind import LARGEST_BYTES, carry_out, steps

TO = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def version(key: str, minute: int, etag: str | None = "a", *, latest: bool = False, size: int = 1):
    """A version, or where it has no ETag a marker, so many minutes after the moment."""
    kind = {} if etag is None else {"ETag": etag, "Size": size}
    stamp = TO + timedelta(minutes=minute)
    return {"Key": key, "VersionId": f"{key}{minute}", "LastModified": stamp, "IsLatest": latest, **kind}


def planned(*versions: dict[str, Any]) -> list[tuple[str, str]]:
    return [(what, one["VersionId"]) for what, one in steps(versions, TO)]


def test_what_was_hidden_and_covered_with_junk_comes_back():
    thief = [version("k", 1, None), version("k", 2, "junk", latest=True)]
    assert planned(version("k", -9, "old"), version("k", -2, "mine"), *thief) == [("back", "k-2")]


@pytest.mark.parametrize(
    ("versions", "step"),
    [
        ([version("k", -2, latest=True)], "same"),
        ([version("k", -2), version("k", 1, None, latest=True)], "back"),
        ([version("k", 1, latest=True)], "hide"),
        ([version("k", 1), version("k", 2, None, latest=True)], "same"),
        ([version("k", -5), version("k", -4, None), version("k", 2, latest=True)], "hide"),
        ([version("k", -5), version("k", -4, None, latest=True)], "same"),
        ([version("k", -5, "m"), version("k", 1, "junk"), version("k", 9, "m", latest=True)], "same"),
        ([version("k", 0, "m"), version("k", 1, "junk", latest=True)], "back"),
        ([version("k", -1, size=LARGEST_BYTES + 1), version("k", 1, "junk", latest=True)], "too_large"),
    ],
)
def test_each_object_becomes_what_it_was(versions, step):
    assert [what for what, _version in steps(versions, TO)] == [step]


@given(
    st.lists(
        st.tuples(st.sampled_from("kl"), st.integers(-99, 99), st.sampled_from(["a", "b", None])),
        unique_by=lambda made: made[:2],
    )
)
def test_done_twice_changes_nothing_the_second_time(made):
    """The bucket stands in a model: copies and markers are new versions, and nothing is ever taken away."""
    bucket = [version(key, minute, etag) for key, minute, etag in made]

    def shown() -> list[dict[str, Any]]:
        newest = {one["Key"]: one for one in sorted(bucket, key=lambda one: one["LastModified"])}
        for one in bucket:
            one["IsLatest"] = newest[one["Key"]] is one
        return sorted(bucket, key=lambda one: one["Key"])

    before = list(bucket)
    for number, (what, one) in enumerate(list(steps(shown(), TO))):
        if what != "same":
            bucket.append(version(one["Key"], 200 + number, one.get("ETag") if what == "back" else None))
    assert {what for what, _one in steps(shown(), TO)} <= {"same"}
    assert all(one in bucket for one in before)


class Client:
    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, Any]]] = []

    def __getattr__(self, name: str):
        return lambda **words: self.calls.append((name, words))


def test_the_store_copies_by_itself_and_no_version_is_deleted():
    client = Client()
    for what in ("back", "hide", "same", "too_large"):
        assert carry_out(client, "b", (what, version("k", -2))) == what
    assert client.calls == [
        (
            "copy_object",
            {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "b", "Key": "k", "VersionId": "k-2"}},
        ),
        ("delete_object", {"Bucket": "b", "Key": "k"}),
    ]


COUNTS = {"back": 5, "hidden": 1, "same": 7, "too_large": 0}


@pytest.fixture
def played(state, monkeypatch) -> list[tuple[str, dict[str, Any]]]:
    calls: list[tuple[str, dict[str, Any]]] = []

    def play(_estate: Estate, playbook: str, *, variables: dict[str, Any], **_rest: Any) -> Outcome:
        calls.append((playbook, variables))
        return Outcome("ok", 1, facts={"store1": {"rewound": COUNTS}})

    monkeypatch.setattr(store_rewind, "run_playbook", play)
    return calls


def test_a_look_is_the_same_playbook_that_only_counts(estate: Estate, played):
    assert store_rewind.look(estate, Moment(TO)) == store_rewind.Rewound(5, 1, 7)
    assert played == [
        ("store-rewind.yml", {"rewind_to": "2026-11-25 03:00:00+00:00", "rewind_look": True}),
    ]


def test_without_a_moment_nothing_is_asked(estate: Estate, played):
    with pytest.raises(BadInput):
        store_rewind.look(estate, Moment())
    assert played == []


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome("failed", 1, failures=(Failure("store1", "t", "QuotaExceeded"),)), "not-rewound"),
        (Outcome("ok", 1), "not-rewound"),
        (Outcome("ok", 1, facts={"store1": {"rewound": {**COUNTS, "too_large": 2}}}), "too-large"),
    ],
)
def test_what_is_not_whole_is_said(estate: Estate, played, monkeypatch, outcome, code):
    monkeypatch.setattr(store_rewind, "run_playbook", lambda *_words, **_more: outcome)
    with pytest.raises(Error) as failed:
        store_rewind.look(estate, Moment(TO))
    assert failed.value.code == code
