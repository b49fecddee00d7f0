#!/usr/bin/python
"""Stream a golden image to the root filesystem that disk_install has prepared."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: stream_image
short_description: Unpack an image of the kit on a host in its rescue system, over SSH
description:
  - Runs on the control machine. The image is hashed while it is sent; it counts as installed only if
    the hash is the one in the kit's manifest.
options:
  ssh: {description: Words of ssh up to the remote command., type: list, elements: str, required: true}
  image: {description: The C(.tar.zst) file., type: path, required: true}
  sha256: {description: What the manifest says., type: str, required: true}
  device: {description: The root partition's device node on the host., type: str, required: true}
  root_uuid: {description: The filesystem that must be on it., type: str, required: true}
  progress: {description: File that says how many bytes of how many are sent., type: path}
"""

CHUNK = 1024 * 1024
# One shell on the host: waits for an orphan's lock, mounts where nobody else sees it, unpacks, and
# ends by itself when the connection breaks, because tar then reads an end too early.
REMOTE = """
exec 9>/run/rmc-dr/disk.lock; flock -w 600 9
test "$(blkid --probe --output value --match-tag UUID {device})" = {root_uuid}
mkdir -p /run/rmc-dr/target; mount {device} /run/rmc-dr/target
tar --extract --zstd --xattrs --xattrs-include='*' --acls --numeric-owner --directory=/run/rmc-dr/target
umount /run/rmc-dr/target
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ssh": {"type": "list", "elements": "str", "required": True},
            "image": {"type": "path", "required": True},
            "sha256": {"type": "str", "required": True},
            "device": {"type": "str", "required": True},
            "root_uuid": {"type": "str", "required": True},
            "progress": {"type": "path"},
        }
    )
    given = module.params
    script = REMOTE.format(**{key: shlex.quote(given[key]) for key in ("device", "root_uuid")})
    remote = f"unshare --mount --propagation private sh -ec {shlex.quote(script)}"
    started = time.monotonic()
    try:
        digest, size, code, said = _send(Path(given["image"]), [*given["ssh"], remote], given["progress"])
    except OSError as problem:
        module.fail_json(msg=f"the image could not be sent: {problem}")
    if code:
        module.fail_json(msg=f"unpacking the image on the host failed ({code}): {said[-500:]}")
    if digest != given["sha256"]:
        module.fail_json(
            msg=f"the image {given['image']} has changed while it was sent ({digest}); the disk was not made "
            "bootable"
        )
    module.exit_json(changed=True, bytes=size, seconds=round(time.monotonic() - started, 1))


def _send(image: Path, command: list[str], progress: str | None) -> tuple[str, int, int, str]:
    digest, done, total = hashlib.sha256(), 0, image.stat().st_size
    said = 0.0
    with (
        image.open("rb") as source,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as ssh,
    ):
        try:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                ssh.stdin.write(chunk)
                done += len(chunk)
                if progress and (done == total or time.monotonic() - said > 0.25):
                    said = time.monotonic()
                    _report(Path(progress), done, total)
            ssh.stdin.close()
        except BrokenPipeError:  # the host's own words follow, on stderr
            with contextlib.suppress(BrokenPipeError):
                ssh.stdin.close()
        words = ssh.stderr.read().decode("utf-8", "replace").strip()
        return digest.hexdigest(), done, ssh.wait(), words


def _report(progress: Path, done: int, total: int) -> None:
    fresh = progress.with_name(f"{progress.name}.{os.getpid()}")
    fresh.write_text(f"{done} {total}\n")
    fresh.replace(progress)


if __name__ == "__main__":
    main()
