"""The command line: parse, call one function, render, exit code. Commands load when they are called."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import click

from rmc_dr import __version__
from rmc_dr.cli.common import Context, Group
from rmc_dr.i18n import _

# command -> module of rmc_dr.cli that defines it (importing all of them would slow down every --help)
COMMANDS = {
    "db": "db",
    "deploy": "deploy",
    "drill": "drill",
    "estate": "estate",
    "fence": "fence",
    "host": "host",
    "kit": "kit",
    "lab": "lab",
    "power": "power",
    "rebuild": "rebuild",
    "report": "runs",
    "resume": "rebuild",
    "runs": "runs",
    "verify": "verify",
}


class Commands(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rmc_dr.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.command(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=_("Bring a failed server of an assisted-reproduction centre back, and prove that it is."),
)
@click.option(
    "-i",
    "--inventory",
    type=click.Path(path_type=Path),
    envvar="RMC_DR_INVENTORY",
    help=_("The estate's inventory folder."),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@click.version_option(__version__, prog_name="rmc-dr")
@click.pass_context
def main(ctx: click.Context, inventory: Path | None, as_json: bool) -> Any:
    ctx.obj = Context(inventory=inventory, json=as_json)
    if inventory is not None:
        os.environ["RMC_DR_INVENTORY"] = str(inventory.absolute())
    if ctx.invoked_subcommand is None:
        from rmc_dr.cli.status import status

        return ctx.invoke(status)
    return None
