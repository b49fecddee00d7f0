"""Looks whether a restored copy stands on the verification host to be looked into."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from rmc_dr import ssh
from rmc_dr.estate import Estate
from rmc_dr.i18n import _

FOLDER = "/srv/inspect"
UNIT = "inspection-postgres.service"
TIMEOUT_SECONDS = 60  # the copy is measured file by file
LOOK = (
    f"test -e {FOLDER} || exit 0; "
    f'echo "unit $(systemctl is-active {UNIT})"; '
    f'echo "bytes $(du --summarize --block-size=1 {FOLDER} 2>/dev/null | cut -f1)"; '
    f'echo "about $(cat {FOLDER}/inspection.json 2>/dev/null)"'
)
# `stands`: whole, and it answers. `broken`: cut while it was made, or its host was switched off since.
State = Literal["absent", "stands", "broken", "unknown"]


@dataclass(frozen=True)
class Inspection:
    """What was seen of it. ``to`` is its moment as PostgreSQL reads it, or latest; ``newest`` its last write.

    ``bytes`` is what it takes on the disk. ``detail`` says why a state is unknown.
    """

    host: str
    state: State
    to: str = ""
    label: str = ""
    newest: datetime | None = None
    made: str = ""
    bytes: int = 0
    detail: str = ""


def observe_inspection(estate: Estate) -> Inspection | None:
    """One look at the verification host; None where the estate has none, or several."""
    hosts = estate.group("verifier")
    if len(hosts) != 1:
        return None
    name = hosts[0].name
    try:
        done = ssh.ask(estate, hosts[0], LOOK, TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return Inspection(name, "unknown", detail=_("ssh did not end in time"))
    if done.returncode:
        said = " ".join(done.stderr.split())[-200:]
        return Inspection(
            name, "unknown", detail=said or _("ssh ended with {code}").format(code=done.returncode)
        )
    return read(name, done.stdout)


def read(host: str, said: str) -> Inspection:
    """What the host's lines say. Pure."""
    found = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    if not found:
        return Inspection(host, "absent")
    about = _about(found.get("about", ""))
    newest = about.get("newest")
    return Inspection(
        host=host,
        state="stands" if about and found.get("unit") == "active" else "broken",
        to=str(about.get("to", "")),
        label=str(about.get("label", "")),
        newest=datetime.fromtimestamp(newest, UTC) if isinstance(newest, int | float) else None,
        made=str(about.get("made", "")),
        bytes=int(found["bytes"]) if found.get("bytes", "").isdigit() else 0,
    )


def _about(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
