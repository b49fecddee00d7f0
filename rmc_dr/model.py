"""The frozen types that everything speaks. No network, clock or disk here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


@dataclass(frozen=True)
class Stage:
    """One playbook of a plan: a gate before, checks after, and a time budget in minutes.

    ``target`` are the hosts that it works on, as an Ansible pattern; empty: the plan's target. ``hosts`` are
    those that its plays work on then, once the plan has a target; what they delegate is not told.
    """

    name: str
    playbook: str
    budget_minutes: float
    destructive: bool
    target: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """The stages of one run in order, decided before anything changes.

    ``destroys`` and ``restores`` say in sentences what goes, and what it is brought back from;
    ``archived_at`` is when the last WAL was stored that it may be brought back with;
    ``options`` are what the look has decided beside the request.
    """

    name: str
    target: str
    stages: tuple[Stage, ...]
    destroys: tuple[str, ...] = ()
    restores: tuple[str, ...] = ()
    archived_at: datetime | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def budget_minutes(self) -> float:
        return sum(stage.budget_minutes for stage in self.stages)


@dataclass(frozen=True)
class PairState:
    """The pair in short: its verdict, and the one host that takes writes; None where none or several do.

    ``running`` are the hosts whose PostgreSQL answers, as a primary or as a standby; ``down`` those where it
    is proven not to. A host that is in neither is unknown.
    """

    verdict: str
    primary: str | None = None
    running: tuple[str, ...] = ()
    down: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """What the operator asked for; kept in the run record, so that a resume asks for the same."""

    plan: str
    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def replaces(self, host: str) -> bool:
        """Whether the operator wants this host rebuilt although it is healthy."""
        return host in str(self.options.get("replace_healthy", "")).split(",")


@dataclass(frozen=True)
class Answer:
    """A gate's answer. ``reason`` is what the operator reads when it is not yes."""

    yes: bool
    reason: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Check:
    """One fact proven, or not, after a stage."""

    name: str
    passed: bool
    detail: str = ""


class Reach(StrEnum):
    """How a host answers over SSH. ``unknown`` is a value of its own: nobody could tell."""

    SYSTEM = "system"  # the installed system, with its pinned key
    RESCUE = "rescue"  # the rescue system, with the rescue's pinned key
    FOREIGN = "foreign"  # something answers with a key that nobody pinned
    SILENT = "silent"  # nothing answers
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class HostObservation:
    """What was seen of one host: over SSH, by its identity readers, and of its applications.

    ``serving`` is None where that cannot be told, and for a host that carries none. ``data_files`` counts the
    files and folders of its data partition; None where nobody could.
    """

    name: str
    reach: Reach
    identity: str | None = None
    serving: bool | None = None
    data_files: int | None = None
    detail: str = ""

    @property
    def may_serve(self) -> bool:
        """Whether its own system runs, and nothing proves that its applications do not."""
        return self.reach is Reach.SYSTEM and self.serving is None
