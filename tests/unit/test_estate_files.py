"""An inventory that would eat all memory, bears odd names or lacks its vault is refused, with what to do."""

from __future__ import annotations

import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from rmc_dr import content, secrets
from rmc_dr.cli import main
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate, load
from rmc_dr.estate_files import LARGEST, refuse_monstrous, refuse_odd_name
from rmc_dr.kit import archives, build, place

LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    return Path(shutil.copytree(content.root() / "inventories" / "example", tmp_path / "inventory"))


@pytest.mark.parametrize("name", ["hosts.yml", "group_vars/all/estate.yml", "host_vars/app1.yml"])
@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: " + "[" * 100 + "]" * 100,
        "a: &a\n  b: *a\n",
        "#" * (LARGEST + 1),
    ],
)
def test_a_monstrous_file_is_refused_in_under_a_second(inventory: Path, name: str, text: str) -> None:
    (inventory / name).parent.mkdir(exist_ok=True)
    (inventory / name).write_text(text)
    began = time.monotonic()
    with pytest.raises(BadInput) as refusal:
        load(inventory)
    assert time.monotonic() - began < 1
    assert refusal.value.code == "inventory-monstrous"
    assert name in refusal.value.message


def test_what_is_too_deep_for_any_parser_is_one_sentence_too(inventory: Path) -> None:
    (inventory / "hosts.yml").write_text("a: " + "[" * 100_000)
    with pytest.raises(BadInput) as refusal:
        load(inventory)
    assert refusal.value.code == "inventory-unreadable"


def test_a_device_in_an_inventory_is_not_read(inventory: Path) -> None:
    (inventory / "more.yml").symlink_to("/dev/zero")
    with pytest.raises(BadInput, match="no ordinary file"):
        refuse_monstrous(inventory)


@pytest.mark.parametrize("name", ["example", "lab"])
def test_the_estates_that_are_shipped_are_none(name: str) -> None:
    refuse_monstrous(content.root() / "inventories" / name)


@pytest.mark.parametrize(
    "name",
    ["a/../b", "-oProxyCommand=x", "app 1", "app1\n", "app\x1b[2J1", "", ".", "..", "a..b", "app-", "a" * 64],
)
def test_an_odd_name_is_none_of_a_host(estate: Estate, name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        estate.host(name)
    assert refusal.value.code == "host-name"
    assert refusal.value.message.isprintable()


def test_an_odd_name_in_hosts_yml_is_refused_when_it_is_loaded(inventory: Path) -> None:
    hosts = inventory / "hosts.yml"
    hosts.write_text(hosts.read_text().replace(" app1:", " '-oProxyCommand=x':"))
    with pytest.raises(BadInput) as refusal:
        load(inventory)
    assert refusal.value.code == "host-name"


@pytest.mark.parametrize("name", ["app1", "App-1", "app1.hospital.example", "1"])
def test_a_name_of_a_host(name: str) -> None:
    refuse_odd_name(name)


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        (None, "vault-missing", "`rmc-dr estate init` makes it"),
        ("", "vault-empty", "remove it, then `rmc-dr estate init`"),
        (" \n", "vault-empty", "remove it, then `rmc-dr estate init`"),
        ("x: 1\n", "vault-invalid", "vault.example.yml"),
    ],
)
def test_what_the_vault_lacks_is_named_with_the_command_that_makes_it(
    inventory: Path, text: str | None, code: str, hint: str
) -> None:
    vault = inventory / "group_vars/all/vault.yml"
    if text is not None:
        vault.write_text(text)
    with pytest.raises(BadInput) as refusal:
        load(inventory).opened()
    assert (refusal.value.code, str(vault) in refusal.value.message) == (code, True)
    assert hint in refusal.value.hint


def test_an_empty_vault_is_not_taken_for_a_wrong_password(estate: Estate, tmp_path: Path) -> None:
    estate = replace(estate, secrets=None)
    secrets.make(estate)
    secrets.vault_file(estate).write_text("")
    with pytest.raises(BadInput) as refusal:
        secrets.make(estate)
    assert refusal.value.code == "vault-empty"


@pytest.mark.parametrize(
    "words",
    [
        ["runs", "abandon", "last", "--reason", "  "],
        ["resume", "--accept-expired-kit", ""],
        ["resume", "--without-files", " \t"],
        ["rebuild", "appserver", "--accept-expired-kit", ""],
        ["rebuild", "estate", "--without-files", ""],
        ["restore", "database", "--accept-expired-kit", " "],
        ["kit", "verify", "--accept-expired-kit", ""],
        ["deploy", "management", "--release", "1.0.0", "--accept-expired-kit", ""],
        ["rebuild", "appserver", "--replace-healthy", ""],
        ["rebuild", "estate", "--replace-healthy", "app1", "--replace-healthy", ""],
        ["-i", str(content.root() / "inventories/example"), "fence", "status", ""],
        ["-i", str(content.root() / "inventories/example"), "rebuild", "appserver", ""],
    ],
)
def test_nothing_is_taken_for_a_reason_or_a_host(state: Path, words: list[str]) -> None:
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "without a reason" in result.output or "'' is no name of a host" in result.output


@pytest.mark.parametrize("kind", ["text", "zip", "missing"])
def test_what_is_no_liberty_is_refused_before_anything_is_built(
    estate: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "wlp.zip"
    if kind == "text":
        path.write_text("root:x:0:0\n")
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("AppServer/bin/startServer.sh", "")
    monkeypatch.setattr(build, "_refuse_not_root", lambda: None)
    monkeypatch.setattr(build, "_refuse_foreign_folder", lambda _kit: None)
    monkeypatch.setattr(place, "alone", lambda: pytest.fail("the build began"))
    with pytest.raises(BadInput, match="archive"):
        build.build(estate, lambda _text: None, liberty=path)


def test_a_liberty_archive_is_taken(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "wlp.zip", "w") as archive:
        archive.writestr("wlp/bin/server", "")
    archives.refuse_no_liberty(tmp_path / "wlp.zip")
