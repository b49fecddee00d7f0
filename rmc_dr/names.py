"""Which run, incident, collection or report an operator means by what was typed. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rmc_dr.errors import BadInput


def fitting(typed: str, newest_first: Sequence[str]) -> Sequence[str]:
    """The names that fit: the whole name, else those that it is a part of; `last` is the newest."""
    if typed == "last":
        return newest_first[:1]
    return [typed] if typed in newest_first else [name for name in newest_first if typed and typed in name]


def the_one(typed: str, newest_first: Sequence[str], code: str, none: str, several: str, hint: str) -> str:
    """The only name that fits.

    Raises BadInput ``code`` with one of two sentences, in which ``{name}`` is what was typed and ``{count}``
    how many fit.
    """
    matches = fitting(typed, newest_first)
    if len(matches) != 1:
        raise BadInput(code, (several if matches else none).format(name=typed, count=len(matches)), hint)
    return matches[0]
