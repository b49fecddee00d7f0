"""Files come back from a snapshot: the right one is chosen, and what is there now is never lost."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from role_module import loaded

from rmc_dr import content

back = loaded(content.root() / "roles/file_backup/library/files_back.py", "files_back")
Wrong, choose, compare, merge = back.Wrong, back.choose, back.compare, back.merge


def snapshot(name: str, time: str) -> dict[str, str]:
    return {"short_id": name, "time": time}


TAKEN = [
    snapshot("noon", "2026-11-23T12:00:00.123456789+08:00"),
    snapshot("night", "2026-11-23T20:00:00Z"),
    snapshot("morning", "2026-11-24T08:00:00+08:00"),
]


@pytest.mark.parametrize(
    ("to", "wanted"),
    [
        ("latest", "morning"),
        ("2026-11-24 00:00:00+00:00", "morning"),
        ("2026-11-23T23:59:59+00:00", "night"),
        ("2026-11-23T12:00:01+08:00", "noon"),
    ],
)
def test_the_newest_that_is_not_younger(to, wanted):
    assert choose(TAKEN, to)["short_id"] == wanted


@pytest.mark.parametrize("known", [[], TAKEN])
def test_no_snapshot_is_said(known):
    with pytest.raises(Wrong, match="no snapshot"):
        choose(known, datetime(2020, 1, 1, tzinfo=UTC).isoformat())


@pytest.mark.parametrize("to", ["yesterday", "2026-11-24T00:00:00"])
def test_what_is_no_moment_is_said(to):
    with pytest.raises(Wrong, match=r"Nothing was changed\.$"):
        choose(TAKEN, to)


def test_what_is_kept_already_is_never_replaced(tmp_path: Path):
    place, aside = write(tmp_path / "place", {"a": b"now"}), write(tmp_path / "aside", {"a": b"kept"})
    with pytest.raises(Wrong, match="kept already"):
        merge(write(tmp_path / "staged", {"a": b"before"}), place, aside)
    assert (contents(place), contents(aside)) == ({"a": b"now"}, {"a": b"kept"})


def test_a_file_where_a_folder_was_goes_aside(tmp_path: Path):
    place, aside = write(tmp_path / "place", {"d": b"now"}), tmp_path / "aside"
    assert merge(write(tmp_path / "staged", {"d/c": b"before"}), place, aside)["replaced"] == 1
    assert (contents(place), contents(aside)) == ({"d/c": b"before"}, {"d": b"now"})


trees = st.dictionaries(
    st.sampled_from(["a", "b", "d/c", "d/e/f", "g"]), st.binary(min_size=1, max_size=3), max_size=5
)


def write(folder: Path, tree: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content_ in tree.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content_)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(before=trees, now=trees)
def test_nothing_is_lost_and_the_snapshot_stands(tmp_path_factory, before, now):
    root = tmp_path_factory.mktemp("files")
    place, aside = write(root / "place", now), root / "aside"
    counts = merge(write(root / "staged", before), place, aside)
    after, kept = contents(place), contents(aside) if aside.exists() else {}
    assert after == {**now, **before}
    assert kept == {name: data for name, data in now.items() if name in before and before[name] != data}
    assert counts["replaced"] == len(kept)
    assert counts["restored"] == len(before.keys() - now.keys())


@given(before=trees, now=trees)
def test_only_what_is_missing_comes_back_while_users_write(tmp_path_factory, before, now):
    root = tmp_path_factory.mktemp("files")
    place, aside = write(root / "place", now), root / "aside"
    counts = merge(write(root / "staged", before), place, aside, only_missing=True)
    assert contents(place) == {**before, **now}
    assert (counts["restored"], counts["replaced"]) == (len(before.keys() - now.keys()), 0)
    assert not aside.exists()


@given(before=trees, now=trees)
def test_the_freeze_is_no_longer_than_what_differs_needs(tmp_path_factory, before, now):
    """Whatever is there already is found while users still work, and dropped from what was fetched."""
    root = tmp_path_factory.mktemp("files")
    place, staged = write(root / "place", now), write(root / "staged", before)
    same = {name for name, data in before.items() if now.get(name) == data}
    counts = compare(staged, place)
    assert counts["same"] == len(same)
    assert counts["missing"] == len(before.keys() - now.keys())
    assert contents(place) == now
    assert contents(staged) == {name: data for name, data in before.items() if name not in same}
    merge(staged, place, root / "aside")
    assert contents(place) == {**now, **before}


FOLDER = Path("/srv/attachments")
NODES = [
    {"struct_type": "snapshot"},
    {"type": "dir", "path": "/srv/attachments/management"},
    {"type": "file", "path": "/srv/attachments/management/scan[1].pdf", "size": 7},
    {"type": "file", "path": "/srv/attachments/management/scan1.pdf", "size": 40},
    {"type": "dir", "path": "/srv/attachments/managementold"},
    {"type": "file", "path": "/srv/attachments/managementold/a", "size": 500},
]


@pytest.mark.parametrize(
    ("paths", "total"),
    [
        ([], 547),
        (["management"], 47),
        (["management/scan[1].pdf"], 7),
        (["management/", "managementold"], 547),
    ],
)
def test_only_what_is_wanted_needs_room(paths, total):
    assert back.measure(NODES, FOLDER, paths) == total


@pytest.mark.parametrize("path", ["managment", "management/scan[2].pdf", "management/scan*", "anagement"])
def test_a_path_that_matches_nothing_is_said(path):
    with pytest.raises(Wrong, match="holds nothing at") as wrong:
        back.measure(NODES, FOLDER, ["management", path])
    assert str(wrong.value).endswith("Nothing was changed.")
    assert path in str(wrong.value)


def test_a_name_is_no_pattern():
    assert back.literal("management/scan[1]*?.pdf") == r"management/scan\[1\]\*\?.pdf"


def test_the_room_of_the_applications_is_not_taken():
    back.refuse_full(100, 150, 50, FOLDER)
    with pytest.raises(Wrong, match=r"Nothing was changed\.$"):
        back.refuse_full(101, 150, 50, FOLDER)


RESTIC = """#!/usr/bin/python3
import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
words = [word for word in sys.argv[1:] if not word.startswith("--")]
if words[0] == "snapshots":
    print(json.dumps([{"id": "aaaabbbb", "short_id": "aaaa", "time": "2026-11-24T00:00:00Z"}]))
elif words[0] == "ls":
    for path in sorted((here / "backup").rglob("*")):
        kind = "dir" if path.is_dir() else "file"
        name = words[2] + "/" + str(path.relative_to(here / "backup"))
        print(json.dumps({"type": kind, "path": name, "size": path.stat().st_size}))
else:
    target = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--target="))
    place = pathlib.Path(target + (here / "folder").read_text())
    for path in (here / "backup").rglob("*"):
        if path.is_file():
            (place / path.relative_to(here / "backup")).parent.mkdir(parents=True, exist_ok=True)
            (place / path.relative_to(here / "backup")).write_bytes(path.read_bytes())
    assert os.environ["RESTIC_PROGRESS_FPS"] == "1"
    print(json.dumps({"message_type": "status", "bytes_restored": 3}))
    sys.exit(int((here / "code").read_text()))
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with attachments, a backup of them, and a program that answers as restic does."""
    write(tmp_path / "backup", {"m/lost": b"one", "m/spoiled": b"two", "m/same": b"s"})
    write(tmp_path / "attachments", {"m/spoiled": b"encrypted", "m/same": b"s", "m/newer": b"n"})
    (tmp_path / "folder").write_text(str(tmp_path / "attachments"))
    (tmp_path / "code").write_text("0")
    (tmp_path / "restic").write_text(RESTIC.replace("\\\\n", "\\n"))
    (tmp_path / "restic").chmod(0o755)
    monkeypatch.setattr(back, "RESTIC", str(tmp_path / "restic"))
    monkeypatch.setattr(back, "PROGRESS", tmp_path / "progress")
    monkeypatch.setattr(back, "LOCK", tmp_path / "lock")
    return tmp_path


def asked(host: Path, **changes: Any) -> dict[str, Any]:
    return {
        "do": "all", "folder": str(host / "attachments"), "paths": [], "host": "app1", "tag": "attachments",
        "to": "latest", "run": "r1", "only_missing": False, "spare": 0, **changes,
    }  # fmt: skip


def calls(host: Path) -> list[list[str]]:
    return [json.loads(line) for line in (host / "calls").read_text().splitlines()]


def test_step_by_step_files_come_back_and_nothing_of_the_work_stays(host: Path):
    fetched = back.work(asked(host, do="fetch"))
    assert {key: fetched[key] for key in ("snapshot", "bytes", "missing", "differ", "same")} == {
        "snapshot": "aaaa", "bytes": 7, "missing": 1, "differ": 1, "same": 1,
    }  # fmt: skip
    assert (host / "progress").read_text() == "3 7\n"
    assert contents(host / "attachments")["m/spoiled"] == b"encrypted", "nothing is touched yet"
    put = back.work(asked(host, do="put"))
    assert (put["restored"], put["replaced"], put["aside"]) == (1, 1, str(host / "attachments.before-r1"))
    assert back.work(asked(host, do="sweep"))["changed"]
    assert not (host / "attachments.restoring").exists()
    assert not (host / "progress").exists()
    assert contents(host / "attachments") == {
        "m/lost": b"one", "m/spoiled": b"two", "m/same": b"s", "m/newer": b"n",
    }  # fmt: skip


def test_a_new_disk_gets_them_in_one_go(host: Path):
    done = back.work(asked(host))
    assert (done["snapshot"], done["restored"], done["replaced"], done["same"]) == ("aaaa", 1, 1, 1)
    assert not (host / "attachments.restoring").exists()


def test_restic_is_given_names_and_no_patterns(host: Path):
    write(host / "backup" / "n", {"scan[1].pdf": b"x"})
    back.work(asked(host, paths=["n/scan[1].pdf"]))
    last = calls(host)[-1]
    assert last == [
        "--json", "restore", "aaaabbbb", f"--target={host}/attachments.restoring",
        rf"--include={host}/attachments/n/scan\[1\].pdf",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "said"), [({"spare": 2**62}, "stay for the applications"), ({"paths": ["x"]}, "nothing at x")]
)
def test_what_is_refused_fetches_nothing(host: Path, changes: dict[str, Any], said: str):
    before = contents(host / "attachments")
    with pytest.raises(Wrong, match=said):
        back.work(asked(host, **changes))
    assert [words[1] for words in calls(host)] == ["snapshots", "ls"]
    assert contents(host / "attachments") == before
    assert not (host / "attachments.restoring").exists()


def test_what_a_killed_one_left_is_room_that_is_had_again(host: Path, monkeypatch: pytest.MonkeyPatch):
    left = write(host / "attachments.restoring", {"half": b"x"})
    seen = []
    usage = SimpleNamespace(free=2**40)
    monkeypatch.setattr(back.shutil, "disk_usage", lambda _path: seen.append(left.exists()) or usage)
    back.work(asked(host, do="fetch"))
    assert seen == [False]


def test_a_backup_that_cannot_be_read_changes_nothing(host: Path):
    (host / "code").write_text("3")
    before = contents(host / "attachments")
    with pytest.raises(Wrong, match=r"\(3\)"):
        back.work(asked(host))
    assert contents(host / "attachments") == before
    assert not (host / "attachments.restoring").exists()


def test_what_another_one_fetched_is_not_put(host: Path):
    back.work(asked(host, do="fetch"))
    with pytest.raises(Wrong, match="not there any more"):
        back.work(asked(host, do="put", run="r2"))


def test_two_do_not_unpack_at_once(host: Path):
    with (host / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Wrong, match="at work"):
            back.work(asked(host))
    assert contents(host / "attachments").keys() == {"m/spoiled", "m/same", "m/newer"}
