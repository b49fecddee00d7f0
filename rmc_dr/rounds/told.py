"""What a host answered to an inspection's question. Pure; what it did not tell is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
# Product -> the Debian package whose version is the product's.
PRODUCTS = {
    "patroni": r"patroni",
    "pgbackrest": r"pgbackrest",
    "etcd": r"etcd-server",
    "restic": r"restic",
    "java": r"openjdk-\d+-jre-headless",
    "openssl": r"openssl",
    "openssh": r"openssh-server",
    "ceph": r"ceph-mon",
}
HASH_BEHIND = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True)
class Told:
    """What a host said of itself. ``runtime`` and ``driver`` are SHA-256 of what was installed."""

    os: str | None = None
    kernel: str | None = None
    booted: datetime | None = None
    software: Mapping[str, str] = field(default_factory=dict)
    applications: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, str] = field(default_factory=dict)
    databases: Mapping[str, int] = field(default_factory=dict)
    runtime: str = ""
    driver: str = ""


def read(said: str) -> Told:
    """What a host's lines say; a line that is odd is left out. Pure."""
    single = {key: rest for key, rest in _lines(said) if rest}
    packages = dict(_pairs(said, "package"))
    software = {
        name: packages[package]
        for name, pattern in PRODUCTS.items()
        for package in sorted(packages)
        if re.fullmatch(pattern, package)
    }
    if found := single.get("postgresql"):
        software["postgresql"] = found
    if found := single.get("liberty"):
        software["liberty"] = HASH_BEHIND.sub("", found)
    return Told(
        os=single.get("os"),
        kernel=single.get("kernel"),
        booted=_moment(single.get("booted", "")),
        software=software,
        applications=dict(_pairs(said, "application")),
        packages=packages,
        databases={name: int(size) for name, size in _pairs(said, "database") if _is_count(size)},
        runtime=single.get("runtime", ""),
        driver=single.get("driver", ""),
    )


def _lines(said: str) -> Iterator[tuple[str, str]]:
    for line in said.split("\n"):
        key, _space, rest = line.partition(" ")
        yield key, rest.strip()


def _pairs(said: str, wanted: str) -> Iterator[tuple[str, str]]:
    for key, rest in _lines(said):
        name, space, value = rest.partition(" ")
        if key == wanted and space and value:
            yield name, value


def _moment(text: str) -> datetime | None:
    stamp = text.removeprefix("@")
    if not _is_count(stamp) or not 0 < int(stamp) < LATEST:
        return None
    return datetime.fromtimestamp(int(stamp), UTC)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
