"""Clean nights raise no alarm; each fault of what backups and the pair stand on does, by its name.

Both begin on a lab of blank disks, so that nothing an earlier test left behind hides or excuses an alarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import injections as inject
import pytest
from conftest import Lab
from fault_table import CHECK, DB, STATUS, VERIFY, Look, Reports
from looks import LOOKS, backup_status, look_until
from pair import Pair

from rmc_dr.drill.users import acknowledged, users_at_work, wait_for

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.slow]
NIGHTS = 20
BY_NIGHT = 50  # writes that are acknowledged between two nights
HEAL_SECONDS = 180  # what waits to be archived while the store is away goes after a minute
NOTICE_SECONDS = 90


@pytest.fixture(scope="module")
def pair(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    lab.ok("lab", "up", "--fresh", timeout=1200)
    ledger = tmp_path_factory.mktemp("users") / "ledger.jsonl"
    with users_at_work(lab.estate(), ledger):
        wait_for(ledger, 200)
        lab.ok("backup", "run", "--full")
    lab.ok("backup", "verify", timeout=1800)
    yield Pair(lab)
    lab.ok("lab", "up", "--fresh", timeout=1200)


def test_twenty_clean_nights_raise_no_false_alarm(pair: Pair, tmp_path: Path):
    """One after the other: hosts of the lab share this machine's clock, so no day passes between them."""
    lab, ledger = pair.lab, tmp_path / "ledger.jsonl"
    for night in range(1, NIGHTS + 1):
        with users_at_work(lab.estate(), ledger):
            wait_for(ledger, acknowledged(ledger) + BY_NIGHT)
            lab.ok("backup", "run")
        said = lab.run("backup", "verify", "--json", timeout=1800)
        red = [proof for proof in json.loads(said.out)["proofs"] if not proof["green"]]
        assert (said.code, red) == (0, []), f"night {night}"
        status = backup_status(lab)
        assert (status.verdict, status.said) == ("OK", ""), f"night {night}"


Injection = Callable[[Pair], AbstractContextManager[None]]
# The fault, how it is put in, and what each command must say of it.
FAULTS: dict[str, tuple[Injection, dict[str, str]]] = {
    "the store's certificate has expired": (
        partial(inject.gateway_certificate, lasts=inject.TOO_LATE),
        {CHECK: "its certificate has expired", STATUS: "the certificate of store1 has expired"},
    ),
    "the store's certificate ends in 10 days": (
        partial(inject.gateway_certificate, lasts=inject.ENDS_SOON),
        {STATUS: "the certificate of store1 ends"},
    ),
    "a database host's certificate has expired": (
        partial(inject.standby_certificate, lasts=inject.TOO_LATE),
        {DB: "its certificate has expired", STATUS: "the certificate of {standby} has expired"},
    ),
    "S3 is down": (
        inject.store_down,
        {CHECK: "its S3 service is not", STATUS: "the store does not answer"},
    ),
    "S3 is slow": (inject.store_slow, {CHECK: "speed: "}),
    "S3 is out of room": (
        inject.quota_reached,
        {CHECK: "room: ", STATUS: "room-short"},
    ),
    "the store's disk is nearly full": (
        inject.store_disk_nearly_full,
        {STATUS: "% of store1:/srv is used"},
    ),
    "the store's clock is two hours off": (
        lambda pair: inject.clock_off(pair, inject.STORE, inject.RADOSGW),
        {CHECK: "clock: +7", STATUS: "the clock of store1 is +7"},
    ),
    "a database host's clock is two hours off": (
        lambda pair: inject.clock_off(pair, pair.standby, "patroni.service"),
        {STATUS: "the clock of {standby} is +7"},
    ),
    "the newest backup is from a diverged timeline": (
        inject.stray_backup,
        {STATUS: "is of another history", VERIFY: "is of another history"},
    ),
}


@pytest.mark.parametrize("name", FAULTS, ids=lambda name: name.replace("'", "").replace(" ", "-"))
def test_each_fault_is_named_and_its_clean_twin_is_green(pair: Pair, fault: Reports, name: str):
    injected, looks = FAULTS[name]
    for command in dict.fromkeys([*looks, DB]):
        clean = look_until(pair.lab, command, lambda look: look.green, HEAL_SECONDS)
        if command in looks:
            fault.clean(name, clean)
    with injected(pair):
        for command, words in looks.items():
            named = words.format(standby=pair.standby)
            seen = look_until(pair.lab, command, partial(_names, named), NOTICE_SECONDS)
            fault.hurt(name, seen, named)


def _names(named: str, look: Look) -> bool:
    return named in look.said


def test_every_look_is_green_again(pair: Pair):
    pair.lab.ok("backup", "run", "--full")
    for command in LOOKS:
        look = look_until(pair.lab, command, lambda look: look.green, HEAL_SECONDS)
        assert look.green, look
