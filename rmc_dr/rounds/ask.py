"""The one question of an inspection to each host that `check` does not ask: what is installed, how large.

It reads and changes nothing; bounded in time, so that a dead host costs its timeout once.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rmc_dr import ssh
from rmc_dr.estate import Estate, Host

TIMEOUT_SECONDS = 30
LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
# Each line is a key and what belongs to it; what a host does not have is left out.
EVERYWHERE = r"""
export LC_ALL=C; cd /
echo "os $(. /etc/os-release && echo "$PRETTY_NAME")"
echo "kernel $(uname -r)"
echo "booted $(systemctl show --property=UserspaceTimestamp --value --timestamp=unix)"
dpkg-query --show --showformat='${db:Status-Status} ${Package} ${Version}\n' |
  sed -n 's/^installed /package /p'
"""
APPLICATIONS = r"""
[ ! -r /opt/liberty/current/.runtime ] || echo "runtime $(cut -d' ' -f1 /opt/liberty/current/.runtime)"
[ ! -e /opt/liberty/current ] || echo "liberty $(basename "$(readlink -f /opt/liberty/current)")"
[ ! -r /opt/liberty/drivers/postgresql.jar ] ||
  echo "driver $(sha256sum /opt/liberty/drivers/postgresql.jar | cut -d' ' -f1)"
for link in /opt/apps/*/current; do
  [ ! -L "$link" ] || echo "application $(basename "$(dirname "$link")") $(basename "$(readlink "$link")")"
done
"""
DATABASES = r"""
export PGOPTIONS='-c statement_timeout=8s' PGCONNECT_TIMEOUT=5
runuser -u postgres -- psql --no-psqlrc --port={port} --tuples-only --no-align --command="
  select 'postgresql ' || current_setting('server_version')
  union all
  select 'database ' || datname || ' ' || pg_database_size(oid) from pg_database where not datistemplate
" </dev/null
"""
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


def question(estate: Estate, host: Host) -> str:
    """The script that the host runs."""
    parts = [EVERYWHERE]
    if {"appserver", "verifier"} & set(host.groups):
        parts.append(APPLICATIONS)
    if "dbserver" in host.groups:
        parts.append(DATABASES.replace("{port}", str(estate.config.database.port)))
    return "".join(parts)


def ask(estate: Estate, host: Host) -> Told:
    """Ask once. Raises OSError where the host did not answer, or not in time."""
    try:
        done = ssh.ask(estate, host, question(estate, host), TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise TimeoutError(f"no answer within {TIMEOUT_SECONDS} s") from None
    told = read(done.stdout)
    if not told.packages:
        raise OSError(" ".join(done.stderr.split())[-200:] or f"ssh ended with {done.returncode}")
    return told


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
