"""Which of two versions of a Debian package is newer, as dpkg orders them. Pure."""

from __future__ import annotations

import re
from itertools import zip_longest

PART = re.compile(r"([^0-9]*)([0-9]*)")


def newer(one: str, other: str) -> bool:
    """Whether ``one`` is newer than ``other``."""
    return compare(one, other) > 0


def compare(one: str, other: str) -> int:
    """-1, 0 or 1: epoch first, then the upstream version, then Debian's revision."""
    for mine, yours in zip(_split(one), _split(other), strict=True):
        if step := _compare_part(mine, yours):
            return step
    return 0


def _split(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compare_part(one: str, other: str) -> int:
    """Words and numbers by turns: words by dpkg's own order of signs, numbers by their value."""
    for (word, number), (word2, number2) in zip_longest(
        PART.findall(one), PART.findall(other), fillvalue=("", "")
    ):
        mine, yours = [*map(_weight, word), 0], [*map(_weight, word2), 0]
        if mine != yours:
            return 1 if mine > yours else -1
        digits, digits2 = number.lstrip("0"), number2.lstrip("0")
        if digits != digits2:
            longer = (len(digits), digits) > (len(digits2), digits2)
            return 1 if longer else -1
    return 0


def _weight(sign: str) -> int:
    """`~` comes before the end, letters before everything else."""
    if sign == "~":
        return -1
    return ord(sign) if sign.isascii() and sign.isalpha() else ord(sign) + 256
