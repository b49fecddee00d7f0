"""What a command of the pair or the applications meets in a test: its lock, its playbooks and the pair."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from rmc_dr import command, exclusive


def at_hand(monkeypatch: pytest.MonkeyPatch, world: Any) -> None:
    """Let ``world`` play every stage and tell what the pair is; the estate's lock is free."""
    monkeypatch.setattr(exclusive, "hold_estate_lock", lambda *_: nullcontext(lambda: True))
    monkeypatch.setattr(command, "run_playbook", world.run_playbook)
    monkeypatch.setattr(command, "observe_pair", lambda _estate: world.pair)
