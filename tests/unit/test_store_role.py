"""The store's role: who may do what with the bucket, and what is never founded over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rmc_dr import content
from rmc_dr.store.probes import PREFIX

sys.path.insert(0, str(content.root() / "roles/store/module_utils"))
import store_config
import store_policy


def actions(name: str) -> set[str]:
    rules = store_policy.policy("b", {key: f"arn:{key}" for key in ("writer", "verifier", "keeper")})
    return {
        action
        for statement in rules["Statement"]
        if statement["Effect"] == "Allow" and statement["Principal"] == {"AWS": [f"arn:{name}"]}
        for action in statement["Action"]
    }


def test_nobody_may_bypass_a_lock_or_change_the_bucket():
    for name in ("writer", "verifier", "keeper"):
        assert not [one for one in actions(name) if "Bypass" in one or one.startswith("s3:PutBucket")]
        assert not actions(name) & {"s3:*", "s3:PutObjectLegalHold", "s3:DeleteBucket"}


def test_only_the_keeper_makes_locks_longer():
    """None makes one shorter: that takes the bypass, which is denied to all. Where the others are only not
    allowed, Ceph lets whoever wrote an object.
    """
    assert {name for name in store_policy.MAY if "s3:PutObjectRetention" in actions(name)} == {"keeper"}
    assert denied()["s3:PutObjectRetention"] == {"arn:writer", "arn:verifier"}


def denied() -> dict[str, set[str]]:
    names = {key: f"arn:{key}" for key in ("writer", "verifier", "keeper")}
    rules = [one for one in store_policy.policy("b", names)["Statement"] if one["Effect"] == "Deny"]
    assert all("arn:aws:s3:::b/*" in rule["Resource"] for rule in rules)
    return {action: set(rule["Principal"]["AWS"]) for rule in rules for action in rule["Action"]}


@pytest.mark.parametrize("action", ["s3:BypassGovernanceRetention", "s3:PutObjectLegalHold"])
def test_it_is_denied_to_all_by_name(action: str):
    """Where it is only not allowed, Ceph lets whoever may delete a version bypass its lock."""
    assert denied()[action] == {"arn:writer", "arn:verifier", "arn:keeper"}


def test_only_the_keeper_deletes_versions():
    assert {name for name in store_policy.MAY if "s3:DeleteObjectVersion" in actions(name)} == {"keeper"}


def test_the_verifier_only_reads():
    assert {one.removeprefix("s3:")[:3] for one in actions("verifier")} == {"Get", "Lis"}


def test_the_writer_and_the_keeper_can_do_their_work():
    work = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "s3:DeleteObject", "s3:AbortMultipartUpload"}
    assert work <= actions("writer")
    assert work | {"s3:DeleteObjectVersion"} <= actions("keeper")


def test_the_store_clears_away_no_version_but_its_probes_after_their_lock():
    rules = {rule["ID"]: rule for rule in store_policy.lifecycle(7)}
    versions = [rule for rule in rules.values() if "NoncurrentVersionExpiration" in rule]
    assert [rule["Filter"] for rule in versions] == [{"Prefix": PREFIX}]
    assert versions[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] > 7
    assert not [rule for rule in rules.values() if "Days" in rule.get("Expiration", {})]


# What is never founded over.


def whole(folder: Path) -> Path:
    for name in store_config.WHOLE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def damaged(folder: Path) -> None:
    (whole(folder) / "osd/block").unlink()


def unfinished(folder: Path) -> None:
    (whole(folder) / "founding").touch()


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (str, store_config.State.NOTHING),
        (Path.mkdir, store_config.State.NOTHING),
        (unfinished, store_config.State.NOTHING),
        (whole, store_config.State.WHOLE),
        (damaged, store_config.State.DAMAGED),
    ],
)
def test_what_a_folder_holds(tmp_path: Path, make: Callable[[Path], Any], state: store_config.State):
    make(tmp_path / "ceph")
    assert store_config.holds(tmp_path / "ceph") is state


@pytest.mark.parametrize("lost", store_config.WHOLE)
def test_data_that_is_not_whole_is_never_founded_over(tmp_path: Path, lost: str):
    path = whole(tmp_path) / lost
    path.unlink()
    assert store_config.holds(tmp_path) is store_config.State.DAMAGED
    assert store_config.missing(tmp_path) == [lost]


def test_monitor_and_osd_stay_on_the_loopback():
    text = store_config.config("f", Path("/srv/ceph"), 1, 1024, Path("/etc/ceph/gateway.pem"))
    addresses = [line for line in text.splitlines() if "_addr " in line or "mon_host" in line]
    assert len(addresses) == 3
    assert all("127.0.0.1" in line for line in addresses)
