"""What hosts said in English, and what a record keeps of it, is read in the reader's own language."""

from __future__ import annotations

import ast
import gettext
from pathlib import Path

import pytest
from check_world import healthy, host
from rounds_world import facts as seen_facts

from rmc_dr import content, retold
from rmc_dr.check.judge import judge
from rmc_dr.check.seen import Reached, Way
from rmc_dr.diagnose.ask_database import _told
from rmc_dr.diagnose.sight import Attempt
from rmc_dr.estate import Estate
from rmc_dr.estate_limits import Thresholds
from rmc_dr.i18n import speaking
from rmc_dr.report.inspection import _Read, _unseen

SENT = ("check/probe.py", "observe/datasource_remote.py", "observe/liberty_remote.py")


class Marked(gettext.NullTranslations):
    """A language in which every sentence stands between marks."""

    def gettext(self, message: str) -> str:
        return f"«{message}»"


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    real = retold.catalogue
    monkeypatch.setattr(retold, "catalogue", lambda lang: Marked() if lang == "zh_CN" else real(lang))


def raised(program: str) -> list[str]:
    """The sentences that a program raises as errors; what it fills in stands as 7."""
    tree = ast.parse((Path(content.__file__).parent / program).read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            match node.exc.args[0]:
                case ast.Constant(value=str(text)):
                    found.append(text)
                case ast.JoinedStr(values=parts):
                    texts = [one.value if isinstance(one, ast.Constant) else "7" for one in parts]
                    found.append("".join(map(str, texts)))
    return found


@pytest.mark.parametrize("program", SENT)
def test_each_sentence_of_a_program_on_a_host_is_told_in_the_readers_language(
    program: str, marked: None
) -> None:
    with speaking("zh"):
        assert not [said for said in raised(program) if not retold.retold(said).startswith("«")]
        assert retold.retold("no answer within 6 s") == "«no answer within 6 s»"


def test_the_programs_do_raise_sentences() -> None:
    assert "the server closed the connection" in raised("observe/datasource_remote.py")
    assert "an unexpected message 7" in raised("observe/datasource_remote.py")


def test_what_is_no_sentence_of_ours_stays_as_it_is(marked: None) -> None:
    with speaking("zh"):
        assert retold.retold("[SSL: WRONG_VERSION_NUMBER]") == "[SSL: WRONG_VERSION_NUMBER]"


def test_findings_tell_it(estate: Estate, marked: None) -> None:
    well = healthy(estate)
    unseen = host(well, "db1", errors={"units": "no answer within 6 s"})
    roads = well.hosts["app1"].facts
    assert roads is not None
    number = next(
        str(at) for at, road in enumerate(well.wanted["app1"].roads) if road.service == "postgresql"
    )
    wrong = Reached(Way.OPEN, 1.0, "certificate: certificate has expired")
    mute = host(well, "app1", roads={**roads.roads, number: wrong})
    with speaking("zh"):
        (one,) = judge(unseen, Thresholds())
        assert "«no answer within 6 s»" in one.text
        (other,) = judge(mute, Thresholds())
        assert "«certificate: certificate has expired»" in other.text


def test_a_diagnosis_tells_it(marked: None) -> None:
    attempt = Attempt("db1", 5432, "auth", said="the server closed the connection", ms=1.0)
    with speaking("zh"):
        assert "«the server closed the connection»" in _told(attempt)


@pytest.mark.parametrize("said", ["no answer within 30 s", "ssh ended with 255"])
def test_the_inspection_report_tells_why_something_could_not_be_seen(said: str, marked: None) -> None:
    read = _Read.__new__(_Read)
    object.__setattr__(read, "facts", seen_facts(unseen={"db2": said}))
    with speaking("zh"):
        assert f"«{said}»" in str(_unseen(read))
