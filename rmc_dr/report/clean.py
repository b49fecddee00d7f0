"""Every text of a document made harmless, once for all its forms: no secret, nothing that steers, no end."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rmc_dr.i18n import _
from rmc_dr.journal import plain
from rmc_dr.redact import Redactor
from rmc_dr.report.document import Document, Pairs, Row, Words
from rmc_dr.words import printable

# Characters of one text. Laying out takes time that grows with the cube of an unbroken word, and a label
# may be longer than its page.
LONGEST, LONGEST_LABEL, LONGEST_WORD = 4000, 200, 64
LONG = (Words, Row, Pairs)
# What JSON may hold as it is, and a terminal obeys.
UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
UNBROKEN = re.compile(rf"([^\s\u2e80-\U0003ffff]{{{LONGEST_WORD}}})(?=[^\s\u2e80-\U0003ffff])")


def cleaned(document: Document, redactor: Redactor) -> Document:
    """The same document without a known secret, without control characters, and with every text bounded."""
    texts = replace(document, data={})

    def shown(text: str, longest: int) -> str:
        return UNBROKEN.sub(r"\1 ", _bounded(printable(redactor.clean(text)), longest))

    def told(text: str, longest: int) -> str:
        return _bounded(redactor.clean(text).encode(errors="replace").decode(), longest)

    safe: Document = _mapped(texts, shown, LONGEST_LABEL)
    return replace(safe, data=_mapped(plain(document.data), told, LONGEST))


def as_json(document: Document) -> str:
    """The report for machines. Its schema: docs/reports.md."""
    head = {
        "format": 1,
        "kind": document.kind,
        "about": document.about,
        "title": document.title,
        "centre": document.centre,
        "made": document.made,
        "language": document.language,
        "data": document.data,
    }
    text = json.dumps(plain(head), ensure_ascii=False, indent=1)
    return UNSEEN.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n"


def _mapped(value: Any, change: Callable[[str, int], str], longest: int) -> Any:
    """The same value with each text in it changed, however deep it lies."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return change(value, longest)
    if is_dataclass(value) and not isinstance(value, type):
        longest = LONGEST if isinstance(value, LONG) else LONGEST_LABEL
        parts = {one.name: getattr(value, one.name) for one in fields(value)}
        return replace(value, **{name: _mapped(part, change, longest) for name, part in parts.items()})
    if isinstance(value, Mapping):
        return {change(str(key), longest): _mapped(part, change, longest) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, change, longest) for part in value]
    return value


def _bounded(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return text[:longest] + " " + _("[... {count} characters more]").format(count=len(text) - longest)
