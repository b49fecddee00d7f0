"""Small files are written whole or not at all, whoever writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from rmc_dr import content, deploy
from rmc_dr.estate import ESTATE_FILE
from rmc_dr.files import write_atomically
from rmc_dr.lab import place

ESTATE = (content.root() / "inventories" / "lab" / ESTATE_FILE).read_text()


@pytest.mark.parametrize(
    ("before", "write"),
    [
        ("old", lambda path: write_atomically(path, "new")),
        ('{"up": true}', lambda path: place.write_state(path, {"up": False})),
        (ESTATE, lambda path: deploy.pin_release(path, "management", "9.9.9")),
    ],
)
def test_what_is_not_on_the_disk_never_takes_the_place_of_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "file"
    path.write_text(before)

    def full(_descriptor: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with suppress(OSError):
            assert write(path) is False  # who writes estate.yml goes on without it
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]

    write(path)
    assert path.read_text() != before


def test_estate_yml_stays_as_readable_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "estate.yml"
    path.write_text(ESTATE)
    path.chmod(0o640)
    assert deploy.pin_release(path, "management", "9.9.9")
    assert path.stat().st_mode & 0o777 == 0o640
