"""Replaced hardware on real hosts: refused, adopted, and rebuilt with the old machine locked out for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from uuid import uuid4

import pytest
from conftest import INVENTORY, Lab, serving

from rmc_dr.lab import disks, hardware, place

pytestmark = [pytest.mark.lab, pytest.mark.long]
VERIFIERS = (
    "select string_agg(rolname || rolpassword, ' ' order by rolname) from pg_authid"
    " where rolname in ('management_app', 'verification_app')"
)


@pytest.fixture
def replaced(healthy: Lab) -> Iterator[Lab]:
    """app1 has another board and another, blank disk; afterwards the old ones are put back."""
    healthy.ok("backup", "run", "--files", timeout=600)  # what the new disk gets
    healthy.ok("lab", "break", "app1", "--how", "off")
    old = hardware.of("app1")
    new = replace(old, machine=str(uuid4()), disk="spare.img")
    disks.make_blank(new.image, new.size_gib)
    put_in(new)
    yield healthy
    healthy.run("lab", "break", "app1", "--how", "off")
    put_in(old)  # first of all: with foreign hardware left in, no later test could heal the lab
    (INVENTORY / "host_vars" / "app1.yml").unlink(missing_ok=True)
    healthy.run("runs", "abandon", "last", "--reason", "end of the test")
    new.image.unlink()
    # The old system still has the old passwords.
    healthy.ok("rebuild", "appserver", "--yes", timeout=1500)


def put_in(machine: hardware.Hardware) -> None:
    place.write_state(place.host_folder("app1") / hardware.FILE, asdict(machine))


def sql(lab: Lab, statement: str) -> str:
    line = f'runuser -u postgres -- psql -X -A -t -d postgres -c "{statement}"'
    return lab.ok("lab", "exec", "db1", "sh", "-c", line).out.strip()


def database_passwords(lab: Lab) -> set[str]:
    estate = lab.estate()
    names = [app.name for app in estate.config.applications.apps]
    return {estate.opened().get("apps", name, "database_password") for name in names}


def test_replacement_hardware_is_taken_in(replaced: Lab):
    verifiers, passwords = sql(replaced, VERIFIERS), database_passwords(replaced)
    said = replaced.run("rebuild", "appserver", "--yes", timeout=900)
    assert (said.code, "the estate names" in said.err) == (3, True), said.err
    assert disks.read_table(hardware.of("app1").image) == []
    replaced.ok("runs", "abandon", "last", "--reason", "the hardware was replaced")

    assert replaced.run("host", "adopt", "app1", "--confirm", "db1").code == 2
    replaced.ok("host", "adopt", "app1", "--confirm", "app1")
    replaced.ok("rebuild", "appserver", "--fence-method", "credential", "--yes", timeout=1500)

    assert serving(replaced)
    assert verifiers != ""
    assert sql(replaced, VERIFIERS) != verifiers
    assert passwords.isdisjoint(database_passwords(replaced))
