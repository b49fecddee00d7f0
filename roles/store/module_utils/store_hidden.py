"""What a bucket hides, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import groupby, pairwise


def long_hidden(versions: Iterable[dict], now: datetime, days: float) -> Iterator[dict]:
    """Those of one bucket's versions and markers that were covered longer ago than ``days``.

    They come key by key. A version is hidden from the moment on that the next newer one, or a marker, came.
    """
    before = now - timedelta(days=days)
    for _key, group in groupby(versions, key=lambda version: version["Key"]):
        newest_first = sorted(
            group, key=lambda version: (version["IsLatest"], version["LastModified"]), reverse=True
        )
        for newer, version in pairwise(newest_first):
            if not version["IsLatest"] and newer["LastModified"] < before:
                yield version
