"""What attached itself to an incident, judged by its sort before anybody shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from rmc_dr.lines import Count


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Evidence(_Fields):
    id: Annotated[str, Field(pattern=r"^\w[\w.-]*$")]  # the name of a folder
    files: Count = 0
    bytes: Count = 0
    manifest_sha256: str = ""
    copied: bool = False


class _Report(_Fields):
    id: str
    kind: str = ""
    next_report: str | None = None


class _Wal(_Fields):
    holder: str | None = None
    newest: Count | None = None
    bytes: Count | None = None


class _Attachments(_Fields):
    application: str | None = None
    rows_without_file: Count | None = None
    files_without_row: Count | None = None


class _Audit(_Fields):
    entries: Count = 0
    first_error: Any = None  # told by told.first_error, whatever it is
    wal: _Wal | None = None
    attachments: list[_Attachments] | None = None


class _Diagnosis(_Fields):
    tree: str = ""
    host: str = ""
    leaf: str = ""
    way: str = ""


class _Drill(_Fields):
    id: str
    drill: str = ""


class _Alarm(_Fields):
    state: str
    code: str
    area: str = ""
    host: str | None = None
    level: str = ""


_SORTS: Mapping[str, type[_Fields]] = {
    "evidence": _Evidence,
    "report": _Report,
    "audit": _Audit,
    "diagnosis": _Diagnosis,
    "drill": _Drill,
    "alarm": _Alarm,
}


def judge(fields: Mapping[str, Any]) -> None:
    """Raises ValueError, TypeError or KeyError for what nothing can have attached."""
    what = fields["what"]
    if not isinstance(what, str):
        raise TypeError(f"what: {what!r}")
    if what in _SORTS:
        _SORTS[what].model_validate(dict(fields))
