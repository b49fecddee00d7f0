"""Looks at what backups stand on: the hosts' clocks and certificates, and the store's room."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr import ssh
from rmc_dr.backups import Room, Surroundings
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, Host
from rmc_dr.observe.certificates import observe_certificates
from rmc_dr.observe.postgres import connect
from rmc_dr.store import endpoint
from rmc_dr.store.client import client
from rmc_dr.store.knock import knock
from rmc_dr.store.room import headers, quota, used

SSH_SECONDS = 20
DISK = "stat -f -c '%a %b %S' {path}"  # blocks that are free, blocks in all, bytes of a block


def observe_surroundings(estate: Estate) -> Surroundings:
    """Look once, bounded by about half a minute; what does not answer is left out, and alarms elsewhere."""
    with ThreadPoolExecutor(3) as pool:
        clocks = pool.submit(lambda: dict(_clocks(estate)))
        certificates = pool.submit(observe_certificates, estate)
        room = pool.submit(lambda: dict(_room(estate)))
        return Surroundings(clocks.result(), certificates.result(), room.result())


def _clocks(estate: Estate) -> Iterator[tuple[str, float]]:
    """By PostgreSQL's own word, which decides what a restore to a moment gives back, and by the store's."""
    for host in estate.group("dbserver"):
        with suppress(psycopg.Error):
            yield host.name, _ahead(estate, host)
    store = endpoint.of(estate)
    ahead = knock(store).ahead
    if ahead is not None:
        yield store.name, ahead


def _ahead(estate: Estate, host: Host) -> float:
    with connect(estate, host) as connection:
        before = time.time()
        row = connection.execute("select extract(epoch from clock_timestamp())::float").fetchone()
        after = time.time()
    return round(float(row[0]) - (before + after) / 2, 1) if row else 0.0


def _room(estate: Estate) -> Iterator[tuple[str, Room]]:
    """What is used of the bucket's quota, where the store tells, and of the disk of a store of our own."""
    bucket = estate.config.s3.bucket
    with suppress(BotoCoreError, ClientError, BadInput):  # the owner's key may have left the vault
        seen = headers(client(estate, "verifier").head_bucket(Bucket=bucket))
        owned = headers(client(estate, "owner").head_bucket(Bucket=bucket))
        if (taken := used(seen)) is not None and (limit := quota(owned)):
            yield bucket, Room(taken, limit)
    for host in estate.group("store"):
        if host.disk and (room := _disk(estate, host, str(host.disk.data))):
            yield f"{host.name}:{host.disk.data}", room


def _disk(estate: Estate, host: Host, path: str) -> Room | None:
    try:
        done = ssh.ask(estate, host, DISK.format(path=path), SSH_SECONDS)
        done.check_returncode()
        free, blocks, size = (int(word) for word in done.stdout.split())
    except (subprocess.SubprocessError, ValueError):
        return None
    return Room((blocks - free) * size, blocks * size)
