"""The migrations that a release brings: which have not run yet, and which can be taken back. Pure.

roles/application/module_utils/application_sql.py runs them, and judges once more on the primary itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from rmc_dr.errors import BadInput, Refused
from rmc_dr.i18n import _

FOLDER = "migrations"
UNDO = ".undo.sql"
NAME = re.compile(r"[0-9]{4}[A-Za-z0-9_-]*\.sql")


@dataclass(frozen=True)
class Migration:
    """One step of a database to a release; ``undo`` says whether the release brings the step back."""

    name: str
    sha256: str
    undo: bool


@dataclass(frozen=True)
class Ran:
    """What a database knows: the digest of each migration that has run; ``empty``: it has no table yet."""

    digests: Mapping[str, str]
    empty: bool


def of_release(digests: Mapping[str, str], application: str, release: str) -> tuple[Migration, ...]:
    """The migrations of a release among a kit's files, which map to their SHA-256; in order."""
    folder = f"applications/{application}/{release}/{FOLDER}"
    own = {PurePosixPath(name).name: digest for name, digest in digests.items() if _within(name, folder)}
    return tuple(
        Migration(name, own[name], name.removesuffix(".sql") + UNDO in own)
        for name in sorted(own)
        if not name.endswith(UNDO)
    )


def _within(name: str, folder: str) -> bool:
    return str(PurePosixPath(name).parent) == folder


def pending(migrations: Sequence[Migration], ran: Ran) -> tuple[Migration, ...]:
    """Those that a deploy would run; an empty database gets the whole schema instead.

    Raises Refused where one has run with another text: nobody knows what the database holds then.
    """
    for one in migrations:
        if ran.digests.get(one.name, one.sha256) != one.sha256:
            raise Refused(
                "migration-changed",
                _("The migration {name} has run already, and its text was another one then.").format(
                    name=one.name
                ),
                _("Ask the vendor for a release that leaves it as it was; a change comes under a new name."),
            )
    return () if ran.empty else tuple(one for one in migrations if one.name not in ran.digests)


def final(todo: Sequence[Migration]) -> tuple[str, ...]:
    """The names of those that cannot be taken back."""
    return tuple(one.name for one in todo if not one.undo)


def refuse_misnamed(application: str, release: str, files: Sequence[str]) -> None:
    """Raises BadInput for a file among a release's migrations that would never run, or in no clear order."""
    names = [PurePosixPath(name).name for name in files if PurePosixPath(name).parent.name == FOLDER]
    forward = [name for name in names if not name.endswith(UNDO)]
    numbers = [name[:4] for name in forward]
    wrong = [name for name in forward if not NAME.fullmatch(name) or numbers.count(name[:4]) > 1]
    wrong += [
        name for name in names if name.endswith(UNDO) and name.removesuffix(UNDO) + ".sql" not in forward
    ]
    if wrong:
        raise BadInput(
            "migration-name",
            _("The migrations of {app} {release} have no clear order or pair: {names}.").format(
                app=application, release=release, names=", ".join(sorted(wrong))
            ),
            _("Name them 0001-name.sql, each number once, and what takes one back 0001-name.undo.sql."),
        )
