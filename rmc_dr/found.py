"""What the verification host's modules say, which speak English alone, in the language spoken here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmc_dr.i18n import catalogue, language


def N_(message: str) -> str:
    """A sentence that is translated later; the name is the one that gettext's tools look for."""
    return message


# As they stand in roles/verification, word for word.
SENTENCES = (
    N_("every backup, and every archived segment"),
    N_("{said}: {name}"),
    N_("damaged: {name} ({said})"),
    N_("{count} segments, whose turn it was"),
    N_("restic ended with {code}"),
    N_("its structure"),
    N_("every pack"),
    N_("part {part} of the packs"),
    N_("PostgreSQL did not start: {said}"),
    N_("consistent, replayed up to {place}"),
    N_("stopped at {place} in {where}, although {until} is archived: {said}"),
    N_("it archives nothing and follows nobody"),
    N_("a network of its own, with a loopback only"),
    N_("it is not alone"),
    N_("damaged pages in {names}"),
    N_("damaged: {names}"),
    N_("{database}: pg_dump ended with {code}"),
    N_("it gave no value"),
    N_("it gave something else than one number, truth value or time"),
    N_("{free} GiB are free in {place}, {needed} are needed"),
    N_("{free} GiB are free in {place}, {needed} are needed; {beside} takes some, too"),
    N_("{free} GiB are free in {place}, {freed} more without the earlier one, {needed} are needed"),
    N_("removed: {what}"),
    N_("nothing was there to remove"),
    N_("{app}: {listed} listed, {held} in the snapshot, {compared} compared by hash"),
    N_("{app}: {count} missing"),
    N_("{app}: {count} with other bytes"),
    N_("{app}: {count} that the database does not list (no fault by itself)"),
    N_("there is no snapshot of {host}'s attachments"),
    N_("no room for the sample of files"),
    N_("{id}, {count} files"),
    N_("{back} of {chosen} files, {bytes} bytes"),
)
KNOWN = frozenset(SENTENCES)


def told(found: Mapping[str, Any]) -> str:
    """The detail of a finding; a program's own words, and what is no sentence of ours, stay as they are."""
    says, values = str(found.get("says", "")), found.get("values")
    if says not in KNOWN or not isinstance(values, Mapping):
        return str(found.get("detail", ""))
    try:
        sentence = catalogue(language()).gettext(says)
        return sentence.format(**values) if values else sentence
    except (KeyError, IndexError, ValueError, TypeError):
        return str(found.get("detail", ""))
