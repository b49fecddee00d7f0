#!/usr/bin/python
"""Makes the bucket that backups lie in: versions, a default lock, who may do what, what is cleared away.

Runs on the control machine, in the Python that runs rmc-dr.
"""

from __future__ import annotations

import json

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.store_connection import CONNECTION, connection
from ansible.module_utils.store_policy import lifecycle, policy

try:
    from botocore.exceptions import BotoCoreError, ClientError

    from rmc_dr.store.client import connect
except ImportError as error:
    MISSING = str(error)
else:
    MISSING = ""

DOCUMENTATION = """
module: store_bucket
short_description: A locked bucket at any S3 endpoint
description:
  - Makes what is missing and changes what differs, with the owner's key. A bucket that exists without a lock
    is refused, nothing is changed.
options:
  url: {description: Where the S3 API answers., type: str, required: true}
  region: {description: Region that requests are signed for., type: str, required: true}
  authority: {description: The CA certificates that prove the store., type: path, required: true}
  access_key: {description: The owner's access key., type: str, required: true}
  secret_key: {description: The owner's secret key., type: str, required: true}
  bucket: {description: Name of the bucket., type: str, required: true}
  lock_mode: {description: COMPLIANCE or GOVERNANCE., type: str, required: true}
  lock_days: {description: Days for which each new version is locked., type: int, required: true}
  principals:
    description: How the store names writer, verifier and keeper. Empty leaves the policy alone.
    type: dict
    required: true
author: [rmc-dr]
"""
RETURN = """
changes: {description: What was changed., type: list, elements: str, returned: always}
"""
OWN_REGIONS = ("default", "us-east-1")  # those that a request for a bucket must not name


class Bucket:
    """The bucket as its owner sees it, and what was changed."""

    def __init__(self, client, name: str) -> None:
        self.client = client
        self.name = name
        self.changes: list[str] = []

    def read(self, what: str, *none: str):
        """One of its settings; None where the store says that there is none, by one of these codes."""
        try:
            return getattr(self.client, what)(Bucket=self.name)
        except ClientError as error:
            if error.response["Error"]["Code"] in none:
                return None
            raise

    def make(self, region: str) -> None:
        if self.read("head_bucket", "404", "NoSuchBucket") is not None:
            return
        where = {} if region in OWN_REGIONS else {"LocationConstraint": region}
        self.client.create_bucket(
            Bucket=self.name,
            ObjectLockEnabledForBucket=True,
            **({"CreateBucketConfiguration": where} if where else {}),
        )
        self.changes.append("bucket")

    def can_lock(self) -> bool:
        return self.read("get_object_lock_configuration", "ObjectLockConfigurationNotFoundError") is not None

    def keep_versions(self) -> None:
        if (self.read("get_bucket_versioning") or {}).get("Status") != "Enabled":
            self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": "Enabled"})
            self.changes.append("versioning")

    def lock(self, mode: str, days: int) -> None:
        wanted = {
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": mode, "Days": days}},
        }
        if self.read("get_object_lock_configuration")["ObjectLockConfiguration"] != wanted:
            self.client.put_object_lock_configuration(Bucket=self.name, ObjectLockConfiguration=wanted)
            self.changes.append("lock")

    def rule(self, principals: dict) -> None:
        wanted = policy(self.name, principals)
        found = self.read("get_bucket_policy", "NoSuchBucketPolicy")
        if found is None or json.loads(found["Policy"]) != wanted:
            self.client.put_bucket_policy(Bucket=self.name, Policy=json.dumps(wanted))
            self.changes.append("policy")

    def clear_away(self, lock_days: int) -> None:
        wanted = lifecycle(lock_days)
        found = self.read("get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration") or {}
        if by_name(found.get("Rules", [])) != by_name(wanted):
            self.client.put_bucket_lifecycle_configuration(
                Bucket=self.name, LifecycleConfiguration={"Rules": wanted}
            )
            self.changes.append("lifecycle")


def by_name(rules: list) -> dict:
    """Rules as they compare: stores answer them in their own order, and write the prefix in two ways."""
    return {
        rule.get("ID"): {
            **{key: value for key, value in rule.items() if key not in ("Filter", "Prefix")},
            "Prefix": rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")),
        }
        for rule in rules
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "bucket": {"type": "str", "required": True},
            "lock_mode": {"type": "str", "required": True},
            "lock_days": {"type": "int", "required": True},
            "principals": {"type": "dict", "required": True},
        }
    )
    given = module.params
    if MISSING:
        module.fail_json(msg=f"This needs the Python that rmc-dr is installed in: {MISSING}")
    bucket = Bucket(connect(**connection(given)), given["bucket"])
    try:
        bucket.make(given["region"])
        if not bucket.can_lock():
            module.fail_json(
                msg=f"The bucket {given['bucket']} was made without object lock. Nothing was changed. Name "
                "another one in estate.s3.bucket: it is made with a lock."
            )
        bucket.keep_versions()
        bucket.lock(given["lock_mode"], given["lock_days"])
        if given["principals"]:
            bucket.rule(given["principals"])
        bucket.clear_away(given["lock_days"])
    except (BotoCoreError, ClientError) as error:
        module.fail_json(
            msg=f"The bucket {given['bucket']} at {given['url']}: {error}", changes=bucket.changes
        )
    module.exit_json(changed=bool(bucket.changes), changes=bucket.changes)


if __name__ == "__main__":
    main()
