"""What the lines of an inspection amount to: the pure reading of its journal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import reduce
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationError

from rmc_dr.history import Event
from rmc_dr.rounds.facts import Facts, Kept, Moment
from rmc_dr.wording import InBoth

What = Literal["inspection", "patches"]
Model = TypeVar("Model", bound=Kept)


class Item(Kept, InBoth):
    """A thing to look at by hand, as the estate named it then."""

    name: str
    en: str
    zh: str


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (OSError, ZoneInfoNotFoundError) as error:
        raise ValueError(str(error)) from None


class _Made(Kept):
    inspection: str
    estate: str
    centre: str
    timezone: Annotated[str, AfterValidator(_zone)]
    operator: str
    host: str
    tool_version: str
    days: Annotated[int, Field(ge=1, le=366)]
    items: tuple[Item, ...]
    facts: Facts


class Mark(Kept):
    """What somebody found by hand: ``good``, or at fault, and the ``remark`` says how."""

    item: str
    good: bool
    remark: str = ""
    operator: str = ""


class Consent(Kept):
    """Who of the hospital agreed, and when; or ``without``: why nobody was asked."""

    what: What
    by: str = ""
    at: Moment | None = None
    without: str = ""


@dataclass(frozen=True)
class Inspection:
    """One inspection. ``marks`` by the item's name and ``consents`` by what for: the last word counts."""

    name: str = ""
    estate: str = ""
    centre: str = ""
    timezone: str = "UTC"
    operator: str = ""
    host: str = ""
    tool_version: str = ""
    days: int = 0
    items: tuple[Item, ...] = ()
    at: datetime | None = None
    facts: Facts | None = None
    marks: Mapping[str, Mark] = field(default_factory=dict)
    consents: Mapping[str, Consent] = field(default_factory=dict)

    @classmethod
    def of(cls, events: Iterable[Event]) -> Inspection:
        """Raises ValueError for a line that says what no inspection can."""
        return reduce(cls.after, events, cls())

    def after(self, event: Event) -> Inspection:
        step = _STEPS.get(event.event)
        return step(self, event) if step else self

    @property
    def open_items(self) -> tuple[Item, ...]:
        """What nobody has looked at."""
        return tuple(item for item in self.items if item.name not in self.marks)

    @property
    def faulty(self) -> tuple[tuple[Item, Mark], ...]:
        """What was looked at and is at fault."""
        return tuple(
            (item, mark)
            for item in self.items
            if (mark := self.marks.get(item.name)) is not None and not mark.good
        )


def _read(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """As JSON, in which a time is a string and a tuple a list. Raises ValueError."""
    try:
        return model.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise ValueError(str(error)) from None


def _made(state: Inspection, event: Event) -> Inspection:
    said = _read(_Made, event.fields)
    return replace(
        state,
        name=said.inspection,
        estate=said.estate,
        centre=said.centre,
        timezone=said.timezone,
        operator=said.operator,
        host=said.host,
        tool_version=said.tool_version,
        days=said.days,
        items=said.items,
        at=event.time,
        facts=said.facts,
    )


def _marked(state: Inspection, event: Event) -> Inspection:
    mark = _read(Mark, event.fields)
    return replace(state, marks={**state.marks, mark.item: mark})


def _agreed(state: Inspection, event: Event) -> Inspection:
    consent = _read(Consent, event.fields)
    return replace(state, consents={**state.consents, consent.what: consent})


_STEPS: Mapping[str, Callable[[Inspection, Event], Inspection]] = {
    "inspection-made": _made,
    "item-marked": _marked,
    "consent": _agreed,
}
