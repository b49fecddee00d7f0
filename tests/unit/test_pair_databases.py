"""The role databases keeps passwords as SCRAM verifiers and recognises one that already fits."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import pytest
from role_module import loaded

MODULE = Path(__file__).parents[2] / "roles/databases/library/rmc_dr_databases.py"
# RFC 7677's example.
PENCIL = (
    "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
)


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, without the driver that only database hosts have."""
    for name in ("psycopg2", "psycopg2.sql"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return loaded(MODULE, "rmc_dr_databases")


def test_the_verifier_of_the_standard(databases: ModuleType):
    salt = bytes.fromhex("5b6d99689d12358eeca04b141236fa81")
    assert databases.verifier("pencil", salt) == PENCIL


@pytest.mark.parametrize(
    ("password", "kept", "fits"),
    [
        ("pencil", PENCIL, True),
        ("Pencil", PENCIL, False),
        ("pencil", None, False),
        ("pencil", "", False),
        ("pencil", "md5aaaa", False),
        ("pencil", PENCIL[:-2], False),
    ],
)
def test_only_the_right_password_fits(databases: ModuleType, password: str, kept: str | None, fits: bool):
    assert databases.fits(password, kept) is fits
