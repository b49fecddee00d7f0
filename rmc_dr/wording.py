"""What is said in both languages in a file or a record, whatever the operator speaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from rmc_dr.strict import Strict


class InBoth:
    """A model whose fields ``en`` and ``zh`` say the same."""

    if TYPE_CHECKING:
        en: str
        zh: str

    def said(self, language: str) -> str:
        """In ``zh``, else in English."""
        return self.zh if language.startswith("zh") else self.en


class Wording(Strict, InBoth):
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
