#!/usr/bin/python
"""Makes a bucket show what it showed at an earlier moment, with the writer's key.

Runs on the control machine, in the Python that runs rmc-dr.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from itertools import groupby

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: store_rewind
short_description: Undo what was hidden or written over since a moment
description:
  - Every object becomes what it was then, as a copy of that version, which the store makes itself. Objects
    that did not exist then are hidden. Nothing is deleted; what stands now stays as a version.
  - A lock does not stand in the way, for no version is touched, and the copies are locked anew.
  - Objects that are as they were are left alone, so that it can be repeated after a cut.
options:
  url: {description: Where the S3 API answers., type: str, required: true}
  region: {description: Region that requests are signed for., type: str, required: true}
  authority: {description: The CA certificates that prove the store., type: path, required: true}
  access_key: {description: The writer's access key., type: str, required: true}
  secret_key: {description: The writer's secret key., type: str, required: true}
  bucket: {description: Name of the bucket., type: str, required: true}
  prefixes: {description: Only below these., type: list, elements: str, required: true}
  to: {description: The moment, ISO 8601 with its zone., type: str, required: true}
author: [rmc-dr]
"""
RETURN = """
back: {description: How many objects were brought back., type: int, returned: always}
hidden: {description: How many objects that came later are hidden., type: int, returned: always}
same: {description: How many are as they were., type: int, returned: always}
too_large: {description: Objects that one copy cannot move; a person does., type: int, returned: always}
"""
AT_ONCE = 8
# What one copy request may move; S3 itself allows no more.
LARGEST_BYTES = 5 * 1024**3


def steps(versions: Iterable[dict], to: datetime) -> Iterator[tuple[str, dict]]:
    """What is to be done with each key, C(back), C(hide), C(same) or C(too_large), and the version concerned.

    They come key by key; a marker has no C(ETag). What shows the same content as then is left alone.
    """
    for _key, group in groupby(versions, key=lambda version: version["Key"]):
        known = sorted(group, key=lambda version: (version["IsLatest"], version["LastModified"]))
        now = known[-1]
        past = [version for version in known if version["LastModified"] <= to]
        then = past[-1] if past else None
        if then is None or "ETag" not in then:
            yield ("hide" if "ETag" in now else "same"), now
        elif now is then or (now.get("ETag"), now.get("Size")) == (then["ETag"], then["Size"]):
            yield "same", now
        else:
            yield ("too_large" if then["Size"] > LARGEST_BYTES else "back"), then


def all_versions(client, bucket: str, prefix: str) -> Iterator[dict]:
    """Versions and markers, key by key: a page may end between the two kinds of one key."""
    kept: list[dict] = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        kept += [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    yield from sorted(kept, key=lambda version: version["Key"])


def carry_out(client, bucket: str, step: tuple[str, dict]) -> str:
    what, version = step
    if what == "back":
        source = {"Bucket": bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
        client.copy_object(Bucket=bucket, Key=version["Key"], CopySource=source)
    elif what == "hide":
        client.delete_object(Bucket=bucket, Key=version["Key"])
    return what


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "region": {"type": "str", "required": True},
            "authority": {"type": "path", "required": True},
            "access_key": {"type": "str", "required": True},
            "secret_key": {"type": "str", "required": True, "no_log": True},
            "bucket": {"type": "str", "required": True},
            "prefixes": {"type": "list", "elements": "str", "required": True},
            "to": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        from botocore.exceptions import BotoCoreError, ClientError

        from rmc_dr.store.client import connect
    except ImportError as error:
        module.fail_json(msg=f"This needs the Python that rmc-dr is installed in: {error}")
    to = datetime.fromisoformat(given["to"])
    if to.tzinfo is None:
        module.fail_json(
            msg=f"{given['to']} does not say in which time zone. Nothing was changed.", refused=True
        )
    client = connect(
        **{key: given[key] for key in ("url", "region", "authority", "access_key", "secret_key")}
    )
    counts = {"back": 0, "hide": 0, "same": 0, "too_large": 0}
    do = (lambda step: step[0]) if module.check_mode else partial(carry_out, client, given["bucket"])
    try:
        for prefix in given["prefixes"]:
            wanted = list(steps(all_versions(client, given["bucket"], prefix), to))
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for what in pool.map(do, wanted):
                    counts[what] += 1
    except (BotoCoreError, ClientError) as error:
        module.fail_json(
            msg=f"The bucket {given['bucket']} at {given['url']}: {error}. "
            "What is back so far stays; do it again.",
            **counts,
        )
    module.exit_json(changed=counts["back"] + counts["hide"] > 0, hidden=counts.pop("hide"), **counts)


if __name__ == "__main__":
    main()
