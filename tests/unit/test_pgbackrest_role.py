"""pgBackRest on the pair: what a new standby is made from, and how many processes work at once."""

from __future__ import annotations

import json
from types import ModuleType, SimpleNamespace
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from role_module import program

from rmc_dr import content

MIB = 2**20


@pytest.fixture(scope="module")
def standby() -> ModuleType:
    """The program by which Patroni makes a standby."""
    return program("roles/pgbackrest/files/standby-from-backup")


def listed(label: str, wal: str, lsn: str, *, base: int = 1, error: bool = False) -> dict[str, Any]:
    return {
        "label": label,
        "database": {"id": base, "repo-key": 1},
        "archive": {"stop": wal},
        "lsn": {"stop": lsn},
        "error": error,
    }


def test_a_standby_comes_from_the_newest_backup_that_its_primarys_history_holds(standby: ModuleType) -> None:
    history = [
        "00000003.history|1\t0/5000000\tno recovery target specified",
        "2\t0/9000000\tno recovery target",
    ]
    ended = standby.forks(history)
    assert ended == {1: 0x5000000, 2: 0x9000000}
    info = [
        {
            "db": [{"id": 1, "repo-key": 1, "system-id": 77}, {"id": 2, "repo-key": 1, "system-id": 78}],
            "backup": [
                listed("first", "000000010000000000000004", "0/4000100"),
                listed("joins", "000000020000000000000008", "0/8000100"),
                listed("beyond the fork", "00000002000000000000000A", "0/A000100"),
                listed("damaged", "00000003000000000000000B", "0/B000100", error=True),
                listed("another cluster", "00000003000000000000000C", "0/C000100", base=2),
            ],
        }
    ]
    assert standby.choose(info, "77", 3, ended)["label"] == "joins"
    assert standby.choose(info, "78", 3, ended)["label"] == "another cluster"
    assert standby.choose(info, "79", 3, ended) is None
    assert standby.choose([], "77", 3, ended) is None


@pytest.mark.parametrize(
    ("cores", "line", "processes"),
    [(8, 0, 8), (8, 100, 1), (8, 350, 1), (8, 351, 2), (8, 1000, 3), (8, 10000, 8), (2, 1000, 2), (1, 10, 1)],
)
def test_no_more_processes_work_than_cores_and_line_can_feed(cores: int, line: int, processes: int) -> None:
    tasks = yaml.safe_load((content.root() / "roles/pgbackrest/tasks/processes.yml").read_text())
    defaults = yaml.safe_load((content.root() / "roles/pgbackrest/defaults/main.yml").read_text())
    about = {
        "pgbackrest_cores": {"stdout": str(cores)},
        "pgbackrest_process_mbit": defaults["pgbackrest_process_mbit"],
        "pgbackrest_bandwidth_mbit": line,
    }
    fed = jinja2.Template(tasks[-1]["vars"]["pgbackrest_fed"]).render(about)
    chosen = jinja2.Template(tasks[-1]["ansible.builtin.set_fact"]["pgbackrest_processes"])
    assert chosen.render({**about, "pgbackrest_fed": fed}) == str(processes)


def test_a_line_that_nobody_described_bounds_nothing() -> None:
    defaults = yaml.safe_load((content.root() / "roles/pgbackrest/defaults/main.yml").read_text())
    known = jinja2.Template(defaults["pgbackrest_bandwidth_mbit"])
    for s3, told in (({}, "0"), ({"bandwidth_mbit": None}, "0"), ({"bandwidth_mbit": 1000}, "1000")):
        assert known.render(estate={"s3": s3}) == told
    for role in ("pgbackrest", "verification"):
        text = (content.root() / f"roles/{role}/templates/pgbackrest.conf.j2").read_text()
        assert "process-max={{ pgbackrest_processes }}" in text


@given(size=st.integers(1, 2**50), replay=st.integers(0, 2**50))
def test_a_standby_comes_from_the_backup_unless_more_wal_than_database_follows_it(
    standby: ModuleType, size: int, replay: int
) -> None:
    assert standby.is_quicker(replay, size) == (replay <= size)


def test_the_wal_behind_a_backup_reaches_to_where_the_primary_stands(standby: ModuleType) -> None:
    backup = {"lsn": {"stop": "1/F0000000"}}
    assert standby.to_replay(backup, standby.position("2/10000000")) == 512 * MIB
    assert standby.to_replay(backup, standby.position("1/E0000000")) == 0, "a standby that lags was asked"


@pytest.mark.parametrize(
    ("written", "code", "restored"),
    [
        ("0/8000100", 0, True),
        (f"0/{0x8000100 + 40 * MIB:X}", 0, True),
        (f"0/{0x8000101 + 40 * MIB:X}", 1, False),
    ],
)
def test_patroni_is_told_to_copy_the_primary_where_that_reads_less(
    standby: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    written: str,
    code: int,
    restored: bool,
) -> None:
    """The calls of one run, as Patroni makes it; a database of 40 MiB."""
    info = [
        {
            "db": [{"id": 1, "repo-key": 1, "system-id": 77}],
            "backup": [{**listed("F", "000000010000000000000008", "0/8000100"), "info": {"size": 40 * MIB}}],
        }
    ]
    calls: list[list[str]] = []

    def run(words: list[str], **_more: Any) -> Any:
        calls.append(words)
        said = json.dumps(info) if words[-1] == "info" else f"77|1|{written}|"
        return SimpleNamespace(stdout=said, returncode=0)

    monkeypatch.setattr(standby.subprocess, "run", run)
    words = ["--scope=pair", "--datadir=/srv/d", "--role=replica", "--connstring=host=db1"]
    monkeypatch.setattr("sys.argv", ["standby-from-backup", *words])
    assert standby.main() == code
    assert (calls[-1][-1] == "restore", "--set=F" in calls[-1]) == (restored, restored)
    said = capfd.readouterr().err
    assert len(said.splitlines()) == code
    assert code == 0 or "the primary is copied instead" in said
