"""Host checks run by `rmc-dr verify` and by CI: the same files, the same estate."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def estate() -> dict[str, Any]:
    """What the checks need to know of the estate; no secret is in it."""
    facts: dict[str, Any] = json.loads(Path(os.environ["RMC_DR_HOST_FACTS"]).read_text())
    return facts
