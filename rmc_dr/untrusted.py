"""JSON that a power cut may have torn or anybody written over: what cannot be read is a ValueError. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

DEEPEST = 40  # levels of lists and objects in one document


def load(text: bytes | str) -> Any:
    """The value of a text. Raises ValueError for what is none, or none that anybody of ours wrote."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None
    if not shallow(value):
        raise ValueError("too deep, or a number that JSON does not know")
    return value


def objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The object in each line of a record; a line that holds none is left out."""
    for line in data.splitlines():
        try:
            said = load(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            yield said


def shallow(value: Any, left: int = DEEPEST) -> bool:
    """Whether a value is at most so many levels deep, and each of its numbers is one that JSON may hold."""
    if isinstance(value, float):
        return abs(value) < float("inf")  # false for NaN as well
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left > 0 and all(shallow(child, left - 1) for child in children)
