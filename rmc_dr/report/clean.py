"""Every text of a document made harmless, once for all its forms: no secret, nothing that steers, no end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any

from rmc_dr.i18n import _
from rmc_dr.journal import plain
from rmc_dr.redact import Redactor
from rmc_dr.report.document import Document
from rmc_dr.words import printable

LONGEST = 6000  # signs of one text; a note's own limit is lower


def cleaned(document: Document, redactor: Redactor) -> Document:
    """The same document without a known secret, without control characters, and with every text bounded."""
    texts = replace(document, data={})
    safe: Document = _mapped(texts, lambda text: _bounded(printable(redactor.clean(text))))
    return replace(safe, data=_mapped(plain(document.data), lambda text: _kept(redactor.clean(text))))


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
    return json.dumps(plain(head), ensure_ascii=False, indent=1) + "\n"


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """The same value with each text in it changed, however deep it lies."""
    if isinstance(value, Enum):
        return value
    if isinstance(value, str):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: getattr(value, one.name) for one in fields(value)}
        return replace(value, **{name: _mapped(part, change) for name, part in parts.items()})
    if isinstance(value, Mapping):
        return {change(str(key)): _mapped(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(part, change) for part in value]
    return value


def _bounded(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST] + " " + _("[... {count} characters more]").format(count=len(text) - LONGEST)


def _kept(text: str) -> str:
    """As it was said, but for what is no character."""
    return _bounded(text.encode(errors="replace").decode())
