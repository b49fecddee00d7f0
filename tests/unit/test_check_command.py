"""`rmc-dr check` as people, Nagios and Prometheus see it; what it looks at is played by the test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from check_world import healthy, host, silent
from click.testing import CliRunner, Result

from rmc_dr import backup, journey
from rmc_dr.backups import Level
from rmc_dr.check import look as looking
from rmc_dr.check.findings import Area, Finding
from rmc_dr.check.monitoring import nagios, prometheus
from rmc_dr.check.roads import Road
from rmc_dr.check.seen import Certificate, FileSystem, HostSeen, Reached, Seen, Way
from rmc_dr.cli.check import check
from rmc_dr.cli.common import Context
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.kit import verify
from rmc_dr.model import Check
from rmc_dr.store.knock import Knock

Run = Callable[..., Result]


@pytest.fixture
def run(ours: Estate, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with these looks one after another."""
    estate = ours
    monkeypatch.setattr(Context, "estate", lambda _self: estate)

    def call(*words: str, seen: Seen | Error | list[Seen]) -> Result:
        looks = seen if isinstance(seen, list) else [seen]

        def look(_estate: Estate) -> Seen:
            found = looks.pop(0) if len(looks) > 1 else looks[0]
            if isinstance(found, Error):
                raise found
            return found

        monkeypatch.setattr(looking, "look", look)
        return CliRunner().invoke(check, list(words), obj=Context(), standalone_mode=False)

    return call


@pytest.fixture
def ill(estate: Estate) -> Seen:
    return host(healthy(estate), "app1", filesystems=(FileSystem("/srv", 100, 1, 10, 9),))


def test_all_is_well(run: Run, estate: Estate) -> None:
    done = run(seen=healthy(estate))
    assert (done.return_value, done.output) == (0, "All is well with lab: 5 hosts in 1.5 s.\n")


def test_people_read_the_worst_first_and_what_to_do(run: Run, estate: Estate, ill: Seen) -> None:
    done = run(seen=silent(ill, "db2"))
    assert done.return_value == 1
    lines = done.output.splitlines()
    assert lines[0].split() == ["level", "where", "code", "what", "was", "seen"]
    assert lines[1].split()[:3] == ["critical", "db2", "host-silent"]
    assert lines[2].split()[:3] == ["critical", "app1", "disk-full"]
    assert "Next: rmc-dr power status db2" in done.output


def test_machines_read_findings_and_all_that_was_seen(run: Run, ill: Seen) -> None:
    done = run("--json", seen=ill)
    document = json.loads(done.output)
    assert (document["level"], done.return_value) == ("CRITICAL", 1)
    (finding,) = document["findings"]
    assert finding == {
        "level": "CRITICAL",
        "code": "disk-full",
        "area": "appserver",
        "host": "app1",
        "text": "the disk /srv of app1 is 99% full, 1 B are left",
        "value": 99.0,
        "threshold": 95.0,
        "next": "",
    }
    assert document["seen"]["hosts"]["app1"]["facts"]["memory"]["total"] > 0


@pytest.mark.parametrize(
    ("level", "code"), [(None, 0), (Level.WARNING, 1), (Level.CRITICAL, 2), (Level.UNKNOWN, 3)]
)
def test_nagios_reads_one_line_and_its_exit_code(
    run: Run, estate: Estate, level: Level | None, code: int
) -> None:
    seen = healthy(estate)
    if level is Level.WARNING:
        seen = host(seen, "app1", failed=("a.service",))
    elif level is Level.CRITICAL:
        seen = host(seen, "app1", fence=True)
    elif level is Level.UNKNOWN:
        seen = host(seen, "app1", errors={"units": "hangs"})
    done = run("--nagios", seen=seen)
    assert done.return_value == code
    assert done.output.count("\n") == 1
    assert done.output.startswith(f"RMC-DR {(level or Level.OK).name}: ")


def test_nagios_hears_of_a_look_that_could_not_be_taken(run: Run) -> None:
    done = run("--nagios", seen=BadInput("vault-closed", "The vault is closed | and shut.", "Open it."))
    assert (done.return_value, done.output) == (3, "RMC-DR UNKNOWN: The vault is closed / and shut.\n")


def test_nagios_is_told_the_first_ones_and_how_many_more() -> None:
    found = [Finding(Level.WARNING, f"c{n}", Area.KIT, "", "a\nb|c\x1b[31m") for n in range(7)]
    line = nagios(found, 1.25)
    assert line.endswith("; and 2 more | warning=7 critical=0 unknown=0 seconds=1.25s")
    assert line.count("|") == 1
    assert "\x1b" not in line


def test_prometheus_reads_each_series_once(run: Run, estate: Estate, ill: Seen, tmp_path: Path) -> None:
    path = tmp_path / "check.prom"
    two = (FileSystem("/srv", 100, 1, 10, 9), FileSystem('/a"b', 100, 1, 10, 9))
    done = run("--textfile", str(path), "--nagios", seen=host(ill, "app1", filesystems=two))
    assert done.return_value == 2
    lines = path.read_text().splitlines()
    assert 'rmc_dr_check_level{estate="lab"} 2' in lines
    finding = (
        'rmc_dr_check_finding{estate="lab",area="appserver",host="app1",code="disk-full",level="critical"} 1'
    )
    assert lines.count(finding) == 1
    assert 'rmc_dr_check_disk_free_bytes{estate="lab",host="app1",path="/a\\"b"} 1.000' in lines
    assert 'rmc_dr_check_host_up{estate="lab",host="db1"} 1.000' in lines
    series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series))
    types = [line for line in lines if line.startswith("#")]
    assert len(types) == len(set(types))


def test_prometheus_hears_of_a_dead_host(estate: Estate) -> None:
    seen = silent(healthy(estate), "db2")
    assert 'rmc_dr_check_host_up{estate="lab",host="db2"} 0.000' in prometheus(seen, [], "lab")


def test_a_textfile_that_cannot_be_written_costs_nothing_else(
    run: Run, estate: Estate, ill: Seen, tmp_path: Path
) -> None:
    """As on a full disk: Nagios has its line and code, people have theirs."""
    nowhere = str(tmp_path / "no-such" / "check.prom")
    said = f"{nowhere} could not be written: "
    done = run("--nagios", "--textfile", nowhere, seen=ill)
    assert done.return_value == 2
    assert done.stdout.startswith("RMC-DR CRITICAL: disk-full")
    assert said in done.stderr
    done = run("--textfile", nowhere, seen=ill)
    assert (done.return_value, "disk-full" in done.stdout, said in done.stderr) == (1, True, True)
    assert run("--textfile", nowhere, seen=healthy(estate)).return_value == 1, (
        "a job that does not do its work"
    )


@pytest.mark.parametrize("confirm", ["3/2", "0/1", "x", "1/2/3", "1/-1", "²/3", "1/1000"])
def test_a_rule_that_is_none_is_refused(run: Run, estate: Estate, confirm: str) -> None:
    done = run("--watch", "--confirm", confirm, seen=healthy(estate))
    assert isinstance(done.exception, BadInput)
    assert done.exception.code == "confirm-rule"


class Everything:
    """Stands in for all that a look asks; each part answers by what the test says."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.store = Knock()
        self.backup_looks = 0

    def probe(self, _estate: Estate, wanted: Any, _peers: Any) -> HostSeen:
        return self.seen.hosts[wanted.name]

    def visit(self, road: Road, _trust: Any) -> tuple[Reached, Certificate | None]:
        return Reached(Way.OPEN, 1.0), Certificate(road.to, road.service, 900.0)

    def backups(self, _estate: Estate) -> None:
        self.backup_looks += 1

    def travel(self, *_given: Any, **options: Any) -> list[Check]:
        assert options["up_to_login"]
        return [Check("journey", True)]


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch, estate: Estate) -> Everything:
    stands_in = Everything(healthy(estate))
    monkeypatch.setattr(looking, "tls_context", lambda _estate: None)
    monkeypatch.setattr(looking.remote, "observe", stands_in.probe)
    monkeypatch.setattr(looking, "visit", stands_in.visit)
    monkeypatch.setattr(looking, "observe_pair", lambda _estate: stands_in.seen.pair)
    monkeypatch.setattr(
        looking, "observe_activity", lambda _estate, one: stands_in.seen.activity[one.name == "db2"]
    )
    monkeypatch.setattr(looking, "_health", lambda _estate, _host: stands_in.seen.health[0])
    monkeypatch.setattr(journey, "travel", stands_in.travel)
    monkeypatch.setattr(looking, "knock", lambda _where: stands_in.store)
    monkeypatch.setattr(backup, "look", stands_in.backups)
    monkeypatch.setattr(backup, "judge", lambda _estate, seen, _late: _judged(seen))
    monkeypatch.setattr(looking, "glance", lambda *_given: _raise(verify._tampered("x")))
    monkeypatch.setattr(looking.schedule, "late", lambda _estate: {})
    monkeypatch.setattr(looking.schedule, "status", lambda _estate: [])
    return stands_in


def _judged(seen: Any) -> list[Any]:
    return [] if seen is None else list(seen.errors)


def _raise(error: Error) -> None:
    raise error


def test_one_look_asks_everything(everything: Everything, estate: Estate) -> None:
    seen = looking.look(estate)
    assert (set(seen.hosts), set(seen.here)) == (set(everything.seen.hosts), {"app1", "db1", "db2", "store1"})
    assert len(seen.logins) == 2
    assert len(seen.certificates) == sum(map(len, seen.here.values()))
    assert (seen.kit.code if seen.kit else "") == "kit-tampered"
    assert seen.backups == ()
    assert seen.errors == {}


def test_a_part_that_fails_is_named_and_the_rest_is_seen(
    everything: Everything, estate: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "observe_activity", lambda _estate, _one: _raise(Error("x", "Gone.", "")))
    monkeypatch.setattr(backup, "look", lambda _estate: {}["repo1"])
    seen = looking.look(estate)
    assert seen.errors == {"activity db1": "Gone.", "activity db2": "Gone.", "backups": "'repo1'"}
    assert seen.pair is not None


def test_behind_a_silent_store_nothing_is_waited_for(everything: Everything, estate: Estate) -> None:
    everything.store = Knock(silent="refused")
    assert looking.look(estate).backups == ("store",)
    assert everything.backup_looks == 0


def test_without_secrets_nothing_is_looked_at(everything: Everything, estate: Estate) -> None:
    with pytest.raises(BadInput):
        looking.look(replace(estate, secrets=None))
