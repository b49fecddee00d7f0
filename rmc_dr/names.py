"""Which run, incident or collection an operator means by what was typed. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def fitting(typed: str, newest_first: Sequence[str]) -> Sequence[str]:
    """The names that fit: the whole name, else those that it is a part of; `last` is the newest."""
    if typed == "last":
        return newest_first[:1]
    return [typed] if typed in newest_first else [name for name in newest_first if typed and typed in name]
