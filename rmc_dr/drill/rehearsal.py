"""The one path of every drill: users at work, something breaks, it recovers, the ledger is audited."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Protocol

from rmc_dr.drill.users import acknowledged, audit, outage_after, users_at_work, wait_for
from rmc_dr.drill_record import RESULT, DrillResult, folder_of
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.incident import attach
from rmc_dr.lab import load

BEFORE_BREAK = 1000
AFTER_RECOVERY = 200
Say = Callable[[str], None]


@dataclass(frozen=True)
class Scene:
    """The users' ledger, and the steady clock's moment and the time just before it broke."""

    ledger: Path
    broke_at: float
    broke_time: float = 0.0


@dataclass(frozen=True)
class Recovery:
    """``rto_seconds`` is None where it is the users' outage. ``split`` names its parts in seconds.

    ``run`` is the record of what rmc-dr did, empty where the estate recovered by itself. What was
    acknowledged after ``writes_until``, and attachments after ``files_until``, may be lost: no backup could
    hold it, or it was given up by choice. Nothing else may. ``broke_time`` is given where it broke later than
    ``break_`` began. All in Unix time.
    """

    run: str = ""
    rto_seconds: float | None = None
    split: Mapping[str, float | None] = field(default_factory=dict)
    writes_until: float = inf
    files_until: float = inf
    broke_time: float | None = None


class Disaster(Protocol):
    """What breaks and how it recovers. ``mend`` brings back, with the users at work, what is still broken."""

    @property
    def name(self) -> str: ...

    @property
    def host(self) -> str: ...

    @property
    def how(self) -> str: ...

    def break_(self) -> None: ...

    def recover(self, scene: Scene) -> Recovery: ...

    def mend(self) -> None: ...


def rehearse(estate: Estate, disaster: Disaster, say: Say) -> DrillResult:
    """Break the lab under load, let it recover, and keep what it cost. Raises what the recovery raises."""
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    folder = folder_of(at, disaster.name)
    folder.mkdir(parents=True)
    ledger = folder / "ledger.jsonl"
    with users_at_work(estate, ledger):
        say(_("Users are at work; waiting for {count} acknowledged writes.").format(count=BEFORE_BREAK))
        before = wait_for(ledger, BEFORE_BREAK)
        say(
            _("{count} writes acknowledged. Breaking {host}: {how}.").format(
                count=before, host=disaster.host, how=disaster.how
            )
        )
        scene = Scene(ledger, time.monotonic(), time.time())
        disaster.break_()
        recovery = disaster.recover(scene)
        say(_("Recovered; watching the users work on."))
        wait_for(ledger, acknowledged(ledger) + AFTER_RECOVERY)
        disaster.mend()
    seconds = recovery.rto_seconds
    if seconds is None:
        seconds, _end = outage_after(load.read_ledger(ledger), scene.broke_at)
    audited = audit(estate, ledger)
    lost_at, missing_at = audited.pop("lost_at", []), audited.pop("missing_at", [])
    broke_time = scene.broke_time if recovery.broke_time is None else recovery.broke_time
    result = DrillResult(
        drill=disaster.name,
        at=at,
        host=disaster.host,
        broke=disaster.how,
        run=recovery.run,
        rto_minutes=round(seconds / 60, 2),
        split={name: None if part is None else round(part, 2) for name, part in recovery.split.items()},
        acknowledged_before_break=before,
        rpo_seconds=round(max([0.0, *(broke_time - moment for moment in lost_at)]), 1),
        lost_allowed=_after(recovery.writes_until, lost_at),
        attachments_allowed=_after(min(recovery.writes_until, recovery.files_until), missing_at),
        **audited,
    )
    (folder / RESULT).write_text(json.dumps(asdict(result), indent=2) + "\n")
    attach.attach(
        estate.name, "drill", id=result.name, drill=result.drill, host=result.host, broke=result.broke,
        run=result.run, passed=result.passed, rto_minutes=result.rto_minutes, rpo_seconds=result.rpo_seconds,
        lost=result.lost + result.attachments_missing, duplicated=result.duplicated,
    )  # fmt: skip
    return result


def _after(until: float, moments: Sequence[float]) -> int:
    return sum(moment > until for moment in moments)
