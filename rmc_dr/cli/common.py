"""What every command shares: the estate it works on, the terminal it speaks to, how it ends."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rmc_dr import content
from rmc_dr.cli.click_words import lend_catalogue
from rmc_dr.errors import BadInput, Error
from rmc_dr.i18n import _

if TYPE_CHECKING:  # loaded when used: --help should answer at once
    from rich.console import Console

    from rmc_dr.estate import Estate

lend_catalogue()
DEFAULT_INVENTORIES = (Path("/etc/rmc-dr/inventory"),)


@dataclass
class Context:
    """One invocation. ``json`` asks for machine-readable output on standard output."""

    inventory: Path | None = None
    json: bool = False

    @cached_property
    def console(self) -> Console:
        from rich.console import Console

        return Console(highlight=False, soft_wrap=True)

    @cached_property
    def _estate(self) -> Estate:
        from rmc_dr.estate import load

        return load(self.inventory or default_inventory())

    def estate(self) -> Estate:
        """The estate that -i, RMC_DR_INVENTORY or /etc/rmc-dr/inventory names. Raises BadInput."""
        return self._estate

    def emit(self, data: Any) -> None:
        """Print one JSON document."""
        click.echo(json.dumps(data, ensure_ascii=False, indent=2, default=str))


pass_context = click.make_pass_decorator(Context, ensure=True)


def lab_inventory() -> Path:
    return content.root() / "inventories" / "lab"


def default_inventory() -> Path:
    for path in DEFAULT_INVENTORIES:
        if path.is_dir():
            return path
    if (content.STATE / "lab" / "private" / "vault.yml").exists():
        return lab_inventory()
    raise BadInput(
        "no-inventory",
        _("No estate is named."),
        _("Give -i INVENTORY or set RMC_DR_INVENTORY; to rehearse, run `rmc-dr lab up`."),
    )


class Group(click.Group):
    """A group of commands whose errors end in one sentence, a hint and a documented exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        try:
            result = super().main(*args, **kwargs)
        except Error as error:
            as_json = "--json" in sys.argv
            if as_json:
                document = {"error": error.code, "message": error.message, "hint": error.hint}
                click.echo(json.dumps(document, ensure_ascii=False))
            say_error(error)
            sys.exit(int(error.exit_code))
        except click.exceptions.Abort:
            click.echo(_("Given up. Nothing more is done."), err=True)
            sys.exit(5)
        except click.ClickException as error:
            error.show()
            sys.exit(error.exit_code)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        sys.exit(result if isinstance(result, int) else 0)


def say_error(error: Error) -> None:
    mark = click.style(_("Error:"), fg="red", bold=True)
    click.echo(f"{mark} {error.message}", err=True)
    click.echo(_("Hint:") + f" {error.hint}", err=True)
