"""A thief of the writer's key spoils every backup, then both database hosts lose their disks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from rmc_dr import rebuild, store_rewind
from rmc_dr.drill.lost_hosts import rebuild_from_store
from rmc_dr.drill.rehearsal import Recovery, Say, Scene
from rmc_dr.drill.stored import archived_until, have_a_backup
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab import faults
from rmc_dr.observe.backups import REPOSITORY, objects
from rmc_dr.plans.moment import Moment
from rmc_dr.plans.rebuild_estate import hosts_of
from rmc_dr.record import RunState, find, read
from rmc_dr.store.client import client

APART_SECONDS = 2  # stores tell versions apart by the second
AT_ONCE = 8
PLAN = "rebuild-pair"


class Ransom:
    """Makes sure of a backup first. Raises Error where there can be none."""

    name = "ransom"
    how = "store"

    def __init__(self, estate: Estate, say: Say, listeners: Sequence[rebuild.Listener]) -> None:
        self.estate, self._say, self._listeners = estate, say, listeners
        self._names = [host.name for host in hosts_of(estate, PLAN)]
        self._trusted = datetime.now(UTC)
        self._broke_time = 0.0
        have_a_backup(estate, say)

    @property
    def host(self) -> str:
        return ", ".join(self._names)

    def break_(self) -> None:
        time.sleep(APART_SECONDS)
        self._trusted = datetime.now(UTC)
        time.sleep(APART_SECONDS)
        self._say(_("A thief spoils every backup, then the disks go."))
        spoil(self.estate)
        self._broke_time = time.time()
        for name in self._names:
            faults.break_host(self.estate, name, "blank")

    def recover(self, scene: Scene) -> Recovery:  # noqa: ARG002 a rebuild measures itself
        began = time.monotonic()
        done = store_rewind.rewind(self.estate, Moment(self._trusted))
        rewound = time.monotonic() - began
        self._say(
            _("{count} objects brought back in {seconds:.0f} s.").format(count=done.back, seconds=rewound)
        )
        run = rebuild_from_store(self.estate, PLAN, self._listeners)
        rebuilt = RunState.of(read(find(run))).rto_seconds or 0.0
        return Recovery(
            run,
            rewound + rebuilt,
            {"rewind": rewound, "rebuild": rebuilt},
            writes_until=archived_until(self.estate, self._trusted.timestamp()),
            broke_time=self._broke_time,
        )

    def mend(self) -> None:
        """What recovered it left nothing broken; the thief's versions stay behind until their lock ends."""


def spoil(estate: Estate) -> None:
    """Hide every backup with the key that lies on the hosts, and put junk in its place."""
    bucket = estate.config.s3.bucket
    seen = client(estate, "verifier")
    keys = [key for folder in (f"{REPOSITORY}/", "files/") for key, _time in objects(seen, bucket, folder)]
    thief = client(estate, "writer")

    def one(key: str) -> None:
        thief.delete_object(Bucket=bucket, Key=key)
        thief.put_object(Bucket=bucket, Key=key, Body=b"pay")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, keys))
