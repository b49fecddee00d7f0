"""What a restore's module and stage do about room, before anything is stopped."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from role_module import loaded

from rmc_dr import content

ROOT = content.root()
ROLE = ROOT / "roles/restore"
copy = loaded(ROLE / "library/database_copy.py", "database_copy")
MIB = 2**20


def node(folder: Path, room: int) -> Any:
    given = {
        "data": folder / "17" / "pair", "run": "r1", "binaries": "/bin", "port": 5432,
        "held": folder / "held", "timeout": 1, "room": room,
    }  # fmt: skip
    return copy.Node(given)


def data(folder: Path) -> Path:
    path = folder / "17" / "pair"
    path.mkdir(parents=True)
    (path / "PG_VERSION").write_text("17\n")
    (path / "base").write_bytes(b"x" * MIB)
    return path


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> int:
    count = 10 * MIB
    monkeypatch.setattr(copy.shutil, "disk_usage", lambda _path: SimpleNamespace(free=count))
    return count


def fits(folder: Path, room: int) -> tuple[bool, bool]:
    said = copy.room(node(folder, room))
    assert said["changed"] is False
    return said["in_place"], said["beside"]


def test_data_is_room_where_it_is_written_over_and_none_where_it_stays(tmp_path: Path, free: int) -> None:
    data(tmp_path)
    assert fits(tmp_path, free) == (True, True)
    assert fits(tmp_path, free + MIB) == (True, False)
    assert fits(tmp_path, free + 2 * MIB) == (False, False)


def test_a_disk_without_data_has_what_is_free(tmp_path: Path, free: int) -> None:
    assert fits(tmp_path, free) == (True, True)
    assert fits(tmp_path, free + 1) == (False, False)


def test_what_is_set_aside_already_is_not_set_aside_again(tmp_path: Path, free: int) -> None:
    path = data(tmp_path)
    path.with_name("pair.before-r1").mkdir()
    assert fits(tmp_path, free + MIB) == (True, True), "a repeated stage: half of the new copy is there"


def test_data_without_room_beside_it_is_not_renamed(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy.Node, "runs", lambda _node: False)
    path = data(tmp_path)
    with pytest.raises(copy.Wrong, match="Nothing was changed") as wrong:
        copy.aside(node(tmp_path, free + 1))
    assert (wrong.value.refused, path.exists()) == (True, True)
    assert copy.aside(node(tmp_path, free))["aside"].endswith("pair.before-r1")


def test_room_is_looked_for_before_anything_is_stopped() -> None:
    plays = yaml.safe_load((ROOT / "playbooks/stages/safety.yml").read_text())
    steps = [
        (play["hosts"].split(":")[1][0], role["tasks_from"])
        for play in plays
        for task in play["tasks"]
        if (role := task.get("ansible.builtin.include_role"))
    ]
    assert steps == [
        ("!", "room"), ("&", "whose"), ("&", "room"), ("&", "room-suffices"), ("&", "flush"),
        ("!", "hold"), ("&", "hold"), ("&", "safety"),
    ]  # fmt: skip


def test_the_backups_size_decides_and_todays_data_only_where_nobody_has_said() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/aside.yml").read_text())
    asked = next(task["database_copy"]["room"] for task in tasks if "database_copy" in task)
    assert asked.startswith("{{ restore_room | int if restore_room | int > 0")
