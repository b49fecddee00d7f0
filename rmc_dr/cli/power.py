"""`rmc-dr power`: switch one host; playbooks call it on the control machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate import Host
    from rmc_dr.power import Power


@click.group(help=_("Switch the power of one host. A rebuild does this by itself."))
def power() -> None:
    """The driver is estate.power.driver."""


@power.command(help=_("Take the power of a host away, hard."))
@click.argument("host")
@pass_context
def off(context: Context, host: str) -> None:
    switch, target = _chosen(context, host)
    switch.off(target)
    _tell(context, switch, target)


@power.command(help=_("Power-cycle a host into the rescue system."))
@click.argument("host")
@pass_context
def rescue(context: Context, host: str) -> None:
    switch, target = _chosen(context, host)
    switch.rescue(target)
    _tell(context, switch, target)


@power.command(help=_("Power-cycle a host into its installed system."))
@click.argument("host")
@pass_context
def disk(context: Context, host: str) -> None:
    switch, target = _chosen(context, host)
    switch.disk(target)
    _tell(context, switch, target)


@power.command(help=_("Say what a host runs: off, rescue, disk or unknown."))
@click.argument("host")
@pass_context
def status(context: Context, host: str) -> None:
    _tell(context, *_chosen(context, host))


def _chosen(context: Context, name: str) -> tuple[Power, Host]:
    from rmc_dr.power import driver

    estate = context.estate()
    return driver(estate, lambda text: click.echo(text, err=True)), estate.host(name)


def _tell(context: Context, switch: Power, host: Host) -> None:
    state = switch.state(host)
    if context.json:
        context.emit({"host": host.name, "state": state})
    else:
        click.echo(f"{host.name}: {state}")
