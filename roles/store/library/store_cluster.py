#!/usr/bin/python3
"""Runs one Ceph monitor, one OSD and the S3 gateway on this host, on data that may be older than the host.

A cluster is founded only where nothing is. What is there is started, never made anew; data that is not whole
is refused, for it may be the only copy. A mark tells a founding that was cut short, which holds nothing yet.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import ssl
import subprocess
import time
import uuid
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.store_config import State, config, holds, missing

DOCUMENTATION = """
module: store_cluster
short_description: A small Ceph cluster with its S3 gateway on one host
description:
  - Monitor and OSD listen on the loopback only; the gateway serves HTTPS on port 443.
  - Grows the OSD where more room is wanted, restarts what runs with an older configuration or certificate.
options:
  data: {description: Folder of the cluster on the data partition., type: path, required: true}
  block_bytes: {description: Room of the OSD., type: int, required: true}
  memory_mib: {description: Memory that the OSD aims at., type: int, required: true}
  certificate: {description: The host's certificate., type: path, required: true}
  key: {description: The host's key., type: path, required: true}
author: [rmc-dr]
"""
RETURN = """
founded: {description: Whether the cluster was made now., type: bool, returned: success}
restarted: {description: The services that were restarted., type: list, elements: str, returned: success}
"""
CONFIG = Path("/etc/ceph/ceph.conf")
PEM = Path("/etc/ceph/gateway.pem")
MON, OSD, GATEWAY = "ceph-mon@a.service", "ceph-osd@0.service", "ceph-radosgw@rgw.a.service"
ADDRESSES = "[v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]"
RELEASE = "reef"
SPARE_BYTES = 512 * 1024**2  # the monitor's own data, beside the OSD's
COMMAND_SECONDS = 90
UP_SECONDS = 120


class Failed(Exception):
    """Why the store does not run; holds no key."""


def run(*words: str | Path, given: str | None = None) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in words],
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"`{words[0]} {words[1]}` does not end") from None
    if done.returncode != 0:
        raise Failed(f"`{words[0]} {words[1]}` ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


class Cluster:
    """The cluster in one folder, as far as it is there."""

    def __init__(self, data: Path, block_bytes: int, memory_mib: int) -> None:
        self.data = data
        self.block_bytes = block_bytes
        self.memory_mib = memory_mib
        self.mark = data / "founding"
        self.owner = pwd.getpwnam("ceph")

    def write(self, path: Path, text: str, mode: int = 0o600) -> bool:
        """Write a file of ceph's whole; whether it was not so before."""
        if path.is_file() and path.read_text() == text:
            return False
        draft = path.with_name(f".{path.name}.draft")
        draft.unlink(missing_ok=True)
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            os.fchown(handle, 0 if path.parent == CONFIG.parent else self.owner.pw_uid, self.owner.pw_gid)
            os.fchmod(handle, mode)
            stream.flush()
            os.fsync(handle)
        draft.replace(path)
        return True

    def folder(self, path: Path) -> None:
        path.mkdir(mode=0o750)
        os.chown(path, self.owner.pw_uid, self.owner.pw_gid)

    def take_over(self) -> None:
        """A new system may have given the account ceph another number."""
        if self.data.stat().st_uid != self.owner.pw_uid:
            run("chown", "--recursive", f"{self.owner.pw_uid}:{self.owner.pw_gid}", self.data)

    def configure(self) -> None:
        fsid = (self.data / "fsid").read_text().strip()
        self.write(CONFIG, config(fsid, self.data, self.block_bytes, self.memory_mib, PEM), 0o644)

    def found(self) -> None:
        """Make the cluster where nothing is. Cut short, it leaves the mark, and the next run begins again."""
        run("systemctl", "stop", GATEWAY, OSD, MON)
        if self.mark.exists():
            shutil.rmtree(self.data)
        self.require_room(0)
        if not self.data.is_dir():
            self.folder(self.data)
        self.write(self.mark, "")
        sync_folder(self.data)
        for name in ("keys", "mon", "osd"):
            self.folder(self.data / name)
        self.write(self.data / "fsid", f"{uuid.uuid4()}\n")
        self.configure()
        self.found_monitor()
        self.found_osd()
        os.sync()
        self.mark.unlink()
        sync_folder(self.data)

    def found_monitor(self) -> None:
        fsid = (self.data / "fsid").read_text().strip()
        keys, monmap = self.data / "keys", self.data / "monmap"
        all_keys = self.data / "keys" / "founding.keyring"
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        gateway = ("--cap", "mon", "allow rw", "--cap", "osd", "allow rwx")
        make = ("ceph-authtool", "--create-keyring")
        run(*make, all_keys, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name, caps in (("client.admin", everything), ("client.rgw.a", gateway)):
            keyring = keys / f"{name}.keyring"
            run(*make, keyring, "--gen-key", "-n", name, *caps)
            run("ceph-authtool", all_keys, "--import-keyring", keyring)
            os.chown(keyring, self.owner.pw_uid, self.owner.pw_gid)
        run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", ADDRESSES,
            "--set-min-mon-release", RELEASE, monmap)  # fmt: skip
        for path in (all_keys, monmap):
            os.chown(path, self.owner.pw_uid, self.owner.pw_gid)
        run("ceph-mon", "--mkfs", "--id", "a", "--monmap", monmap, "--keyring", all_keys,
            "--setuser", "ceph", "--setgroup", "ceph")  # fmt: skip
        all_keys.unlink()
        monmap.unlink()
        run("systemctl", "restart", MON)

    def found_osd(self) -> None:
        name, secret = str(uuid.uuid4()), run("ceph-authtool", "--gen-print-key").strip()
        given = json.dumps({"cephx_secret": secret})
        number = run("ceph", "--connect-timeout", "30", "osd", "new", name, "-i", "-", given=given).strip()
        if number != "0":
            raise Failed(f"the first OSD of a new cluster is number {number}")
        self.write(self.data / "osd" / "keyring", f"[osd.0]\n\tkey = {secret}\n")
        run("ceph-osd", "--mkfs", "--id", "0", "--osd-uuid", name, "--setuser", "ceph", "--setgroup", "ceph")
        run("systemctl", "restart", OSD)
        self.wait_for_osd()

    def wait_for_osd(self) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while True:
            said = json.loads(run("ceph", "--connect-timeout", "30", "osd", "stat", "--format", "json"))
            if said["num_up_osds"] == 1:
                return
            if time.monotonic() > deadline:
                raise Failed("the OSD does not come up: journalctl -u ceph-osd@0")
            time.sleep(0.5)

    def require_room(self, taken: int) -> None:
        """The block file is sparse: it must find its room later as well, or Ceph breaks down."""
        seen = os.statvfs(self.data.parent)
        free = seen.f_bavail * seen.f_frsize + taken
        if free < self.block_bytes + SPARE_BYTES:
            raise Failed(
                f"{self.data.parent} has room for {free // 1024**2} MiB, but the quota of the estate needs "
                f"{(self.block_bytes + SPARE_BYTES) // 1024**2} MiB. Lower estate.s3.quota_gib or give it a "
                "larger disk. Nothing was changed"
            )

    def grow(self) -> bool:
        """Give the OSD the room that is wanted now; it never shrinks."""
        block = self.data / "osd" / "block"
        label = json.loads(run("ceph-bluestore-tool", "show-label", "--dev", block))
        if int(label[str(block)]["bfm_size"]) >= self.block_bytes:  # `size` is that of the founding
            return False
        self.require_room(block.stat().st_blocks * 512)
        run("systemctl", "stop", OSD)
        if block.stat().st_size < self.block_bytes:
            os.truncate(block, self.block_bytes)
        expand = ("ceph-bluestore-tool", "bluefs-bdev-expand", "--path", block.parent)
        run("runuser", "-u", "ceph", "--", *expand)
        return True


def certify(cluster: Cluster, certificate: Path, key: Path) -> None:
    cluster.write(PEM, key.read_text() + certificate.read_text(), 0o640)


def bring_up() -> list[str]:
    """Start what does not run, restart what runs with an older file than there is; returns their names."""
    restarted = []
    for unit, files in ((MON, [CONFIG]), (OSD, [CONFIG]), (GATEWAY, [CONFIG, PEM])):
        if is_older(unit, files):
            run("systemctl", "restart", unit)
            restarted.append(unit)
    return restarted


def is_older(unit: str, files: list[Path]) -> bool:
    """Whether the unit does not run, or has been started before one of the files was written."""
    said = run("systemctl", "show", "--property=ActiveState,ExecMainStartTimestampMonotonic", unit)
    shown = dict(line.split("=", 1) for line in said.splitlines())
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    started = booted + int(shown["ExecMainStartTimestampMonotonic"]) / 1e6
    return shown["ActiveState"] != "active" or any(file.stat().st_mtime > started for file in files)


def wait_for_gateway(pem: Path) -> None:
    """Wait until the gateway speaks HTTP with the certificate in the file."""
    wanted = ssl.PEM_cert_to_DER_cert(pem.read_text()[pem.read_text().index("-----BEGIN CERTIFICATE") :])
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname = False
    trust.verify_mode = ssl.CERT_NONE  # compared by its bytes instead
    deadline = time.monotonic() + UP_SECONDS
    while True:
        connection = HTTPSConnection("127.0.0.1", 443, timeout=5, context=trust)
        try:
            connection.connect()
            shown = connection.sock.getpeercert(binary_form=True)
            connection.request("HEAD", "/")
            connection.getresponse()
        except (OSError, HTTPException) as error:
            problem = str(error) or type(error).__name__
        else:
            if shown == wanted:
                return
            problem = "it shows another certificate"
        finally:
            connection.close()
        if time.monotonic() > deadline:
            raise Failed(f"the gateway does not answer ({problem}): journalctl -u {GATEWAY}")
        time.sleep(0.3)


def converge(cluster: Cluster, given: dict[str, Any]) -> dict[str, Any]:
    if not os.path.ismount(cluster.data.parent):
        raise Failed(f"{cluster.data.parent} is not mounted; on the system disk the cluster would be lost")
    state = holds(cluster.data)
    if state is State.DAMAGED:
        raise Failed(
            f"{cluster.data} holds a cluster that is not whole. It was left alone, for it may be the only "
            f"copy. {', '.join(missing(cluster.data))} is missing there; move the folder aside to begin anew"
        )
    if state is State.NOTHING:
        cluster.found()
    cluster.take_over()
    cluster.configure()
    certify(cluster, Path(given["certificate"]), Path(given["key"]))
    grown = cluster.grow()
    restarted = bring_up()
    wait_for_gateway(PEM)
    founded = state is State.NOTHING
    return {"changed": founded or grown or bool(restarted), "founded": founded, "restarted": restarted}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "data": {"type": "path", "required": True},
            "block_bytes": {"type": "int", "required": True},
            "memory_mib": {"type": "int", "required": True},
            "certificate": {"type": "path", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
        }
    )
    given = module.params
    cluster = Cluster(Path(given["data"]), given["block_bytes"], given["memory_mib"])
    try:
        result = converge(cluster, given)
    except (Failed, OSError) as reason:
        module.fail_json(msg=f"The object store: {reason}.")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
