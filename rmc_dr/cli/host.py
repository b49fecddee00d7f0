"""`rmc-dr host adopt HOST`: replacement hardware becomes a host of the estate."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.adopt import SeenMachine
    from rmc_dr.estate import Host, Identity


@click.group(help=_("Take replacement hardware into the estate."))
def host() -> None:
    """The commands below."""


@host.command(help=_("Show the machine that runs the rescue system at HOST's address, and make it HOST."))
@click.argument("name", metavar="HOST")
@click.option("--disk", metavar="SERIAL", help=_("Which disk carries the system, where there are several."))
@click.option("--confirm", metavar="HOST", help=_("The host's name again, instead of typing it when asked."))
@pass_context
def adopt(context: Context, /, name: str, disk: str | None, confirm: str | None) -> None:
    from rmc_dr import adopt as story

    estate = context.estate()
    target = estate.host(name)
    seen = story.look(estate, target)
    _show(context, seen)
    identity = story.choose(estate, target, seen, disk)
    if identity == target.identity:
        context.console.print(_("This machine is {host} already.").format(host=name))
        return
    _confirm(context, target, identity, confirm)
    path = story.adopt(estate, target, identity, seen)
    context.console.print(_("{host} is now this machine; written to {path}.").format(host=name, path=path))


def _show(context: Context, seen: SeenMachine) -> None:
    say = context.console.print
    say(_("Model: {model}").format(model=seen.model or _("not named")))
    say(_("Machine: {marks}").format(marks=", ".join(seen.marks) or _("not named")))
    for disk in seen.disks:
        say(
            _("Disk {device}: {size:.0f} GiB, {model}, serial {ids}").format(
                device=disk.device,
                size=disk.size / 2**30,
                model=disk.model or _("model not named"),
                ids=", ".join(disk.ids) or _("not named"),
            )
        )
        for partition in disk.partitions:
            say(f"  {partition}")


def _confirm(context: Context, target: Host, identity: Identity, confirm: str | None) -> None:
    from rmc_dr.errors import BadInput

    before = target.identity.machine if target.identity else _("nothing")
    context.console.print(
        _(
            "{host} has been {before}; it becomes {after}, disk {disk}. Its next rebuild writes that disk."
        ).format(host=target.name, before=before, after=identity.machine, disk=identity.disk)
    )
    if confirm is None and sys.stdin.isatty():
        confirm = click.prompt(
            _("Type the host's name ({host}) to go on").format(host=target.name), default=""
        )
    if confirm != target.name:
        raise BadInput(
            "not-confirmed",
            _("Not confirmed; nothing was changed."),
            _("Type the host's name, or give --confirm {host}.").format(host=target.name),
        )
