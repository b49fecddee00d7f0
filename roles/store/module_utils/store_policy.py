"""Who may do what with the bucket. Pure: names in, the policy and the lifecycle out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PROBES = "probe/"
LIST = ("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads")
READ = ("s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectRetention", "s3:ListMultipartUploadParts")
WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
# On a versioned bucket this only hides.
HIDE = ("s3:DeleteObject",)
# What a lock still protects stays, for nobody may bypass it.
EXPIRE = ("s3:DeleteObjectVersion",)
SETTINGS = ("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration")
MAY = {
    "writer": (LIST, (*READ, *WRITE, *HIDE)),
    "verifier": ((*LIST, *SETTINGS), READ),
    "keeper": (LIST, (*READ, *WRITE, *HIDE, *EXPIRE)),
}
UNFINISHED_DAYS = 2


def policy(bucket: str, principals: Mapping[str, str]) -> dict[str, Any]:
    """The bucket's policy. ``principals``: writer, verifier and keeper, as the store names them."""
    statements = []
    for name, (on_bucket, on_objects) in MAY.items():
        statements.append(_allow(f"{name}bucket", principals[name], on_bucket, f"arn:aws:s3:::{bucket}"))
        statements.append(_allow(f"{name}objects", principals[name], on_objects, f"arn:aws:s3:::{bucket}/*"))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, principal: str, actions: Sequence[str], resource: str) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"AWS": [principal]},
        "Action": list(actions),
        "Resource": [resource],
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
