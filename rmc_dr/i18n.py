"""The two languages. Everything an operator reads passes through ``_``; catalogues lie in locale/."""

from __future__ import annotations

import gettext
import os
from functools import cache
from pathlib import Path

LOCALE_DIR = Path(__file__).parent / "locale"


def language() -> str:
    """``zh_CN`` or ``en``, from RMC_DR_LANG, else from the usual locale variables."""
    for variable in ("RMC_DR_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(variable):
            return "zh_CN" if value.lower().startswith("zh") else "en"
    return "en"


@cache
def catalogue(lang: str) -> gettext.NullTranslations:
    """The catalogue of one language; English needs none."""
    return gettext.translation("rmc_dr", LOCALE_DIR, [lang], fallback=lang == "en")


def _(message: str) -> str:
    return catalogue(language()).gettext(message)
