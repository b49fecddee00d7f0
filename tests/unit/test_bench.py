"""The benchmark: ratios, sections of the page, parts of an outage, the filling, and what is left behind."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from botocore.response import StreamingBody
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content

sys.path.insert(0, str(content.root() / "tests" / "bench"))
import bench
import filling
import limit
import measure
import nightly
import outage
import page
import side_restore
import whole_pair

SECONDS = st.floats(0, 1000)


def row(size: int, ours: list[float], theirs: list[float], aim: float = 1.3) -> measure.Row:
    return measure.Row("restore", "the limit", ours, theirs, aim, size)


@pytest.mark.parametrize(
    ("ours", "said"), [([13.0, 12.0, 14.0], "1.30x |"), ([13.2], "1.32x (lost) |"), ([1.0], "0.10x |")]
)
def test_a_ratio_above_its_aim_is_lost(ours: list[float], said: str):
    assert said in row(1, ours, [10.0, 9.0, 11.0]).line()


def test_a_line_names_size_and_spread():
    line = row(8, [3.0, 1.0, 2.0], [1.0]).line()
    assert line.startswith("| restore, 8 GiB | 2.00 (1.00 to 3.00) | the limit: 1.00 (1.00 to 1.00) |")


def test_growth_is_told_of_each_measure_that_has_two_sizes():
    other = measure.Row("pair", "one host", [5.0], [5.0], 1.3, 1)
    lines = measure.growth([row(1, [2.0], [1.0]), row(8, [10.0], [9.0]), other])
    assert lines == [
        "From 1 to 8 GiB (8x the data): restore takes 5.0x as long, the limit 9.0x.",
    ]


def test_a_part_fills_its_own_section_alone():
    text = (
        "before\n<!-- bench: a -->\nold\n<!-- end: a -->\nwhy\n<!-- bench: b -->\nb\n<!-- end: b -->\nafter\n"
    )
    once = page.filled(text, "a", "new")
    assert once == text.replace("old\n", "\nnew\n\n")
    assert page.filled(once, "a", "new") == once
    with pytest.raises(ValueError, match="'c'"):
        page.filled(text, "c", "new")


@pytest.mark.parametrize("part", bench.PARTS)
def test_the_page_has_every_part(part: str):
    assert f"\n\n{part}\n\n<!-- end" in page.filled(page.PAGE.read_text(), part, part)


def test_parts_and_sizes_can_be_chosen():
    chosen = bench.arguments(["restore", "--size", "1", "--rounds", "1"])
    assert (chosen.parts, chosen.sizes, chosen.rounds) == (["restore"], [1], 1)
    assert bench.arguments([]).sizes == [1, 8]
    assert bench.arguments(["--sizes", "8,1"]).sizes == [1, 8]


@pytest.mark.parametrize("words", [["restor"], ["--sizes", "0"], ["--sizes", "x"], ["--rounds", "0"]])
def test_what_is_no_part_size_or_round_is_refused(words: list[str]):
    with pytest.raises(SystemExit) as refused:
        bench.arguments(words)
    assert refused.value.code == 2


@given(began=SECONDS, length=SECONDS, noticed=st.none() | SECONDS, wrote=SECONDS)
def test_the_parts_of_an_outage_are_the_whole(
    began: float, length: float, noticed: float | None, wrote: float
):
    parts = outage.split(began, noticed, wrote, began + length)
    known = [parts.detection, parts.promotion, parts.reconnection]
    assert all(part is None or part >= 0 for part in known)
    if noticed is not None:
        assert sum(part or 0 for part in known) == pytest.approx(parts.outage, abs=1e-9)


def test_an_outage_is_split_at_its_moments():
    assert outage.split(10.0, 28.0, 28.5, 30.0) == outage.Split(20.0, 18.0, 0.5, 1.5)
    assert outage.split(10.0, None, 14.0, 15.0) == outage.Split(5.0, None, None, 1.0)


def test_patroni_is_heard_from_the_break_on():
    said = [
        "1732524000.100000 db1 patroni[7]: 2024-11-25 WARNING: Postgresql is not running.",
        "1732524010.000000 db1 patroni[7]: 2024-11-25 INFO: no action. I am (db1), the leader with the lock",
        "1732524012.250000 db1 patroni[7]: 2024-11-25 WARNING: Postgresql is not running.",
        "1732524012.500000 db1 patroni[7]: 2024-11-25 INFO: starting primary after failure",
        "-- Boot 1 --",
    ]
    assert outage.noticed_at(said, 1732524005.0) == 1732524012.25
    assert outage.noticed_at(said[:2], 1732524005.0) is None


@given(sizes=st.dictionaries(st.text(max_size=4), st.integers(0, 1 << 30)), count=st.integers(1, 4))
def test_shares_leave_nothing_out_and_are_even(sizes: dict[str, int], count: int):
    dealt = limit.shares(sizes, count)
    assert sorted(key for share in dealt for key in share) == sorted(sizes)
    loads = [sum(sizes[key] for key in share) for share in dealt]
    assert max(loads) - min(loads) <= max(sizes.values(), default=0)


def test_half_of_the_filling_shrinks_and_half_does_not():
    text = filling.prose()
    rows = list(filling.payloads(2 * filling.STRETCH, text, seed=1))
    assert {len(one) for one in rows} == {filling.PAYLOAD_BYTES}
    halves = b"".join(rows[: filling.STRETCH]), b"".join(rows[filling.STRETCH :])
    shrunk = [len(zlib.compress(half, 1)) / len(half) for half in halves]
    assert shrunk[0] < 0.5
    assert shrunk[1] > 0.99


def test_the_same_words_come_again_and_other_tables_hold_others():
    text = filling.prose()
    assert text == filling.prose()
    first, again, other = (next(filling.payloads(1, text, seed)) for seed in (1, 1, 2))
    assert first == again != other


def read_copy(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """As PostgreSQL reads its binary form: signature, flags, extension, tuples, end."""
    head, at = b"PGCOPY\n\xff\r\n\0" + bytes(8), 19
    assert stream.startswith(head)
    while (fields := struct.unpack_from("!h", stream, at)[0]) != -1:
        width, number, length = struct.unpack_from("!iqi", stream, at + 2)
        assert (fields, width) == (2, 8)
        at += 2 + 16
        yield number, stream[at : at + length]
        at += length
    assert at + 2 == len(stream)


def test_rows_are_copied_in_postgresqls_form():
    rows = [os.urandom(9), b"", b"text"]
    assert list(read_copy(b"".join(filling.copied(iter(rows))))) == list(enumerate(rows))


def test_four_rows_fill_a_page_and_none_is_toasted():
    header, number, length = 24, 8, 4
    row_bytes = -(-(header + number + length + filling.PAYLOAD_BYTES) // 8) * 8 + 4
    assert row_bytes < 2032
    assert 8192 - 24 - 4 * row_bytes < row_bytes
    assert list(islice(filling.payloads(3, filling.prose(), 1), 3))


def test_stages_are_told_in_their_order():
    rounds = [{"copy": 3.0, "pages": 1.0}, {"copy": 5.0, "pages": 2.0}, {"copy": 4.0, "pages": 1.5}]
    assert measure.by_size({8: rounds[1:2], 1: rounds}) == (
        "1 GiB: copy 4.0, pages 1.5; 8 GiB: copy 5.0, pages 2.0"
    )


class Said:
    """Every command that a part gives, in order; answers with nothing, or with what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[str, str] | None = None) -> None:
        self.commands: list[str] = []
        self.answers = answers or {}
        for module in (filling, side_restore, nightly, whole_pair):
            for name in ("run", "on", "in_shell"):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, self.hear)

    def hear(self, *words: str) -> str:
        self.commands.append(" ".join(words))
        return next((said for part, said in self.answers.items() if part in self.commands[-1]), "")


@pytest.fixture
def lab(estate, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (filling, side_restore, whole_pair):
        monkeypatch.setattr(module, "estate", lambda: estate)


def test_a_side_restore_touches_its_folder_alone(lab: None, monkeypatch: pytest.MonkeyPatch):
    heard = Said(monkeypatch, {"du ": "4096\t/srv/bench/data"})
    _seconds, size = side_restore.restored_seconds("20261125-010203F", "--process-max=1")
    clear, make, restore, _measured, cleared, _trimmed = heard.commands
    assert size == 4096
    assert clear == cleared == "verify1 rm -rf /srv/bench"
    assert make.startswith("verify1 install -d -o postgres")
    assert restore == (
        "verify1 runuser --user=postgres -- env PGBACKREST_PG1_PATH=/srv/bench/data"
        " PGBACKREST_LOCK_PATH=/srv/bench/lock PGBACKREST_SPOOL_PATH=/srv/bench/spool"
        " pgbackrest --stanza=pair --log-level-console=detail --delta --archive-mode=off --type=default"
        " --set=20261125-010203F --process-max=1 restore"
    )


def test_a_copy_is_stopped_and_removed_where_it_does_not_start(lab: None, monkeypatch: pytest.MonkeyPatch):
    heard = Said(monkeypatch)

    def fails() -> None:
        raise SystemExit("no")

    monkeypatch.setattr(nightly, "start", fails)
    with pytest.raises(SystemExit):
        nightly.alone("20261125-010203F")
    assert "--mode=immediate stop" in heard.commands[-3]
    assert heard.commands[-2] == "verify1 rm -rf /srv/bench"


def test_a_copy_is_started_without_what_the_restore_left(lab: None, monkeypatch: pytest.MonkeyPatch):
    heard = Said(monkeypatch)
    seconds = nightly.alone("20261125-010203F")
    assert seconds >= 0
    settings, restore, start, stop = heard.commands[2:6]
    assert (
        "include '/etc/rmc-dr/verification/postgresql.conf'\ndata_directory = '/srv/bench/data'" in settings
    )
    assert 'pgbackrest --stanza=pair archive-get %f "%p"\'' in settings
    assert restore.endswith("--set=20261125-010203F restore")
    assert start.startswith("verify1 truncate --size=0 /srv/bench/data/postgresql.auto.conf && runuser")
    assert start.endswith("'--options=-c config_file=/srv/bench/postgresql.conf' start")
    assert stop.endswith("--mode=immediate stop || ! pgrep --exact postgres")


@pytest.mark.parametrize(
    ("code", "proofs", "said"),
    [
        (1, [{"name": "amcheck", "green": False, "detail": "damaged: t"}], "amcheck: damaged: t"),
        (3, [], "no"),
    ],
)
def test_a_red_verification_is_no_measure(
    monkeypatch: pytest.MonkeyPatch, code: int, proofs: list[dict[str, object]], said: str
):
    out = json.dumps({"proofs": proofs, "stages": {}})
    done = subprocess.CompletedProcess([], code, out, "no")
    monkeypatch.setattr(nightly.subprocess, "run", lambda *_words, **_more: done)
    with pytest.raises(SystemExit) as refused:
        nightly.verify()
    assert said in str(refused.value)


class FakeStore:
    """An S3 client that has objects of zeros of these sizes."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = sizes

    def get_object(self, **named: str) -> dict[str, StreamingBody]:
        size = self.sizes[named["Key"]]
        return {"Body": StreamingBody(io.BytesIO(bytes(size)), size)}


def test_the_limit_writes_what_the_restore_wrote(estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sizes = {"a": 100_001, "b": 50_000}
    monkeypatch.setattr(limit, "CHUNK", 1 << 12)
    monkeypatch.setattr(limit, "client", lambda _estate, _key: FakeStore(sizes))
    target = tmp_path / "out"
    limit.bring(estate, list(sizes), 2.0, limit.frames(), target, threading.Barrier(1))
    assert 0 <= 2 * sum(sizes.values()) - target.stat().st_size < limit.CHUNK


def test_the_limit_is_measured_with_a_process_for_each_core(
    estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sizes = {str(number): 10_000 for number in range(8)}
    monkeypatch.setattr(limit, "CHUNK", 1 << 12)
    monkeypatch.setattr(limit, "client", lambda _estate, _key: FakeStore(sizes))
    monkeypatch.setattr(limit, "objects_of", lambda _estate, _label: sizes)
    monkeypatch.setattr(limit, "estate", lambda: estate)
    monkeypatch.setattr(limit.content, "STATE", tmp_path)
    assert 0 < limit.limit("20261125-010203F", 160_000) < 60
    assert not list(tmp_path.glob("bench-*"))
    del sizes["0"]
    monkeypatch.setattr(limit, "objects_of", lambda _estate, _label: {"0": 1, **sizes})
    with pytest.raises(SystemExit):
        limit.limit("20261125-010203F", 160_000)


def test_the_pair_is_rebuilt_where_the_single_host_fails(lab: None, monkeypatch: pytest.MonkeyPatch):
    heard = Said(monkeypatch)
    monkeypatch.setattr(whole_pair, "archive_everything", lambda: None)

    def fails(_label: str) -> float:
        raise SystemExit("no")

    monkeypatch.setattr(whole_pair, "single_host", fails)
    with pytest.raises(SystemExit):
        whole_pair.bench(1, filling.Filled(1, "20261125-010203F"), {})
    assert heard.commands == [
        "rmc-dr lab break db1 --how blank",
        "rmc-dr lab break db2 --how blank",
        "rmc-dr rebuild pair --yes",
    ]


def test_the_database_is_dropped_and_a_small_backup_taken_whatever_happens(
    lab: None, monkeypatch: pytest.MonkeyPatch
):
    heard = Said(monkeypatch, {"datname": "postgres\nbench"})
    monkeypatch.setattr(filling, "primary", lambda: "db1")
    with pytest.raises(KeyboardInterrupt), filling.bench_database():
        raise KeyboardInterrupt
    assert "drop database bench with (force)" in heard.commands[1]
    assert "rmc-dr backup run --database --full" in heard.commands
    assert heard.commands[-2:] == ["db1 fstrim /srv || true", "db2 fstrim /srv || true"]


def test_where_nothing_was_filled_nothing_is_dropped(lab: None, monkeypatch: pytest.MonkeyPatch):
    heard = Said(monkeypatch, {"datname": "postgres\nmanagement"})
    monkeypatch.setattr(filling, "primary", lambda: "db1")
    with filling.bench_database():
        pass
    assert len(heard.commands) == 1


def test_without_room_nothing_is_filled(lab: None, monkeypatch: pytest.MonkeyPatch):
    Said(monkeypatch, {"df ": "Avail\n3221225472\n"})
    monkeypatch.setattr(filling, "store_left", lambda: filling.GIB)
    monkeypatch.setattr(filling.content, "STATE", content.root())
    with pytest.raises(SystemExit) as refused:
        filling.make_sure_of_room(8, 8 * filling.GIB)
    for name in ("db1 has 3.0 GiB", "db2", "verify1", "the store may take 1.0 GiB", "--sizes 1"):
        assert name in str(refused.value)
