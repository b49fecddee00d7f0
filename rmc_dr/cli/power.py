"""`rmc-dr power`: switch one host; playbooks call it on the control machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@pass_context
def off(context: Context, host: str, yes: bool) -> None:
    with _alone(context, host, yes) as (switch, target):
        switch.off(target)
    _tell(context, switch, target)


@power.command(help=_("Power-cycle a host into the rescue system."))
@click.argument("host")
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@pass_context
def rescue(context: Context, host: str, yes: bool) -> None:
    with _alone(context, host, yes) as (switch, target):
        switch.rescue(target)
    _tell(context, switch, target)


@power.command(help=_("Power-cycle a host into its installed system."))
@click.argument("host")
@click.option("--yes", is_flag=True, help=_("Do not ask for the host's name (for automation)."))
@pass_context
def disk(context: Context, host: str, yes: bool) -> None:
    with _alone(context, host, yes) as (switch, target):
        switch.disk(target)
    _tell(context, switch, target)


@power.command(help=_("Say what a host runs: off, rescue, disk or unknown."))
@click.argument("host")
@pass_context
def status(context: Context, host: str) -> None:
    _tell(context, *_chosen(context, host))


@contextmanager
def _alone(context: Context, name: str, yes: bool) -> Iterator[tuple[Power, Host]]:
    """The operator has typed the host's name, and nobody else is at work on the estate.

    A playbook calls this on behalf of a run, which holds the estate already; by hand there is no lock.
    """
    from rmc_dr.cli.rebuild import confirm
    from rmc_dr.exclusive import lock_name
    from rmc_dr.record import local_lock
    from rmc_dr.runner import RUN_MARK

    chosen = _chosen(context, name)
    confirm(name, yes)
    if RUN_MARK in os.environ:
        yield chosen
        return
    with local_lock(context.estate().name, lock_name(f"power-{name}")):
        yield chosen


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
