"""`rmc-dr store check`: from the first handshake to what each key may really do, check after check.

It ends at the first thing that makes all that follows pointless: a store that is down costs seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import get_args

from rmc_dr.backups.surroundings import FULL_SHARE, SKEW_SECONDS, Room
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.estate_backup import S3
from rmc_dr.i18n import _
from rmc_dr.model import Check
from rmc_dr.store import endpoint, probes
from rmc_dr.store.attempt import Attempt, Unanswered
from rmc_dr.store.client import Key, client
from rmc_dr.store.knock import Knock, knock
from rmc_dr.store.room import headers, quota, used
from rmc_dr.words import size

SLOWEST = 1_000_000  # bytes a second; a database of 80 GB would take a day to come back
SLACK = timedelta(hours=1)  # of a lock's end: the clocks, and stores that count whole days


def check(estate: Estate) -> Iterator[Check]:
    """Every check of the store as it is made. Raises BadInput where the estate's files do not suffice."""
    clients = {key: client(estate, key) for key in get_args(Key) if key != "owner"}
    with suppress(BadInput):  # set the bucket up; an estate may have taken it out of its vault since
        clients["owner"] = client(estate, "owner")
    found = knock(endpoint.of(estate))
    first = judge_knock(found)
    yield from first
    if not all(one.passed for one in first if one.name != "clock"):
        return
    bucket = probes.Bucket(estate.config.s3.bucket, clients, None)
    try:
        yield from _bucket(bucket, estate.config.s3)
    except Unanswered as error:
        yield Check("answers", False, str(error))


def _bucket(bucket: probes.Bucket, wanted: S3) -> Iterator[Check]:
    seen = bucket.call("verifier", "head_bucket")
    yield Check("bucket", seen.done, judge_absence(seen, wanted.bucket))
    if not seen.done:
        return
    yield judge_versioning(bucket.call("verifier", "get_bucket_versioning"))
    locking = bucket.call("verifier", "get_object_lock_configuration")
    yield judge_lock(locking, wanted)
    owned = bucket.call("owner", "head_bucket") if "owner" in bucket.clients else Attempt(code="-")
    yield judge_room(_headers(seen), _headers(owned))
    yield judge_speed(*probes.speed(bucket))
    standing = locking.answer["ObjectLockConfiguration"] if locking.done else None
    bucket = probes.Bucket(bucket.name, bucket.clients, standing)
    yield from probes.prove(bucket)
    newest = bucket.call("verifier", "head_object", Key=f"{probes.PREFIX}keeper")
    yield judge_new_lock(newest, wanted, datetime.now(UTC))


def judge_knock(found: Knock) -> list[Check]:
    """`reachable`, `trusted` and `clock`, as far as the handshake came."""
    if found.silent:
        return [Check("reachable", False, found.silent)]
    if found.untrusted:
        return [Check("reachable", True), Check("trusted", False, found.untrusted)]
    return [Check("reachable", True), Check("trusted", True), judge_clock(found.ahead)]


def judge_clock(ahead: float | None) -> Check:
    if ahead is None:
        return Check("clock", False, _("unknown: the store does not say its time"))
    said = _("{seconds:+.1f} s against this machine").format(seconds=ahead)
    return Check("clock", abs(ahead) <= SKEW_SECONDS, said)


def judge_absence(seen: Attempt, name: str) -> str:
    if seen.status == 404:
        return _("there is no bucket {name}").format(name=name)
    if seen.forbidden:
        return _("the store does not know the verifier's key, or does not let it see the bucket")
    return seen.code


def judge_versioning(seen: Attempt) -> Check:
    state = (seen.answer or {}).get("Status", _("off")) if seen.done else seen.code
    return Check("versioning", state == "Enabled", state)


def judge_lock(seen: Attempt, wanted: S3) -> Check:
    """The bucket's default lock against the estate's; a year counts as 365 days, as stores count it."""
    if not seen.done:
        return Check("lock", False, seen.code)
    rule = seen.answer["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
    mode, days = rule.get("Mode", "-"), rule.get("Days", rule.get("Years", 0) * 365)
    right = (mode, days) == (wanted.lock_mode, wanted.lock_days)
    said = _("{mode}, {days} days").format(mode=mode, days=days)
    if not right:
        said = _("{found}; the estate says {mode}, {days} days").format(
            found=said, mode=wanted.lock_mode, days=wanted.lock_days
        )
    return Check("lock", right, said)


def judge_new_lock(seen: Attempt, wanted: S3, now: datetime) -> Check:
    """Whether a version that was just written is locked as the estate says."""
    until = seen.answer.get("ObjectLockRetainUntilDate") if seen.done else None
    if until is None:
        return Check("locked-until", False, seen.code or _("a new version is not locked"))
    mode, due = seen.answer.get("ObjectLockMode"), now + timedelta(days=wanted.lock_days)
    right = mode == wanted.lock_mode and abs(until - due) <= SLACK
    return Check("locked-until", right, f"{mode} {until:%Y-%m-%d %H:%M} UTC")


def judge_room(seen: Mapping[str, str], owned: Mapping[str, str]) -> Check:
    """What is used against the quota, as far as the store tells."""
    taken = used(seen)
    if taken is None:
        return Check("room", True, _("unknown: the store does not tell"))
    if not owned:
        return Check("room", True, _("{used} used, quota unknown").format(used=size(taken)))
    limit = quota(owned)
    if not limit:
        return Check("room", False, _("{used} used, and no quota").format(used=size(taken)))
    said = _("{used} of {quota} used").format(used=size(taken), quota=size(limit))
    return Check("room", Room(taken, limit).share < FULL_SHARE, said)


def judge_speed(put: float | None, got: float | None) -> Check:
    """Both in bytes a second; None is what was refused, and fails by its own check."""
    if put is None or got is None:
        return Check("speed", False, _("not measured: the writer was refused"))
    said = _("{put}/s there, {got}/s back").format(put=size(round(put)), got=size(round(got)))
    return Check("speed", min(put, got) >= SLOWEST, said)


def _headers(done: Attempt) -> dict[str, str]:
    """None where it was refused."""
    return headers(done.answer) if done.done else {}
