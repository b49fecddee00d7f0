#!/usr/bin/python
"""Extends the locks of objects that are never written again and still needed, with the keeper's key.

Runs on the control machine, in the Python that runs rmc-dr.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.store_connection import CONNECTION, connection

DOCUMENTATION = """
module: store_extend
short_description: Lock for C(days) from now on what the bucket shows below a prefix
description:
  - A lock that ends much sooner is made longer; none is ever made shorter, and the store refuses that anyway.
  - The oldest object comes last, so that its lock ends first as long as not all are extended.
options:
  url: {description: Where the S3 API answers., type: str, required: true}
  region: {description: Region that requests are signed for., type: str, required: true}
  authority: {description: The CA certificates that prove the store., type: path, required: true}
  access_key: {description: The keeper's access key., type: str, required: true}
  secret_key: {description: The keeper's secret key., type: str, required: true}
  bucket: {description: Name of the bucket., type: str, required: true}
  prefix: {description: Only below this., type: str, required: true}
  without: {description: Folders below it that are left alone., type: list, elements: str, required: true}
  mode: {description: Mode of a lock where there is none yet., type: str, required: true}
  days: {description: How long from now., type: float, required: true}
author: [rmc-dr]
"""
RETURN = """
extended: {description: How many locks end later now., type: int, returned: always}
"""
THREADS = 8
# Of the whole time: what was locked so lately can wait for the next expiry.
SPARE = 10
UNLOCKED = "NoSuchObjectLockConfiguration"
GONE = ("NoSuchKey", "404")


def newest_first(client, bucket: str, prefix: str, without: list[str]) -> list[str]:
    """The keys of what the bucket shows, the oldest at the end."""
    from rmc_dr.store.objects import shown

    left = tuple(f"{prefix}{folder}/" for folder in without)
    found = [
        (one["LastModified"], one["Key"])
        for one in shown(client, bucket, prefix)
        if not one["Key"].startswith(left)
    ]
    return [key for _modified, key in sorted(found, reverse=True)]


def extend(client, bucket: str, mode: str, until: datetime, soon: datetime, key: str) -> int:
    """1 where the lock of one object was to end sooner than ``soon``, else 0. Raises ClientError."""
    from botocore.exceptions import ClientError

    try:
        lock = client.get_object_retention(Bucket=bucket, Key=key)["Retention"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        if code in GONE:
            return 0
        if code != UNLOCKED:
            raise
        lock = {"Mode": mode}
    if lock.get("RetainUntilDate", soon - timedelta(days=1)) >= soon:
        return 0
    wanted = {"Mode": lock["Mode"], "RetainUntilDate": until}
    client.put_object_retention(Bucket=bucket, Key=key, Retention=wanted)
    return 1


def extend_all(client, given: dict, now: datetime) -> int:
    """How many locks end later now. Raises ClientError or BotoCoreError at the first that stays."""
    until = now.replace(microsecond=0) + timedelta(days=given["days"])
    soon = until - timedelta(days=given["days"]) / SPARE
    one = partial(extend, client, given["bucket"], given["mode"], until, soon)
    *younger, oldest = newest_first(client, given["bucket"], given["prefix"], given["without"]) or [""]
    with ThreadPoolExecutor(THREADS) as pool:
        count = sum(pool.map(one, younger))
    return count + (one(oldest) if oldest else 0)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "bucket": {"type": "str", "required": True},
            "prefix": {"type": "str", "required": True},
            "without": {"type": "list", "elements": "str", "required": True},
            "mode": {"type": "str", "required": True},
            "days": {"type": "float", "required": True},
        }
    )
    given = module.params
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        from rmc_dr.store.client import connect
    except ImportError as error:
        module.fail_json(msg=f"This needs the Python that rmc-dr is installed in: {error}")
    try:
        count = extend_all(connect(**connection(given)), given, datetime.now(UTC))
    except (BotoCoreError, ClientError) as error:
        module.fail_json(
            msg=f"Not every lock below {given['prefix']} was extended; `rmc-dr store check` says whether the "
            f"keeper may: {error}"
        )
    module.exit_json(changed=count > 0, extended=count)


if __name__ == "__main__":
    main()
