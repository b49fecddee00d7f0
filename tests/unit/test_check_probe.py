"""The probe that is sent to the hosts, how it is sent, and what becomes of an answer that is none."""

from __future__ import annotations

import json
import shlex
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmc_dr import content
from rmc_dr.check import probe, remote
from rmc_dr.check.roads import wanted
from rmc_dr.check.seen import Answer, HostSeen, read_facts
from rmc_dr.estate import Estate

PING = """PING 198.51.100.21 (198.51.100.21) 1472(1500) bytes of data.

--- 198.51.100.21 ping statistics ---
3 packets transmitted, 3 received, 0% packet loss, time 203ms
rtt min/avg/max/mdev = 0.041/0.062/0.083/0.017 ms
"""
TOO_LONG = """PING 198.51.100.21 (198.51.100.21) 1472(1500) bytes of data.
ping: local error: message too long, mtu=1400

--- 198.51.100.21 ping statistics ---
3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 203ms
"""
UNREACHABLE = """PING 198.51.100.21 (198.51.100.21) 56(84) bytes of data.

--- 198.51.100.21 ping statistics ---
3 packets transmitted, 0 received, +1 errors, 100% packet loss, time 2045ms
pipe 3
"""
ASKED = {
    "address": "127.0.0.1",
    "interface": "lo",
    "peers": {"localhost": "127.0.0.1"},
    "units": [],
    "process": "",
    "roads": [],
}
ANSWER = {"began": 100.0, "ended": 100.4}


def test_it_needs_nothing_but_a_bare_python() -> None:
    """Sent on standard input, isolated from whatever is installed; every part answers or is named."""
    with remote.PROBE.open() as script:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-", json.dumps(ASKED)],
            stdin=script,
            capture_output=True,
            text=True,
            check=True,
        )
    facts = read_facts(json.loads(done.stdout))
    assert facts is not None
    assert facts.memory is not None
    assert facts.names["localhost"].addresses == ("127.0.0.1",)
    assert set(facts.errors) <= {"failed", "fence"}, "what this machine may lack"


@pytest.mark.parametrize(
    ("said", "received", "ms"), [(PING, 3, 0.062), (TOO_LONG, 0, None), (UNREACHABLE, 0, None), ("", 0, None)]
)
def test_what_ping_says(said: str, received: int, ms: float | None) -> None:
    assert probe.read_ping(said) == {"received": received, "ms": ms}


def test_packets_as_large_as_the_interface_sends_must_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(words: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(words)
        return subprocess.CompletedProcess(words, 1, TOO_LONG if words[-2] == "1472" else PING, "")

    monkeypatch.setattr(subprocess, "run", run)
    assert probe.ping("198.51.100.21", 1500) == {
        "sent": 3, "received": 3, "ms": 0.062, "whole": False, "mtu": 1500,
    }  # fmt: skip
    few = ["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-W", "1", "-M", "do", "-s"]
    assert calls == [[*few, "1472", "198.51.100.21"], [*few, "56", "198.51.100.21"]]


def test_what_hangs_holds_up_nothing_else() -> None:
    def broken() -> None:
        raise OSError("gone")

    began = time.monotonic()
    done, errors = probe.side_by_side(
        {"well": lambda: 1, "hangs": lambda: time.sleep(5), "broken": broken}, 0.3
    )
    assert time.monotonic() - began < 2
    assert done == {"well": 1}
    assert errors == {"hangs": "no answer within 0.3 s", "broken": "OSError: gone"}


def test_a_port_that_opens_refuses_or_keeps_silent() -> None:
    road = {"to": "x", "address": "127.0.0.1", "tls": False}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe.connect({**road, "port": port})["why"] == ""
    assert probe.connect({**road, "port": port})["why"] == "refused"
    assert probe.why(TimeoutError()) == "timeout"
    assert probe.why(socket.gaierror()) == "unresolved"
    assert probe.why(OSError("no route")) == "unreachable"


def test_only_what_listens_on_more_than_the_loopback_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {
        "/proc/net/tcp": "head\n"
        " 0: 0100007F:1538 00000000:0000 0A rest\n"
        " 1: 0B6433C6:1538 00000000:0000 01 rest\n"
        " 2: 00000000:0016 00000000:0000 0A rest\n",
        "/proc/net/tcp6": f"head\n 0: {'0' * 24}01000000:0050 0:0 0A rest\n 1: {'0' * 32}:24E3 0:0 0A rest\n",
    }
    monkeypatch.setattr(probe, "_read", rows.__getitem__)
    assert probe.listening() == [22, 9443]


def counters(*values: tuple[str, int], order: str = "<") -> bytes:
    """HotSpot's file of counters, version 2.0."""
    entries = b""
    for name, value in values:
        text = name.encode() + b"\0"
        text += b"\0" * (-(20 + len(text)) % 8)
        entries += struct.pack(
            f"{order}iiiBBBBi", 20 + len(text) + 8, 20, 0, ord("J"), 0, 1, 1, 20 + len(text)
        )
        entries += text + struct.pack(f"{order}q", value)
    head = b"\xca\xfe\xc0\xc0" + bytes([order == "<", 2, 0, 1])
    return head + struct.pack(f"{order}iiqii", len(entries), 0, 0, 32, len(values)) + entries


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_heap_is_the_sum_of_all_spaces(order: str) -> None:
    whole = counters(
        ("sun.gc.generation.0.space.0.used", 5),
        ("sun.gc.generation.0.space.0.capacity", 1000),
        ("java.threads.live", 40),
        ("sun.gc.generation.1.space.0.used", 7),
        order=order,
    )
    assert probe.heap_in_use(whole) == 12
    assert probe.heap_in_use(counters(("java.threads.live", 1))) is None


@given(st.binary(max_size=200), st.integers(0, 200))
def test_spoiled_counters_are_unknown_and_end(tail: bytes, cut: int) -> None:
    whole = counters(("sun.gc.generation.0.space.0.used", 5), ("sun.gc.generation.1.space.0.used", 7))
    for text in (tail, whole[:cut] + tail):
        try:
            found = probe.heap_in_use(text)
        except (struct.error, IndexError):
            continue  # the probe names the part that failed
        assert found is None or isinstance(found, int)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_an_answer_that_is_none_is_not_taken_for_one(document: object) -> None:
    assert read_facts(document) is None


class Hosts:
    """Stands in for the network and for ssh."""

    def __init__(self, *ends: tuple[int, str, str]) -> None:
        self.ends = list(ends)
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        self.commands.append(command)
        code, out, said = self.ends.pop(0)
        options["stderr"].write(said.encode())
        return subprocess.CompletedProcess(command, code, out.encode())


def observed(
    monkeypatch: pytest.MonkeyPatch, estate: Estate, hosts: Hosts, *, shared: bool = False
) -> HostSeen:
    monkeypatch.setattr(remote.subprocess, "run", hosts.run)
    if shared:
        monkeypatch.setattr(Path, "exists", lambda _path: True)
    return remote.observe(estate, wanted(estate)["app1"], {"db1": "198.51.100.21"})


def test_the_exact_question(monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path) -> None:
    hosts = Hosts((0, json.dumps(ANSWER), ""))
    seen = observed(monkeypatch, estate, hosts)
    assert seen.answer is Answer.SYSTEM
    (command,) = hosts.commands
    assert command[-2] == "root@198.51.100.11"
    *begin, asked = shlex.split(command[-1])
    assert begin == ["exec", "python3", "-I", "-"]
    question = json.loads(asked)
    assert question["units"] == ["liberty.service"]
    assert question["peers"] == {"db1": "198.51.100.21"}
    assert {"to": "db1", "address": "198.51.100.21", "port": 5432, "service": "postgresql", "tls": False} in (
        question["roads"]
    )
    options = dict(word.split("=", 1) for word in command if "=" in word and word != command[-1])
    assert (options["ControlMaster"], options["StrictHostKeyChecking"]) == ("auto", "yes")
    assert Path(options["ControlPath"]).parent == state / "ssh"
    assert len(options["ControlPath"]) - len(str(state)) < 30


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("ssh: connect to host 198.51.100.11 port 22: Connection timed out", Answer.SILENT),
        ("ssh: connect to host 198.51.100.11 port 22: No route to host", Answer.SILENT),
        ("ssh: connect to host 198.51.100.11 port 22: Connection refused", Answer.REFUSED),
        ("Connection timed out during banner exchange", Answer.UNREADABLE),
        ("root@198.51.100.11: Permission denied (publickey).", Answer.UNREADABLE),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_why_a_host_gives_no_session(
    monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path, said: str, answer: Answer, shared: bool
) -> None:
    """A host that cannot be reached is tried once, whatever was open before."""
    (state / "ssh").mkdir()
    hosts = Hosts((255, "", said), (255, "", said))
    assert observed(monkeypatch, estate, hosts, shared=shared).answer is answer
    assert len(hosts.commands) == (2 if shared and answer is Answer.UNREADABLE else 1)


def test_whose_key_it_is(monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path) -> None:
    wrong = (255, "", "Host key verification failed.")
    for second, answer in (((0, "", ""), Answer.RESCUE), (wrong, Answer.FOREIGN)):
        hosts = Hosts(wrong, second)
        assert observed(monkeypatch, estate, hosts).answer is answer
        assert "HostKeyAlias=rescue" in hosts.commands[1]
        assert not any(word.startswith("ControlPath") for word in hosts.commands[1])


def test_a_shared_connection_that_died_is_replaced(
    monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path
) -> None:
    (state / "ssh").mkdir()
    hosts = Hosts((255, "", "broken pipe"), (0, json.dumps(ANSWER), ""))
    assert observed(monkeypatch, estate, hosts, shared=True).answer is Answer.SYSTEM
    assert not any(word.startswith("ControlPath") for word in hosts.commands[1])


def test_without_a_shared_connection_a_refusal_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path
) -> None:
    hosts = Hosts((255, "", "Permission denied"))
    assert observed(monkeypatch, estate, hosts).answer is Answer.UNREADABLE


@pytest.mark.parametrize("out", ["", "{", "[]", '{"began": 1}', "null"])
def test_what_is_no_answer(monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path, out: str) -> None:
    assert observed(monkeypatch, estate, Hosts((0, out, "motd"))).answer is Answer.UNREADABLE


def test_a_host_without_python_says_so(monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path) -> None:
    seen = observed(monkeypatch, estate, Hosts((127, "", "sh: python3: not found")))
    assert (seen.answer, seen.said) == (Answer.UNREADABLE, "sh: python3: not found")


@given(st.floats(-1000, 1000), st.floats(0, 5), st.floats(0, 5))
def test_a_clock_is_only_called_wrong_by_what_is_certain(off: float, before: float, after: float) -> None:
    """It was read somewhere between the question and the answer."""
    seen = HostSeen("db1", Answer.SYSTEM, skew=(off - after, off + before))
    ahead = seen.clock_ahead
    assert ahead is not None
    assert abs(ahead) <= abs(off) + 0.06
    assert ahead == 0 or (ahead > 0) == (off > 0)


def test_the_probe_lies_where_it_is_shipped() -> None:
    assert remote.PROBE.is_relative_to(content.root() / "rmc_dr")
