"""The lab's pair in the hands of a test: what it is, how it is brought down, how it is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import Lab

from rmc_dr.drill.users import acknowledged, audit, users_at_work, wait_for
from rmc_dr.lab import machine

DATA = "/srv/postgresql/17/pair"
RUN = f"runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_ctl -D {DATA} -w"
# Patroni alone: its unit kills only the main process, so PostgreSQL goes on; `stop` cancels the restart.
KILL_PATRONI = "systemctl kill --kill-whom=main -s KILL patroni; systemctl stop patroni; sleep 1"
AS_STANDBY = f"{KILL_PATRONI}; {RUN} stop -m fast; touch {DATA}/standby.signal; {RUN} start >/dev/null"
SOON = 90


class Pair:
    """The pair of the lab, its nodes named by what they are when the test begins."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        seen = self.until("healthy", "diverged", "standby-down", "no-primary", seconds=120)
        if seen["verdict"] != "healthy":
            seen = self._healthy_again()
        roles = {node["role"]: node["name"] for node in seen["seen"]["nodes"]}
        self.primary, self.standby = roles["primary"], roles["standby"]

    def _healthy_again(self) -> dict[str, Any]:
        """A node that may not or cannot follow any more is made anew; what it held was a test's."""
        deadline = time.monotonic() + 60
        while (seen := self.look())["verdict"] != "healthy":
            if time.monotonic() > deadline:
                if seen["verdict"] == "no-primary":
                    self.lab.ok("db", "failover", "--accept-loss", "--yes")
                    seen = self.look()
                other = next(node["name"] for node in seen["seen"]["nodes"] if node["role"] != "primary")
                kept = self.lab.ok("db", "reinit", other, "--yes", "--json").events()[-1]["kept"]
                self.on(other, f"rm -rf {kept or DATA + '.kept'}")
                return self.until("healthy", seconds=120)
            time.sleep(1)
        return seen

    def look(self) -> dict[str, Any]:
        said = self.lab.run("db", "status", "--json")
        document: dict[str, Any] = json.loads(said.out)
        assert said.code == (0 if document["verdict"] == "healthy" else 1), said.err
        return document

    def until(self, *names: str, seconds: float = SOON) -> dict[str, Any]:
        """Look until the verdict is one of these. Fails with the last look."""
        deadline = time.monotonic() + seconds
        while (seen := self.look())["verdict"] not in names:
            assert time.monotonic() < deadline, json.dumps(seen, indent=1)
            time.sleep(1)
        return seen

    def on(self, host: str, script: str) -> str:
        return self.lab.ok("lab", "exec", host, "sh", "-c", script).out

    def sql(self, host: str, statement: str) -> str:
        return self.on(host, f'runuser -u postgres -- psql -X -A -t -d postgres -c "{statement}"')


def mend(lab: Lab) -> None:
    """Undo what a test did; Patroni itself demotes and rewinds what must not lead.

    The pair before the rest: `lab heal` ends well only once the applications serve.
    """
    for host in ("store1", "db1", "db2"):
        if lab.run("lab", "exec", host, "true").code:
            lab.run("power", "disk", host, "--yes")  # one that does not boot is installed anew by `lab heal`
        lab.run("lab", "exec", host, "sh", "-c", "nft delete table inet cut; systemctl start etcd")
    for host in ("db1", "db2"):
        lab.run("lab", "exec", host, "systemctl", "start", "patroni")
    for words in (["resume"], ["edit-config", "--quiet", "--force", "-s", "postgresql.use_pg_rewind=true"]):
        lab.run("lab", "exec", "db1", "patronictl", "-c", "/etc/patroni/config.yml", *words)
    lab.ok("lab", "heal")


class Users:
    """Users at work on the lab's applications, and what became of what was acknowledged to them."""

    def __init__(self, lab: Lab, ledger: Path) -> None:
        self.estate = lab.estate()
        self.ledger = ledger

    @contextmanager
    def at_work(self, before: int = 200) -> Iterator[None]:
        """Begins once so many writes are acknowledged; behind the block the users go on for a while."""
        with users_at_work(self.estate, self.ledger):
            wait_for(self.ledger, before)
            yield
            self.go_on()

    def go_on(self, count: int = 100) -> None:
        wait_for(self.ledger, acknowledged(self.ledger) + count)

    def nothing_lost(self) -> dict[str, Any]:
        """The audit; fails where an acknowledged write is lost, doubled or missing."""
        audited = audit(self.estate, self.ledger)
        assert (audited["lost"], audited["duplicated"], audited["attachments_missing"]) == (0, 0, 0), audited
        assert audited["acknowledged"] > 200
        return audited


@contextmanager
def sampled(lab: Lab, host: str, heard: dict[str, Any]) -> Iterator[None]:
    """Try to write into a host's PostgreSQL every 100 ms from the application server's own address."""
    estate = lab.estate()
    app = estate.config.applications.apps[0]
    target = estate.host(host)
    password = estate.opened().get("apps", app.name, "database_password")
    words = [
        *machine.inside("app1", [], ["--net"])[:4],
        *(sys.executable, str(Path(__file__).with_name("sampler.py")), host, target.address),
        *(str(estate.private_dir / "ca.pem"), app.database, f"{app.database}_app"),
    ]
    sampling = subprocess.Popen(
        words, env={**os.environ, "SAMPLER_PASSWORD": password}, stdout=subprocess.PIPE, text=True
    )
    try:
        yield
    finally:
        sampling.terminate()
        heard.update(json.loads(sampling.communicate(timeout=30)[0]))
