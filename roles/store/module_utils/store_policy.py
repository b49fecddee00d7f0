"""Who may do what with the bucket. Pure: names in, the policy and the lifecycle out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

PROBES = "probe/"
LIST = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads")
READ = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:ListMultipartUploadParts")
WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
# On a versioned bucket this only hides.
HIDE = ("s3:DeleteObject",)
# What a lock still protects stays, for nobody may bypass it.
EXPIRE = ("s3:DeleteObjectVersion",)
# A lock can only be made longer by this: to shorten one takes the bypass.
EXTEND = ("s3:PutObjectRetention",)
# Ceph takes who may delete a version for one who may bypass its lock, unless that is denied.
NEVER = ("s3:BypassGovernanceRetention",)
# Ceph lets whoever wrote an object lengthen its lock, or hold it for good, unless that is denied.
HOLD = ("s3:PutObjectLegalHold",)
SETTINGS = ("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration")
# On the bucket, and on its objects. Ceph asks the bucket as well for the request that deletes many at once.
MAY = {
    "writer": ((*LIST, *HIDE), (*READ, *WRITE, *HIDE)),
    "verifier": ((*LIST, *SETTINGS), READ),
    "keeper": ((*LIST, *HIDE, *EXPIRE), (*READ, *WRITE, *HIDE, *EXPIRE, *EXTEND)),
}
UNFINISHED_DAYS = 2


def policy(bucket: str, principals: Mapping[str, str]) -> dict[str, Any]:
    """The bucket's policy. ``principals``: writer, verifier and keeper, as the store names them."""
    whole, inside = f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"
    others = [principals[name] for name in MAY if name != "keeper"]
    statements = [
        _rule("nobody", "Deny", principals.values(), NEVER, whole, inside),
        _rule("nohold", "Deny", principals.values(), HOLD, inside),
        _rule("nolock", "Deny", others, EXTEND, inside),
    ]
    for name, (on_bucket, on_objects) in MAY.items():
        who = [principals[name]]
        statements.append(_rule(f"{name}bucket", "Allow", who, on_bucket, whole))
        statements.append(_rule(f"{name}objects", "Allow", who, on_objects, inside))
    return {"Version": "2012-10-17", "Statement": statements}


def _rule(sid: str, effect: str, who: Iterable[str], actions: Sequence[str], *on: str) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": effect,
        "Principal": {"AWS": sorted(who)},
        "Action": list(actions),
        "Resource": list(on),
    }


def lifecycle(lock_days: int) -> list[dict[str, Any]]:
    """What the store clears away by itself: nothing that anybody could want back."""
    return [
        {
            "ID": "unfinished",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS},
        },
        {
            "ID": "markers",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"ExpiredObjectDeleteMarker": True},
        },
        {
            "ID": "probes",
            "Status": "Enabled",
            "Filter": {"Prefix": PROBES},
            "NoncurrentVersionExpiration": {"NoncurrentDays": lock_days + 1},
        },
    ]
