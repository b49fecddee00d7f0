"""The sources of evidence: readable data (sources.yml), made into shell lines. Pure but for reading it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from rmc_dr.estate import Estate, Host
from rmc_dr.strict import Strict

FILE = Path(__file__).with_name("sources.yml")
Place = Literal["system", "disk"]
CONTROL = "control"  # this machine, as a place that network devices send their logs to
NETWORK_LOG = "network-log"
# Private to the one process: nobody else sees the old root, and it is gone with the process.
OLD_ROOT = "ROOT=/run/rmc-dr/old; mkdir -p $ROOT && mount -o ro,noload {device} $ROOT || exit 32\n"


class Source(Strict):
    """One thing that is kept. ``seconds`` and ``mib`` bound it; the file sources.yml explains each key."""

    name: str = Field(pattern=r"^[a-z][a-z-]{1,30}$")
    groups: tuple[str, ...] = Field(min_length=1)
    at: Literal["system", "disk", "both"] = "system"
    suffix: str = Field(pattern=r"^[a-z]{2,5}$")
    seconds: int = Field(ge=5, le=600)
    mib: int = Field(ge=1)
    patient: bool
    heap: bool = False
    audit: bool = False
    each: Literal["attachments", "network_logs"] | None = None
    command: str = Field(min_length=1)


@dataclass(frozen=True)
class Window:
    """From when to when logs are read, in seconds of the epoch."""

    since: float
    until: float


@dataclass(frozen=True)
class Task:
    """One source on one host: ``line`` is run there by sh, ``file`` is what it becomes here."""

    host: str
    source: Source
    label: str
    line: str

    @property
    def file(self) -> str:
        return f"{self.host}/{self.label}.{self.source.suffix}"


@cache
def all_sources() -> tuple[Source, ...]:
    return tuple(Source.model_validate(entry) for entry in yaml.safe_load(FILE.read_text(encoding="utf-8")))


def tasks(
    estate: Estate, hosts: Sequence[Host], window: Window, *, heap: bool = False, audit: bool = False
) -> list[Task]:
    """What is asked of these hosts; ``audit`` leaves out what no timeline needs."""
    most = {"mib": estate.config.evidence.heap_mib}
    wanted = [
        source.model_copy(update=most) if source.heap else source
        for source in all_sources()
        if source.at != "disk" and (heap or not source.heap) and (not audit or source.audit)
    ]
    found = [
        task
        for host in hosts
        for source in wanted
        if "all" in source.groups or set(source.groups) & set(host.groups)
        for task in _each(estate, host.name, source, _variables(estate, window))
    ]
    names = [host.name for host in hosts] + [CONTROL]
    logs = [
        task
        for source in wanted
        if NETWORK_LOG in source.groups
        for name in names
        for task in _each(estate, name, source, _variables(estate, window))
    ]
    return found + logs


def disk_tasks(estate: Estate, host: Host, device: str, window: Window) -> list[Task]:
    """What is asked of a host's rescue system about the old root on ``device``."""
    before = OLD_ROOT.format(device=shlex.quote(device))
    variables = _variables(estate, window)
    return [
        Task(host.name, source, f"disk-{source.name}", _line(source, variables, before))
        for source in all_sources()
        if source.at != "system" and ("all" in source.groups or set(source.groups) & set(host.groups))
    ]


def _variables(estate: Estate, window: Window) -> dict[str, str]:
    return {
        "SINCE": f"{window.since:.0f}",
        "UNTIL": f"{window.until:.0f}",
        "CLUSTER": estate.config.database.cluster,
        "PORT": str(estate.config.database.port),
        "ATTACHMENTS": "/srv/attachments",
        "LC_ALL": "C.UTF-8",
    }


def _each(estate: Estate, host: str, source: Source, variables: Mapping[str, str]) -> Iterator[Task]:
    """One task, or one for every entry of the estate's list that the source goes by."""
    if source.each is None:
        yield Task(host, source, source.name, _line(source, variables))
    elif source.each == "attachments":
        databases = {app.name: app.database for app in estate.config.applications.apps}
        for entry in estate.config.backup.attachments:
            if entry.application in databases:
                more = {"APP": entry.application, "DATABASE": databases[entry.application], "SQL": entry.sql}
                line = _line(source, {**variables, **more})
                yield Task(host, source, f"{source.name}-{entry.application}", line)
    else:
        logs = [log for log in estate.config.evidence.network_logs if log.host == host]
        for number, log in enumerate(logs, 1):
            yield Task(
                host, source, f"{source.name}-{number}", _line(source, {**variables, "LOGS": log.path})
            )


def _line(source: Source, variables: Mapping[str, str], before: str = "") -> str:
    """The one word that a remote shell runs: bounded there as well, and out of the way of the host's work."""
    assigned = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    script = f"export LC_ALL\n{assigned}{before}{source.command}"
    alone = "unshare --mount --propagation private " if before else ""
    return f"exec nice -n 10 timeout --kill-after=2 {source.seconds} {alone}sh -c {shlex.quote(script)}"
