"""The two languages. Everything an operator reads passes through ``_``; catalogues lie in locale/."""

from __future__ import annotations

import gettext
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LOCALE_DIR = Path(__file__).parent / "locale"
_SPOKEN: ContextVar[str | None] = ContextVar("spoken", default=None)


def language() -> str:
    """``zh_CN`` or ``en``: what is spoken here, else from RMC_DR_LANG, else from the locale variables."""
    if spoken := _SPOKEN.get():
        return spoken
    for variable in ("RMC_DR_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "zh_CN" if value.lower().startswith("zh") else "en"
    return "en"


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Speak the language of whom it is for, ``zh`` or ``en``, whatever the operator's own is."""
    before = _SPOKEN.set("zh_CN" if lang.startswith("zh") else "en")
    try:
        yield
    finally:
        _SPOKEN.reset(before)


@cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """The catalogue of one language; English needs none."""
    return gettext.translation("rmc_dr", LOCALE_DIR, [lang], fallback=lang == "en")


def _(message: str) -> str:
    return catalogue(language()).gettext(message)
