"""The object store on a real host: what its keys may do, how a dead one is told, what outlives its host."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import Lab

from rmc_dr.runner import run_playbook
from rmc_dr.store.client import client
from rmc_dr.words import size

pytestmark = pytest.mark.lab
SILENT_SECONDS = 15
HUNG_SECONDS = 60
SOON_SECONDS = 60
FSID = ("lab", "exec", "store1", "--", "cat", "/srv/ceph/fsid")


def look(lab: Lab) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and the checks by their names."""
    said = lab.run("store", "check", "--json")
    return said.code, {one["name"]: one for one in json.loads(said.out)["checks"]}


def failed(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, one in checks.items() if not one["passed"]]


def serve_again(lab: Lab) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while (seen := look(lab))[0] != 0:
        assert time.monotonic() < deadline, seen
        time.sleep(1)


def put(lab: Lab, key: str, body: bytes) -> str:
    bucket = lab.estate().config.s3.bucket
    return client(lab.estate(), "writer").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]


def get(lab: Lab, key: str, version: str) -> bytes:
    bucket = lab.estate().config.s3.bucket
    reader = client(lab.estate(), "verifier")
    return reader.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()


@pytest.fixture
def hung(healthy: Lab) -> Iterator[Lab]:
    """The gateway accepts connections and answers nobody."""
    signal = ("lab", "exec", "store1", "--", "systemctl", "kill", "--signal")
    healthy.ok(*signal, "STOP", "ceph-radosgw@rgw.a")
    yield healthy
    healthy.ok(*signal, "CONT", "ceph-radosgw@rgw.a")
    serve_again(healthy)


@pytest.fixture
def stopped(healthy: Lab) -> Iterator[Lab]:
    """The host is up, the gateway is not."""
    healthy.ok("lab", "exec", "store1", "--", "systemctl", "stop", "ceph-radosgw@rgw.a")
    yield healthy
    healthy.ok("lab", "exec", "store1", "--", "systemctl", "start", "ceph-radosgw@rgw.a")
    serve_again(healthy)


@pytest.fixture
def off(healthy: Lab) -> Iterator[Lab]:
    healthy.ok("lab", "break", "store1", "--how", "off")
    yield healthy
    healthy.ok("lab", "heal", "store1")
    serve_again(healthy)


def test_the_store_is_as_described(healthy: Lab):
    code, checks = look(healthy)
    assert (code, failed(checks)) == (0, [])
    assert len(checks) >= 30
    assert checks["lock"]["detail"] == "COMPLIANCE, 1 days"
    quota = healthy.estate().config.s3.quota_gib
    assert f" of {size(quota * 1024**3)} used" in checks["room"]["detail"]


def test_the_writer_cannot_delete_what_it_wrote(healthy: Lab):
    bucket = healthy.estate().config.s3.bucket
    version = put(healthy, "probe/test", b"precious")
    writer = client(healthy.estate(), "writer")
    with pytest.raises(ClientError, match="AccessDenied"):
        writer.delete_object(Bucket=bucket, Key="probe/test", VersionId=version)
    writer.delete_object(Bucket=bucket, Key="probe/test")
    with pytest.raises(ClientError, match="NoSuchKey"):
        writer.get_object(Bucket=bucket, Key="probe/test")
    assert get(healthy, "probe/test", version) == b"precious"


def test_nobody_makes_a_bucket_but_the_owner(healthy: Lab):
    for key in ("writer", "verifier", "keeper"):
        with pytest.raises(ClientError, match=r"403|AccessDenied|TooManyBuckets"):
            client(healthy.estate(), key).create_bucket(Bucket=f"own-{key}")


def test_monitor_and_osd_cannot_be_reached_from_another_host(healthy: Lab):
    address = healthy.estate().host("store1").address
    for port, reached in ((443, True), (3300, False), (6789, False), (6800, False)):
        probe = f"</dev/tcp/{address}/{port}"
        said = healthy.run("lab", "exec", "db1", "--", "timeout", "2", "bash", "-c", probe)
        assert (said.code == 0) is reached, port


def test_a_store_that_is_off_is_named_within_seconds(off: Lab):
    started = time.monotonic()
    code, checks = look(off)
    assert time.monotonic() - started < SILENT_SECONDS
    assert (code, list(checks)) == (1, ["reachable"])
    assert "the host is off" in checks["reachable"]["detail"] or "route" in checks["reachable"]["detail"]


def test_a_stopped_gateway_is_told_from_a_dead_host(stopped: Lab):
    code, checks = look(stopped)
    assert (code, list(checks)) == (1, ["reachable"])
    assert "its S3 service is not" in checks["reachable"]["detail"]


def test_a_store_that_hangs_costs_bounded_time(hung: Lab):
    started = time.monotonic()
    code, checks = look(hung)
    assert time.monotonic() - started < HUNG_SECONDS
    assert (code, bool(failed(checks))) == (1, True)


def test_a_lock_that_is_not_the_estates_is_red(healthy: Lab, tmp_path):
    """The bucket stays as it is; the estate is made to want another lock."""
    from conftest import copy_inventory

    inventory = copy_inventory(tmp_path)
    estate = inventory / "group_vars/all/estate.yml"
    estate.write_text(estate.read_text().replace("lock_days: 1 ", "lock_days: 9 "))
    said = healthy.run("-i", str(inventory), "store", "check", "--json")
    checks = {one["name"]: one for one in json.loads(said.out)["checks"]}
    assert (said.code, failed(checks)) == (1, ["lock", "locked-until"])


@pytest.mark.long
def test_what_was_acknowledged_outlives_a_hard_power_off(healthy: Lab):
    written: list[tuple[str, str, bytes]] = []
    writer, bucket = client(healthy.estate(), "writer"), healthy.estate().config.s3.bucket

    def write() -> None:
        while True:
            key, body = f"probe/power-{len(written) % 50}", os.urandom(4096)
            try:
                version = writer.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"]
            except (BotoCoreError, ClientError):
                return
            written.append((key, version, body))

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(3)
    healthy.ok("lab", "break", "store1", "--how", "off")
    thread.join(120)
    assert len(written) > 20
    healthy.ok("lab", "heal", "store1")
    serve_again(healthy)
    reader = client(healthy.estate(), "verifier")
    for key, version, body in written:
        assert reader.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read() == body


@pytest.mark.long
def test_a_reinstalled_system_keeps_the_cluster_with_bucket_and_objects(healthy: Lab):
    version = put(healthy, "probe/reinstall", b"kept")
    fsid = healthy.ok(*FSID).out
    healthy.ok("lab", "break", "store1", "--how", "os")
    healthy.ok("lab", "heal", "store1", timeout=1200)
    assert healthy.ok(*FSID).out == fsid
    assert get(healthy, "probe/reinstall", version) == b"kept"
    code, checks = look(healthy)
    assert (code, failed(checks)) == (0, [])


@pytest.mark.long
def test_a_second_converge_changes_nothing(healthy: Lab, tmp_path):
    outcome = run_playbook(
        healthy.estate(),
        "stages/converge.yml",
        variables={"target": "store1"},
        on_event=lambda *_event, **_fields: None,
        log=tmp_path / "converge.log",
    )
    assert (outcome.status, outcome.changed) == ("ok", 0)
