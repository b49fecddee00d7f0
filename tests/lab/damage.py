"""Damage in the lab's object store, as a disk or an intruder would do it, and its undoing.

The bucket is locked and keeps every version: damage is a newer version of an object, or hides it; what was
there before is put on top again at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conftest import Lab

from rmc_dr.store.client import client

PUT_MANY = 64 * 1024**2


class Bucket:
    """The lab's bucket in the hands of whoever holds the writer's key."""

    def __init__(self, lab: Lab) -> None:
        estate = lab.estate()
        self.name = estate.config.s3.bucket
        self.s3 = client(estate, "writer")

    def shown(self, prefix: str) -> dict[str, dict[str, Any]]:
        """Key -> size and version of everything below a prefix that is not hidden."""
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=prefix)
        versions = (version for page in pages for version in page.get("Versions", ()))
        return {version["Key"]: version for version in versions if version["IsLatest"]}

    def largest(self, prefix: str, part: str = "") -> str:
        found = {key: version["Size"] for key, version in self.shown(prefix).items() if part in key}
        assert found, f"the store holds nothing like {prefix}...{part}"
        return max(found, key=lambda key: found[key])

    @contextmanager
    def flipped(self, key: str, at: float = 0.5) -> Iterator[str]:
        """One byte of an object is another; the place is a share of its length."""
        version = self.shown(key)[key]["VersionId"]
        content = bytearray(self.s3.get_object(Bucket=self.name, Key=key)["Body"].read())
        assert len(content) < PUT_MANY
        content[int(len(content) * at)] ^= 0xFF
        self.s3.put_object(Bucket=self.name, Key=key, Body=bytes(content))
        try:
            yield key
        finally:
            self._put_back(key, version)

    @contextmanager
    def hidden(self, key: str) -> Iterator[str]:
        """An object is gone for everybody who does not ask for versions."""
        version = self.shown(key)[key]["VersionId"]
        self.s3.delete_object(Bucket=self.name, Key=key)
        try:
            yield key
        finally:
            self._put_back(key, version)

    def _put_back(self, key: str, version: str) -> None:
        source = {"Bucket": self.name, "Key": key, "VersionId": version}
        self.s3.copy_object(Bucket=self.name, Key=key, CopySource=source)
