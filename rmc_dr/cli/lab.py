"""`rmc-dr lab`: real hosts on this machine, to rehearse on."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, lab_inventory, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate import Estate


@click.group(help=_("The rehearsal estate: real hosts on this machine."))
def lab() -> None:
    """Takes no inventory but its own."""


def lab_estate(context: Context) -> Estate:
    """The lab's estate, read anew. Raises Refused `lab-foreign-inventory` for any other inventory."""
    from rmc_dr.estate import load
    from rmc_dr.lab import guard

    inventory = context.inventory or lab_inventory()
    guard.prove_inventory(inventory)
    link = lab_inventory() / "group_vars" / "all" / "vault.yml"
    if link.is_symlink() and not link.exists():
        link.unlink()  # its lab was removed by hand; Ansible would stumble over it
    return load(lab_inventory())


@lab.command(
    help=_("Bring the lab up: the kit, the secrets, the network, every host. Seconds the second time.")
)
@click.option("--fresh", is_flag=True, help=_("Install every host anew, on a blank disk."))
@pass_context
def up(context: Context, fresh: bool) -> None:
    from rmc_dr.lab import up as story

    story.up(lab_estate(context), click.echo, fresh=fresh)


@lab.command(help=_("Take the lab down. Only its disks and secrets stay, in the state folder."))
@click.option("--purge", is_flag=True, help=_("Delete disks, secrets and the kit they signed too."))
@pass_context
def down(context: Context, purge: bool) -> None:
    from rmc_dr.lab import down as story

    story.down(lab_estate(context), click.echo, purge=purge)


@lab.command(help=_("Show what each host of the lab runs."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def status(context: Context, as_json: bool) -> None:
    from rmc_dr.lab import preflight
    from rmc_dr.lab.status import status as look

    preflight.require_root()
    seen = look(lab_estate(context))
    if as_json or context.json:
        context.emit(asdict(seen))
        return
    from rich.table import Table

    from rmc_dr.console import name_column

    table = Table(
        name_column(_("Host")), _("Address"), _("Runs"), _("Broken"), _("Cut from"), _("Disk"), box=None
    )
    for host in seen.hosts:
        written = _("{mib} MiB written").format(mib=host.written_mib) if host.disk else ""
        table.add_row(host.name, host.address, host.mode, host.broken or "", " ".join(host.cut), written)
    context.console.print(_("The lab is up.") if seen.up else _("The lab is down."))
    context.console.print(table)


@lab.command(help=_("Log in to a host."), context_settings={"ignore_unknown_options": True})
@click.argument("host")
@click.argument("command", nargs=-1)
@pass_context
def ssh(context: Context, host: str, command: tuple[str, ...]) -> None:
    from rmc_dr import ssh as secure_shell
    from rmc_dr.lab import machine

    estate = _running(context)
    target = estate.host(host)
    alias: secure_shell.Alias = "rescue" if machine.mode(host) == "rescue" else "system"
    words = secure_shell.command(estate, target, alias)
    os.execvp(words[0], [*words, *command])  # noqa: S606 - a literal program, no shell


@lab.command(
    "exec",
    help=_("Run a command inside a host, as its console would; needs no network and no sshd."),
    context_settings={"ignore_unknown_options": True},
)
@click.argument("host")
@click.argument("command", nargs=-1, required=True)
@pass_context
def execute(context: Context, host: str, command: tuple[str, ...]) -> None:
    from rmc_dr.lab import machine

    words = machine.inside(_running(context).host(host).name, command)
    os.execvp(words[0], words)  # noqa: S606 - a literal program, no shell


@lab.command("break", help=_("Break a host for real. `lab heal` or a rebuild undoes it."))
@click.argument("host")
@click.option(
    "--how",
    type=click.Choice(["disk", "blank", "os", "process", "off", "network", "postgres"]),
    required=True,
    help=_(
        "What breaks: disk (the data outlives it; blank: nothing does), operating system, Liberty, power, "
        "the network to another host, or PostgreSQL."
    ),
)
@click.option("--to", metavar="HOST", help=_("The host that it is cut from, for --how network."))
@pass_context
def break_(context: Context, host: str, how: str, to: str | None) -> None:
    from rmc_dr.lab import faults, preflight

    preflight.require_root()
    faults.break_host(lab_estate(context), host, how, to)
    click.echo(_("Broken: {host} ({how}).").format(host=host, how=how))


@lab.command(help=_("Undo what was broken, on these hosts or on all."))
@click.argument("hosts", nargs=-1)
@pass_context
def heal(context: Context, hosts: tuple[str, ...]) -> None:
    from rmc_dr.lab import up as story

    story.heal(lab_estate(context), hosts, click.echo)


def _running(context: Context) -> Estate:
    from rmc_dr.lab import preflight, presence

    preflight.require_root()
    estate = lab_estate(context)
    presence.require_up(estate)
    return estate
