"""What several of the contract's reports share: moments, clocks, drills, verifications, signatures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from rmc_dr.i18n import _
from rmc_dr.incident.clocks import Standing
from rmc_dr.report.document import Row, Section, Table, Tick, Ticks, Tone
from rmc_dr.rounds.facts import Drill, Proof
from rmc_dr.rounds.history import Consent
from rmc_dr.words import consent_words, spoken_duration

CLOCK_TONES = {
    Standing.RUNNING: Tone.OPEN,
    Standing.BREACHED: Tone.BAD,
    Standing.MET: Tone.GOOD,
    Standing.MISSED: Tone.BAD,
}


def when(moment: datetime | None, zone: str) -> str:
    """A moment by the centre's clock; "not done" where there was none."""
    return _("not done") if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def day(moment: datetime | None, zone: str) -> str:
    return _("not done") if moment is None else f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d}"


def measured(seconds: float | None) -> str:
    """Seconds that somebody measured, or that nobody did."""
    return _("not measured") if seconds is None else spoken_duration(seconds)


def agreed(consent: Consent | None) -> str:
    """Who of the hospital agreed, and when; why nobody was asked; "not done" where nothing is recorded."""
    if consent is None:
        return _("not done")
    by = {"by": consent.by, "at": consent.at.isoformat()} if consent.at else None
    return consent_words(by, consent.without or None)


def minutes(value: float) -> str:
    return spoken_duration(60 * value)


def drill_title(name: str) -> str:
    return {
        "appserver": _("the application server is lost"),
        "primary": _("the primary is lost"),
        "dbserver": _("a database host is lost"),
        "pair": _("both database hosts are lost"),
        "estate": _("everything but the store is lost"),
        "slip": _("rows are deleted by mistake"),
        "ransom": _("the backups are spoiled and both database hosts lost"),
    }.get(name, name)


def passed_word(passed: bool) -> str:
    return _("passed") if passed else _("FAILED")


def drills(held: Sequence[Drill], zone: str) -> Table:
    return Table(
        (_("When"), _("Rehearsed"), "RTO", "RPO", _("Lost"), _("Duplicated"), _("Outcome")),
        [
            Row(
                (
                    when(one.at, zone),
                    drill_title(one.drill),
                    minutes(one.rto_minutes),
                    measured(one.rpo_seconds),
                    str(one.lost),
                    str(one.duplicated),
                    passed_word(one.passed),
                ),
                Tone.GOOD if one.passed else Tone.BAD,
            )
            for one in held
        ],
        _("not done: no drill was held"),
    )


def scope_word(scope: str) -> str:
    """How much a verification has read."""
    return {
        "night": _("nightly"),
        "full": _("to the last byte"),
        "database": _("the database alone"),
        "files": _("the files alone"),
    }.get(scope, scope or "-")


def verifications(proofs: Sequence[Proof], zone: str, most: int = 12) -> Table:
    """The newest of them; every red one."""
    shown = [one for place, one in enumerate(reversed(proofs)) if place < most or not one.good]
    return Table(
        (_("When"), _("Scope"), _("Outcome"), _("RPO, measured"), _("RTO, estimated"), _("What was wrong")),
        [
            Row(
                (
                    when(one.at, zone),
                    scope_word(one.scope),
                    _("green") if one.good else _("RED"),
                    measured(one.rpo_seconds),
                    measured(one.rto_estimate_seconds),
                    "; ".join(one.red) or "-",
                ),
                Tone.GOOD if one.good else Tone.BAD,
            )
            for one in shown
        ],
        _("not done: no backup was verified"),
    )


def signatures() -> Section:
    """Empty lines for a pen."""
    line = _("{who}: name, date, signature")
    people = (_("the hospital"), _("the maintainer"))
    return Section(_("Signatures"), [Ticks([Tick(line.format(who=who)) for who in people])])
