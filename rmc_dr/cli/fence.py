"""`rmc-dr fence`: works without a run, so that an abandoned one locks nobody out."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, break_lock_option, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.fence import Fences


@click.group(help=_("Show or release the fence that keeps users off a host."))
def fence() -> None:
    """The commands below."""


@fence.command(help=_("Does the host run its own system, and are users kept off it?"))
@click.argument("host", required=False)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def status(context: Context, /, host: str | None, as_json: bool) -> None:
    from rmc_dr.fence import status as look

    context.json = as_json or context.json
    estate = context.estate()
    _show(context, look(estate, estate.only("appserver") if host is None else estate.host(host)))


@fence.command(help=_("Boot the host if it is held in its rescue system, and let users in."))
@click.argument("host")
@break_lock_option
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def release(context: Context, /, host: str, break_lock: str | None, as_json: bool) -> None:
    from rmc_dr.fence import release as let_in

    context.json = as_json or context.json
    estate = context.estate()
    _show(context, let_in(estate, estate.host(host), lambda *_event, **_fields: None, break_lock))


@fence.command(
    hidden=True, help=_("New database passwords for the vault; only the fence's playbook calls it.")
)
@pass_context
def renew_credentials(context: Context, /) -> None:
    from rmc_dr.secrets import renew_application_passwords

    renew_application_passwords(context.estate())


def _show(context: Context, fences: Fences) -> None:
    if context.json:
        context.emit(asdict(fences))
        return
    machine = {
        "system": _("runs its installed system"),
        "rescue": _("is held in the rescue system: it serves nobody and writes into no database"),
        "foreign": _("something answers with a host key that nobody pinned"),
        "silent": _("does not answer"),
        "unknown": _("cannot be told"),
    }
    users = {
        "closed": _("kept off; `rmc-dr fence release {host}` lets them in").format(host=fences.host),
        "open": _("let in"),
        "unknown": _("cannot be told"),
    }
    context.console.print(_("Machine {host}: {what}").format(host=fences.host, what=machine[fences.machine]))
    context.console.print(_("Users: {what}").format(what=users[fences.users]))
