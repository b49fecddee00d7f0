#!/usr/bin/python3
"""Makes the store's users with the keys that the estate gives them.

Keys arrive on standard input and leave on radosgw-admin's, so that no argument list or log ever holds one.
"""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: store_users
short_description: The users of a Ceph object gateway, with given keys
description: A user that is as described is left alone. Only the owner may have buckets, within the quota.
options:
  users: {description: Name -> access_key and secret_key., type: dict, required: true}
  owner: {description: The user that owns the bucket., type: str, required: true}
  quota_bytes: {description: What the owner may store., type: int, required: true}
author: [rmc-dr]
"""
RETURN = """
users: {description: The users that were made or changed., type: list, elements: str, returned: success}
"""
TIMEOUT_SECONDS = 60
NO_SUCH = 2
NO_BUCKETS = -1  # 0 is no limit


class Failed(Exception):
    """radosgw-admin refused; its words hold no key."""


def admin(*words: str, given: str | None = None, missing: bool = False) -> str | None:
    """What radosgw-admin printed; None where it says that there is no such thing and that may be."""
    try:
        done = subprocess.run(
            ["radosgw-admin", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"radosgw-admin {words[0]} {words[1]} does not end: does the OSD run?") from None
    if missing and done.returncode == NO_SUCH:
        return None
    if done.returncode != 0:
        raise Failed(f"radosgw-admin {' '.join(words)}: {done.stderr.strip()[-300:]}")
    return done.stdout


def read(name: str) -> dict[str, Any] | None:
    said = admin("metadata", "get", f"user:{name}", missing=True)
    return json.loads(said) if said else None


def wanted(name: str, key: dict[str, str], owner: str, quota_bytes: int) -> dict[str, Any]:
    """What the estate says of a user, in the words of its metadata."""
    limits = {"max_buckets": NO_BUCKETS}
    if name == owner:
        limits = {"max_buckets": 10}
    return {
        "keys": [{"user": name, "access_key": key["access_key"], "secret_key": key["secret_key"]}],
        "subusers": [],
        "caps": [],
        "suspended": 0,
        "user_quota": {"enabled": True, "max_size": quota_bytes} if name == owner else {},
        **limits,
    }


def differs(found: Any, described: Any) -> bool:
    """Whether something of what is described is not so; Ceph knows more of a user than is described."""
    if isinstance(described, dict):
        return not isinstance(found, dict) or any(
            differs(found.get(key), value) for key, value in described.items()
        )
    if isinstance(described, list):
        return (
            not isinstance(found, list)
            or len(found) != len(described)
            or any(differs(one, other) for one, other in zip(found, described, strict=True))
        )
    return bool(found != described)


def merged(found: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    return {
        **found,
        **{
            key: merged(found.get(key, {}), value) if isinstance(value, dict) else value
            for key, value in described.items()
        },
    }


def ensure(name: str, described: dict[str, Any]) -> bool:
    """Make one user as described; whether something was changed."""
    found = read(name)
    if found is None:
        admin("user", "create", f"--uid={name}", f"--display-name=rmc-dr {name}")
        found = read(name)
    if found is None:
        raise Failed(f"the user {name} was made and is not there")
    if not differs(found["data"], described):
        return False
    document = {**found, "data": merged(found["data"], described)}
    admin("metadata", "put", f"user:{name}", given=json.dumps(document))
    if differs((read(name) or {}).get("data"), described):
        raise Failed(f"the user {name} does not become what the estate describes")
    return True


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "users": {"type": "dict", "required": True, "no_log": True},
            "owner": {"type": "str", "required": True},
            "quota_bytes": {"type": "int", "required": True},
        }
    )
    given = module.params
    described = {
        name: wanted(name, key, given["owner"], given["quota_bytes"]) for name, key in given["users"].items()
    }
    try:
        with ThreadPoolExecutor(len(described)) as pool:
            changed = list(pool.map(ensure, described, described.values()))
    except Failed as reason:
        module.fail_json(msg=f"The store's users: {reason}")
    users = [name for name, yes in zip(described, changed, strict=True) if yes]
    module.exit_json(changed=bool(users), users=users)


if __name__ == "__main__":
    main()
