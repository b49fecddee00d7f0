"""By hand nothing of the kit is used either that is not the signed manifest's."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rmc_dr import content
from rmc_dr.kit import signature

sys.path.insert(0, str(content.root() / "roles/kit/library"))
sys.path.insert(0, str(content.root() / "roles/application/library"))
import application_release
import kit_files

APP = "applications/management/1.0.0"
FILES = {f"{APP}/app.war": b"war", f"{APP}/schema.sql": b"create table t ();", "jdbc/postgresql.jar": b"jar"}


def key(folder: Path, name: str) -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    folder = tmp_path / "kit"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text)
    named = {name: {"sha256": hashlib.sha256(text).hexdigest()} for name, text in FILES.items()}
    (folder / "manifest.json").write_text(json.dumps({"files": named}))
    signer = key(tmp_path, "signer")
    signature.sign(folder / "manifest.json", signer)
    public = signer.with_suffix(".pub").read_text()
    (tmp_path / "allowed_signers").write_text(f"{signature.SIGNER} {public}")
    return folder


def prove(kit: Path, *names: str) -> dict[str, str]:
    return kit_files.prove(kit, kit.parent / "allowed_signers", list(names))


def test_a_whole_kit_is_proven_file_by_file_and_folder_by_folder(kit: Path) -> None:
    proven = prove(kit, APP, "jdbc/postgresql.jar")
    assert proven == {name: hashlib.sha256(text).hexdigest() for name, text in FILES.items()}
    assert set(prove(kit, APP)) == {f"{APP}/app.war", f"{APP}/schema.sql"}


def change_the_schema(kit: Path) -> None:
    (kit / APP / "schema.sql").write_text("grant all on all tables in schema public to nobody_knows_whom;")


def take_the_driver_away(kit: Path) -> None:
    (kit / "jdbc/postgresql.jar").unlink()


def link_the_war_elsewhere(kit: Path) -> None:
    shutil.copy(kit / APP / "app.war", kit.parent)
    (kit / APP / "app.war").unlink()
    (kit / APP / "app.war").symlink_to(kit.parent / "app.war")


def change_the_manifest(kit: Path) -> None:
    change_the_schema(kit)
    manifest = json.loads((kit / "manifest.json").read_text())
    text = (kit / APP / "schema.sql").read_bytes()
    manifest["files"][f"{APP}/schema.sql"]["sha256"] = hashlib.sha256(text).hexdigest()
    (kit / "manifest.json").write_text(json.dumps(manifest))


def sign_by_another(kit: Path) -> None:
    signature.sign(kit / "manifest.json", key(kit.parent, "another"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_the_schema, "schema.sql is not the file"),
        (take_the_driver_away, "postgresql.jar is not the file"),
        (link_the_war_elsewhere, "app.war is not the file"),
        (change_the_manifest, "not signed by the signer"),
        (lambda kit: (kit / APP / "journey-user.sql").write_text("drop table t;"), "does not name"),
        (sign_by_another, "not signed by the signer"),
        (lambda kit: (kit / "manifest.json.sig").unlink(), "not signed by the signer"),
        (lambda kit: (kit / "manifest.json").unlink(), "cannot be read"),
    ],
)
def test_what_somebody_touched_is_refused(kit: Path, change: Callable[[Path], None], said: str) -> None:
    change(kit)
    with pytest.raises(kit_files.Unproven, match=said):
        prove(kit, APP, "jdbc/postgresql.jar")


def test_a_release_that_the_kit_does_not_hold_is_named(kit: Path) -> None:
    with pytest.raises(kit_files.Unproven, match=r"holds no applications/management/9\.9\.9"):
        prove(kit, "applications/management/9.9.9")
    app = {"name": "management", "release": "1.0.0"}
    with pytest.raises(application_release.Wrong, match=r"lacks schema\.sql"):
        application_release.prepare([app], {f"{APP}/app.war": "digest"})


@pytest.mark.parametrize(
    ("file", "takes"),
    [
        ("os_install/tasks/main.yml", "stream_image"),
        ("liberty/tasks/main.yml", "install.yml"),  # itself it proves nothing: images are made before a kit
        ("application/tasks/place.yml", "ansible.builtin.copy"),
        ("application/tasks/database.yml", "application_database'"),
    ],
)
def test_who_takes_something_from_the_kit_proves_it_first(file: str, takes: str) -> None:
    words = [str(task) for task in yaml.safe_load((content.root() / "roles" / file).read_text())]
    taken = next(index for index, word in enumerate(words) if takes in word)
    assert any("'name': 'kit'" in word for word in words[:taken])


def test_nobody_else_takes_anything_from_the_kit() -> None:
    files = (content.root() / "roles").glob("*/tasks/*.yml")
    takers = {path.parent.parent.name for path in files if re.search(r"kit[._]path", path.read_text())}
    assert takers == {"application", "kit", "liberty", "os_install"}
