"""Where the playbooks, roles, inventories and host checks are: in a checkout, or inside the wheel."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

STATE = Path("/var/lib/rmc-dr")


@cache
def root() -> Path:
    """The folder that holds playbooks/, roles/, inventories/, tests/host/ and ansible.cfg."""
    package = Path(__file__).parent
    checkout = package.parent
    return checkout if (checkout / "playbooks").is_dir() else package / "content"


def executable() -> Path:
    """The program rmc-dr itself, as a process of its own is started."""
    return Path(sys.executable).parent / "rmc-dr"
