"""What was deployed last, in a file beside estate.yml, which is people's and stays as they wrote it."""

from __future__ import annotations

from pathlib import Path

import yaml

from rmc_dr.estate import DEPLOYED, DEPLOYED_FILE, Estate
from rmc_dr.files import write_atomically

HEADING = """---
# Written by `rmc-dr deploy`: what runs now, and what a rebuild brings back. It beats `release` in estate.yml.
# Keep this file with the inventory, on every control machine.
# 由 rmc-dr deploy 写入：当前运行、重建时恢复的版本，优先于 estate.yml。请与清单一同保存。
"""


def note(inventory: Path, application: str, release: str) -> bool:
    """Keep what an application runs now; of others nothing changes. False where it cannot be written."""
    path = inventory / DEPLOYED_FILE
    known = (yaml.safe_load(path.read_text()) or {}).get(DEPLOYED) or {} if path.is_file() else {}
    releases = {**known, application: release}
    lines = [f"  {name}: {_quoted(value)}\n" for name, value in sorted(releases.items())]
    try:
        write_atomically(path, f"{HEADING}{DEPLOYED}:\n{''.join(lines)}", 0o644)
    except OSError:
        return False
    return True


def _quoted(release: str) -> str:
    """Else YAML would take 1.10 for a number."""
    return f'"{release}"'


def forget(estate: Estate) -> None:
    """The estate's own releases count again; for a lab that begins anew."""
    (estate.inventory / DEPLOYED_FILE).unlink(missing_ok=True)
