"""`rmc-dr estate`: check the estate's files; make its secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate_problem import Problem


@click.group(help=_("Check the estate's files; make its secrets."))
def estate() -> None:
    """Work on the files that describe an estate; no host is touched."""


@estate.command(help=_("Check the inventory and its secrets. No host is touched."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def check(context: Context, /, as_json: bool) -> int:
    from dataclasses import asdict

    from rmc_dr.errors import ExitCode
    from rmc_dr.estate_check import check as check_estate

    described = context.estate()
    problems = check_estate(described)
    wrong = [problem for problem in problems if not problem.warning]
    if context.json or as_json:
        context.emit({"estate": described.name, "problems": [asdict(problem) for problem in problems]})
    else:
        for problem in problems:
            _say(context, problem)
        context.console.print(
            _("The estate {estate} cannot be used yet: {count} problems.").format(
                estate=described.name, count=len(wrong)
            )
            if wrong
            else _("The estate {estate} is described completely.").format(estate=described.name),
        )
    return int(ExitCode.BAD_INPUT if wrong else ExitCode.OK)


def _say(context: Context, problem: Problem) -> None:
    mark = _("warning") if problem.warning else _("wrong")
    context.console.print(f"{mark}: {problem.file}: {problem.key}: {problem.message}")
    context.console.print(f"  {problem.remedy}", style="dim")


@estate.command(
    help=_(
        "Make what is missing of the estate's secrets: vault, SSH keys, host keys, its own CA.\n\n"
        "What exists stays; certificates near their end are renewed. No host is touched."
    )
)
@pass_context
def init(context: Context, /) -> None:
    from rmc_dr import secrets

    described = context.estate()
    fresh = not secrets.vault_file(described).exists()
    secrets.make(described)
    folder = described.private_dir
    context.console.print(
        _("The secrets of the estate {estate} are complete: {vault} and {folder}.").format(
            estate=described.name, vault=secrets.vault_file(described), folder=folder
        ),
    )
    password = folder / "vault-password"
    if password.is_file() and described.config.power.driver != "lab":
        context.console.print(
            _(
                "The vault's password is in {path}. From now on: export RMC_DR_VAULT_PASSWORD_FILE={path}"
            ).format(path=password),
        )
    if fresh:
        context.console.print(
            _("Keep a copy of all this off this machine: without it no host can be reached or rebuilt."),
        )
