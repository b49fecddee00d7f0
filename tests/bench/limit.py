"""The least that a restore can take: the backup's objects read, decrypted, decompressed, written and synced.

Nothing of pgBackRest: boto3 reads the same objects side by side, AES-256-CBC is undone on each of their
bytes, and `zstd -d` unpacks as much as the restore did, out of data of the same sort, onto the disk that
the lab's disks lie on. Each core has a process, with a share of the objects and a file of its own. The
decrypted bytes go nowhere: the key makes no difference to the time, and the boundaries of pgBackRest's
blocks need not be known.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from filling import MIB, PAYLOAD_BYTES, payloads, prose
from measure import ENV, estate

from rmc_dr import content
from rmc_dr.estate import Estate
from rmc_dr.observe.backups import REPOSITORY
from rmc_dr.store.client import client

CHUNK = 4 * MIB
SAMPLE_FRAMES = 16
READY_SECONDS = 60


def objects_of(lab: Estate, label: str) -> dict[str, int]:
    """Key and size of all that the store holds of one backup."""
    prefix = f"{REPOSITORY}/backup/{lab.config.database.cluster}/{label}/"
    pages = (
        client(lab, "verifier")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=lab.config.s3.bucket, Prefix=prefix)
    )
    return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}


def shares(sizes: Mapping[str, int], count: int) -> list[list[str]]:
    """The objects dealt out evenly: the largest first, each to whoever has least so far. Pure."""
    dealt: list[list[str]] = [[] for _ in range(count)]
    loads = [0] * count
    for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
        least = loads.index(min(loads))
        dealt[least].append(key)
        loads[least] += sizes[key]
    return dealt


def frames() -> list[bytes]:
    """Frames of zstd, a chunk each once unpacked, of what the database bench is filled with."""
    text = prose()
    wanted = CHUNK * SAMPLE_FRAMES
    plain = b"".join(payloads(wanted // PAYLOAD_BYTES + 1, text, random.randrange(1 << 30)))[:wanted]
    return [
        subprocess.run(
            ["zstd", "-1", "-q", "-c"], input=plain[at : at + CHUNK], capture_output=True, check=True, env=ENV
        ).stdout
        for at in range(0, wanted, CHUNK)
    ]


def limit(label: str, plain_bytes: int) -> float:
    """Seconds until as many bytes as the restore wrote are on the disk, out of the objects of the backup."""
    lab = estate()
    sizes = objects_of(lab, label)
    if not sizes:
        sys.exit(f"The store shows no object of the backup {label}.")
    stretch = plain_bytes / sum(sizes.values())
    sample, count = frames(), os.cpu_count() or 1
    context = multiprocessing.get_context("fork")  # the keys stay in memory
    start = context.Barrier(count + 1)
    with tempfile.TemporaryDirectory(dir=content.STATE, prefix="bench-") as folder:
        workers = [
            context.Process(
                target=bring, args=(lab, keys, stretch, sample, Path(folder) / str(number), start)
            )
            for number, keys in enumerate(shares(sizes, count))
        ]
        for worker in workers:
            worker.start()
        try:
            start.wait(READY_SECONDS)
        except threading.BrokenBarrierError:
            sys.exit("The limit could not be measured: a process did not get ready to read the store.")
        began = time.monotonic()
        for worker in workers:
            worker.join()
        seconds = time.monotonic() - began
        if any(worker.exitcode for worker in workers):
            sys.exit("The limit could not be measured: a process that reads the store failed (see above).")
    return seconds


def bring(
    lab: Estate, keys: Sequence[str], stretch: float, sample: Sequence[bytes], target: Path, start: object
) -> None:
    """One process: its objects in, its file out and on the disk."""
    s3 = client(lab, "verifier")
    cipher = Cipher(algorithms.AES(os.urandom(32)), modes.CBC(os.urandom(16))).decryptor()
    # Without --no-sparse, zeros would not be written at all.
    words = ["zstd", "-d", "-q", "--no-sparse", "-o", str(target)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=ENV) as zstd:
        assert zstd.stdin is not None
        start.wait(READY_SECONDS)  # type: ignore[attr-defined]
        owed, given = 0.0, 0
        for key in keys:
            body = s3.get_object(Bucket=lab.config.s3.bucket, Key=key)["Body"]
            for chunk in body.iter_chunks(CHUNK):
                cipher.update(chunk[: len(chunk) // 16 * 16])
                owed += len(chunk) * stretch
                while owed >= (given + 1) * CHUNK:
                    zstd.stdin.write(sample[given % len(sample)])
                    given += 1
        zstd.stdin.close()
    if zstd.returncode:
        sys.exit(f"zstd ended with {zstd.returncode}")
    descriptor = os.open(target, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
