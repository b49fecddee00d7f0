"""`rmc-dr deploy`: a release of an application, or back to the one before."""

from __future__ import annotations

from typing import Any

import click

from rmc_dr.cli.common import BREAK_LOCK_HELP, Context, a_reason, pass_context
from rmc_dr.i18n import _


@click.command(
    help=_(
        "Deploy a release of an application from the kit, or go back to the one before.\n\n"
        "All applications of the server pause for some seconds. The journey proves the release; "
        "if it fails, the release before it is put back."
    )
)
@click.argument("application")
@click.option("--release", metavar="RELEASE", help=_("The release to deploy; the kit must hold it."))
@click.option("--rollback", is_flag=True, help=_("Go back to the release before the current one."))
@click.option(
    "--accept-expired-kit", metavar="REASON", callback=a_reason, help=_("Use an expired kit all the same.")
)
@click.option("--break-lock", metavar="RUN", help=BREAK_LOCK_HELP)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def deploy(
    context: Context,
    application: str,
    release: str | None,
    rollback: bool,
    accept_expired_kit: str | None,
    break_lock: str | None,
    as_json: bool,
) -> None:
    from rmc_dr import deploy as story
    from rmc_dr.errors import BadInput

    if (release is None) == (not rollback):
        raise BadInput(
            "deploy-what",
            _("Name either a release or --rollback."),
            _("For example: rmc-dr deploy {app} --release 1.1.0").format(app=application),
        )
    context.json = context.json or as_json
    estate, tell = context.estate(), _teller(context)
    if release is not None:
        done = story.deploy(estate, application, release, tell, accept_expired_kit, break_lock)
    else:
        done = story.roll_back(estate, application, tell, break_lock)
    _show(context, done)


def _teller(context: Context) -> Any:
    def tell(event: str, **fields: Any) -> None:
        if event == "task" and fields.get("status") == "started" and not context.json:
            context.console.print(f"  {fields['task']}", style="dim")

    return tell


def _show(context: Context, done: Any) -> None:
    if context.json:
        from dataclasses import asdict

        context.emit(asdict(done))
        return
    for check in done.checks:
        context.console.print(_("  proven: {check}").format(check=check.name), markup=False)
    context.console.print(
        _("{app} runs release {release}; before it: {before}.").format(
            app=done.application, release=done.release, before=done.before or "-"
        )
    )
    if not done.pinned:
        context.console.print(
            _("estate.yml could not be written: set the release of {app} to {release} there by hand.").format(
                app=done.application, release=done.release
            )
        )
