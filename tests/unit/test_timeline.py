"""What is read out of logs, whoever wrote them: the right words for known lines, no harm from any other."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmc_dr.i18n import catalogue, language, speaking
from rmc_dr.timeline import Happening, Kind, Weight, journal, liberty, loss
from rmc_dr.timeline.merge import first_error, merged
from rmc_dr.timeline.rules import of_unit, recognised
from rmc_dr.timeline.text import LONGEST_LINE, LONGEST_WORDS, clean, decoded, lines

T0 = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
HOSTILE = [
    b"\x1b[2J\x1b]0;title\x07 cleared",
    b"{{ lookup('pipe', 'id') }} {% raw %}",
    b"[red]markup[/red] [link=file:///etc]x[/link]",
    b"a\x00b\x00c",
    b"x" * (1 << 20),
    "错误：患者张三丰不存在".encode("gb18030"),
    b"\xff\xfe\x80 broken",
    "\u202egnirts\u2066 \ufeff\u200b".encode(),
    b"%s%n%x {0} {user} {a.b.c}",
    b"\r\n\r",
]


def entry(message: Any, at: datetime = T0, **fields: Any) -> bytes:
    stamp = str(int(at.timestamp() * 1e6))
    return json.dumps({"__REALTIME_TIMESTAMP": stamp, "MESSAGE": message, **fields}).encode() + b"\n"


def read(*said: bytes, ahead: float = 0.0) -> list[Happening]:
    return list(journal.read(said, "db1", "db1/journal.jsonl", ahead).happenings)


SERVER = {"_SYSTEMD_UNIT": "patroni.service"}
KNOWN = [
    ({"SYSLOG_IDENTIFIER": "sshd-session"}, "Accepted publickey for root from 198.51.100.1 port 4 ssh2",
     (Kind.LOGIN, Weight.INFO, "root logs in from 198.51.100.1")),
    ({"SYSLOG_IDENTIFIER": "sshd"}, "Failed password for invalid user 张三 from 10.0.0.9 port 2 ssh2",
     (Kind.LOGIN, Weight.WARNING, "a login from 10.0.0.9 is refused")),
    ({"SYSLOG_IDENTIFIER": "sshd"}, "Connection closed by authenticating user x 10.0.0.9 port 4",
     (Kind.LOGIN, Weight.WARNING, "a login from 10.0.0.9 is refused")),
    ({"SYSLOG_IDENTIFIER": "sudo"},
     "   li : TTY=pts/0 ; PWD=/home/li ; USER=root ; COMMAND=/usr/bin/psql -c select name from patients",
     (Kind.SUDO, Weight.INFO, "li runs /usr/bin/psql as root")),
    ({"SYSLOG_IDENTIFIER": "systemd", "UNIT": "liberty.service"},
     "liberty.service: Main process exited, code=killed, status=9/KILL",
     (Kind.RESTART, Weight.ERROR, "liberty ends by itself (killed, 9/KILL)")),
    ({"SYSLOG_IDENTIFIER": "systemd", "UNIT": "patroni.service"}, "Started patroni.service - Runners.",
     (Kind.RESTART, Weight.INFO, "patroni is started")),
    ({"_TRANSPORT": "kernel"}, "Out of memory: Killed process 812 (java)",
     (Kind.ERROR, Weight.ERROR, "the memory is used up: the kernel ends a process")),
    (SERVER,
     '2026-11-25 CST [88] x@y/z FATAL:  password authentication failed for user "x"',
     (Kind.CONNECTION, Weight.ERROR, "the database refuses a login")),
    (SERVER, "2026 [1] x@y/z FATAL:  sorry, too many clients already",
     (Kind.CONNECTION, Weight.ERROR, "the database has no connection left")),
    (SERVER, "2026 [1] FATAL:  the database system is starting up",
     (Kind.CONNECTION, Weight.WARNING, "the database sends its clients away while it starts or stops")),
    (SERVER, "INFO: promoted self to leader by acquiring session lock",
     (Kind.REPLICATION, Weight.WARNING, "this host becomes the primary")),
    (SERVER, "2026 [1] LOG:  started streaming WAL from primary at 0/7",
     (Kind.REPLICATION, Weight.INFO, "the standby follows the primary")),
    (SERVER, '2026 [1] a@b/c ERROR:  invalid input syntax: "张三"',
     (Kind.ERROR, Weight.WARNING, "PostgreSQL refuses a statement")),
    (SERVER, "2026 [1] LOG:  database system was interrupted; last known up at 1",
     (Kind.RESTART, Weight.ERROR, "PostgreSQL recovers from a crash")),
    ({"SYSLOG_IDENTIFIER": "mystery", "PRIORITY": "2"}, "张三's record is broken",
     (Kind.ERROR, Weight.ERROR, "mystery reports an error")),
    ({"MESSAGE_ID": journal.BOOTED}, "Startup finished.",
     (Kind.RESTART, Weight.INFO, "the system has started")),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "message", "expected"), KNOWN)
def test_a_known_line_is_told_in_our_words(fields: dict[str, str], message: str, expected: Any):
    [one] = read(entry(message, **fields))
    assert (one.kind, one.weight, one.what) == expected
    assert "张三" not in one.what


def test_what_no_rule_knows_is_no_happening():
    assert read(entry("all is well", SYSLOG_IDENTIFIER="cron", PRIORITY="6")) == []
    assert read(entry("Started Daily apt.", SYSLOG_IDENTIFIER="systemd", UNIT="apt-daily.service")) == []


def test_a_clock_that_is_off_is_corrected():
    [one] = read(entry("Out of memory", T0 + timedelta(hours=2), _TRANSPORT="kernel"), ahead=7200.0)
    assert one.at == T0


def test_a_message_that_is_no_text_is_read():
    raw = list(b"Out of memory \xff\x1b[31m")
    [one] = read(entry(raw, _TRANSPORT="kernel"))
    assert "\x1b" not in one.words
    assert read(entry(None, PRIORITY="3"))[0].words == ""
    assert read(entry(["first", "second"], PRIORITY="3"))[0].words == "first"


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("fields", [{"PRIORITY": "3"}, {"_SYSTEMD_UNIT": "patroni.service", "PRIORITY": "3"}])
def test_a_hostile_line_does_no_harm(hostile: bytes, fields: dict[str, str]):
    for message in (list(hostile), decoded(hostile)):
        [one] = read(entry(message, **fields))
        assert one.what == "? reports an error"
        assert harmless(one.words)
    unreadable = journal.read([hostile, b"\n", entry("Out of memory", _TRANSPORT="kernel")], "h", "s", 0)
    assert len(unreadable.happenings) == 1, "it spoils no line but its own"


def harmless(text: str) -> bool:
    bad = {"Cc", "Cf", "Cs", "Co", "Cn"}
    return len(text) <= LONGEST_WORDS and not {unicodedata.category(sign) for sign in text} & bad


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_are_read_as_a_journal_and_as_libertys_log(chunks: list[bytes]):
    seen = journal.read(chunks, "h", "s", 0.0)
    assert seen.lines == len(list(lines(chunks)))
    for one in (*seen.happenings, *liberty.read(chunks, "h", "s", 0.0, ZONE).happenings):
        assert harmless(one.words)
        assert harmless(one.what)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
FIELDS = ["PRIORITY", "SYSLOG_IDENTIFIER", "_SYSTEMD_UNIT", "UNIT", "MESSAGE", "MESSAGE_ID", "_TRANSPORT",
          "__REALTIME_TIMESTAMP"]  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(FIELDS), JSON | st.sampled_from(["systemd", "sudo", "patroni.service", "0"])
    )
)
def test_any_fields_of_an_entry_do_no_harm(fields: dict[str, Any]):
    for one in read(json.dumps(fields).encode()):
        assert harmless(one.what)


@given(st.text(max_size=200), st.sampled_from("EFWAIOR"), st.text(max_size=40))
def test_any_line_of_liberty_does_no_harm(rest: str, level: str, stamp: str):
    for said in (
        "2026-11-25T10:00:00.123+0800",
        stamp,
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ):
        line = f"[{said}] 0000002a com.ibm.ws.x   {level} {rest}".encode(errors="surrogatepass")
        for one in liberty.read([line], "app1", "s", 1e9, ZONE).happenings:
            assert harmless(one.what)
            assert harmless(one.words)


LIBERTY = """\
[2026-11-25T10:00:00.123+0800] 00000031 com.ibm.ws.kernel.feature.FeatureManager     A CWWKF0011I: ready.
[2026-11-25T10:00:01.000+0800] 00000032 com.ibm.ws.rsadapter   E DSRA0302E: SQLException 张三
  at java.lang.Thread.run
[11/25/26, 10:00:02:500 CST] 00000033 com.ibm.ws.webcontainer      E SRVE0777E: Exception thrown
[2026-11-25T10:00:03.000+0800] 00000033 SystemOut      O patient 张三 saved
[25 Nov, later] 00000033 com.ibm.ws.x      E CWWKX0000E: when?
""".encode()


def test_libertys_log_is_read_in_both_forms_of_time():
    found = liberty.read([LIBERTY], "app1", "app1/liberty.txt", 0.0, ZONE)
    told = [(one.at, one.kind, one.what) for one in found.happenings]
    assert told == [
        (T0 + timedelta(seconds=0.123), Kind.RESTART, "Liberty starts or stops something (CWWKF0011I)"),
        (
            T0 + timedelta(seconds=1),
            Kind.CONNECTION,
            "an application does not reach what it needs (DSRA0302E)",
        ),
        (T0 + timedelta(seconds=2.5), Kind.ERROR, "Liberty reports SRVE0777E"),
    ]
    assert (found.lines, found.unreadable) == (6, 1)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_lines_do_not_depend_on_how_bytes_come(chunks: list[bytes]):
    whole = b"".join(chunks)
    wanted = whole.split(b"\n")
    assert list(lines(chunks)) == (wanted[:-1] if not wanted[-1] else wanted)


def test_a_line_without_an_end_costs_no_memory():
    piece = b"x" * (1 << 20)
    found = list(lines([piece] * (LONGEST_LINE // len(piece) + 3) + [b"\nnext\n"]))
    assert found == [None, b"next"]


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_chinese_of_either_encoding_is_read(encoding: str):
    assert decoded("胚胎核对失败".encode(encoding)) == "胚胎核对失败"
    assert clean("胚胎\x1b[31m核对") == "胚胎[31m核对"


def happening(seconds: float, host: str = "db1", what: str = "it", weight: Weight = Weight.INFO) -> Happening:
    at = T0 + timedelta(seconds=seconds)
    return Happening(at, host, Kind.ERROR, weight, what, "s", 1, "", at)


def test_hosts_are_put_in_one_order_and_the_same_again_is_counted():
    found = merged(
        [
            happening(50, "app1"),
            happening(0),
            happening(30),
            happening(10, "app1", "bad", Weight.ERROR),
            happening(95),
        ],
        T0,
        T0 + timedelta(seconds=94),
    )
    assert [(one.host, one.what, one.count) for one in found] == [
        ("db1", "it", 2),
        ("app1", "bad", 1),
        ("app1", "it", 1),
    ]
    assert found[0].until == T0 + timedelta(seconds=30)
    assert first_error(found) is found[1]
    assert first_error([]) is None


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize(
    ("where", "text"),
    [
        (("sshd",), "Accepted publickey for root from 10.0.0.7 port 22 ssh2"),
        (("sudo",), "  li : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id"),
        (("kernel",), "Out of memory: Killed process 7"),
        (("patroni.service",), "FATAL:  password authentication failed for user"),
        (("liberty.service",), "java.lang.OutOfMemoryError"),
    ],
)
def test_what_happened_can_be_told_again_in_either_language(lang: str, where: tuple[str, ...], text: str):
    with speaking(lang):
        found = recognised(where, text)
        assert found
        what = found[2]
        assert what.text == catalogue(language()).gettext(what.template).format(**what.caught)
    assert what.template.isascii()
    assert catalogue("zh_CN").gettext(what.template) != what.template


def test_what_systemd_says_can_be_told_again():
    with speaking("zh"):
        found = of_unit("liberty.service", "Main process exited, code=killed, status=9/KILL")
    assert found
    assert found[2].template == "{unit} ends by itself ({code}, {status})"
    assert found[2].caught == {"unit": "liberty", "code": "killed", "status": "9/KILL"}


@given(st.lists(st.tuples(st.integers(0, 500), st.sampled_from("ab"), st.sampled_from("xy")), max_size=30))
def test_nothing_is_lost_or_doubled_by_the_merge(given_: list[tuple[int, str, str]]):
    found = merged([happening(at, host, what) for at, host, what in given_])
    assert sum(one.count for one in found) == len(given_)
    assert [one.at for one in found] == sorted(one.at for one in found)


def replication(standby: bool, at: str, wal: str | None = "000000010000000000000007") -> bytes:
    said = {"standby": standby, "lsn": at, "segment_bytes": 16 << 20, "archiver": {"last_archived_wal": wal}}
    return json.dumps(said).encode()


def test_wal_after_the_last_archived_position_is_counted():
    primary = loss.standing("db1", replication(False, "0/8000100"), None)
    standby = loss.standing("db2", replication(True, "0/80000F0", None), None)
    found = loss.unarchived([primary, standby])
    assert (found.bytes, found.holder, found.archived, found.least) == (0x100, "db1", 0x8000000, False)


def test_an_archive_that_is_ahead_leaves_nothing():
    primary = loss.standing("db1", replication(False, "0/7FFFFF0"), None)
    assert loss.unarchived([primary]).bytes == 0


def test_without_postgresql_the_control_file_gives_the_least():
    control = b"pg_control version number: 1700\nLatest checkpoint location:           0/7000028\n\n\xff"
    dead = loss.standing("db1", b"", control)
    assert (dead.lsn, dead.least, dead.primary) == (0x7000028, True, None)
    found = loss.unarchived([dead])
    assert (found.bytes, found.least) == (None, True)
    assert loss.unarchived([loss.standing("db2", None, None)]).newest is None


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_answer_of_a_database_host_is_at_least_unknown(said: bytes, control: bytes):
    assert loss.unarchived([loss.standing("db1", said, control)]).bytes is None


@given(JSON)
@settings(max_examples=300)
def test_any_document_of_a_database_host_does_no_harm(said: Any):
    loss.unarchived([loss.standing("db1", json.dumps(said).encode(), None)])
    loss.rows([json.dumps(said).encode()])


def test_attachments_without_a_row_and_rows_without_an_attachment_are_counted():
    known = loss.rows(
        [
            b'["a", 100]\n["b/c", 100]\n["gone", 100]\n["young", 990]\nnonsense\n["huge", 1'
            + b"0" * 400
            + b"]\n"
        ]
    )
    there = loss.files(
        [b"100.5 a\x00100.0 b/c\x00100.0 orphan\n\xff\x00999.0 new\x00100.0 .upload\x00", b"x y\x00"]
    )
    found = loss.compared("management", known, there, listed_at=1000.0)
    assert (found.rows, found.files) == (5, 4)
    assert (found.rows_without_file, found.files_without_row) == (2, 1), "gone and huge; the orphan"
    assert loss.compared("management", None, there, 1000.0).rows_without_file is None
