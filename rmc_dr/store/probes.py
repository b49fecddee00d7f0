"""What each key may really do, proven on tiny objects of their own. What is tried in vain leaves no trace.

A lock would refuse the deletion of a version to every key, and so prove nothing about the key. The marker
that a plain deletion leaves is never locked: only who may delete versions may delete it.
"""

from __future__ import annotations

import hashlib
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from rmc_dr.i18n import _
from rmc_dr.model import Check
from rmc_dr.store.attempt import FORBIDDEN, UNKNOWN_KEY, Attempt, attempt

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX = "probe/"
BODY = b"Written by `rmc-dr store check`.\n"
NO_POLICY = "no policy at all"  # where it is allowed it is refused as nonsense: nothing is lost
SPEED_BYTES = 1024**2
SPEED_ENOUGH_SECONDS = 0.5  # what was faster is not measured again
LONGER, SHORTER, SOON = timedelta(minutes=1), timedelta(hours=-1), timedelta(minutes=2)
NO_VERSION = "NoVersion"  # ours: the request before should have named one, and did not


def _md5(body: bytes) -> str:
    return b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


MD5 = _md5(BODY)


@dataclass(frozen=True)
class Bucket:
    """The bucket in the hands of each key, and the settings that stand, or None where they cannot be read."""

    name: str
    clients: Mapping[str, S3Client]
    lock: Mapping[str, Any] | None

    def call(self, key: str, what: str, **arguments: Any) -> Attempt:
        return attempt(getattr(self.clients[key], what), Bucket=self.name, **arguments)

    def read(self, key: str, **arguments: Any) -> Attempt:
        """A whole object, its bytes too."""
        get = self.clients[key].get_object
        return attempt(lambda: get(Bucket=self.name, **arguments)["Body"].read())


def prove(bucket: Bucket) -> Iterator[Check]:
    """Each key in turn. Raises Unanswered from where on nothing was tried."""
    written: list[tuple[str, str]] = []
    yield from _writer(bucket, written)
    yield from _verifier(bucket, written)
    yield from _keeper(bucket, written)
    yield _stays(bucket, written)


def speed(bucket: Bucket) -> tuple[float | None, float | None]:
    """Bytes a second there and back, the better of two tries; None where the writer is refused.

    Raises Unanswered.
    """
    tries = [_measured(bucket)]
    if any(seconds is not None and seconds > SPEED_ENOUGH_SECONDS for seconds in tries[0]):
        tries.append(_measured(bucket))
    there, back = (
        min((way for way in ways if way is not None), default=None) for ways in zip(*tries, strict=True)
    )
    return _rate(there), _rate(back)


def _measured(bucket: Bucket) -> tuple[float | None, float | None]:
    """Seconds that one object took there and back."""
    body = os.urandom(SPEED_BYTES)
    name = {"Key": f"{PREFIX}speed"}
    put, there = _timed(lambda: bucket.call("writer", "put_object", Body=body, ContentMD5=_md5(body), **name))
    got, back = _timed(lambda: bucket.read("writer", **name))
    bucket.call("writer", "delete_object", **name)
    return there if put.done else None, back if got.done else None


def _timed(ask: Callable[[], Attempt]) -> tuple[Attempt, float]:
    began = time.monotonic()
    done = ask()
    return done, time.monotonic() - began


def _rate(seconds: float | None) -> float | None:
    return None if seconds is None else SPEED_BYTES / max(seconds, 0.001)


def _writer(bucket: Bucket, written: list[tuple[str, str]]) -> Iterator[Check]:
    name = f"{PREFIX}writer"
    ask = partial(bucket.call, "writer")
    yield from _reads_and_writes(bucket, "writer", written)
    yield _may("writer-uploads-parts", _upload_in_parts(bucket, "writer"))
    marker = ask("delete_object", Key=name)
    yield _may("writer-hides", marker)
    yield _may("writer-hides-at-once", _at_once(ask, {"Key": name}))
    yield _must_not("writer-deletes-version", _by_version(ask, name, _version(marker)))
    yield _must_not("writer-deletes-versions-at-once", _versions_at_once(ask, name, _version(marker)))
    yield from _locked(bucket, "writer", written)
    yield _must_not("writer-extends-lock", _relock(ask, *_last(written), LONGER))
    yield _settings(bucket, "writer")


def _verifier(bucket: Bucket, written: list[tuple[str, str]]) -> Iterator[Check]:
    ask = partial(bucket.call, "verifier")
    yield _may("verifier-lists", ask("list_object_versions", Prefix=PREFIX, MaxKeys=10))
    # Hidden by the writer's deletion: this is how a bucket is read back after one.
    yield _may("verifier-reads-hidden", _read(ask, *_last(written)))
    yield _must_not("verifier-puts", ask("put_object", Key=f"{PREFIX}verifier", Body=BODY, ContentMD5=MD5))
    yield _must_not("verifier-hides", ask("delete_object", Key=f"{PREFIX}writer"))
    yield _must_not("verifier-deletes-version", _by_version(ask, *_last(written)))
    yield _settings(bucket, "verifier")


def _keeper(bucket: Bucket, written: list[tuple[str, str]]) -> Iterator[Check]:
    name = f"{PREFIX}keeper"
    ask = partial(bucket.call, "keeper")
    yield from _reads_and_writes(bucket, "keeper", written)
    marker = ask("delete_object", Key=name)
    yield _may("keeper-hides", marker)
    yield _may("keeper-expires", _by_version(ask, name, _version(marker)))
    yield _may("keeper-expires-at-once", _hide_and_expire(ask, name))
    yield from _locked(bucket, "keeper", written)
    # The longer one last: what is refused has then been refused against the bucket's own lock.
    yield _must_not("keeper-shortens-lock", _relock(ask, *_last(written), SHORTER))
    yield _may("keeper-extends-lock", _relock(ask, *_last(written), LONGER))
    yield _settings(bucket, "keeper")


def _reads_and_writes(bucket: Bucket, key: str, written: list[tuple[str, str]]) -> Iterator[Check]:
    name = f"{PREFIX}{key}"
    ask = partial(bucket.call, key)
    put = ask("put_object", Key=name, Body=BODY, ContentMD5=MD5)
    written.append((name, _version(put)))
    yield _may(f"{key}-puts", put)
    yield _may(f"{key}-gets", _read(ask, name, _version(put)))
    yield _may(f"{key}-lists", ask("list_objects_v2", Prefix=PREFIX, MaxKeys=10))


def _locked(bucket: Bucket, key: str, written: list[tuple[str, str]]) -> Iterator[Check]:
    """Neither a locked version of its own nor, with the bypass, one under GOVERNANCE."""
    ask = partial(bucket.call, key)
    yield _must_not(f"{key}-deletes-locked", _by_version(ask, *_last(written)))
    bypass = partial(ask, BypassGovernanceRetention=True)
    yield _must_not(f"{key}-bypasses-lock", _by_version(bypass, *_last(written)))


def _settings(bucket: Bucket, key: str) -> Check:
    """Each attempt asks for what stands already, or for nonsense: if it is allowed, nothing has changed."""
    ask = partial(bucket.call, key)
    tries = [
        ask("put_bucket_versioning", VersioningConfiguration={"Status": "Enabled"}),
        ask("put_bucket_policy", Policy=NO_POLICY),
    ]
    if bucket.lock is not None:
        tries.append(ask("put_object_lock_configuration", ObjectLockConfiguration=bucket.lock))
    allowed = [_said(one) or _("it was allowed") for one in tries if not one.forbidden]
    return Check(f"{key}-changes-settings", not allowed, ", ".join(dict.fromkeys(allowed)))


def _stays(bucket: Bucket, written: list[tuple[str, str]]) -> Check:
    """The last word about the locks: after all the attempts every version is still there."""
    ask = partial(bucket.call, "verifier")
    lost = [name for name, version in written if not _read(ask, name, version).done]
    return Check("locked-stays", not lost, ", ".join(lost))


def _upload_in_parts(bucket: Bucket, key: str) -> Attempt:
    """Given up before its end, so that it leaves no locked version."""
    begun = bucket.call(key, "create_multipart_upload", Key=f"{PREFIX}{key}-parts")
    if not begun.done:
        return begun
    upload = {"Key": f"{PREFIX}{key}-parts", "UploadId": begun.answer["UploadId"]}
    part = bucket.call(key, "upload_part", PartNumber=1, Body=BODY, ContentMD5=MD5, **upload)
    ended = bucket.call(key, "abort_multipart_upload", **upload)
    return part if not part.done else ended


def _read(ask: Callable[..., Attempt], name: str, version: str) -> Attempt:
    if not version:
        return Attempt(code=NO_VERSION)
    got = ask("get_object", Key=name, VersionId=version)
    if got.done:
        got.answer["Body"].close()
    return got


def _by_version(ask: Callable[..., Attempt], name: str, version: str) -> Attempt:
    """Delete one version. Without its name the request would mean another thing, so it is not made."""
    if not version:
        return Attempt(code=NO_VERSION)
    return ask("delete_object", Key=name, VersionId=version)


def _relock(ask: Callable[..., Attempt], name: str, version: str, by: timedelta) -> Attempt:
    """Let the lock of one version end so much later, or sooner; never before now, which is no lock at all."""
    if not version:
        return Attempt(code=NO_VERSION)
    seen = ask("get_object_retention", Key=name, VersionId=version)
    if not seen.done:
        return seen
    lock = seen.answer["Retention"]
    until = max(lock["RetainUntilDate"] + by, datetime.now(UTC) + SOON)
    wanted = {"Mode": lock["Mode"], "RetainUntilDate": until.replace(microsecond=0)}
    return ask("put_object_retention", Key=name, VersionId=version, Retention=wanted)


def _versions_at_once(ask: Callable[..., Attempt], name: str, version: str) -> Attempt:
    return _at_once(ask, {"Key": name, "VersionId": version}) if version else Attempt(code=NO_VERSION)


def _hide_and_expire(ask: Callable[..., Attempt], name: str) -> Attempt:
    """Ends as it began: the marker goes again."""
    hidden = _at_once(ask, {"Key": name})
    if not hidden.done:
        return hidden
    return _versions_at_once(ask, name, hidden.answer["Deleted"][0].get("DeleteMarkerVersionId", ""))


def _at_once(ask: Callable[..., Attempt], entry: Mapping[str, str]) -> Attempt:
    """By the request that deletes many, which pgBackRest makes; a store asks elsewhere who may."""
    done = ask("delete_objects", Delete={"Objects": [entry]})
    failed = done.answer.get("Errors", []) if done.done else []
    if not failed:
        return done
    return Attempt(code=failed[0]["Code"], status=FORBIDDEN if failed[0]["Code"] == "AccessDenied" else 0)


def _version(done: Attempt) -> str:
    return str(done.answer.get("VersionId", "")) if done.done else ""


def _last(written: list[tuple[str, str]]) -> tuple[str, str]:
    return written[-1]


def _may(name: str, done: Attempt) -> Check:
    return Check(name, done.done, _said(done))


def _said(done: Attempt) -> str:
    return _("not tried: the request before it failed") if done.code == NO_VERSION else done.code


def _must_not(name: str, done: Attempt) -> Check:
    """Refused, to a key that the store knows; the detail says what came instead."""
    refused = not done.done and done.status in (400, 403) and done.code not in UNKNOWN_KEY
    return Check(name, refused, "" if refused else _said(done) or _("it was allowed"))
