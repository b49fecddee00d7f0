"""From what was found to the fault's class: the contract's wording is data, in findings.yml beside this."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from rmc_dr.incident.terms import CLASSES, Class, Kind
from rmc_dr.strict import Strict
from rmc_dr.wording import Wording


class Finding(Wording):
    """One thing that can be found, and what it makes of a fault."""

    klass: Class = Field(alias="class")
    affects_use: bool
    kind: Kind


class Table(Strict):
    classes: Mapping[Class, Wording]
    findings: Mapping[str, Finding]


@dataclass(frozen=True)
class Nature:
    """What a fault is. ``klass`` None: nobody has found anything yet."""

    klass: Class | None
    affects_use: bool
    kinds: frozenset[Kind]


@cache
def table() -> Table:
    """The closed list, in the order of its file."""
    raw = yaml.safe_load((Path(__file__).parent / "findings.yml").read_text(encoding="utf-8"))
    return Table.model_validate(raw)


def judge(codes: Iterable[str], known: Mapping[str, Finding]) -> Nature:
    """The worst class of what was found; whatever may hold up the users does. Pure. Raises KeyError.

    Where nothing was found the fault counts as one that does, until somebody knows better.
    """
    found = [known[code] for code in codes]
    klass = worst([finding.klass for finding in found])
    affects_use = klass in (None, "critical") or any(finding.affects_use for finding in found)
    return Nature(klass, affects_use, frozenset(finding.kind for finding in found))


def worst(classes: Collection[Class]) -> Class | None:
    return max(classes, key=CLASSES.index, default=None)
