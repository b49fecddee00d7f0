#!/usr/bin/python
"""Save what a script prints on a host into a file here, bounded in time and size, and hash it."""

from __future__ import annotations

import hashlib
import os
import selectors
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: collect_evidence
short_description: Save evidence from a host over SSH
description:
  - Runs on the control machine. A host that breaks off costs what it had not yet sent; that is reported in
    C(complete), never a failure, because evidence must not hold up a recovery.
options:
  ssh: {description: Words of ssh up to the remote command., type: list, elements: str, required: true}
  script: {description: Shell script whose output is saved., type: str, required: true}
  dest: {description: File that it is saved in., type: path, required: true}
  max_bytes: {description: What is sent beyond this is dropped., type: int, required: true}
  timeout: {description: Seconds., type: int, required: true}
"""

CHUNK = 256 * 1024


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ssh": {"type": "list", "elements": "str", "required": True},
            "script": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "max_bytes": {"type": "int", "required": True},
            "timeout": {"type": "int", "required": True},
        }
    )
    given = module.params
    dest = Path(given["dest"])
    dest.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with subprocess.Popen(
        [*given["ssh"], "sh -s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ssh:
        result = _save(ssh, given["script"], dest, given["max_bytes"], given["timeout"])
    if not result["bytes"]:
        dest.unlink()
    module.exit_json(changed=bool(result["bytes"]), evidence=result)


def _save(
    ssh: subprocess.Popen[bytes], script: str, dest: Path, max_bytes: int, timeout: int
) -> dict[str, object]:
    try:
        ssh.stdin.write(script.encode())
        ssh.stdin.close()
    except BrokenPipeError:
        pass  # the reason follows on stderr
    digest, size, said, stopped = hashlib.sha256(), 0, b"", ""
    deadline = time.monotonic() + timeout
    with dest.open("wb") as file, selectors.DefaultSelector() as pipes:
        dest.chmod(0o600)
        pipes.register(ssh.stdout, selectors.EVENT_READ)
        pipes.register(ssh.stderr, selectors.EVENT_READ)
        while pipes.get_map() and not stopped:
            if time.monotonic() > deadline:
                stopped = f"stopped after {timeout} s"
            for key, _events in pipes.select(timeout=1):
                chunk = os.read(key.fd, CHUNK)
                if not chunk:
                    pipes.unregister(key.fileobj)
                elif key.fileobj is ssh.stderr:
                    said = (said + chunk)[-2000:]
                elif size + len(chunk) > max_bytes:
                    stopped = f"stopped at {max_bytes} bytes"
                else:
                    size += len(chunk)
                    digest.update(chunk)
                    file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    if stopped:
        ssh.kill()
    code = ssh.wait()
    return {
        "file": str(dest),
        "bytes": size,
        "sha256": digest.hexdigest(),
        "complete": code == 0 and not stopped,
        "said": stopped or said.decode("utf-8", "replace").strip()[-300:],
    }


if __name__ == "__main__":
    main()
