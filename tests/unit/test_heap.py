"""A heap dump holds patients' data: its source leaves none behind, and takes none of the others' room."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from test_evidence import FakeLine, Store, hosts, ready, source, store  # noqa: F401 fixtures

from rmc_dr import preserve as story
from rmc_dr.estate import Estate
from rmc_dr.evidence import sources
from rmc_dr.evidence.collect import MIB
from rmc_dr.evidence.sources import Source, Window

SERVER = "/opt/liberty/current/wlp/bin/server"
FOLDER = "/var/lib/liberty/servers/rmc"
OTHERS = (
    "java_pid17.hprof",
    "java.20260101.010101.17.0001.hprof",
    "java.20260101.010101.17.0001.txt",
    "server.xml",
)
WRITES = """
echo heap of 1042 > "$OUT/java.20261125.101010.42.0001.hprof"
echo threads > "$OUT/java.20261125.101010.42.0002.txt"
"""


@pytest.fixture
def heap() -> Source:
    return next(one for one in sources.all_sources() if one.heap)


class Machine:
    """An application server whose Liberty does what the test says; other dumps lie there already."""

    def __init__(self, folder: Path) -> None:
        self.out, self.programs, self.temp = folder / "servers", folder / "bin", folder / "tmp"
        for path in (self.out, self.programs, self.temp):
            path.mkdir()
        for name in OTHERS:
            (self.out / name).write_text("somebody else's")
        self.program("pgrep", "echo $PPID")
        self.program("runuser", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')

    def program(self, name: str, script: str) -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, heap: Source, seconds: int = 20) -> subprocess.CompletedProcess[str]:
        """As it is run there, but for the two paths and the time."""
        command = heap.command
        for path, ours in ((SERVER, "server"), (FOLDER, str(self.out))):
            assert path in command
            command = command.replace(path, ours)
        line = sources._line(heap.model_copy(update={"command": command, "seconds": seconds}), {})
        environment = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "TMPDIR": str(self.temp),
            "OUT": str(self.out),
        }
        return subprocess.run(
            ["/bin/sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    def left(self) -> set[str]:
        return {path.name for folder in (self.out, self.temp) for path in folder.iterdir()} - set(OTHERS)

    def others(self) -> set[str]:
        return {path.name for path in self.out.iterdir()} & set(OTHERS)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_dump_is_printed_and_gone(machine: Machine, heap: Source):
    machine.program("server", WRITES)
    done = machine.run(heap)
    assert (done.returncode, done.stdout) == (0, "heap of 1042\n"), done.stderr
    assert (machine.left(), machine.others()) == (set(), set(OTHERS))


@pytest.mark.parametrize("stuck", ["exec sleep 30", "trap '' TERM; sleep 30 & wait; sleep 30"])
def test_one_that_takes_too_long_leaves_no_dump(machine: Machine, heap: Source, stuck: str):
    """Also where Liberty's own program does not end when it is told to."""
    machine.program("server", f"{WRITES}\n{stuck}")
    began = time.monotonic()
    done = machine.run(heap, seconds=1)
    assert done.returncode in (124, 137)
    assert time.monotonic() - began < 10
    assert (machine.left(), machine.others()) == (set(), set(OTHERS))


def test_one_whose_reader_has_gone_leaves_no_dump(machine: Machine, heap: Source, tmp_path: Path):
    """As when it is cut off here: nobody reads any more."""
    machine.program(
        "server", f'{WRITES}\nhead -c 9000000 /dev/zero >> "$OUT/java.20261125.101010.42.0001.hprof"'
    )
    machine.program("cat", 'exec /bin/cat "$@" | head -c 10')
    machine.run(heap)
    assert (machine.left(), machine.others()) == (set(), set(OTHERS))


def test_where_liberty_writes_none_it_is_said(machine: Machine, heap: Source):
    machine.program("server", "echo CWWKE0000E: no >&2; exit 22")
    done = machine.run(heap)
    assert (done.returncode, "Liberty wrote no heap dump" in done.stderr) == (1, True)
    assert machine.left() == set()


def test_it_is_bounded_by_the_estate_and_asked_for_by_name(estate: Estate):
    window = Window(0, 1)
    asked = estate.group("appserver")
    wanted = [task for task in sources.tasks(estate, asked, window, heap=True) if task.source.heap]
    assert [task.source.mib for task in wanted] == [estate.config.evidence.heap_mib]
    assert not [task for task in sources.tasks(estate, asked, window) if task.source.heap]


def test_a_full_heap_takes_none_of_the_others_room(
    ready: Estate,  # noqa: F811
    hosts: object,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    """Of one that is larger than all the rest may be, what its own room holds is kept, and all the rest."""
    big = source("heap", f"head -c {3 * MIB} /dev/zero", suffix="hprof", heap=True, patient=True, mib=8192)
    late = source("late", "sleep 1; echo the rest", seconds=6)
    assert callable(hosts)
    hosts(big, late)
    bounds = ready.config.evidence.model_copy(update={"total_mib": 1, "heap_mib": 2})
    bounded = replace(ready, config=ready.config.model_copy(update={"evidence": bounds}))
    done = story.preserve(bounded, story.Wanted(hosts=("app1",), heap=True))
    pieces = {piece.source: piece for piece in done.manifest.pieces}
    assert pieces["late"].complete
    assert (pieces["heap"].bytes, pieces["heap"].why) == (2 * MIB, "cut off at 2 MiB")


def test_on_a_full_disk_a_heap_has_no_room_and_the_others_have(
    estate: Estate, state: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = type("Usage", (), {"free": (512 + 100 + 60) * MIB})
    monkeypatch.setattr(story.shutil, "disk_usage", lambda _path: usage)
    assert story.heap_room_for(estate, state, 100 * MIB) == 30 * MIB, "twice: encrypted beside itself"
    assert story.heap_room_for(estate, state, 200 * MIB) == 0
