"""What the programs on an application server say reaches an operator in his own language."""

from __future__ import annotations

import ast
import gettext
import inspect
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest
from check_world import healthy, host
from diagnose_world import APP, IN, datasource, hung, inside, well
from rounds_world import facts as seen_facts

from rmc_dr import i18n
from rmc_dr.check import probe
from rmc_dr.check.judge import judge
from rmc_dr.check.seen import Reached, Way
from rmc_dr.diagnose.sight import Served
from rmc_dr.diagnose.tree import walk
from rmc_dr.estate import Estate
from rmc_dr.estate_limits import Thresholds
from rmc_dr.observe import datasource_remote, liberty_remote
from rmc_dr.report.inspection import _Read, _unseen
from rmc_dr.spoken import known, spoken, way_word

FOREIGN = "\N{LEFT CORNER BRACKET}"


class Marked(gettext.NullTranslations):
    """Another language: every sentence of ours in brackets."""

    def gettext(self, message: str) -> str:
        return f"{FOREIGN}{message}"


@pytest.fixture
def abroad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "catalogue", lambda _lang: Marked())


def raised(module: ModuleType) -> Iterator[str]:
    """Every sentence that a program raises; of an f-string what stands before its first field."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        said = node.exc.args[0]
        if isinstance(said, ast.JoinedStr):
            said = said.values[0]
        if isinstance(said, ast.Constant):
            yield str(said.value)


SENTENCES = sorted(
    {said for program in (probe, datasource_remote, liberty_remote) for said in raised(program)}
)


@pytest.mark.parametrize("said", SENTENCES)
def test_every_sentence_of_theirs_is_known(abroad: None, said: str) -> None:
    head = said.removesuffix(": ")
    assert known(f"{head}: 7" if said != head else said).startswith(f"{FOREIGN}{head}")


def test_the_sentences_are_found() -> None:
    assert "the password is encrypted with Liberty's own key" in SENTENCES
    assert "the server sent an unexpected message: " in SENTENCES
    assert len(SENTENCES) > 8


def test_a_part_that_is_late_is_told(abroad: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liberty_remote, "SECONDS", 0.05)
    over = threading.Event()
    monkeypatch.setattr(liberty_remote, "memory", lambda _folder: over.wait(5))
    monkeypatch.setattr(liberty_remote, "served", lambda *_words: {"status": 200, "trouble": ""})
    done = liberty_remote.look({"folder": "/", "address": "127.0.0.1", "port": 1, "threads": False})
    over.set()
    assert spoken(done["errors"]["memory"]) == f"{FOREIGN}no answer within 0.05 s"


@pytest.mark.parametrize("why", ["refused", "timeout", "unresolved", "unreachable"])
def test_every_way_that_a_connection_ends_has_a_word(abroad: None, why: str) -> None:
    assert way_word(why).startswith(FOREIGN)
    assert way_word("") == ""


@pytest.mark.parametrize("said", ["28P01 no", "OSError: no journal", "java.lang.OutOfMemoryError", ""])
def test_what_others_say_stays_as_it_is(abroad: None, said: str) -> None:
    assert spoken(said) == said


def test_a_server_that_hangs_up_or_speaks_no_tls_says_so_in_words() -> None:
    """What Python makes of it is no tuple, no number of an error."""
    for answer, said in ((b"", "the server speaks no TLS"), (b"N", "the server speaks no TLS")):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

            def serve(listener: socket.socket = listener, answer: bytes = answer) -> None:
                channel, _peer = listener.accept()
                with channel:
                    channel.recv(8)
                    channel.sendall(answer)

            threading.Thread(target=serve, daemon=True).start()
            told = datasource_remote.attempt("127.0.0.1", port, "d", ("u", "p"), {"sslmode": "verify-full"})
        assert (told["stage"], told["said"], told["why"]) == ("tls", said, "")


def test_an_operator_reads_his_own_language(abroad: None, estate: Estate) -> None:
    """Of what was seen nothing is left of the programs' English."""
    closed = replace(
        IN, stage="auth", said="the server closed the connection", why="unreachable", recovery=None
    )
    refused = replace(
        IN, stage="connect", said="[Errno 111] Connection refused", why="refused", recovery=None
    )
    silence = Served(None, "timed out")
    for sight, words in (
        (
            datasource(trouble="the password's variable is not defined")(well(estate)),
            "variable is not defined",
        ),
        (datasource(attempts=(closed,))(well(estate)), "the server closed the connection"),
        (datasource(attempts=(refused,))(well(estate)), "refused at once"),
        (hung(busy=8, blocked=8)(well(estate)), "no answer in time"),
        (inside(live=None, ready=silence)(well(estate)), "no answer in time"),
    ):
        seen = " ".join(step.seen for step in walk("db-timeout", sight).steps)
        assert words in seen, seen
        before = seen[: seen.index(words)]
        assert FOREIGN in before[-len("the password's ") - 2 :], seen
        assert "Errno" not in seen
        assert "timed out" not in seen
    late = replace(well(estate), sources=None, errors={"sources": "no answer within 9 s"})
    assert f"{FOREIGN}no answer within 9 s" in walk("db-timeout", late).steps[-1].seen
    assert APP in walk("db-timeout", late).host


def test_findings_tell_it(estate: Estate, abroad: None) -> None:
    seen = healthy(estate)
    facts = seen.hosts["app1"].facts
    assert facts is not None
    number = next(
        str(at) for at, road in enumerate(seen.wanted["app1"].roads) if road.service == "postgresql"
    )
    wrong = Reached(Way.OPEN, 1.0, "certificate: certificate has expired")
    (late,) = judge(host(seen, "db1", errors={"units": "no answer within 6 s"}), Thresholds())
    (mute,) = judge(host(seen, "app1", roads={**facts.roads, number: wrong}), Thresholds())
    assert f"{FOREIGN}no answer within 6 s" in late.text
    assert f"{FOREIGN}certificate: certificate has expired" in mute.text


@pytest.mark.parametrize("said", ["no answer within 30 s", "ssh ended with 255"])
def test_the_inspection_report_tells_why_something_could_not_be_seen(said: str, abroad: None) -> None:
    read = _Read.__new__(_Read)
    object.__setattr__(read, "facts", seen_facts(unseen={"db2": said}))
    assert f"{FOREIGN}{said}" in str(_unseen(read))
