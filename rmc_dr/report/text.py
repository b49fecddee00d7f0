"""The report on a terminal or in a file of plain text."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from rmc_dr.console import Console
from rmc_dr.i18n import _
from rmc_dr.report.data import Report, StageRow
from rmc_dr.retold import retold
from rmc_dr.words import (
    changed_word,
    consent_words,
    duration,
    outcome_word,
    plan_title,
    printable,
    release_state,
    spoken_duration,
    stage_title,
    status_word,
    training_word,
)

_BAR = 24
_WIDTH = 132  # where no terminal says how wide it is
_WIDTH_FOR_BARS = 110


def print_report(report: Report, console: Console) -> None:
    """Print the report, plain where the console is no terminal."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH)
    console.print(Text(f"{plan_title(report.plan)}: {report.target}", style="bold"))
    console.print(_summary(report))
    console.print()
    console.print(Text(_("Stages"), style="bold"))
    console.print(_stages(report, bars=console.width >= _WIDTH_FOR_BARS))
    for heading, rows in (
        (_("Checks"), _checks(report)),
        (_("Destroyed"), list(map(retold, report.destroys)) or [_("nothing")]),
        (_("Exceptions accepted"), exceptions(report) or [_("none")]),
        (_("Refusals and failures"), troubles(report) or [_("none")]),
    ):
        console.print()
        console.print(Text(heading, style="bold"))
        for row in rows:
            console.print(Text(f"  {printable(row)}"))
    console.print()
    console.print(Text(_("Times are local. The whole record: {run}").format(run=report.run_id), style="dim"))


def headline(report: Report) -> list[tuple[str, str]]:
    """What everybody asks first; "not done" where nobody did or measured it."""
    return [
        (_("Outcome"), outcome_word(report.outcome)),
        (_("Recovery time (RTO)"), spoken_duration(report.rto_seconds)),
        (_("Target"), spoken_duration(report.rto_target_seconds)),
    ]


def particulars(report: Report) -> list[tuple[str, str]]:
    """Who, what, when and with which kit; "not done" where nobody filled it in."""
    return [
        (_("Centre"), report.centre or _("not done")),
        (_("Run"), report.run_id),
        (_("Operator"), report.operator or _("not done")),
        (_("Control machine"), report.control or _("not done")),
        (_("Began"), moment(report.started)),
        (_("Ended"), moment(report.finished)),
        (_("Resumed"), _("{count} times").format(count=len(report.resumes)) if report.resumes else _("no")),
        (_("Anything changed"), changed_word(report.changed)),
        (_("Recovery kit (SHA-256)"), report.kit or _("not done")),
        (_("rmc-dr version"), report.tool_version or _("not done")),
        *_data(report),
        *_release(report),
    ]


def _data(report: Report) -> list[tuple[str, str]]:
    """What of the data came back, for the runs that bring data back."""
    rows = [(_("Brought back"), " ".join(map(retold, report.restores)))] if report.restores else []
    if (back := report.restored) is not None:
        where = _("{newest} (LSN {lsn}, timeline {timeline})").format(
            newest=back.newest or _("not told"), lsn=back.lsn, timeline=back.timeline
        )
        rows.append((_("Newest write restored"), where))
    if back is not None and back.short_seconds is not None:
        short = _("{duration} before the last WAL was stored; what was never archived is not counted").format(
            duration=spoken_duration(back.short_seconds)
        )
        rows.append((_("Data loss (RPO)"), short))
    for one in report.attachments:
        text = _("{known} known to the database, {missing} missing {first}").format(
            known=one.known, missing=one.missing, first=", ".join(one.first)
        )
        rows.append((_("Attachments of {application}").format(application=one.application), text.strip()))
    return rows


def _release(report: Report) -> list[tuple[str, str]]:
    """What of a release was agreed and what came of it, for the runs that deploy one."""
    if report.plan not in ("deploy", "deploy-back"):
        return []
    terms, came = report.options, report.deployed
    out = came.get("users_out_seconds")
    rows = [
        (_("Release"), str(came.get("release") or terms.get("release") or _("not told"))),
        (_("Release before"), str(came.get("before") or terms.get("before") or _("not told"))),
        (_("What came of it"), release_state(report.plan, str(came.get("state") or report.outcome or ""))),
        (
            _("Users were out"),
            _("{seconds:.1f} s").format(seconds=out) if out is not None else _("not measured"),
        ),
        (_("Migrations"), ", ".join(came.get("migrated") or ()) or _("none")),
    ]
    if "training" in terms:
        rows += [
            (_("Release notes"), str(terms.get("notes") or _("not done"))),
            (_("Training of the users"), training_word(terms.get("training"))),
            (_("Consent of the hospital"), consent_words(terms.get("consent"), terms.get("without_consent"))),
        ]
    return rows


def moment(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S %z") if time else _("not done")


def _summary(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in [*headline(report), *particulars(report)]:
        table.add_row(Text(f"  {name}"), Text(printable(value)))
    if report.reason:
        table.add_row(Text("  " + _("Reason")), Text(printable(report.reason)))
    return table


def _stages(report: Report, *, bars: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for heading in ("", _("Stage"), _("State")):
        table.add_column(heading)
    for heading in (_("Took"), _("Budget"), _("Changes")):
        table.add_column(heading, justify="right")
    if bars:
        table.add_column(_("Timeline"), no_wrap=True)
    whole = max(report.elapsed_seconds, 1.0)
    for number, stage in enumerate(report.stages, 1):
        table.add_row(
            f" {number:2}",
            stage_title(stage.name),
            _state(stage),
            duration(stage.seconds) if stage.seconds is not None else "",
            duration(stage.budget_seconds),
            str(stage.changed) if stage.attempts else "",
            *([_bar(stage, whole)] if bars else []),
        )
    return table


def _state(stage: StageRow) -> str:
    word = status_word(stage.status)
    if stage.attempts > 1:
        word += " " + _("({count} attempts)").format(count=stage.attempts)
    return word + (" " + _("(over budget)") if stage.over_budget else "")


def _bar(stage: StageRow, whole: float) -> str:
    cells = [" "] * _BAR
    for span in stage.spans:
        first = min(int(span.began / whole * _BAR), _BAR - 1)
        last = max(first + 1, round(span.ended / whole * _BAR))
        cells[first:last] = ["█"] * (min(last, _BAR) - first)
    return "".join(cells[:_BAR])


def _checks(report: Report) -> list[str]:
    if not report.checks:
        return [_("not done")]
    failed = [check for check in report.checks if not check.good]
    passed = len(report.checks) - len(failed)
    said = [_("{passed} of {count} passed").format(passed=passed, count=len(report.checks))]
    return said + [
        _("FAILED: {name} {detail}").format(name=check.name, detail=check.detail) for check in failed
    ]


def exceptions(report: Report) -> list[str]:
    words = {
        "kit-expired-accepted": _("An expired kit is used: {reason}"),
        "preserve-skipped": _("The scene was not kept: {reason}"),
        "files-given-up": _("Users go on without attachments from the backup: {reason}"),
        "consent-not-asked": _("The hospital was not asked: {reason}"),
        "no-backup-accepted": _("A migration without a young backup: {reason}"),
    }
    return [words.get(one.what, "{reason}").format(reason=one.text) for one in report.exceptions]


def troubles(report: Report) -> list[str]:
    refused = [
        _("Gate of {stage}: no, {reason}").format(stage=stage_title(gate.stage), reason=gate.detail)
        for gate in report.refusals
    ]
    failed = [
        _("{stage}: {task} failed: {message}").format(
            stage=stage_title(failure.stage), task=failure.name, message=failure.detail
        )
        for failure in report.failures
    ]
    return refused + failed
