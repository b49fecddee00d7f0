"""One table that is taken out of an inspected copy, and its name beside the living one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _

# Letters of any script; no quote, brace or dot, which PostgreSQL, Ansible or this command read as theirs.
WORD = re.compile(r"[^\W\d][\w$]*")
LONGEST_NAME = 63  # bytes; PostgreSQL cuts off the rest


@dataclass(frozen=True)
class Table:
    """Names as PostgreSQL's catalogue holds them, capitals included."""

    database: str
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.database}.{self.schema}.{self.name}"


def parse(text: str, databases: Sequence[str]) -> Table:
    """Read DATABASE.SCHEMA.TABLE. Raises BadInput for anything else, and for a database of nobody's."""
    parts = text.split(".")
    if len(parts) != 3 or not all(map(WORD.fullmatch, parts)):
        raise BadInput(
            "table-unreadable",
            _("{text} is not a table's full name.").format(text=text),
            _("Write it as DATABASE.SCHEMA.TABLE, as in {example}.").format(
                example=f"{databases[0]}.public.patients"
            ),
        )
    refuse_unknown_database(parts[0], databases)
    return Table(*parts)


def refuse_unknown_database(name: str, databases: Sequence[str]) -> None:
    """Raises BadInput for a database that no application of the estate has."""
    if name not in databases:
        raise BadInput(
            "unknown-database",
            _("The estate has no database {name}.").format(name=name),
            _("Its databases are: {names}.").format(names=", ".join(databases)),
        )


def beside(name: str, moment: datetime, zone: str) -> str:
    """The copy's name: TABLE_restored_YYYYMMDDHHMM by the centre's clock; a long name is cut to fit."""
    suffix = f"_restored_{moment.astimezone(ZoneInfo(zone)):%Y%m%d%H%M}"
    kept = name.encode()[: LONGEST_NAME - len(suffix)].decode(errors="ignore")
    return kept + suffix
