"""The part `inspection` of estate.yml: how often the centre is inspected, and what is looked at by hand."""

from __future__ import annotations

from pydantic import Field, model_validator

from rmc_dr.strict import Strict
from rmc_dr.wording import InBoth


class Item(Strict, InBoth):
    """Something that only a person can look at, in both languages; ``name`` is what is typed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    en: str = Field(min_length=1, max_length=200)
    zh: str = Field(min_length=1, max_length=200)


class InspectionConfig(Strict):
    """``days`` is how long one inspection is good for: the longest quarter, unless the estate says less."""

    days: int = Field(default=92, ge=1, le=366)
    items: tuple[Item, ...] = Field(default=(), max_length=100)

    @model_validator(mode="after")
    def _names_each_once(self) -> InspectionConfig:
        names = [item.name for item in self.items]
        if len(names) != len(set(names)):
            raise ValueError("two items bear one name")
        return self
