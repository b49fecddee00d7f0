"""What an inspection has seen, as it is kept. None is unknown: neither well, nor zero. Pure.

Strict when it is read back: a record that says what no inspection can is damaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from rmc_dr.wording import InBoth

FIRST_YEAR, LAST_YEAR = 2000, 3000
Weight = Literal["critical", "unknown", "warning"]
WEIGHTS: tuple[Weight, ...] = ("critical", "unknown", "warning")  # the worst first


def _of_our_years(moment: datetime) -> datetime:
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise ValueError(f"no moment: {moment}")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_of_our_years)]
Count = Annotated[int, Field(ge=0, le=10**18)]
Number = Annotated[float, Field(ge=0, le=1e15)]
Days = Annotated[float, Field(ge=-1e5, le=1e5)]


class Kept(BaseModel):
    """The base of all that is kept: new fields may come, what is missing or odd is damage."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Server(Kept):
    """One machine by its own word. ``software`` maps a product to its version, ``applications`` an
    application to the release that is current on it; None where the machine did not tell.
    """

    name: str
    group: str
    address: str
    answer: str
    os: str | None = None
    kernel: str | None = None
    booted: Moment | None = None
    software: Mapping[str, str] | None = None
    applications: Mapping[str, str] | None = None


class Disk(Kept):
    """A disk that is written to. In bytes, for everybody but root."""

    host: str
    path: str
    size: Count
    free: Count


class Certificate(Kept):
    """One that was served; ``ends`` is None where it proves nothing, and ``trouble`` says why."""

    host: str
    service: str
    ends: Moment | None = None
    trouble: str = ""


class Patch(Kept):
    """Something that the kit has newer than the machine: a package, the runtime, a release."""

    host: str
    name: str
    installed: str
    offered: str


class Patches(Kept):
    """What waits; ``unknown`` maps a machine to why nobody can say what waits for it."""

    waiting: tuple[Patch, ...] = ()
    unknown: Mapping[str, str] = {}


class Proof(Kept):
    """One verification of the backups, or one backup."""

    at: Moment
    good: bool
    scope: str = ""
    rpo_seconds: Number | None = None
    rto_estimate_seconds: Number | None = None
    red: tuple[str, ...] = ()


class Backups(Kept):
    """``newest`` and ``full`` are when the newest (full) backup ended, ``stored`` the bytes of all.

    ``verifications`` are those since the inspection before; ``proven`` is the last one that was green.
    """

    seen: bool
    newest: Moment | None = None
    full: Moment | None = None
    count: Count | None = None
    stored: Count | None = None
    snapshots: Count | None = None
    locked_until: Moment | None = None
    verifications: tuple[Proof, ...] = ()
    proven: Proof | None = None


class Drill(Kept):
    """One rehearsal; ``broke`` is how it was broken."""

    drill: str
    at: Moment
    broke: str
    run: str
    passed: bool
    rto_minutes: Number
    rpo_seconds: Number
    lost: Count
    duplicated: Count


class Kit(Kept):
    """``trouble`` says why it may not be used."""

    built: Moment | None = None
    expires: Moment | None = None
    sha256: str = ""
    trouble: str = ""


class Risk(Kept, InBoth):
    """Something unresolved. ``en`` and ``zh`` say what; ``command`` is what to type next, if anything is."""

    weight: Weight
    code: str
    area: str
    host: str = ""
    en: str
    zh: str
    command: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """By this the same trouble is known again in the next inspection."""
        return self.area, self.host, self.code


class Facts(Kept):
    """Everything that one inspection has seen. ``databases`` are bytes; ``wal`` is that of the primary."""

    seconds: Number
    servers: tuple[Server, ...]
    pair: str | None = None
    disks: tuple[Disk, ...] = ()
    databases: Mapping[str, Count] | None = None
    wal: Count | None = None
    certificates: tuple[Certificate, ...] = ()
    kit: Kit = Kit()
    backups: Backups
    drills: tuple[Drill, ...] = ()
    patches: Patches = Patches()
    risks: tuple[Risk, ...] = ()
    unseen: Mapping[str, str] = {}
