"""`rmc-dr incident`: open, classify, note, list, show, close, findings and watch; its reports are beside."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

import click

from rmc_dr.cli.common import Context, a_reason, not_blank, pass_context
from rmc_dr.cli.incident_report import progress, report
from rmc_dr.i18n import _
from rmc_dr.incident.terms import CLASSES, Kind, Milestone, Topic

if TYPE_CHECKING:
    from rmc_dr.incident.history import IncidentState

JSON_HELP = _("Print JSON for machines.")
NO_PATIENTS = _("Write no patient's name or data: it stays in the record for good.")
LONGEST_SECONDS = 1800  # a receiver that keeps the line open ends with the process
_finding = click.option(
    "--finding",
    "findings",
    metavar="CODE",
    multiple=True,
    help=_("What was found; may be repeated. The class follows by rule."),
)
_kind = click.option(
    "--kind",
    "kinds",
    type=click.Choice(get_args(Kind)),
    multiple=True,
    help=_("What is at fault; may be repeated."),
)
_json = click.option("--json", "as_json", is_flag=True, help=JSON_HELP)


@click.group(help=_("Open, classify, follow and close an incident; its clocks are the contract's."))
def incident() -> None:
    """The commands below."""


incident.add_command(report)
incident.add_command(progress)


@incident.command(
    name="open",
    help=_("Open an incident and tell whom the estate names. WHAT says in a few words what is seen.")
    + "\n\n"
    + NO_PATIENTS,
)
@click.argument("what", callback=not_blank)
@_finding
@_kind
@click.option("--noticed", metavar="TIME", help=_("When notice was given, with its time zone; else now."))
@_json
@pass_context
def open_(
    context: Context,
    /,
    what: str,
    findings: tuple[str, ...],
    kinds: tuple[Kind, ...],
    noticed: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import estate_secrets, response

    context.json = as_json or context.json
    estate = context.estate()
    state = response.start(estate, what, findings, kinds, _moment(context, noticed))
    _show(context, state)
    if context.json:
        return
    if not estate_secrets.addresses(estate):
        context.console.print(_("Nobody is told: the vault names no address (docs/runbooks/incident.md)."))
    if not response.is_watched(estate):
        context.console.print(_("No timer looks at the clocks: `rmc-dr schedule install`."))


@incident.command(
    help=_("Add what was found; the class follows by rule. --class and --affects-use overrule it.")
)
@_finding
@_kind
@click.option("--class", "klass", type=click.Choice(CLASSES), help=_("The class, against the rule."))
@click.option(
    "--affects-use/--no-affects-use",
    default=None,
    help=_("Whether the users' daily work is held up, against the rule."),
)
@click.option("--reason", callback=a_reason, help=_("Why the rule is overruled; kept in the record."))
@_json
@pass_context
def classify(context: Context, /, as_json: bool, reason: str | None, **options: Any) -> None:
    from rmc_dr import response

    context.json = as_json or context.json
    _show(context, response.classify(context.estate(), reason=reason or "", **options))


@incident.command(
    help=_("Add a note. --reached stops the clocks that wait for it; --as puts it where the report asks.")
    + "\n\n"
    + NO_PATIENTS
)
@click.argument("text")
@click.option(
    "--reached",
    type=click.Choice(get_args(Milestone)),
    help=_(
        "What is reached: the fault is answered, a technical plan written, the handling agreed, the system "
        "running again, or the fault solved."
    ),
)
@click.option("--at", metavar="TIME", help=_("When it was reached, with its time zone; else now."))
@click.option(
    "--as",
    "topic",
    type=click.Choice(get_args(Topic)),
    help=_(
        "The point of the report that it is for: the fault's scope, its effect, its trend, what was lost, "
        "what changes in the plan, what comes next, or who is on it."
    ),
)
@click.option("--incident", metavar="INCIDENT", default="", help=_("This incident, else the open one."))
@_json
@pass_context
def note(
    context: Context,
    /,
    text: str,
    reached: Milestone | None,
    at: str | None,
    topic: Topic | None,
    incident: str,
    as_json: bool,
) -> None:
    from rmc_dr import response

    context.json = as_json or context.json
    estate = context.estate()
    _show(context, response.note(estate, text, reached, _moment(context, at), topic=topic, incident=incident))


@incident.command(
    help=_("Close the incident: the fault is solved. CAUSE says what it was.") + "\n\n" + NO_PATIENTS
)
@click.argument("cause")
@click.option("--solved-at", metavar="TIME", help=_("When it was solved, with its time zone; else now."))
@_json
@pass_context
def close(context: Context, /, cause: str, solved_at: str | None, as_json: bool) -> None:
    from rmc_dr import response

    context.json = as_json or context.json
    _show(context, response.close(context.estate(), cause, _moment(context, solved_at)))


@incident.command(help=_("Show an incident. INCIDENT is a name, a part of one, or `last`."))
@click.argument("incident", default="last")
@_json
@pass_context
def show(context: Context, /, incident: str, as_json: bool) -> None:
    from rmc_dr.incident.record import find, read

    context.json = as_json or context.json
    _show(context, read(find(incident)))


@incident.command(name="list", help=_("List the incidents, newest first."))
@_json
@pass_context
def list_(context: Context, /, as_json: bool) -> None:
    from rmc_dr.cli.incident_page import as_rows
    from rmc_dr.incident.record import incidents

    found = list(incidents())
    if as_json or context.json:
        context.emit(
            [
                {
                    "incident": one.incident,
                    "estate": one.state.estate,
                    "class": None if one.damaged else one.state.nature.klass,
                    "opened": one.state.opened,
                    "closed": one.state.closed,
                    "damaged": one.damaged or None,
                }
                for one in found
            ]
        )
    elif not found:
        context.console.print(_("There are no incidents."))
    else:
        context.console.print(as_rows(found))


@incident.command(help=_("List what can be found, and the class that the contract gives it."))
@_json
@pass_context
def findings(context: Context, /, as_json: bool) -> None:
    from rmc_dr.cli.incident_page import as_table
    from rmc_dr.incident.findings import table

    if as_json or context.json:
        context.emit(table().model_dump(by_alias=True)["findings"])
    else:
        context.console.print(as_table())


@incident.command(
    help=_("Look at the clocks, tell what is near its breach, send news that waits. A timer calls this.")
)
@pass_context
def watch(context: Context, /) -> None:
    from rmc_dr.incident.record import awake

    if not awake(datetime.now(UTC)):
        context.console.print(_("No incident is open."))
        return
    from rmc_dr import response
    from rmc_dr.incident.words import news_alarm

    _bound()
    for alarm in response.watch(context.estate()):
        context.console.print(news_alarm(alarm))
    if line := context.incident_line():
        context.console.print(line)


@incident.command(help=_("Send a word to every receiver now, and say which took it. 0: all; 1: not so."))
@_json
@pass_context
def reach(context: Context, /, as_json: bool) -> int:
    from rmc_dr import response

    taken = response.reach(context.estate())
    if as_json or context.json:
        context.emit(taken)
    else:
        for to, ok in taken.items():
            said = _("{to}: reached") if ok else _("{to}: NOT reached")
            context.console.print(said.format(to=to))
    return int(not all(taken.values()))


@incident.command(hidden=True)
@pass_context
def deliver(context: Context, /) -> None:
    from rmc_dr import estate_secrets, outbox

    _bound()
    os.nice(10)
    estate = context.estate()
    outbox.deliver(estate.name, estate_secrets.addresses(estate))


def _bound() -> None:
    """Whatever a receiver does, this process ends."""
    import signal

    signal.alarm(LONGEST_SECONDS)


def _moment(context: Context, text: str | None) -> datetime | None:
    from rmc_dr.plans.moment import read_time

    return None if text is None else read_time(text, context.estate().config.timezone, datetime.now(UTC))


def _show(context: Context, state: IncidentState) -> None:
    from rmc_dr.cli.incident_page import as_lines
    from rmc_dr.incident.told import as_document

    now = datetime.now(UTC)
    if context.json:
        context.emit(as_document(state, now))
        return
    for line in as_lines(state, now):
        context.console.print(line)
