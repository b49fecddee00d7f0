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

# command -> the module of rmc_dr.cli that defines it, and its line in --help. The table stands here so that
# --help loads none of them.
COMMANDS = {
    "audit": ("audit", _("One timeline of what all hosts saw, the first error, and what may be lost.")),
    "backup": ("backup", _("Take, list, judge, verify and expire backups.")),
    "check": ("check", _("Look at everything at once: what is wrong, the worst first.")),
    "db": ("db", _("Look at the database pair, and choose who leads it.")),
    "deploy": ("deploy", _("Deploy a release of an application, or go back to the one before.")),
    "diagnose": ("diagnose", _("From a complaint to its proven cause, and what mends it.")),
    "drill": ("drill", _("Rehearse a recovery in the lab and measure it.")),
    "estate": ("estate", _("Check the estate's files; make its secrets.")),
    "evidence": ("evidence", _("List, show and verify the evidence that was kept.")),
    "fence": ("fence", _("Show or release the fence that keeps users off a host.")),
    "host": ("host", _("Take replacement hardware into the estate.")),
    "incident": ("incident", _("Open, classify, follow and close an incident.")),
    "inspect": ("inspect", _("The quarterly inspection: look at everything, change nothing, report.")),
    "kit": ("kit", _("Build, verify or show the recovery kit.")),
    "lab": ("lab", _("Throwaway real hosts on this machine.")),
    "power": ("power", _("Switch a host off, into its rescue system, or on.")),
    "preserve": ("evidence", _("Keep the scene before anything is restarted.")),
    "rebuild": ("rebuild", _("Rebuild a failed server.")),
    "releases": ("deploy", _("List the releases that were deployed, and on what terms.")),
    "report": ("report", _("Print the report of a run; list and open reports.")),
    "restore": ("restore", _("Bring data back from the backups.")),
    "restart": ("service", _("Stop, then start again.")),
    "resume": ("rebuild", _("Go on with an interrupted run.")),
    "runs": ("runs", _("List the runs and what they did.")),
    "schedule": ("schedule", _("The backups' timetable on this machine.")),
    "start": ("service", _("Start the pair, then the applications, then let the users in.")),
    "stop": ("service", _("Stop the applications, keep the users out, stop the pair.")),
    "store": ("store", _("Look at the object store that backups lie in.")),
    "verify": ("verify", _("Prove that hosts are as the estate describes them.")),
}


class Commands(Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"rmc_dr.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section(_("Commands")):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in sorted(COMMANDS)])


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
