"""Reads the packs of the files' repository whole: each is named by the SHA-256 of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from botocore.exceptions import ClientError

from rmc_dr.estate import Estate
from rmc_dr.store import objects
from rmc_dr.store.client import client

PREFIX = "files/data/"
THREADS = 4


@dataclass(frozen=True)
class Packs:
    """What was read: ``count`` packs of ``size`` bytes in all. ``bad`` are the names of those that are not
    what they say; ``sound`` are all that the store shows and that were sound when they were read, now or
    before, each with the store's own mark of its content.
    """

    count: int
    size: int
    bad: tuple[str, ...]
    sound: Mapping[str, str]


def read_new(estate: Estate, known: Mapping[str, str], stop: Callable[[], bool]) -> Packs:
    """Read each pack that is not ``known`` to be sound, or whose content was replaced since.

    ``stop`` ends it early; what was not read by then is in nothing that is returned. Raises ClientError or
    BotoCoreError where the store does not answer, BadInput without the vault.
    """
    s3, bucket = client(estate, "verifier"), estate.config.s3.bucket
    shown = {one["Key"]: (one["ETag"], one["Size"]) for one in objects.shown(s3, bucket, PREFIX)}
    old = {key for key, (mark, _size) in shown.items() if known.get(_name(key)) == mark}

    def sound(key: str) -> bool | None:
        if stop():
            return None
        digest = hashlib.sha256()
        try:
            for part in objects.fetch(s3, bucket, key, ""):
                digest.update(part)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchKey":
                return False
            raise
        return digest.hexdigest() == _name(key)

    fresh = sorted(set(shown) - old)
    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(fresh, pool.map(sound, fresh), strict=True))
    good = old | {key for key, well in found.items() if well}
    read = [key for key, well in found.items() if well is not None]
    return Packs(
        count=len(read),
        size=sum(shown[key][1] for key in read),
        bad=tuple(_name(key) for key, well in found.items() if well is False),
        sound={_name(key): shown[key][0] for key in good},
    )


def _name(key: str) -> str:
    return key.rpartition("/")[2]
