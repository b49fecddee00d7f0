"""`rmc-dr diagnose`: the questions, what was seen, the branches; at the end what it is and what mends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import SKIP_PRESERVE_HELP, Context, a_reason, host_names, pass_context, with_estate
from rmc_dr.cli.db_moves import PLAN_HELP, YES_HELP
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.diagnose.tree import Walk
    from rmc_dr.estate import Estate, Host
    from rmc_dr.frozen import Told

NAMES = ("login", "db-timeout", "appserver")
RUNBOOK = "docs/runbooks/diagnose.md"
STYLES = {"nothing": "green", "look": "magenta", "wait": "yellow"}


@click.command(
    help=_(
        "Walk a decision tree from a complaint to its proven cause. Nothing is changed without --fix.\n\n"
        "login: users cannot log in. db-timeout: the database does not answer in time. appserver: the "
        "application server is dead, hung, out of memory, or its disk is full.\n\n"
        "0: nothing is wrong; 1: something is, or could not be seen."
    )
)
@click.argument("tree", type=click.Choice(NAMES))
@click.option("--host", metavar="HOST", callback=host_names, help=_("Which application server."))
@click.option("--fix", is_flag=True, help=_("Carry out the mend that the leaf allows, then walk again."))
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines; with --fix, JSON lines."))
@pass_context
def diagnose(
    context: Context,
    /,
    tree: str,
    host: str | None,
    fix: bool,
    plan_only: bool,
    yes: bool,
    skip_preserve: str | None,
    as_json: bool,
) -> int:
    from rmc_dr import diagnosis as story
    from rmc_dr.plans.machine import member

    context.json = as_json or context.json
    estate = context.estate()
    target = estate.only("appserver") if host is None else member(estate, host, "appserver")
    found = story.diagnose(estate, tree, target)
    _show(context, found, story.attach_to_incident(estate, found), lines=fix or plan_only)
    if not (fix or plan_only):
        return _code(found)
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    show_plan(context, story.plan_mend(estate, found))
    if plan_only:
        return _code(found)
    confirm(estate.name, yes)
    told = story.carry_out(estate, found, listeners(context), skip_preserve)
    if told is None:
        return _mended(context, estate, target, found)
    _show_frozen(context, told, kept=skip_preserve is None)
    return 1  # users are kept out on purpose, so there is nothing to walk to: a person decides now


def _show_frozen(context: Context, told: Told, *, kept: bool) -> None:
    if context.json:
        context.emit_event("frozen", told)
        return
    lines = [
        _("Nobody writes any more, and the scene is kept.")
        if kept
        else _("Nobody writes any more; the scene was not kept."),
        _("Noted in the incident {incident}.").format(incident=told.incident)
        if told.incident
        else _("No incident could be written: look with `rmc-dr incident list`."),
    ]
    for said, who in (
        (_("Told: {who}."), told.took),
        (_("Not reached, asked again for a day: {who}."), told.retried),
        (_("Not reached, and nobody asks again: {who}. Call somebody."), told.missed),
    ):
        lines += [said.format(who=", ".join(who))] if who else []
    if not (told.took or told.retried or told.missed):
        lines.append(_("The vault names nobody who could be told (vault.notify.addresses): call somebody."))
    for line in lines:
        context.console.print(line)


def _mended(context: Context, estate: Estate, target: Host, before: Walk) -> int:
    from rmc_dr import diagnosis as story
    from rmc_dr.exclusive import canceled_by_signal

    with canceled_by_signal() as canceled:
        found = story.again(estate, before, target, canceled)
    _show(context, found, story.attach_to_incident(estate, found), lines=True)
    return _code(found)


def _code(found: Walk) -> int:
    from rmc_dr.diagnosis import HEALTHY

    return int(found.leaf != HEALTHY)


def _show(context: Context, found: Walk, incident: str | None, *, lines: bool) -> None:
    if not context.json:
        _print(context, found, incident)
    elif lines:
        context.emit_event("diagnosis", _document(found, incident))
    else:
        context.emit(_document(found, incident))


def _document(found: Walk, incident: str | None) -> dict[str, Any]:
    from rmc_dr.diagnose.tree import trees
    from rmc_dr.diagnosis import HEALTHY, command_of, leaf_of
    from rmc_dr.i18n import language
    from rmc_dr.incident.findings import table

    leaf, spoken = leaf_of(found), language()
    known = table().findings.get(leaf.finding)
    return {
        "tree": found.tree,
        "host": found.host,
        "healthy": found.leaf == HEALTHY,
        "steps": [
            {**asdict(step), "question": trees().nodes[step.node].said(spoken)} for step in found.steps
        ],
        "leaf": found.leaf,
        "finding": leaf.finding,
        "class": known.klass if known else None,
        "served": found.served,
        "is": leaf.what.said(spoken),
        "proved": leaf.proved.said(spoken),
        "do": leaf.do.said(spoken),
        "mend": leaf.mend,
        "command": command_of(found),
        "incident": incident,
    }


def _print(context: Context, found: Walk, incident: str | None) -> None:
    from rich.box import HORIZONTALS
    from rich.panel import Panel
    from rich.text import Text

    from rmc_dr.words import printable

    said, console = _document(found, incident), context.console
    for number, step in enumerate(said["steps"], 1):
        console.print(f"{number}. {step['question']}", style="bold")
        console.print(_("   seen: {seen}").format(seen=printable(step["seen"])))
        console.print(f"   -> {step['branch']}")
    rows = [
        (_("Finding"), said["is"] + (f" ({said['finding']})" if said["finding"] else "")),
        (_("Class"), _class_of(said["class"], served=said["served"])),
        (_("Proved"), said["proved"]),
        (_("What to do"), said["do"]),
        (_("Command"), with_estate(said["command"])),
    ]
    body = Text("\n").join(Text(f"{name}: {printable(text)}") for name, text in rows if text)
    style = STYLES.get(said["mend"], "red")
    # No lines at the sides: a command is copied out of it.
    box = Panel(body, title=Text(found.leaf), title_align="left", border_style=style, box=HORIZONTALS)
    console.print(box, soft_wrap=False)
    _print_end(context, said)


def _class_of(klass: Any, *, served: bool) -> str:
    from rmc_dr.incident.words import class_word

    if not klass:
        return ""
    word = class_word(klass)
    return _("{klass}; but users log in just now").format(klass=word) if served else word


def _print_end(context: Context, said: dict[str, Any]) -> None:
    console = context.console
    console.print(_("What {code} means and what to do: {page}").format(code=said["leaf"], page=RUNBOOK))
    if said["incident"]:
        console.print(_("Noted in the incident {incident}.").format(incident=said["incident"]))
    elif said["finding"]:
        command = f'rmc-dr incident open "..." --finding {said["finding"]}'
        text = _("No incident is open. To open one: {command}").format(command=with_estate(command))
        console.print(text)
