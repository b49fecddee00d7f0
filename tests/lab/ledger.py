"""What the ledgers in docs/ say of a proof: on which commit and day it was made."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def stamp() -> dict[str, str]:
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, capture_output=True, text=True).stdout.strip()
    return {"commit": commit, "date": datetime.now(UTC).date().isoformat()}


def entries(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, fresh: dict[str, Any]) -> None:
    """Put entries into a ledger; CI proves nothing that would be committed."""
    if not os.environ.get("CI"):
        path.write_text(json.dumps({**entries(path), **fresh}, indent=2, sort_keys=True) + "\n")
