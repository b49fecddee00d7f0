"""Deploys on real hosts: forward, back, and a release that does not work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Lab, copy_inventory

from rmc_dr import content
from rmc_dr.estate import ESTATE_FILE, Host
from rmc_dr.evidence import folder, manifest
from rmc_dr.https import Https
from rmc_dr.kit import signature
from rmc_dr.kit.manifest import NAME
from rmc_dr.record import find, read

pytestmark = [pytest.mark.lab, pytest.mark.long]
APP = "management"
FOLDER = f"applications/{APP}/1.1.0"
SCHEMA = f"{FOLDER}/schema.sql"
TERMS = (
    "--notes",
    "演练：修正报表打印",
    "--training",
    "no",
    "--consent",
    "演练环境 李主任",
    "--yes",
    "--json",
)
FIRST = ("deploy", APP, "--release", "1.0.0", *TERMS, "--skip-preserve", "the rehearsal is over")
SECOND = ("deploy", APP, "--release", "1.1.0", *TERMS)
BACK = ("deploy", APP, "--rollback", "--yes", "--json")
WITHOUT_BACKUP = ("--accept-no-backup", "a rehearsal")


def changed_files() -> str:
    words = ["git", "status", "--porcelain", "--", ".", ":!docs"]  # the ledgers of proofs lie there
    return subprocess.run(words, cwd=content.root(), capture_output=True, text=True, check=True).stdout


@pytest.fixture
def first_release(healthy: Lab) -> Iterator[Lab]:
    """The estate's own release runs before, and again afterwards; the checkout is as clean as it was."""
    before = changed_files()
    yield healthy
    healthy.ok(*FIRST)
    assert changed_files() == before


def sql(lab: Lab, statement: str) -> str:
    """By the primary, whichever it is."""
    seen = json.loads(lab.run("db", "status", "--json").out)
    (primary,) = [node["name"] for node in seen["seen"]["nodes"] if node["role"] == "primary"]
    words = ("runuser", "-u", "postgres", "--", "psql", "-X", "-A", "-t", "-d", APP, "-c", statement)
    return lab.ok("lab", "exec", primary, "--", *words).out.strip()


def version(lab: Lab) -> str:
    estate = lab.estate()
    (host,) = estate.group("appserver")
    with Https(estate, host, estate.config.applications.port, 15) as https:
        answer: str = https.request("GET", f"/{APP}/api/version").json()["version"]
        return answer


def liberty_process(lab: Lab) -> str:
    return lab.ok("lab", "exec", "app1", "systemctl", "show", "liberty", "--property=MainPID").out


def release_in_estate(lab: Lab) -> str:
    return next(app.release for app in lab.estate().config.applications.apps if app.name == APP)


def scenes(run: str) -> int:
    """How many collections were sealed for a run, each before anything of it was changed."""
    told = find(run)
    events = [event for event in read(told) if event.event == "facts" and "preserve" in str(event.fields)]
    ids = [
        one["preserve"]["id"] for event in events for one in event.get("hosts").values() if "preserve" in one
    ]
    kept = [manifest.read(folder.find("lab", name)) for name in ids]
    assert all(one.about["run"] == told.name and one.had for one in kept)
    return len(set(ids))


def test_forward_and_back(first_release: Lab) -> None:
    done: dict[str, Any] = first_release.ok(*SECOND).events()[-1]
    assert (done["before"], done["release"], done["pinned"]) == ("1.0.0", "1.1.0", True)
    assert all(check["passed"] for check in done["checks"])
    assert scenes(done["run"]) == 1
    assert 0.5 < done["users_out_seconds"] < 120
    assert version(first_release) == release_in_estate(first_release) == "1.1.0"
    back = first_release.ok(*BACK).events()[-1]
    assert scenes(back["run"]) == 1
    assert version(first_release) == release_in_estate(first_release) == "1.0.0"
    back, forward = json.loads(first_release.ok("releases", APP, "--json").out)[:2]
    assert (forward["run"], forward["state"], forward["back_at"]) == (done["run"], "deployed", back["at"])
    assert (forward["notes"], forward["training"]) == ("演练：修正报表打印", False)
    assert forward["consent"]["by"] == "演练环境 李主任"
    assert "演练：修正报表打印" in first_release.ok("report", "run", done["run"]).out
    plan = first_release.ok("deploy", APP, "--release", "1.1.0", "--plan").out
    assert "are out for about" in plan, "the two deploys have measured it"
    assert version(first_release) == "1.0.0"


def test_a_deploy_that_was_cut_before_the_restart_is_finished(first_release: Lab) -> None:
    """The files say 1.1.0 and Liberty runs 1.0.0: so it is after a kill at the worst moment."""
    first_release.ok(*SECOND)
    first_release.ok(*BACK)
    cut = (
        f"cd /opt/apps/{APP} && touch ../.restart-owed && ln -sfn releases/1.0.0 previous && "
        "ln -sfn releases/1.1.0 current"
    )
    first_release.ok("lab", "exec", "app1", "--", "sh", "-c", cut)
    before = liberty_process(first_release)
    done = first_release.ok(*SECOND).events()[-1]
    assert (done["before"], done["release"]) == ("1.0.0", "1.1.0")
    assert liberty_process(first_release) != before, "it serves from memory what it was started with"
    assert version(first_release) == "1.1.0"


def test_a_release_that_fails_its_journey_goes_back(first_release: Lab, tmp_path: Path) -> None:
    """A journey that asks for what no release has: all works but the proof, of either release."""
    copy = copy_inventory(tmp_path)
    expect_a_teapot(copy)
    said = first_release.run("-i", str(copy), *SECOND)
    assert (said.code, said.events()[-1]["error"]) == (1, "deploy-broken")
    assert version(first_release) == "1.0.0"


def expect_a_teapot(inventory: Path) -> None:
    file = inventory / ESTATE_FILE
    asked = f"- {{get: /{APP}/api/health, status: 200"
    assert asked in file.read_text()
    file.write_text(file.read_text().replace(asked, asked.replace("200", "418"), 1))


@pytest.fixture
def other_kit(first_release: Lab, tmp_path: Path) -> tuple[Path, Path]:
    """An inventory and a copy of the kit that it names; the lab's own kit stays as it is."""
    inventory, kit = copy_inventory(tmp_path), tmp_path / "kit"
    own = first_release.estate().config.kit.path
    shutil.copytree(own, kit, copy_function=os.link)
    file = inventory / ESTATE_FILE
    file.write_text(file.read_text().replace(f"path: {own}", f"path: {kit}", 1))
    return inventory, kit


def change(kit: Path, name: str, text: bytes) -> None:
    (kit / name).unlink(missing_ok=True)  # a hard link
    (kit / name).parent.mkdir(exist_ok=True)
    (kit / name).write_bytes(text)


def bring(lab: Lab, kit: Path, **texts: str) -> None:
    """Put files into the kit's release and sign it anew."""
    manifest = json.loads((kit / NAME).read_text())
    for name, told in texts.items():
        file, text = f"{FOLDER}/{name}", told.encode()
        change(kit, file, text)
        manifest["files"][file] = {"sha256": hashlib.sha256(text).hexdigest(), "size": len(text)}
    change(kit, NAME, json.dumps(manifest).encode())
    signature.sign(kit / NAME, lab.estate().private_dir / "kit_signing_key")


def test_a_schema_that_postgresql_refuses_is_told_in_its_words(
    first_release: Lab, other_kit: tuple[Path, Path]
) -> None:
    inventory, kit = other_kit
    text = "create table half_made ();\nselect no_such_column from patients;\n"
    bring(first_release, kit, **{"schema.sql": text})

    said = first_release.run("-i", str(inventory), *SECOND)

    assert (said.code, 'column "no_such_column" does not exist' in said.err) == (1, True), said.err
    assert version(first_release) == "1.0.0"


KEPT = "select count(*) from pg_class where relname in ('kept_one', 'kept_two')"
NOTED = "select string_agg(name, ' ' order by name) from rmc_dr.migrations"
MADE = {"migrations/0001-one.sql": "create table kept_one (id int);"}
UNMADE = {"migrations/0001-one.undo.sql": "drop table kept_one;"}


@pytest.fixture
def migrated(first_release: Lab) -> Iterator[Lab]:
    """The database forgets afterwards what the test's migrations did."""
    yield first_release
    sql(first_release, "drop table if exists kept_one, kept_two; drop schema if exists rmc_dr cascade")


def test_migrations_run_once_and_in_order(migrated: Lab, other_kit: tuple[Path, Path]) -> None:
    inventory, kit = other_kit
    two = {"migrations/0002-two.sql": "create table kept_two as select * from kept_one; -- :app it's \\! id"}
    bring(migrated, kit, **two, **MADE)
    plan = migrated.ok("-i", str(inventory), "deploy", APP, "--release", "1.1.0", "--plan").out
    assert "CANNOT BE TAKEN BACK: 0001-one.sql, 0002-two.sql" in plan
    done = migrated.ok("-i", str(inventory), *SECOND, *WITHOUT_BACKUP).events()[-1]
    assert done["migrated"] == ["0001-one.sql", "0002-two.sql"]
    assert (sql(migrated, KEPT), sql(migrated, NOTED)) == ("2", "0001-one.sql 0002-two.sql")
    owners = "select distinct tableowner from pg_tables where tablename like 'kept%'"
    assert sql(migrated, owners) == f"{APP}_owner"
    done = migrated.ok("-i", str(inventory), *SECOND).events()[-1]
    assert done["migrated"] == [], "a second deploy needs no backup: nothing is left to run"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("select no_such_column from patients;", 'column "no_such_column" does not exist'),
        ("commit;", "EXECUTE of transaction commands"),
        ("set role none; create role thief superuser;", 'cannot set parameter "role"'),
        ("select 'Zhang San'::int;", "which may be a patient's"),
    ],
    ids=["wrong", "commit", "role", "patient"],
)
def test_a_migration_that_fails_leaves_the_old_release_at_work(
    migrated: Lab, other_kit: tuple[Path, Path], bad: str, said: str
) -> None:
    inventory, kit = other_kit
    bring(migrated, kit, **MADE, **{"migrations/0002-bad.sql": bad})
    done = migrated.run("-i", str(inventory), *SECOND, *WITHOUT_BACKUP)
    assert (done.code, done.events()[-1]["error"]) == (1, "deploy-failed")
    assert "migration 0002-bad.sql" in done.err
    assert said in done.err
    assert "Zhang" not in done.err + done.out
    assert "None of its migrations has run" in done.err
    assert (sql(migrated, KEPT), version(migrated)) == ("0", "1.0.0")


def test_a_release_that_fails_takes_its_migrations_back(migrated: Lab, other_kit: tuple[Path, Path]) -> None:
    inventory, kit = other_kit
    expect_a_teapot(inventory)
    bring(migrated, kit, **MADE, **UNMADE)
    said = migrated.run("-i", str(inventory), *SECOND, *WITHOUT_BACKUP)
    assert said.events()[-1]["error"] == "deploy-broken", "no release passes this journey"
    assert "Its migrations were taken back: 0001-one.sql" in said.err
    stages = [event["name"] for event in said.events() if event.get("event") == "stage-finished"]
    assert stages == ["preserve", "deploy", "preserve", "undo", "back"]
    assert scenes("last") == 2
    assert (sql(migrated, KEPT), sql(migrated, NOTED), version(migrated)) == ("0", "", "1.0.0")


def test_by_hand_a_kit_that_somebody_touched_is_refused(
    first_release: Lab, other_kit: tuple[Path, Path]
) -> None:
    inventory, kit = other_kit
    change(kit, SCHEMA, b"drop table patients;\n")  # and not signed
    words = ["-e", f"deploy_application={APP}", "-e", "deploy_release=1.1.0"]
    done = first_release.by_hand("deploy.yml", *words, inventory=inventory)
    assert done.code != 0
    assert "schema.sql is not the file that the kit" in " ".join(done.out.split())
    assert version(first_release) == "1.0.0"


def test_what_is_refused(healthy: Lab) -> None:
    assert healthy.run("deploy", "laboratory", "--release", "1.0.0", *TERMS).code == 2
    assert healthy.run("deploy", APP, "--release", "9.9.9", *TERMS).code == 2
    assert healthy.run("deploy", APP).code == 2
    said = healthy.run("deploy", APP, "--release", "1.1.0", "--yes", "--json")
    assert (said.code, said.events()[-1]["error"]) == (2, "release-terms")
    assert version(healthy) == "1.0.0"


def test_the_attachments_folder_belongs_to_the_fixed_user(healthy: Lab) -> None:
    """The data partition outlives the system that wrote it: the number must not change with an image."""
    host: Host = healthy.estate().group("appserver")[0]
    said = healthy.ok("lab", "exec", host.name, "--", "stat", "-c", "%u:%g", f"/srv/attachments/{APP}")
    assert said.out.strip() == "700:700"
