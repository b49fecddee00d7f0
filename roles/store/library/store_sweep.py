#!/usr/bin/python
"""Deletes versions that an expiry or a newer version hid long ago, with the keeper's key.

Runs on the control machine, in the Python that runs rmc-dr.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.store_connection import CONNECTION, connection
from ansible.module_utils.store_hidden import long_hidden

DOCUMENTATION = """
module: store_sweep
short_description: Free the room of versions that were hidden long ago
description:
  - What the bucket shows is never touched. A version goes when it has been hidden for longer than C(days).
  - What a lock still protects the store refuses to delete; that is counted, and no failure.
options:
  url: {description: Where the S3 API answers., type: str, required: true}
  region: {description: Region that requests are signed for., type: str, required: true}
  authority: {description: The CA certificates that prove the store., type: path, required: true}
  access_key: {description: The keeper's access key., type: str, required: true}
  secret_key: {description: The keeper's secret key., type: str, required: true}
  bucket: {description: Name of the bucket., type: str, required: true}
  prefixes: {description: Only below these., type: list, elements: str, required: true}
  days: {description: How long a version stays once it is hidden., type: float, required: true}
author: [rmc-dr]
"""
RETURN = """
deleted: {description: How many versions are gone., type: int, returned: always}
freed: {description: How many bytes they took., type: int, returned: always}
locked: {description: How many a lock still protects., type: int, returned: always}
"""


def all_versions(client, bucket: str, prefix: str) -> Iterator[dict]:
    """Versions and markers, key by key."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        yield from sorted(found, key=lambda version: version["Key"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "bucket": {"type": "str", "required": True},
            "prefixes": {"type": "list", "elements": "str", "required": True},
            "days": {"type": "float", "required": True},
        }
    )
    given = module.params
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        from rmc_dr.store.client import connect
    except ImportError as error:
        module.fail_json(msg=f"This needs the Python that rmc-dr is installed in: {error}")
    client = connect(**connection(given))
    counts = {"deleted": 0, "freed": 0, "locked": 0}
    now = datetime.now(UTC)
    try:
        for prefix in given["prefixes"]:
            for version in long_hidden(all_versions(client, given["bucket"], prefix), now, given["days"]):
                try:
                    client.delete_object(
                        Bucket=given["bucket"], Key=version["Key"], VersionId=version["VersionId"]
                    )
                except ClientError as error:
                    if error.response.get("Error", {}).get("Code") != "AccessDenied":
                        raise
                    counts["locked"] += 1
                else:
                    counts["deleted"] += 1
                    counts["freed"] += version.get("Size", 0)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=f"The bucket {given['bucket']} at {given['url']}: {error}", **counts)
    module.exit_json(changed=counts["deleted"] > 0, **counts)


if __name__ == "__main__":
    main()
