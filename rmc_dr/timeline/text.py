"""Lines out of bytes that nobody vouches for, and text that harms no terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice

LONGEST_LINE = 8 << 20  # a journal entry of a megabyte that is no UTF-8 is written as a list of numbers
LONGEST_WORDS = 300
HARMLESS = 4 * LONGEST_WORDS


def lines(chunks: Iterable[bytes]) -> Iterator[bytes | None]:
    """Each line without its end; None for one that is too long to be looked at."""
    held, dropping = bytearray(), False
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            held += part
            yield None if dropping or len(held) > LONGEST_LINE else bytes(held)
            held, dropping = bytearray(), False
        held += rest
        if len(held) > LONGEST_LINE:
            held, dropping = bytearray(), True
    if held or dropping:
        yield None if dropping else bytes(held)


def decoded(raw: bytes) -> str:
    """As UTF-8, else as GB18030, in which older programs write; else with marks for what is neither."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("utf-8", "replace")


def clean(text: str) -> str:
    """On one line, without anything that steers a terminal or hides, and a few lines of a screen at most."""
    flat = " ".join(text[:HARMLESS].split())
    kept = (sign for sign in flat if unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return "".join(islice(kept, LONGEST_WORDS))
