"""What a store tells of its room in the headers of its answers; only Ceph does, the quota to its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headers(answer: Mapping[str, Any]) -> dict[str, str]:
    """An answer's headers, lower case."""
    return dict(answer["ResponseMetadata"]["HTTPHeaders"])


def used(seen: Mapping[str, str]) -> int | None:
    """Bytes that the bucket takes; None where the store does not tell."""
    said = seen.get("x-rgw-bytes-used")
    return None if said is None else int(said)


def quota(owned: Mapping[str, str]) -> int:
    """The lower of the owner's quota and the bucket's in bytes; 0 without one."""
    limits = [int(owned.get(f"x-rgw-quota-{scope}-size", -1)) for scope in ("user", "bucket")]
    return min((limit for limit in limits if limit > 0), default=0)
