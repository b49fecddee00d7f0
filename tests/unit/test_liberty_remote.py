"""Threads and memory, read from what Java, systemd and the journal really print."""

from __future__ import annotations

from pathlib import Path

import pytest

from rmc_dr.diagnose.sight import Inside, read
from rmc_dr.observe import liberty_remote as remote

DUMP = """Full thread dump OpenJDK 64-Bit Server VM (21.0.9+10-Debian mixed mode, sharing):

"main" #1 [12] prio=5 os_prio=0 cpu=1.00ms elapsed=5.00s tid=0x1 nid=12 waiting on condition  [0x2]
   java.lang.Thread.State: WAITING (parking)
\tat jdk.internal.misc.Unsafe.park(java.base@21/Native Method)

"Default Executor-thread-1" #20 [20] daemon prio=5 tid=0x3 nid=20 waiting for monitor entry  [0x4]
   java.lang.Thread.State: BLOCKED (on object monitor)
\tat org.example.Sick.one(Sick.java:7)
\t- waiting to lock <0x5> (a java.lang.Object)

"Default Executor-thread-2" #21 [21] daemon prio=5 tid=0x6 nid=21 waiting on condition  [0x7]
   java.lang.Thread.State: TIMED_WAITING (parking)
\tat com.ibm.ws.threading.internal.BoundedBuffer.waitGet_(BoundedBuffer.java:1)

"Default Executor-thread-3" #22 [22] daemon prio=5 tid=0x8 nid=22 in Object.wait()  [0x9]
   java.lang.Thread.State: TIMED_WAITING (on object monitor)
\tat com.ibm.ejs.j2c.FreePool.queueRequest(FreePool.java:1)

JNI global refs: 4, weak refs: 0


Found one Java-level deadlock:
=============================
"one":
  waiting to lock monitor 0xa (object 0xb, a java.lang.Object),
  which is held by "other"

"other":
  waiting to lock monitor 0xc (object 0xd, a java.lang.Object),
  which is held by "one"

Java stack information for the threads listed above:
===================================================
"one":
\tat org.example.Sick.one(Sick.java:7)

Found 1 deadlock.

Heap
 garbage-first heap   total 128000K, used 4000K
"""


def test_a_dump_in_numbers() -> None:
    assert remote.read_dump(DUMP) == {
        "dumped": True,
        "count": 4,
        "deadlocked": ["one", "other"],
        "busy": 2,
        "blocked": 1,
        "pooled": 1,
    }


def test_no_dump_and_one_without_a_deadlock() -> None:
    assert remote.read_dump("")["dumped"] is False
    assert remote.read_dump(DUMP.partition("Found one")[0])["deadlocked"] == []


def test_openj9_writes_another_kind() -> None:
    core = (
        '0SECTION       TITLE\n1LKDEADLOCK    Deadlock detected !!!\n2LKDEADLOCKTHR  Thread "one" (0x1)\n'
        '2LKDEADLOCKTHR  Thread "other" (0x2)\n3XMTHREADINFO      "one" J9VMThread\n'
    )
    assert remote.read_dump(core) == {"dumped": True, "count": 1, "deadlocked": ["one", "other"]}


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("-Xms16m\n-Xmx768m\n", 768 << 20),
        ("-Xmx1g\n-Xmx2G\n", 2 << 30),
        ("-Xmx4096\n", 4096),
        ("# -Xmx1g\n", None),
    ],
)
def test_how_far_the_heap_may_grow(tmp_path: Path, text: str, bytes_: int | None) -> None:
    (tmp_path / "jvm.options").write_text(text)
    assert remote.heap_most(str(tmp_path)) == bytes_


def test_a_log_line_steers_no_terminal_and_is_short() -> None:
    found = remote.lines("new\x1b[2J\n" + "x" * 1000 + "\n\n")
    assert found == ["x" * remote.LONGEST, "new?[2J"]


def played(monkeypatch: pytest.MonkeyPatch, started: int, restarts: int = 0) -> list[float]:
    since: list[float] = []

    def run(*_words: str) -> str:
        return f"NRestarts={restarts}\nExecMainStartTimestampMonotonic={started}\n"

    def said(moment: float, _pattern: str, *_where: str) -> list[str]:
        since.append(moment)
        return []

    monkeypatch.setattr(remote, "run", run)
    monkeypatch.setattr(remote, "said", said)
    monkeypatch.setattr(remote, "written", lambda *_words: [])
    monkeypatch.setattr(remote.time, "time", lambda: 10_000.0)
    monkeypatch.setattr(remote.time, "monotonic", lambda: 20_000.0)
    return since


def test_only_the_newest_run_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What ended before somebody started it anew is over; a start by itself tells of the end before it."""
    since = played(monkeypatch, 19000000000)
    assert remote.memory(str(tmp_path))["age"] == 1000.0
    assert since == [9000, 9000]
    since = played(monkeypatch, 19000000000, 1)
    remote.memory(str(tmp_path))
    assert since == [9000 - remote.END_SECONDS] * 2
    since = played(monkeypatch, 10100000000)
    remote.memory(str(tmp_path))
    assert since == [10_000 - remote.RECENT_SECONDS] * 2
    since = played(monkeypatch, 0)
    assert remote.memory(str(tmp_path))["age"] is None
    assert since == [10_000 - remote.RECENT_SECONDS] * 2


def test_a_part_that_fails_is_named_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_folder: str) -> None:
        raise OSError("no journal")

    monkeypatch.setattr(remote, "memory", broken)
    monkeypatch.setattr(remote, "served", lambda *_words: {"status": 200, "trouble": ""})
    done = remote.look({"folder": "/", "address": "127.0.0.1", "port": 1, "threads": False})
    found = read(Inside, done)
    assert found
    assert found.memory is None
    assert found.errors == {"memory": "OSError: no journal"}
    assert found.live
    assert found.live.status == 200
    assert found.threads is None
