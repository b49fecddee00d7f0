"""Objects that must stay as they were put: sent with their checksum, read back, locked by the bucket."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import ObjectTypeDef

CHUNK = 1 << 20


class NotAsSent(Exception):
    """What was read back is not what was sent."""


def shown(s3: S3Client, bucket: str, prefix: str) -> Iterator[ObjectTypeDef]:
    """What the store tells of every object below a prefix that is not hidden, page by page."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


@dataclass(frozen=True)
class Sums:
    """Of what is sent: its size in bytes, its SHA-256 in hex, its MD5 as S3 wants it."""

    size: int
    sha256: str
    md5: str

    @classmethod
    def of(cls, parts: Iterator[bytes]) -> Sums:
        size, sha256, md5 = 0, hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        for part in parts:
            size += len(part)
            sha256.update(part)
            md5.update(part)
        return cls(size, sha256.hexdigest(), b64encode(md5.digest()).decode())


@dataclass(frozen=True)
class Placed:
    """The version that is locked until then; "" where the bucket told of none."""

    version: str
    locked_until: str


def put(
    writer: S3Client, verifier: S3Client, bucket: str, key: str, body: IO[bytes] | bytes, sums: Sums
) -> Placed:
    """Put and read back. Raises NotAsSent, and ClientError or BotoCoreError."""
    sent = writer.put_object(Bucket=bucket, Key=key, Body=body, ContentMD5=sums.md5, ContentLength=sums.size)
    version = str(sent.get("VersionId", ""))
    if Sums.of(fetch(verifier, bucket, key, version)).sha256 != sums.sha256:
        raise NotAsSent
    return Placed(version, _locked_until(verifier, bucket, key, version))


def fetch(verifier: S3Client, bucket: str, key: str, version: str) -> Iterator[bytes]:
    """The bytes of one version. Raises ClientError or BotoCoreError."""
    asked: dict[str, Any] = {"VersionId": version} if version else {}
    body = verifier.get_object(Bucket=bucket, Key=key, **asked)["Body"]
    with body:
        yield from body.iter_chunks(CHUNK)


def newest_version(verifier: S3Client, bucket: str, key: str) -> str:
    """The version that the bucket shows now; "" where it is hidden. Raises ClientError or BotoCoreError."""
    try:
        return str(verifier.head_object(Bucket=bucket, Key=key).get("VersionId", ""))
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return ""
        raise


def _locked_until(verifier: S3Client, bucket: str, key: str, version: str) -> str:
    """When the version's lock ends; "" where it has none: the copy counts, and lists say so."""
    asked: dict[str, Any] = {"VersionId": version} if version else {}
    try:
        lock = verifier.get_object_retention(Bucket=bucket, Key=key, **asked)
    except ClientError:
        return ""
    until: datetime = lock["Retention"]["RetainUntilDate"]
    return until.astimezone(UTC).isoformat(timespec="seconds")
