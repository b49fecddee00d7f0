"""Small files are written whole or not at all, whoever writes them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from rmc_dr import deployed
from rmc_dr.estate import DEPLOYED_FILE
from rmc_dr.files import write_atomically
from rmc_dr.lab import place

DEPLOYED = "deployed_releases:\n  management: 1.0.0\n"


@pytest.mark.parametrize(
    ("before", "write"),
    [
        ("old", lambda path: write_atomically(path, "new")),
        ('{"up": true}', lambda path: place.write_state(path, {"up": False})),
        (DEPLOYED, lambda path: deployed.note(path.parents[2], "management", "9.9.9")),
    ],
)
def test_what_is_not_on_the_disk_never_takes_the_place_of_what_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, write: Callable[[Path], object]
) -> None:
    path = tmp_path / DEPLOYED_FILE
    path.parent.mkdir(parents=True)
    path.write_text(before)

    def full(_descriptor: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with suppress(OSError):
            assert write(path) is False  # who writes deployed.yml goes on without it
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]

    write(path)
    assert path.read_text() != before
