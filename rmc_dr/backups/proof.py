"""The verdict on a verification: what was proven, what would be lost, how long a recovery takes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rmc_dr.i18n import _
from rmc_dr.prometheus import gauge

TRUTH = {"t": True, "f": False}


@dataclass(frozen=True)
class Proof:
    """One thing that was proven, or not. ``objects`` are at fault: files, segments, packs, ids."""

    name: str
    green: bool
    detail: str = ""
    objects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What a verification found. ``read`` was read to its last byte and is sound; ``labels`` are proven.

    ``rpo_seconds`` is measured: what would be lost if the primary were gone now. ``rto_seconds`` is an
    estimate from measured throughput. None where nothing was measured.
    """

    scope: str
    host: str
    started: datetime
    ended: datetime
    proofs: tuple[Proof, ...]
    labels: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    rpo_seconds: float | None = None
    rto_seconds: float | None = None

    @property
    def green(self) -> bool:
        return bool(self.proofs) and all(proof.green for proof in self.proofs)

    @property
    def red(self) -> tuple[Proof, ...]:
        return tuple(proof for proof in self.proofs if not proof.green)


def proofs_of(said: Iterable[Mapping[str, Any]]) -> tuple[Proof, ...]:
    """The proofs that a stage has published."""
    return tuple(
        Proof(
            str(one["name"]),
            one.get("green") is True,
            str(one.get("detail", "")),
            tuple(one.get("objects", ())),
        )
        for one in said
    )


def problem_of(value: str, expect: Mapping[str, Any], now: datetime) -> str | None:
    """Why the value of a check is not what the estate expects; None if it is. Shows the value, no more.

    ``value`` is as psql prints it: a number, t or f, or a time with its zone.
    """
    if (minutes := expect.get("newest_within_minutes")) is not None:
        return _too_old(value, minutes, now)
    if value in TRUTH:
        wanted = expect.get("equals")
        found = TRUTH[value]
        return None if found is wanted else _("is {found}, not {wanted}").format(found=found, wanted=wanted)
    try:
        number = float(value)
    except ValueError:
        return _("is nothing that can be compared")
    if isinstance(expect.get("equals"), bool):
        return _("is {found}, not {wanted}").format(found=value, wanted=expect["equals"])
    bounds = {
        _("less than {bound}"): expect.get("min") is not None and number < expect["min"],
        _("more than {bound}"): expect.get("max") is not None and number > expect["max"],
        _("not {bound}"): expect.get("equals") is not None and number != expect["equals"],
    }
    for (said, broken), key in zip(bounds.items(), ("min", "max", "equals"), strict=True):
        if broken:
            return _("is {found}: {said}").format(found=value, said=said.format(bound=f"{expect[key]:g}"))
    return None


def _too_old(value: str, minutes: float, now: datetime) -> str | None:
    try:
        newest = datetime.fromisoformat(value)
    except ValueError:
        return _("is nothing that can be compared")
    if newest.tzinfo is None:
        return _("is a time without a zone")
    age = (now - newest).total_seconds() / 60
    if age <= minutes:
        return None
    return _("the newest is {age:.0f} minutes old, more than {allowed:.0f}").format(age=age, allowed=minutes)


def loss(
    newest: float | None, reached: float, restored_next: int | None, primary_next: int | None
) -> float | None:
    """Seconds of writes that would be lost, at the moment the copy reached the archive's end.

    ``newest`` and ``reached`` are seconds of the epoch. Where the primary has begun no transaction that the
    copy lacks, nothing would be, however old the newest is. None where that cannot be told.
    """
    if restored_next is not None and primary_next is not None and primary_next <= restored_next:
        return 0.0
    return None if newest is None else max(0.0, round(reached - newest, 1))


def recovery_estimate(measured: Mapping[str, Any]) -> float | None:
    """Seconds until the applications would serve again, at the speeds that were measured.

    The database and its WAL, then all files at the sample's throughput, then the applications' start.
    """
    if "copy_seconds" not in measured or "recover_seconds" not in measured:
        return None
    seconds = float(measured["copy_seconds"]) + float(measured["recover_seconds"])
    if measured.get("sample_bytes") and measured.get("sample_seconds"):
        speed = float(measured["sample_bytes"]) / float(measured["sample_seconds"])
        seconds += float(measured.get("files_bytes", 0)) / speed
    return round(seconds + float(measured.get("ready_seconds", 0)), 1)


def prometheus(verdict: Verdict, estate: str) -> str:
    """The verdict as a text file for Prometheus' node exporter."""
    labels = {"estate": estate, "scope": verdict.scope}
    ended = verdict.ended.timestamp()
    gauges: dict[str, float | None] = {
        "green": float(verdict.green),
        "timestamp_seconds": ended,
        "duration_seconds": ended - verdict.started.timestamp(),
        "rpo_seconds": verdict.rpo_seconds,
        "rto_estimate_seconds": verdict.rto_seconds,
    }
    lines: list[str] = []
    for name, value in gauges.items():
        if value is not None:
            lines += gauge(f"rmc_dr_verification_{name}", [(labels, value)])
    names: dict[str, bool] = {}
    for proof in verdict.proofs:
        names[proof.name] = names.get(proof.name, True) and proof.green
    checks = [({"estate": estate, "check": name}, float(green)) for name, green in names.items()]
    lines += gauge("rmc_dr_verification_check_green", checks, digits=0)
    return "\n".join(lines) + "\n"
