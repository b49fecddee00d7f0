"""`rmc-dr inspect`: the quarterly inspection, and what is ticked by hand afterwards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, consent_options, not_blank, pass_context
from rmc_dr.cli.db_moves import PLAN_HELP
from rmc_dr.cli.publishing import give_out, publishing
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate import Estate
    from rmc_dr.release_terms import Terms
    from rmc_dr.rounds.history import Inspection
    from rmc_dr.rounds.make import Events

STYLES = {"critical": "red", "unknown": "magenta", "warning": "yellow"}


@click.command(
    help=_(
        "The quarterly inspection: look at everything, change nothing, and make the report.\n\n"
        "What only a person can look at is ticked by --tick or --fault, now or later with --continue."
    )
)
@consent_options
@click.option(
    "--patches-consent",
    metavar="WHO",
    callback=not_blank,
    help=_("Who of the hospital agreed to the waiting patches."),
)
@click.option(
    "--tick", "ticks", multiple=True, metavar="ITEM", help=_("Looked at by hand, and good. May be repeated.")
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="ITEM=REMARK",
    help=_("Looked at by hand, and at fault. May be repeated."),
)
@click.option(
    "--continue",
    "go_on",
    is_flag=True,
    help=_("Look at nothing; add to the last inspection, and report anew."),
)
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@publishing
@pass_context
def inspect(context: Context, /, *, go_on: bool, plan_only: bool, **options: Any) -> int:
    from rmc_dr.rounds import make, record

    context.json = options["as_json"] or context.json
    estate = context.estate()
    inspection, patches = _terms(estate, options)
    before = record.find(estate.name) if go_on else None
    known = [item.name for item in (before.items if before else estate.config.inspection.items)]
    marked = make.marks(known, options["ticks"], options["faults"])
    if plan_only:
        _plan(context, estate)
        return 0
    if before is None and not inspection.settled and sys.stdin.isatty():
        inspection = _asked(inspection)
    added = [*make.consents(inspection, patches), *marked]
    done = make.add(estate, before.name, added) if before else _look(context, estate, added)
    return _report(context, estate, done, options)


def _terms(estate: Estate, options: dict[str, Any]) -> tuple[Terms, Terms]:
    """What was said of the consent to the inspection, and of that to the patches. Raises BadInput."""
    from datetime import UTC, datetime

    from rmc_dr.release_terms import consented

    now, zone, at = datetime.now(UTC), estate.config.timezone, options["consent_at"]
    return (
        consented(options["consent"], at, options["without_consent"], zone, now),
        consented(options["patches_consent"], at, None, zone, now),
    )


def _asked(terms: Terms) -> Terms:
    """On standard error, for standard output may be JSON's; an empty answer leaves it open."""
    from datetime import UTC, datetime

    question = _("Who of the hospital agreed to the inspection? (empty: say it later with --continue)")
    who = click.prompt(question, default="", show_default=False, err=True).strip()
    return terms.with_consent(who, datetime.now(UTC)) if who else terms


def _plan(context: Context, estate: Estate) -> None:
    from rmc_dr.check.roads import wanted
    from rmc_dr.i18n import language
    from rmc_dr.rounds import record

    hosts, items = list(wanted(estate)), estate.config.inspection.items
    earlier = record.inspections(estate.name)
    last = earlier[0].name if earlier else None
    if context.json:
        context.emit({"hosts": hosts, "items": [item.name for item in items], "compared_with": last})
        return
    lines = [
        _("Looked at, and nothing changed: {hosts}.").format(hosts=", ".join(hosts)),
        _("Compared with: {inspection}.").format(inspection=last or _("nothing: it is the first inspection")),
        _("By hand:") if items else _("By hand: nothing; name it in estate.yml under inspection.items."),
        *(f"  {item.name}: {item.said(language())}" for item in items),
    ]
    for line in lines:
        context.console.print(line)


def _look(context: Context, estate: Estate, added: Events) -> Inspection:
    from rmc_dr.rounds import make

    def tell(text: str) -> None:
        if not context.json:
            context.console.print(text, style="dim")

    return make.inspect(estate, added, tell)


def _report(context: Context, estate: Estate, done: Inspection, options: dict[str, Any]) -> int:
    from datetime import UTC, datetime

    from rmc_dr.report.inspection import build
    from rmc_dr.rounds import record

    earlier = [one for one in record.inspections(estate.name) if done.at and one.at and one.at < done.at]
    if not context.json:
        _show(context, done)
    return give_out(
        context,
        lambda: build(done, earlier, datetime.now(UTC)),
        with_data=True,
        to=options["to"],
        lang=options["lang"],
        no_archive=options["no_archive"],
        as_json=context.json,
    )


def _show(context: Context, done: Inspection) -> None:
    from rmc_dr.i18n import language
    from rmc_dr.report.inspection import all_risks, weight_word, where
    from rmc_dr.words import printable

    console = context.console
    console.print(_("Inspection {name} is recorded.").format(name=done.name))
    for risk in all_risks(done):
        text = f"  {weight_word(risk.weight)}  {where(risk)}  {risk.code}  {risk.said(language())}"
        console.print(printable(text), style=STYLES[risk.weight])
    if done.open_items:
        names = " ".join(f"--tick {item.name}" for item in done.open_items)
        console.print(_("Not done by hand yet: rmc-dr inspect --continue {items}").format(items=names))
    if "inspection" not in done.consents:
        console.print(
            _("The hospital's consent is not recorded yet: rmc-dr inspect --continue --consent WHO")
        )
