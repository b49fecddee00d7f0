"""`rmc-dr deploy`: a release, or back to the one before; `rmc-dr releases`: what was deployed."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import (
    SKIP_PRESERVE_HELP,
    Context,
    a_reason,
    break_lock_option,
    consent_options,
    pass_context,
)
from rmc_dr.cli.db_moves import JSON_HELP, PLAN_HELP, YES_HELP
from rmc_dr.cli.rebuild import EXPIRED_HELP
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.deploy import Deployed, Prepared
    from rmc_dr.release_terms import Terms
    from rmc_dr.releases import Release, Window


@click.command(
    help=_(
        "Deploy a release of an application from the kit, or go back to the one before.\n\n"
        "The hospital is asked first. All applications of the server pause for some seconds. "
        "The journeys prove the release; if they fail, the release before it is put back."
    )
)
@click.argument("application")
@click.option("--release", metavar="RELEASE", help=_("The release to deploy; the kit must hold it."))
@click.option("--rollback", is_flag=True, help=_("Go back to the release before the current one."))
@click.option("--notes", metavar="FILE|TEXT", help=_("What changes for the users, in Chinese."))
@click.option("--training", type=click.Choice(["yes", "no"]), help=_("Whether users need training."))
@consent_options
@click.option(
    "--accept-no-backup",
    metavar="REASON",
    callback=a_reason,
    help=_("Migrate the database without a young backup; the reason is recorded."),
)
@click.option("--accept-expired-kit", metavar="REASON", callback=a_reason, help=EXPIRED_HELP)
@click.option("--skip-preserve", metavar="REASON", callback=a_reason, help=SKIP_PRESERVE_HELP)
@break_lock_option
@click.option("--plan", "plan_only", is_flag=True, help=PLAN_HELP)
@click.option("--yes", is_flag=True, help=YES_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
@pass_context
def deploy(
    context: Context, /, application: str, release: str | None, rollback: bool, as_json: bool, **options: Any
) -> None:
    from rmc_dr.errors import BadInput

    if (release is None) == (not rollback):
        raise BadInput(
            "deploy-what",
            _("Name either a release or --rollback."),
            _("For example: rmc-dr deploy {app} --release 1.1.0").format(app=application),
        )
    context.json = context.json or as_json
    if release is None:
        _back(context, application, options)
    else:
        _forward(context, application, release, options)


def _forward(context: Context, application: str, release: str, options: dict[str, Any]) -> None:
    from rmc_dr import deploy as story
    from rmc_dr import release_terms
    from rmc_dr.cli.rebuild import confirm, listeners

    estate = context.estate()
    terms = _given(context, options)
    if not options["plan_only"] and not sys.stdin.isatty():
        release_terms.require(terms, application, release)
    prepared = story.prepare(estate, application, release, options["accept_expired_kit"])
    _show_plan(context, prepared)
    if options["plan_only"]:
        return
    story.refuse_old_backup(prepared, options["accept_no_backup"])
    terms = _asked(terms)
    release_terms.require(terms, application, release)
    confirm(application, options["yes"])
    _show(
        context,
        story.deploy(
            estate,
            prepared,
            terms,
            listeners(context),
            options["accept_no_backup"],
            options["break_lock"],
            options["skip_preserve"],
        ),
    )


def _back(context: Context, application: str, options: dict[str, Any]) -> None:
    from rmc_dr import deploy as story
    from rmc_dr import releases
    from rmc_dr.cli.rebuild import confirm, listeners, show_plan

    estate = context.estate()
    terms = _given(context, options)
    plan = story.plan_back(estate, application)
    show_plan(context, plan)
    if not context.json:
        context.console.print(_window(releases.window(releases.history(estate.name))))
        context.console.print(_("The database stays as it is: what migrations have changed stays changed."))
    if options["plan_only"]:
        return
    confirm(application, options["yes"])
    _show(
        context,
        story.roll_back(
            estate, plan, terms, listeners(context), options["break_lock"], options["skip_preserve"]
        ),
    )


def _given(context: Context, options: dict[str, Any]) -> Terms:
    """What the options say. Raises BadInput."""
    from datetime import UTC, datetime

    from rmc_dr.release_terms import consented, read_notes

    terms = consented(
        options["consent"],
        options["consent_at"],
        options["without_consent"],
        context.estate().config.timezone,
        datetime.now(UTC),
    )
    return replace(
        terms,
        notes=read_notes(options["notes"]) if options["notes"] else "",
        training=None if options["training"] is None else options["training"] == "yes",
    )


def _asked(terms: Terms) -> Terms:
    """Ask for what the options did not say; on standard error, for standard output may be JSON's."""
    from datetime import UTC, datetime

    from rmc_dr.release_terms import read_notes

    if "--notes" in terms.missing:
        said = click.prompt(_("What changes for the users, in Chinese (a text, or a file)"), err=True)
        terms = replace(terms, notes=read_notes(said))
    if "--training" in terms.missing:
        choice = click.Choice(["yes", "no"])
        said = click.prompt(_("Do users need training?"), type=choice, err=True)
        terms = replace(terms, training=said == "yes")
    if "--consent" in terms.missing:
        question = _("Offer it to the hospital first. Who agreed? (empty: nobody was asked)")
        who = click.prompt(question, default="", show_default=False, err=True).strip()
        if who:
            return terms.with_consent(who, datetime.now(UTC))
        reason = click.prompt(_("Why is there no time to ask?"), default="", show_default=False, err=True)
        terms = replace(terms, without_consent=reason.strip())
    return terms


def _show_plan(context: Context, prepared: Prepared) -> None:
    from rmc_dr.cli.rebuild import show_plan
    from rmc_dr.migrations import final

    if context.json:
        context.emit_event("plan", prepared, final=final(prepared.migrations))
        return
    show_plan(context, prepared.plan)
    lines = [
        _("{app}: {before} -> {release}").format(
            app=prepared.application, before=prepared.before, release=prepared.release
        ),
        _window(prepared.window),
    ]
    if prepared.migrations:
        names = ", ".join(one.name for one in prepared.migrations)
        lines.append(_("Runs on the database, while users work: {names}.").format(names=names))
    if kept := final(prepared.migrations):
        lines.append(
            _(
                "CANNOT BE TAKEN BACK: {names}. If the release fails, the one before meets the new schema."
            ).format(names=", ".join(kept))
        )
    if not prepared.backup.yes:
        lines.append(_("Backup: {reason}.").format(reason=prepared.backup.reason))
    for line in lines:
        context.console.print(line)


def _window(window: Window | None) -> str:
    if window is None:
        return _(
            "Users of all applications are out while Liberty restarts; how long was not measured here yet."
        )
    return _(
        "Users of all applications are out for about {typical:g} s, while Liberty restarts "
        "(measured in {count} deploys: {least:g} to {most:g} s)."
    ).format(typical=window.typical, count=window.count, least=window.least, most=window.most)


def _show(context: Context, done: Deployed) -> None:

    if context.json:
        context.emit_event("deploy", done)
        return
    for check in done.checks:
        context.console.print(_("  proven: {check}").format(check=check.name))
    context.console.print(
        _("{app} runs release {release}; before it: {before}.").format(
            app=done.application, release=done.release, before=done.before or "-"
        )
    )
    if done.users_out_seconds is None:
        context.console.print(_("How long users were out could not be measured from here."))
    else:
        context.console.print(_("Users were out for {seconds:.1f} s.").format(seconds=done.users_out_seconds))
    if not done.pinned:
        context.console.print(
            _(
                "deployed.yml could not be written: name {release} of {app} there, or a rebuild forgets it."
            ).format(app=done.application, release=done.release)
        )


@click.command(
    help=_("List the releases that were deployed, newest first: by whom, on what terms, and what came of it.")
)
@click.argument("application", required=False)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def releases(context: Context, /, application: str | None, as_json: bool) -> None:
    from rmc_dr import releases as story
    from rmc_dr.deploy import named
    from rmc_dr.record import plain

    context.json = context.json or as_json
    rows = story.history(context.estate().name, application)
    if application is not None and not rows:
        named(context.estate(), application)
    if context.json:
        context.emit(plain(rows))
    elif not rows:
        context.console.print(_("Nothing was deployed from this machine yet."))
    for row in [] if context.json else rows:
        for line in _told(row):
            context.console.print(line)


def _told(row: Release) -> list[str]:
    from rmc_dr.report.text import moment
    from rmc_dr.words import consent_words, printable, release_state, training_word

    lines = [
        _("{at}  {app} {before} -> {release}  {state}  by {operator}").format(
            at=moment(row.at),
            app=row.application,
            before=row.before or "-",
            release=row.release or "-",
            state=release_state(row.what, row.state),
            operator=row.operator,
        )
    ]
    if row.back_at:
        lines.append("  " + _("rolled back by hand: {at}").format(at=moment(row.back_at)))
    if row.notes:
        lines.append("  " + _("notes: {notes}").format(notes=row.notes))
        lines.append("  " + _("training: {training}").format(training=training_word(row.training)))
        lines.append(
            "  " + _("consent: {consent}").format(consent=consent_words(row.consent, row.without_consent))
        )
    if row.migrated:
        lines.append("  " + _("migrations: {names}").format(names=", ".join(row.migrated)))
    if row.users_out_seconds is not None:
        lines.append("  " + _("users out: {seconds:.1f} s").format(seconds=row.users_out_seconds))
    lines.append("  " + _("record: {run}").format(run=row.run))
    return [line[: len(line) - len(line.lstrip())] + printable(line) for line in lines]
