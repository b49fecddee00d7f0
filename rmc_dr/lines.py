"""A journal's bytes and what they say: whatever is read from a record is judged here before it is believed.

Pure. Behind this module every event has the fields, of the kinds and within the bounds, that its readers use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from rmc_dr.history import Event
from rmc_dr.untrusted import shallow

_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)


def _moment(text: str) -> str:
    if text not in ("", "latest"):
        _aware(text)
    return text


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None or not _EARLIEST < moment < _LATEST:
        raise ValueError(text)
    return moment.astimezone(UTC)


Number = Annotated[float, Field(ge=0, le=1e15)]
Count = Annotated[int, Field(ge=0, le=10**18)]
Moment = Annotated[str, AfterValidator(_moment)]  # a time with its zone, "latest", or "" for none


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Stage(_Fields):
    name: str
    budget_minutes: Number
    destructive: bool


class _Options(_Fields):
    restore_to: Moment = ""


class _Started(_Fields):
    run_id: str
    plan: str
    target: str
    estate: str
    operator: str
    stages: list[_Stage]
    options: _Options = _Options()
    destroys: list[str] = []
    restores: list[str] | None = None
    archived_at: Moment | None = None
    rto_hours: Number | None = None
    boot: str = ""
    centre: str | None = None
    host: str | None = None
    tool_version: str | None = None
    kit: str | None = None


class _Resumed(_Fields):
    boot: str = ""


class _StageStarted(_Fields):
    name: str
    budget_minutes: Number = 0


class _StageFinished(_Fields):
    name: str
    status: str = ""
    seconds: Number = 0
    changed: Count = 0


class _Progress(_Fields):
    done: Count
    total: Count | None = None


class _Attachments(_Fields):
    known: Count
    missing: Count
    first: list[str]


class _Restored(_Fields):
    newest: Moment
    lsn: str
    timeline: str | int
    backup: str


class _Flushed(_Fields):
    time: Moment = ""


class _HostFacts(_Fields):
    attachments: dict[str, _Attachments] = {}
    restore: _Restored | None = None
    flush: _Flushed | None = None


class _Facts(_Fields):
    hosts: dict[str, _HostFacts] = {}


class _Finished(_Fields):
    outcome: str
    rto_seconds: Number | None = None


_FIELDS: dict[str, TypeAdapter[Any]] = {
    "run-started": TypeAdapter(_Started),
    "run-resumed": TypeAdapter(_Resumed),
    "stage-started": TypeAdapter(_StageStarted),
    "stage-finished": TypeAdapter(_StageFinished),
    "progress": TypeAdapter(_Progress),
    "facts": TypeAdapter(_Facts),
    "run-finished": TypeAdapter(_Finished),
}
_SEQ, _MONO = TypeAdapter(Annotated[int, Field(strict=True, ge=1)]), TypeAdapter(Number)


@dataclass(frozen=True)
class Scan:
    """The events up to the first line that is none, the bytes they take, and the bytes of a torn tail.

    ``bad`` lines of a damaged journal cannot be read, or stand where they do not belong; ``first_bad`` is
    the number of the first, from 1. Only a journal without any may be gone on with.
    """

    events: tuple[Event, ...]
    good: int
    torn: int
    bad: int = 0
    first_bad: int = 0


def scan(data: bytes) -> Scan:
    """Read a journal. What a power cut left behind the last newline, or as zeros, is torn and no damage."""
    lines = data.splitlines(keepends=True) if b"\r" not in data else _split(data)
    parsed = [_loaded(line) for line in lines]
    events: list[Event] = []
    for raw in parsed:
        event = _event(raw)
        if event is None or event.seq != len(events) + 1:
            break
        events.append(event)
    good = sum(map(len, lines[: len(events)]))
    rest = parsed[len(events) :]
    if not any(isinstance(raw, dict) for raw in rest):
        return Scan(tuple(events), good, len(data) - good)
    bad = max(1, sum(_event(raw) is None for raw in rest))
    return Scan(tuple(events), good, 0, bad, len(events) + 1)


def to_line(event: Event) -> bytes:
    """An event as the journal keeps it: one JSON object and a newline."""
    stamp = event.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = {"seq": event.seq, "time": stamp, "mono": event.mono, "event": event.event}
    text = json.dumps({**head, **event.fields}, ensure_ascii=False, separators=(", ", ": "))
    return f"{text}\n".encode(errors="backslashreplace")


def _split(data: bytes) -> list[bytes]:
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _loaded(line: bytes) -> Any:
    """The JSON value of a whole line; None for what is none, or none that anybody of ours wrote."""
    if not line.endswith(b"\n"):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _event(raw: Any) -> Event | None:
    if not isinstance(raw, dict) or not shallow(raw):
        return None
    fields = dict(raw)
    try:
        seq, stamp, mono, name = (fields.pop(key) for key in ("seq", "time", "mono", "event"))
        if not isinstance(name, str):
            return None
        if name in _FIELDS:
            _FIELDS[name].validate_python(fields)
        return Event(
            _SEQ.validate_python(seq),
            _aware(stamp),
            _MONO.validate_python(mono, strict=True),
            name,
            fields,
        )
    except (ValidationError, ValueError, TypeError, KeyError, OverflowError):
        return None
