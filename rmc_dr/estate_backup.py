"""The parts `s3` and `backup` of estate.yml: where backups lie, how they are made, what a copy must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from rmc_dr.strict import Strict

DATABASE = r"^[a-z][a-z0-9_]{0,30}$"


class S3(Strict):
    """The object store that backups lie in; each version of an object stays locked for ``lock_days``.

    ``bandwidth_mbit`` is what the line to it carries; None: nobody has said it.
    """

    endpoint: str = Field(pattern=r"^https://[A-Za-z0-9.-]+(:[0-9]+)?$")
    region: str = Field(min_length=1)
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    lock_mode: Literal["COMPLIANCE", "GOVERNANCE"]
    lock_days: int = Field(ge=1, le=3650)
    quota_gib: int = Field(ge=1, le=2**20)
    bandwidth_mbit: int | None = Field(default=None, ge=1, le=10**6)


class Expect(Strict):
    """What the one value of a check must be: a number within bounds, a value, or a young moment."""

    min: float | None = None
    max: float | None = None
    equals: bool | float | None = None
    newest_within_minutes: float | None = Field(default=None, gt=0, le=366 * 24 * 60)

    @model_validator(mode="after")
    def _says_something(self) -> Expect:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("name one of min, max, equals, newest_within_minutes")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class BusinessCheck(Strict):
    """One question to the restored copy. ``sql`` gives one number, truth value or time, never a record."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,40}$")
    database: str = Field(pattern=DATABASE)
    sql: str = Field(min_length=1)
    expect: Expect


class AttachmentList(Strict):
    """Which files an application's database knows: ``sql`` gives id, SHA-256 (or null) and when it was made.

    The id is the file's path below the application's folder. ``get`` is where the application serves one,
    {id} in it; ``auth`` the token that its journey saves.
    """

    application: str = Field(min_length=1)
    sql: str = Field(min_length=1)
    get: str | None = Field(default=None, pattern=r"^/.*\{id\}")
    auth: str | None = None


class Backup(Strict):
    """How the estate is backed up: WAL waits at most ``archive_seconds``; ``keep_full`` chains are kept.

    A newest backup older than ``max_age_hours`` alarms, and so does a verification after ``verify_hours``.
    One older than ``migration_hours`` keeps a deploy from migrating a database.
    ``sample`` files are brought back each night. ``textfile`` is where Prometheus' node exporter reads.
    """

    archive_seconds: int = Field(ge=10, le=3600)
    keep_full: int = Field(ge=2, le=1000)
    max_age_hours: int = Field(default=26, ge=1, le=366 * 24)
    verify_hours: int = Field(default=26, ge=1, le=366 * 24)
    migration_hours: int = Field(default=26, ge=1, le=366 * 24)
    sample: int = Field(default=200, ge=1, le=10**6)
    checks: list[BusinessCheck] = Field(default_factory=list)
    attachments: list[AttachmentList] = Field(default_factory=list)
    textfile: Path | None = None
