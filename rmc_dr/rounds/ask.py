"""The one question of an inspection to each host that `check` does not ask: what is installed, how large.

It reads and changes nothing; bounded in time, so that a dead host costs its timeout once.
"""

from __future__ import annotations

import subprocess

from rmc_dr import ssh
from rmc_dr.estate import Estate, Host
from rmc_dr.rounds.told import Told, read

TIMEOUT_SECONDS = 30
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
