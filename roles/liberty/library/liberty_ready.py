#!/usr/bin/python3
"""Waits on the host until Liberty says that every application is ready; gives up as soon as it cannot be."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: liberty_ready
short_description: Wait for MicroProfile Health
description: Fails at once when the service ended or an application cannot start, else after the timeout.
options:
  url: {description: The readiness address., type: str, required: true}
  ca: {description: The CA that proves it., type: path, required: true}
  service: {description: The unit that serves it., type: str, default: liberty.service}
  network_of: {description: Ask from inside this unit's private network., type: str}
  timeout_seconds: {description: How long to wait., type: int, default: 180}
author: [rmc-dr]
"""
PAUSE_SECONDS = 0.25
# An application that cannot start or whose file is missing; Liberty itself goes on without it.
CANNOT_START = "CWWKZ0002E|CWWKZ0004E|CWWKZ0013E|CWWKZ0014W|CWWKZ0115E|CWWKZ0021E"


class NotReady(Exception):
    """The sentence that the operator reads."""


def wait(url: str, trust: ssl.SSLContext, service: str, timeout_seconds: float) -> float:
    """Seconds until ready. Raises NotReady."""
    started = time.monotonic()
    while True:
        said = ask(url, trust)
        waited = time.monotonic() - started
        if said is None:
            return waited
        state = _show(service, "ActiveState")
        if state not in ("active", "activating", "reloading"):
            raise NotReady(f"{service} is {state}: journalctl -u {service} says why.")
        if said.startswith("status") and (error := _start_error(service)):
            raise NotReady(f"An application cannot start: {error}")
        if waited > timeout_seconds:
            raise NotReady(f"Not ready after {waited:.0f} s: {said}")
        time.sleep(PAUSE_SECONDS)


def enter_network(service: str) -> None:
    """This process goes over into the private network of a unit, for good."""
    with open(f"/proc/{_show(service, 'MainPID')}/ns/net") as network:  # noqa: PTH123 (a descriptor is needed)
        os.setns(network.fileno(), os.CLONE_NEWNET)


def ask(url: str, trust: ssl.SSLContext) -> str | None:
    """What speaks against being ready; nothing if it is ready."""
    try:
        with urllib.request.urlopen(url, timeout=10, context=trust) as answer:  # noqa: S310 (https, our own)
            return None if answer.status == 200 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        down = ", ".join(_down(error.read())) or "an application has not started"
        return f"status {error.code}, down: {down}"
    except OSError as error:
        return str(error)


def _down(answer: bytes) -> list[str]:
    try:
        return [check["name"] for check in json.loads(answer)["checks"] if check["status"] != "UP"]
    except (ValueError, KeyError, TypeError):
        return []


def _start_error(service: str) -> str:
    """What this start of the service said of an application that cannot start; empty if nothing."""
    invocation = f"_SYSTEMD_INVOCATION_ID={_show(service, 'InvocationID')}"
    return _said("journalctl", "--quiet", "--output=cat", "--lines=1", f"--grep={CANNOT_START}", invocation)


def _show(service: str, name: str) -> str:
    return _said("systemctl", "show", "--value", f"--property={name}", service)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "ca": {"type": "path", "required": True},
            "service": {"type": "str", "default": "liberty.service"},
            "network_of": {"type": "str"},
            "timeout_seconds": {"type": "int", "default": 180},
        }
    )
    given = module.params
    try:
        trust = ssl.create_default_context(cafile=given["ca"])
        if given["network_of"]:
            enter_network(given["network_of"])
        seconds = wait(given["url"], trust, given["service"], given["timeout_seconds"])
    except (NotReady, OSError) as reason:
        module.fail_json(msg=str(reason))
    module.exit_json(changed=False, seconds=round(seconds, 1))


if __name__ == "__main__":
    main()
