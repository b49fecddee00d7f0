"""Preserve, evidence and audit, from what is typed to what is printed; hosts and store are stood in for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_evidence import SECRET, FakeLine, Store, hosts, ready, source, spoil, store  # noqa: F401 fixtures

from rmc_dr import response
from rmc_dr.cli import common, main
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.evidence import folder
from rmc_dr.i18n import speaking
from rmc_dr.incident import record
from rmc_dr.journal import plain
from rmc_dr.publish import facts, incident_report
from rmc_dr.words import custody_word

NOW = datetime.now(UTC)
PATIENT = "张三丰"
# Hosts are 1.5 s ahead (FakeLine): what they wrote at 10 happened here at 8.5.
OOM = {"_TRANSPORT": "kernel", "MESSAGE": f"Out of memory {PATIENT} \x1b[2J {{{{ 1 }}}}"}
ROWS = '["a", 100]\\n["lost", 100]\\n'


def line(at: datetime, **fields: str) -> str:
    return json.dumps({"__REALTIME_TIMESTAMP": str(int(at.timestamp() * 1e6)), **fields})


@pytest.fixture
def world(ready: Estate, hosts: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: F811
    monkeypatch.setattr(common.Context, "_estate", ready)
    oom = line(NOW - timedelta(minutes=5), **OOM)
    old = line(NOW - timedelta(hours=5), **OOM)
    hosts(
        source("journal", f"cat <<'EOF'\n{oom}\nno json\n{old}\nEOF", suffix="jsonl", audit=True),
        source(
            "replication",
            """echo '{"standby": false, "lsn": "0/8000010", "archiver":'""" """\
 '{"last_archived_wal": "000000010000000000000007"}}'""",
            groups=("dbserver",), suffix="json", audit=True,
        ),
        source("attachment-rows", f"printf '{ROWS}'", groups=("dbserver",), suffix="jsonl", audit=True,
               each="attachments"),
        source("attachment-files", r"printf '100.0 a\000100.0 orphan\000'", groups=("appserver",),
               suffix="bin", audit=True, each="attachments"),
        source("machine", f"echo {SECRET}"),
    )  # fmt: skip
    return hosts


def call(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), standalone_mode=False)


def answer(*words: str) -> Any:
    said = call(*words, "--json")
    assert said.exception is None, said.exception
    return json.loads(said.output)


def test_what_was_preserved_is_said_listed_shown_and_verified(world: Any):
    FakeLine.dead = {"@198.51.100.22"}
    said = call("preserve", "--reason", "login fails")
    assert said.exit_code == 0
    assert "not had: db2: no route to host" in said.output
    [row] = answer("evidence", "list")
    assert (row["state"], row["reason"]) == ("copied", "login fails")
    assert row["id"] in call("evidence", "list").output
    shown = answer("evidence", "show")
    assert [entry["did"] for entry in shown["custody"]] == ["collected", "copied"]
    assert "login fails" in call("evidence", "show", row["id"][-4:]).output
    with speaking("zh"):
        for did in ("collected", "copied", "sealed-after-cut", "sealed after it was cut off"):
            assert custody_word(did) != did, "older records say it in English words"
    assert custody_word("lent to\x1b[2J the police") == "lent to\ufffd[2J the police"
    assert call("evidence", "verify").exit_code == 0
    spoil(folder.find("lab", row["id"]).path / "db1/machine.txt", 3)
    broken = call("evidence", "verify", row["id"])
    assert broken.exit_code == 1
    assert "db1/machine.txt: it was changed" in broken.output


def test_a_run_is_told_no_word_of_a_log(world: Any):
    said = call("--json", "preserve", "--run", "R1")
    assert PATIENT not in said.output
    assert json.loads(said.output)["copied"] is True


def test_without_a_copy_the_command_says_so(world: Any, store: Store):  # noqa: F811
    store.down = True
    said = call("preserve")
    assert said.exit_code == 1
    assert "not copied to the store" in said.output


def test_an_audit_of_now_puts_clocks_right_and_tells_no_patient(world: Any):
    found = answer("audit")
    assert len(found["timeline"]) == 5
    assert PATIENT not in json.dumps(found, ensure_ascii=False)
    at = datetime.fromisoformat(found["first_error"]["at"])
    assert abs((NOW - timedelta(minutes=5, seconds=1.5) - at).total_seconds()) < 0.01
    assert found["unreadable"] == {
        f"{host}/journal.jsonl": 1 for host in ("app1", "db1", "db2", "store1", "verify1")
    }
    wal = found["assessment"]["unarchived"]
    assert (wal["bytes"], wal["holder"]) == (0x10, "db1")
    [first, _second] = found["assessment"]["attachments"]
    assert (first["rows_without_file"], first["files_without_row"]) == (1, 1)
    told = call("audit").output
    assert "First error" in told
    assert "16 B" in told
    assert PATIENT not in told
    assert not folder.all_of("lab"), "a look keeps nothing"


def test_the_open_incident_keeps_its_assessment_and_no_word_of_a_log(world: Any, ready: Estate):  # noqa: F811
    incident = response.start(ready, "x", ("users-out",)).incident
    answer("audit")
    [attached] = record.read(incident).attached("audit")
    assert (attached.fields["wal"]["bytes"], attached.fields["wal"]["holder"]) == (0x10, "db1")
    report = json.dumps(plain(incident_report.build(facts.gather(ready, incident))), ensure_ascii=False)
    assert "16 B; db1 holds it" in report
    assert "1 rows without a file, 1 files without a row" in report
    assert PATIENT not in report


def test_the_first_error_is_told_in_the_readers_language_whoever_audited(
    world: Any,
    ready: Estate,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    incident = response.start(ready, "x", ("users-out",)).incident
    monkeypatch.setenv("RMC_DR_LANG", "zh")
    assert "内存" in answer("audit")["first_error"]["what"]
    monkeypatch.setenv("RMC_DR_LANG", "en")
    report = json.dumps(plain(incident_report.build(facts.gather(ready, incident))), ensure_ascii=False)
    assert "the memory is used up: the kernel ends a process" in report
    assert "内存" not in report


def test_the_words_of_a_log_are_shown_on_demand_and_harm_no_terminal(world: Any):
    told = call("audit", "--words").output
    assert PATIENT in told
    assert "\x1b" not in told
    assert "{{ 1 }}" in told


def test_an_audit_of_evidence_reads_what_was_kept(world: Any):
    call("preserve")
    FakeLine.dead = {"198.51.100."}
    found = answer("audit", "--evidence", "last")
    assert len(found["timeline"]) == 10, "without a window everything counts"
    begin = (NOW - timedelta(hours=1)).isoformat()
    assert len(answer("audit", "--evidence", "last", "--from", begin)["timeline"]) == 5
    with pytest.raises(Error) as failed:
        call_raising("audit")
    assert failed.value.code == "hosts-silent"


def call_raising(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(common, "_end", lambda error: (_ for _ in ()).throw(error))
        said = call(*words)
    assert said.exception is not None
    raise said.exception


@pytest.mark.parametrize("name", ["db1/journal.jsonl", "manifest.json"])
def test_evidence_that_was_changed_is_not_read(world: Any, name: str):
    call("preserve")
    spoil(folder.find("lab", "last").path / name, 9)
    with pytest.raises(Refused) as refused:
        call_raising("audit", "--evidence", "last")
    assert refused.value.code == "evidence-changed"
    assert name in refused.value.message


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("audit", "--from", "2026-11-24T02:00:00"), "time-without-zone"),
        (("audit", "--from", "yesterday"), "time-unreadable"),
        (("audit", "--from", "2026-11-24T02:00:00Z", "--to", "2026-11-24T01:00:00Z"), "window-backwards"),
        (("audit", "--evidence", "nothing"), "unknown-evidence"),
        (("evidence", "show", "x"), "unknown-evidence"),
        (("evidence", "verify", "x"), "unknown-evidence"),
        (("preserve", "--host", "nobody"), "unknown-host"),
        (("preserve", "--disk", "/dev/sda3"), "disk-of-whom"),
    ],
)
def test_what_is_typed_wrong_ends_in_a_sentence_and_changes_nothing(world: Any, words: Any, code: str):
    with pytest.raises(BadInput) as refused:
        call_raising(*words)
    assert refused.value.code == code
    assert refused.value.hint
    assert folder.all_of("lab") == []
