"""A release's migrations: which run, in which order, and what is told of one that fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from role_module import loaded

from rmc_dr import content, migrations
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.kit import archives
from rmc_dr.migrations import Migration, Ran, final, of_release, pending, refuse_misnamed
from rmc_dr.observe import migrations as observed

ROLE = content.root() / "roles/application"
FOLDER = "applications/management/1.1.0/migrations"

sql = loaded(ROLE / "module_utils/application_sql.py", "ansible.module_utils.application_sql")
database = loaded(ROLE / "library/application_database.py", "application_database")
undo = loaded(ROLE / "library/application_undo.py", "application_undo")


def test_a_releases_own_migrations_in_order() -> None:
    files = {
        f"{FOLDER}/0002-b.sql": "two",
        f"{FOLDER}/0001-a.sql": "one",
        f"{FOLDER}/0001-a.undo.sql": "back",
        "applications/management/1.1.0/schema.sql": "s",
        "applications/management/1.0.0/migrations/0009-old.sql": "x",
        "applications/verification/1.1.0/migrations/0003-c.sql": "y",
    }
    found = of_release(files, "management", "1.1.0")
    assert found == (Migration("0001-a.sql", "one", True), Migration("0002-b.sql", "two", False))
    assert final(found) == ("0002-b.sql",)


ONE, TWO = Migration("0001-a.sql", "one", True), Migration("0002-b.sql", "two", False)


def test_what_has_run_runs_no_more() -> None:
    assert pending((ONE, TWO), Ran({}, False)) == (ONE, TWO)
    assert pending((ONE, TWO), Ran({"0001-a.sql": "one", "0000-older.sql": "z"}, False)) == (TWO,)
    assert pending((ONE, TWO), Ran({}, True)) == ()
    with pytest.raises(Refused) as refused:
        pending((ONE, TWO), Ran({"0002-b.sql": "another"}, False))
    assert (refused.value.code, "0002-b.sql" in refused.value.message) == ("migration-changed", True)


@given(st.dictionaries(st.from_regex(r"[0-9]{4}-[a-z]{1,3}\.sql", fullmatch=True), st.sampled_from("ab")))
def test_the_host_and_the_control_machine_judge_alike(digests: dict[str, str]) -> None:
    """Both decide by themselves: before the operator is asked, and once more where it happens."""
    ran = {name: digest for name, digest in digests.items() if name < "5"}
    here = pending(tuple(Migration(name, digests[name], False) for name in sorted(digests)), Ran(ran, False))
    assert [one.name for one in here] == sql.pending(digests, ran)


def test_the_host_refuses_what_it_should_not_run() -> None:
    with pytest.raises(sql.Wrong, match=r"0001-a\.sql has run already"):
        sql.pending({"0001-a.sql": "new"}, {"0001-a.sql": "old"})
    for name in ("1-a.sql", "0001-a b.sql", "0001-$(id).sql", "0001-a.sql\nselect"):
        with pytest.raises(sql.Wrong, match="is not named as"):
            sql.pending({name: "d"}, {})


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (["0001-a.sql", "0001-a.undo.sql", "0002-b.sql"], ""),
        (["1-a.sql"], "1-a.sql"),
        (["0001-a.sql", "0001-b.sql"], "0001-a.sql, 0001-b.sql"),
        (["0001-a.undo.sql"], "0001-a.undo.sql"),
        (["0001 a.sql"], "0001 a.sql"),
    ],
)
def test_a_kit_takes_no_migration_without_a_clear_order(names: list[str], wrong: str) -> None:
    files = [f"management/1.1.0/migrations/{name}" for name in names]
    if not wrong:
        refuse_misnamed("management", "1.1.0", files)
        return
    with pytest.raises(BadInput) as caught:
        refuse_misnamed("management", "1.1.0", files)
    assert (caught.value.code, caught.value.message.endswith(f": {wrong}.")) == ("migration-name", True)


def test_a_kit_holds_the_migrations_of_every_release(estate: Estate, tmp_path: Path) -> None:
    for app in estate.config.applications.apps:
        for name in ("app.war", "schema.sql", "migrations/0001-a.sql", "migrations/read.me"):
            path = tmp_path / app.name / app.release / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
    found = archives._releases(estate, tmp_path, lambda _text: None)
    assert "applications/management/1.0.0/migrations/0001-a.sql" in found
    assert not [name for name in found if name.endswith("read.me")]
    (tmp_path / "management/1.0.0/migrations/7.sql").write_text("")
    with pytest.raises(BadInput):
        archives._releases(estate, tmp_path, lambda _text: None)


LOOKED = "ran abc 0001-a.sql\nran def 0002-b.sql\n"


def test_both_ask_the_database_the_same_question() -> None:
    assert observed.LOOK == sql.LOOK
    assert migrations.NAME.pattern == sql.NAME.pattern
    assert sql.look(LOOKED) == ({"0001-a.sql": "abc", "0002-b.sql": "def"}, False)
    assert observed.read(LOOKED) == Ran({"0001-a.sql": "abc", "0002-b.sql": "def"}, False)
    assert observed.read("empty\n") == Ran({}, True)
    assert observed.read("") == Ran({}, False)


def test_a_database_that_does_not_answer_is_an_error(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def answer(line: list[str], **words: Any) -> subprocess.CompletedProcess[str]:
        calls.append((line[-1], words["input"]))
        return subprocess.CompletedProcess(
            line, 0 if len(calls) == 1 else 2, LOOKED, "psql: no such database"
        )

    monkeypatch.setattr(observed.subprocess, "run", answer)
    app = estate.config.applications.apps[0]
    assert observed.observe_migrations(estate, estate.host("db1"), app).digests["0002-b.sql"] == "def"
    command, question = calls[0]
    assert question == sql.LOOK
    assert command == (
        "cd / && PGOPTIONS='-c default_transaction_read_only=on -c statement_timeout=10s' "
        "runuser --user=postgres -- psql --no-psqlrc --quiet --no-align --tuples-only --set=ON_ERROR_STOP=1 "
        "--port=5432 --dbname=management --file=-"
    )
    with pytest.raises(Error, match="no such database") as caught:
        observed.observe_migrations(estate, estate.host("db1"), app)
    assert caught.value.code == "migrations-unknown"


class Psql:
    """Stands in for psql on the primary: what it is given, and what it says."""

    def __init__(self, looked: str = "") -> None:
        self.looked = looked
        self.given: list[tuple[str, dict[str, Any]]] = []

    def run(self, _database: str, text: str, **words: Any) -> str:
        self.given.append((text, words))
        return self.looked if text == sql.LOOK else "objects 5\nobjects 5\n"


GIVEN = {
    "database": "management",
    "release": "1.1.0",
    "schema": "select 'the schema';",
    "journey_sql": "",
    "user": "u",
    "migrations": {"0001-a.sql": "A", "0002-b.sql": "it's B", "0002-b.undo.sql": "undo B"},
    "digests": {"0001-a.sql": "abc", "0002-b.sql": "def", "0002-b.undo.sql": "ghi"},
}


def test_migrations_and_schema_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql("ran abc 0001-a.sql\n")
    monkeypatch.setattr(database, "run", psql.run)
    done = database.bring(GIVEN, "hash")
    assert done == {"changed": True, "applied": True, "migrated": ["0002-b.sql"]}
    text, words = psql.given[1]
    assert words == {"role": "management_owner", "seconds": 120 + sql.MIGRATION_SECONDS}
    order = [text.index(part) for part in ("begin;", "'it''s B'", "insert into", "'the schema'", "commit;")]
    assert order == sorted(order)
    assert (text.count("begin;\n"), text.count("commit;\n")) == (1, 1)
    assert "'A'" not in text
    assert "undo B" not in text
    between = text[text.index("'it''s B'") : text.index("'the schema'")]
    assert "set local role management_owner" in between[between.rindex("insert into") :]


def test_an_empty_database_gets_the_schema_and_notes_what_that_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql("empty\n")
    monkeypatch.setattr(database, "run", psql.run)
    assert database.bring(GIVEN, "hash")["migrated"] == []
    text, _words = psql.given[1]
    assert "it''s B" not in text
    assert text.count("'baseline');") == 2


def test_without_migrations_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    psql = Psql()
    monkeypatch.setattr(database, "run", psql.run)
    done = database.bring({**GIVEN, "migrations": {}, "digests": {}}, "hash")
    assert done == {"changed": False, "applied": True, "migrated": []}
    assert [("rmc_dr" in text) for text, _words in psql.given] == [False]


def test_taken_back_the_last_one_first() -> None:
    texts = {"0001-a.undo.sql": "undo A", "0002-b.undo.sql": "undo B"}
    text = undo.script("management", ["0001-a.sql", "0002-b.sql"], texts)
    order = [
        text.index(part) for part in ("begin;", "undo B", "'0002-b.sql'", "undo A", "'0001-a.sql'", "commit;")
    ]
    assert order == sorted(order)
    for names in (["0001-a.sql", "0003-c.sql"], ["../x.sql"]):
        with pytest.raises(undo.Wrong, match="nothing was taken back"):
            undo.script("management", names, texts)


def test_the_migration_at_work_is_named() -> None:
    err = 'psql:<stdin>:31: ERROR:  column "x" does not exist\n'
    assert sql.told("objects 3\nmigration 0001-a.sql\n\nmigration 0002-b.sql\n", err) == (
        'migration 0002-b.sql: ERROR:  column "x" does not exist'
    )
    assert sql.told("objects 3\n", err) == 'ERROR:  column "x" does not exist'


def test_only_a_failed_deploy_asks_for_an_undo() -> None:
    """By hand, going back leaves the database alone: the play has no host then."""
    (play,) = yaml.safe_load((content.root() / "playbooks/stages/undo.yml").read_text())
    assert play["hosts"] == "{{ 'appserver' if deploy_undo | default('') else [] }}"


def test_what_was_deployed_beats_what_the_estate_was_founded_with(tmp_path: Path) -> None:
    """The role's own words for it, in Ansible's hands."""
    play = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars": {
                "estate": {
                    "applications": {
                        "list": [{"name": "a", "release": "1.0"}, {"name": "b", "release": "2.0"}]
                    }
                },
                "deployed_releases": {"a": "1.10", "gone": "7"},
            },
            "vars_files": [str(ROLE / "defaults/main.yml")],
            "tasks": [
                {
                    "ansible.builtin.assert": {
                        "that": "application_list | map(attribute='release') | list == ['1.10', '2.0']"
                    }
                }
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    program = shutil.which("ansible-playbook", path=str(Path(sys.executable).parent))
    assert program
    words = [program, "-i", "localhost,", "-c", "local", "play.yml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
