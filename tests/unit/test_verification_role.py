"""What the verification host makes of what pgBackRest and restic say; the texts are those programs' own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from role_module import loaded

from rmc_dr import content
from rmc_dr.backups.archive import segment
from rmc_dr.observe import inspection

ROLE = content.root() / "roles/verification"
LABEL = "20261125-030553F_20261125-030554D"

reading = loaded(ROLE / "module_utils/verification_reading.py", "ansible.module_utils.verification_reading")
host = loaded(ROLE / "module_utils/verification_host.py", "ansible.module_utils.verification_host")
wal = loaded(ROLE / "module_utils/verification_wal.py", "ansible.module_utils.verification_wal")
repository = loaded(ROLE / "library/repository_read.py", "repository_read")
database = loaded(ROLE / "library/scratch_database.py", "scratch_database")
files = loaded(ROLE / "library/scratch_files.py", "scratch_files")
tree = loaded(ROLE / "library/scratch_tree.py", "scratch_tree")

BEGIN = (
    "2026-11-25 03:06:00.219 P00   INFO: verify command begin 2.55.1: --repo1-path=/database --stanza=pair"
)
END = "2026-11-25 03:06:00.391 P00   INFO: verify command end: completed successfully (174ms)"
RANGE = (
    "2026-11-25 03:06:00.391 P00 DETAIL: archiveId: 17-1, wal start: 000000010000000000000007, wal stop: 7"
)


def printed(*lines: str, status: str = "ok") -> str:
    report = f"2026-11-25 03:06:00.391 P00   INFO: stanza: pair\n{' ' * 36}status: {status}"
    body = f"{' ' * 38}archiveId: 17-1, total WAL checked: 1, total valid WAL: 1"
    return "\n".join(
        [BEGIN, *(f"2026-11-25 03:06:18.612 {line}" for line in lines), RANGE, report, body, END]
    )


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        (printed(), []),
        (printed("P00   INFO: backup '20261125-040000F' appears to be in progress, skipping"), []),
        (
            printed(f"P01   INFO: invalid checksum '{LABEL}/bundle/1'", status="error"),
            [f"{LABEL}/bundle/1"],
        ),
        (
            printed(
                f"P01   INFO: file missing '{LABEL}/bundle/1'",
                f"P02   INFO: file missing '{LABEL}/bundle/1'",
                status="error",
            ),
            [f"{LABEL}/bundle/1"],
        ),
        (
            printed(
                "P01   INFO: invalid result 17-1/0000000100000000/000000010000000000000007-dc87.zst: [29] "
                "raised from local-1 protocol: zst error: [-20] Data corruption detected",
                status="error",
            ),
            ["17-1/0000000100000000/000000010000000000000007-dc87.zst"],
        ),
        (
            printed(f"P00 DETAIL: backup '{LABEL}' manifest.copy does not match manifest"),
            [f"{LABEL}/backup.manifest.copy"],
        ),
        (
            printed(f"P00 DETAIL: {LABEL}/backup.manifest is missing or unusable, using copy"),
            [f"{LABEL}/backup.manifest"],
        ),
        (
            printed(f"P00 DETAIL: unable to open missing file '/x/{LABEL}/backup.manifest.copy' for read"),
            [f"{LABEL}/backup.manifest.copy"],
        ),
        (printed("P00 DETAIL: backup.info.copy does not match backup.info"), ["backup.info.copy"]),
        ("P00  ERROR: [101]: TLS error", ["", ""]),
        (BEGIN, [""]),
    ],
)
def test_what_pgbackrest_found_is_named(text: str, objects: list[str]) -> None:
    assert [name for _said, name in reading.pgbackrest_findings(text)] == objects


def test_a_wrong_key_is_told_as_what_pgbackrest_lacks() -> None:
    body = ("archiveId: 17-1, total WAL checked: 1", "No usable backup.info file")
    ((said, _name),) = reading.pgbackrest_findings(printed(status="error").replace(*body))
    assert "No usable backup.info file" in said
    sealed = printed("P00 DETAIL: unable to flush", status="error").replace(*body)
    assert "No usable backup.info file" in " ".join(
        said for said, _name in reading.pgbackrest_findings(sealed)
    )


def test_a_single_backup_needs_no_wal_of_an_earlier_timeline() -> None:
    text = printed("P00 DETAIL: path '17-1/0000000100000000' does not contain any valid WAL to be processed")
    assert reading.pgbackrest_findings(text, whole=False) == []
    assert reading.pgbackrest_findings(text) != []


def test_a_list_that_a_backup_renews_right_now_is_looked_at_again() -> None:
    assert reading.may_be_a_writer([("x", "backup.info.copy")])
    assert not reading.may_be_a_writer([("x", "backup.info.copy"), ("y", f"{LABEL}/bundle/1")])
    assert not reading.may_be_a_writer([])


@given(st.integers(0, 2**30), st.integers(0, 16 * 1024**2), st.integers(-3, 3))
def test_a_recovery_that_ended_too_early_is_told_by_its_segment(number: int, inside: int, until: int) -> None:
    lsn = number * reading.WAL_BYTES + inside
    wanted = max(0, number + until)
    where = reading.stopped_in(lsn, segment(1, wanted))
    if lsn >= (wanted + 1) * reading.WAL_BYTES:
        assert where is None
    elif lsn <= wanted * reading.WAL_BYTES:
        assert where == segment(1, lsn // reading.WAL_BYTES)
    assert reading.following(segment(3, number)) == segment(3, number + 1)


def test_segments_are_known_by_their_names() -> None:
    listing = {".": {}, f"{segment(1, 7)}-{'a' * 40}.zst": {}, f"{segment(1, 7)}.00000028.backup": {}}
    assert [one[1:] for one in reading.segments(json.dumps(listing))] == [(segment(1, 7), "a" * 40)]
    assert reading.segments("") == []


PACK = "48f35013fbbf7a38d6ec3c70105c1bbd34138e71e134f089c5e68c53cacb742f"


def said(**fields: Any) -> str:
    return json.dumps(fields)


@pytest.mark.parametrize(
    ("lines", "ended", "objects"),
    [
        ([said(message_type="summary", num_errors=0, broken_packs=None)], True, []),
        (
            [
                said(message_type="summary", num_errors=1, broken_packs=[PACK]),
                said(message_type="error", message=f"pack {PACK} contains 2 errors: [blob ...]\n"),
                said(message_type="error", message=f"restic repair packs {PACK}\n"),
                said(message_type="error", message="\nThe repository contains damaged pack files.\n"),
                said(message_type="exit_error", code=1, message="Fatal: repository contains errors"),
            ],
            True,
            [(PACK,)],
        ),
        ([said(message_type="summary", broken_packs=[PACK])], True, [(PACK,)]),
        ([said(message_type="error", message=f"pack {PACK}: does not exist\n")], False, [(PACK,)]),
        (
            [
                said(
                    message_type="error",
                    message="error: failed to load snapshot 17e30829: LoadRaw(<snapshot/17e308>)",
                )
            ],
            False,
            [("17e30829",)],
        ),
        (
            [said(message_type="exit_error", code=12, message="Fatal: wrong password or no key found")],
            False,
            [()],
        ),
        (["Load(<data/48f35013fb>, 2405016, 0) failed: no such file"], False, []),
    ],
)
def test_what_restic_found_is_named(lines: list[str], ended: bool, objects: list[Any]) -> None:
    whole, found = reading.restic_findings("\n".join(lines))
    assert (whole, [names for _said, names in found]) == (ended, objects)


def test_an_item_counts_as_read_only_where_it_was_sound() -> None:
    sound = {LABEL, "wal 17-1/0000000100000000", "packs 3/28"}
    full = LABEL.partition("_")[0]
    assert all(repository._is_read(name, sound) for name in (full, *sound))
    assert not any(
        repository._is_read(name, sound) for name in ("20261118-010000F", "packs 4/28", "wal 17-1/1")
    )
    assert repository._is_read("wal 17-1/1", {repository.WHOLE})
    assert not repository._is_read("packs 4/28", {repository.WHOLE})
    assert repository._is_read("packs 4/28", {"packs all"})


@pytest.mark.parametrize("value", ["0", "-3.5", "1e+06", "t", "f", "2026-11-25 11:29:36.080043+08"])
def test_what_may_leave_the_host(value: str) -> None:
    assert database.VALUE.fullmatch(value)


@pytest.mark.parametrize(
    "value", ["Wang Fang", "1|2", "1\n2", "true story", "2026-11-25; x", "13800138000 Li"]
)
def test_what_may_not_leave_the_host(value: str) -> None:
    assert not database.VALUE.fullmatch(value)


def test_of_damage_only_the_relations_names_are_told() -> None:
    text = (
        'pg_dump: error: Dumping the contents of table "patients" failed: PQgetResult() failed.\n'
        'heap table "management.public.patients", block 5, offset 1: Wang Fang\n'
        'btree index "management.public.patients_pkey": ERROR: (Wang Fang)\n'
    )
    names = database._relations(text)
    assert names == ["patients", "management.public.patients", "management.public.patients_pkey"]


def test_missing_and_orphaned_leave_out_what_the_other_side_could_not_know_yet() -> None:
    held = {"both": {"made": 100}, "orphan": {"made": 100}, "just written": {"made": 9_950}}
    rows = {"both": ("", 100.0), "lost": ("", 200.0), "after the snapshot": ("", 9_000.0)}
    assert files.differences(held, rows, taken=1_000, known_until=10_000) == (["lost"], ["orphan"])


@given(st.sets(st.text("ab*?[]\\", min_size=1, max_size=6), max_size=4))
def test_names_with_signs_that_restic_reads_are_taken_literally(names: set[str]) -> None:
    for name in names:
        literal = files._literal(name)
        assert literal.replace("\\", "") == name.replace("\\", "")
        assert len(literal) == len(name) + sum(sign in "*?[]\\" for sign in name)


def test_nothing_is_removed_on_another_host(tmp_path: Path) -> None:
    named, folder = tmp_path / "host", tmp_path / "srv" / "verify"
    with pytest.raises(host.Wrong, match="not named"):
        tree.prove(folder, "verify1", named)
    named.write_text("verify1\n")
    tree.prove(folder, "verify1", named)
    with pytest.raises(host.Wrong, match="not named"):
        tree.prove(folder, "db1", named)
    folder.parent.mkdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(host.Wrong, match="link"):
        tree.prove(folder, "verify1", named)
    for near in (Path("/srv"), Path("/")):
        with pytest.raises(host.Wrong, match="near the root"):
            tree.prove(near, "verify1", named)


def test_room_is_told_before_anything_is_made(tmp_path: Path) -> None:
    assert tree.room(tmp_path / "verify", 1)["green"]
    short = tree.room(tmp_path / "verify", 2**60)
    assert (short["green"], short["objects"]) == (False, [str(tmp_path)])


def test_what_stands_is_removed_only_where_that_gives_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, swept = tmp_path / "inspect", []
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "old").write_bytes(b"x" * 2**20)
    free = 10 * 2**20
    monkeypatch.setattr(tree.shutil, "disk_usage", lambda _path: SimpleNamespace(free=free))
    monkeypatch.setattr(tree, "sweep", lambda *_: swept.append("swept") or ["old"])
    monkeypatch.setattr(tree, "make", lambda *_: swept.append("made"))
    short = tree.work("prepare", folder, "inspection", free + 2 * 2**20, 60)
    assert (short["stop"], swept, (folder / "data" / "old").exists()) == (True, [], True)
    enough = tree.work("prepare", folder, "inspection", free + 2**19, 60)
    assert (enough["stop"], enough["left"], swept) == (False, ["old"], ["swept", "made"])
    assert "more without the earlier one" in enough["checks"][0]["detail"]


def test_a_module_that_outlived_its_verification_does_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(host.subprocess, "run", lambda words, **_options: called.append(words))
    monkeypatch.setattr(host, "life", lambda: "another")
    with pytest.raises(host.Wrong, match="ended"):
        host.run("true", timeout=1)
    with pytest.raises(host.Wrong, match="ended"):
        wal._sha1("pair", "archive/x", packed=False)
    assert called == []


def test_every_command_lives_in_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(host.subprocess, "run", lambda words, **_options: called.append(words))
    host.run("true", timeout=1)
    assert called[0][:5] == ["systemd-run", "--quiet", "--scope", "--collect", "--slice=verification.slice"]


def test_a_copy_follows_nobody_and_sends_nothing() -> None:
    """The settings, the units, and what the module asks PostgreSQL for are the same things."""
    settings = (ROLE / "templates/postgresql.conf.j2").read_text()
    for name, value in database.ALONE.items():
        wanted = "''" if value in ("", "(disabled)") else value
        assert f"\n{name} = {wanted}\n" in settings
    assert "\nlisten_addresses = ''\n" in settings
    for side in host.SIDES:
        for unit in ("postgres", "liberty"):
            text = described(f"verification-{unit}.service.j2", side)
            assert "PrivateNetwork=yes" in text
            assert f"JoinsNamespaceOf={side if unit == 'postgres' else 'verification'}-net.service" in text
        for unit in ("net", "recovery", "postgres"):
            assert f"\nSlice={side}.slice\n" in described(f"verification-{unit}.service.j2", side)
    assert "\nSlice=verification.slice\n" in described("verification-liberty.service.j2", "verification")


def described(template: str, side: str) -> str:
    """A unit or a setting as the role writes it for one of the two copies."""
    text = (ROLE / "templates" / template).read_text().replace("{{ verification_side }}", side)
    return text.replace("{{ verification_scratch }}", host.SIDES[side])


def test_what_stands_to_be_looked_into_is_nothing_of_the_nightly_copy() -> None:
    """The names that the role, its modules and rmc-dr's eyes know the two copies by are the same."""
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    assert variables["verification_sides"] == host.SIDES
    assert host.SIDES["inspection"] == inspection.FOLDER
    assert inspection.UNIT == "inspection-postgres.service"
    for unit in ("net", "recovery", "postgres"):
        assert "verification" not in re.sub(
            r"role verification|{{[^}]*}}", "", described(f"verification-{unit}.service.j2", "inspection")
        )


def test_commands_of_an_inspection_live_in_its_own_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(host, "HERE", host.Here())
    monkeypatch.setattr(host.subprocess, "run", lambda words, **_options: called.append(words))
    host.work_on("inspection")
    host.run("true", timeout=1)
    assert "--slice=inspection.slice" in called[0]
    assert host.HERE.unit("net") == "inspection-net.service"


def test_where_recovery_ends() -> None:
    assert database._target("latest") == ""
    assert database._target("2026-11-24 02:30:00+00:00") == (
        "recovery_target_time = '2026-11-24 02:30:00+00:00'\nrecovery_target_action = 'promote'\n"
    )
    with pytest.raises(host.Wrong, match="no moment"):
        database._target("2026-11-24' \narchive_mode = 'on")


def test_a_full_host_names_the_copy_that_takes_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = tmp_path / "inspect"
    beside.mkdir()
    monkeypatch.setattr(tree, "SIDES", {"inspection": str(beside)})
    assert str(beside) in tree.room(tmp_path / "verify", 2**60)["detail"]
    assert str(beside) not in tree.room(tmp_path / "verify", 1)["detail"]


def test_the_host_holds_no_key_that_writes() -> None:
    texts = [
        path.read_text() for path in ROLE.rglob("*") if path.is_file() and path.suffix in (".yml", ".j2")
    ]
    assert not any(
        key in text for text in texts for key in ("s3.writer", "s3.keeper", "s3.owner", "vault.apps")
    )
    assert any("vault.s3.verifier" in text for text in texts)


def test_every_play_names_the_verification_host_alone() -> None:
    playbooks = content.root() / "playbooks"
    stages = [
        playbooks / entry["ansible.builtin.import_playbook"]
        for entry in yaml.safe_load((playbooks / "backup-verify.yml").read_text())
    ]
    for stage in (*stages, playbooks / "restore-inspect.yml", playbooks / "inspection-release.yml"):
        assert {play["hosts"] for play in yaml.safe_load(stage.read_text())} == {"verifier"}
