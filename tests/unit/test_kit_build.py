"""What the kit's builder decides without a network: lists, cache names, seals, taking the old kit's place."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from rmc_dr import content
from rmc_dr.errors import BadInput, Error, Locked
from rmc_dr.estate import Estate
from rmc_dr.kit import archives, build, images, packages, place, sealed


def test_each_image_lists_the_packages_of_its_roles() -> None:
    lists = packages.package_lists(packages.image_roles())
    assert {"linux-image-amd64", "openjdk-21-jre-headless"} <= set(lists["appserver"])
    assert {"postgresql-17", "patroni", "etcd-server"} <= set(lists["dbserver"])
    assert "etcd-server" in lists["store"]
    assert {"gdisk", "zstd", "mtools"} <= set(lists["rescue"])
    assert "linux-image-amd64" not in lists["rescue"]


def test_every_image_has_a_builder_and_every_host_an_image(estate: Estate) -> None:
    table = packages.image_roles()
    assert {host.image for host in estate.group("builder")} == table.keys()
    assert {host.image for host in estate.hosts.values()} <= table.keys()


@pytest.mark.parametrize("role", ["os_image", "rescue"])
def test_the_contract_of_a_role_tells_its_defaults(role: str) -> None:
    folder = content.root() / "roles" / role
    defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
    specs = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]
    options = specs["main"]["options"]
    assert {name: option["default"] for name, option in options.items()} == defaults


def test_packages_are_fetched_by_one_call(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(*command: str | Path, **_options: object) -> str:
        words = [str(word) for word in command]
        calls.append(words)
        if "mmdebstrap" in words:
            Path(words[-1]).write_text("tar")
        return "Package: a\n"

    monkeypatch.setattr(place, "run", run)
    said: list[str] = []
    lists = {"store": ["etcd-server"], "rescue": ["gdisk", "zstd"], "none": []}
    found = packages.obtain(lists, said.append)
    again = packages.obtain(lists, said.append)
    assert found == again
    assert len(said) == 1
    assert [words[0] for words in calls] == ["setpriv", "apt-ftparchive"]
    command = calls[0]
    assert command[-2] == "trixie"  # no mirror is named: mmdebstrap knows Debian's own
    assert not [word for word in command if "://" in word]
    hooks = [word for word in command if word.startswith("--customize-hook")]
    assert [hook.split()[-2:] for hook in hooks[:2]][1] == ["gdisk", "zstd"]
    assert len(hooks) == 3


def test_an_image_is_named_by_all_that_makes_it(tmp_path: Path) -> None:
    role = tmp_path / "roles" / "etcd"
    for name in ("tasks/install.yml", "tasks/configure.yml", "defaults/main.yml"):
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text("one")
    first = images._fingerprint(role)
    (role / "tasks/configure.yml").write_text("two")
    assert images._fingerprint(role) == first
    (role / "defaults/main.yml").write_text("two")
    second = images._fingerprint(role)
    assert second != first
    (role / "files").mkdir()
    (role / "files/unit").write_text("x")
    assert images._fingerprint(role) not in (first, second)


def test_the_name_of_an_image_is_the_same_in_every_process(tmp_path: Path) -> None:
    script = """
from pathlib import Path
from rmc_dr.kit import images, packages
folder = packages.PackageFolder(Path(), Path(), "d")
given = images.Ingredients(None, folder, Path(), "a", packages.image_roles())
print([images._key(given, name) for name in given.roles])
"""
    told = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(told) == 1
    assert len(set(told.pop().split(","))) == len(packages.image_roles())


def test_only_installed_packages_count() -> None:
    status = (
        "Package: a\nStatus: install ok installed\nVersion: 1.0-1\nDescription: x\n more: y\n\n"
        "Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\n"
        "Package: c\nStatus: install ok installed\nVersion: 1:3~deb13\n"
    )
    assert images.installed(status) == {"a": "1.0-1", "c": "1:3~deb13"}


def _clean_tree(tree: Path) -> Path:
    for folder in (
        "etc/ssh",
        "etc/ssl/private",
        "root",
        "home",
        "opt",
        "srv",
        "var/lib/etcd",
        "var/log/journal",
    ):
        (tree / folder).mkdir(parents=True)
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/ssh/sshd_config").write_text("PermitRootLogin no\n")
    return tree


def test_a_sealed_tree_holds_nothing(tmp_path: Path) -> None:
    assert sealed.remains(_clean_tree(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("etc/ssh/ssh_host_ed25519_key", "key"),
        ("etc/machine-id", "b08dfa6083e7567a1921a715000001fb\n"),
        ("root/.ssh/authorized_keys", "ssh-ed25519 AAAA"),
        ("home/eve/.ssh/id_ed25519", "x"),
        ("etc/apt/sources.list", "deb [trusted=yes] file:/mnt ./"),
        ("etc/apt/sources.list.d/more.sources", "URIs: x"),
        ("var/lib/etcd/pair/wal", "x"),
        ("var/lib/ceph/mon/ceph-a/keyring", "x"),
        ("etc/ceph/ceph.conf", "fsid = 1"),
        ("etc/ceph/ceph.client.admin.keyring", "x"),
        ("var/log/journal/1/system.journal", "x"),
        ("etc/rmc-dr/tls/host.key", "x"),
        ("opt/app/deep/down/tls.pem", "-----BEGIN RSA PRIVATE KEY-----\n"),
        ("var/lib/some/key", "text before\n-----BEGIN PRIVATE KEY-----\n"),
    ],
)
def test_what_no_image_may_hold_is_found(tmp_path: Path, name: str, text: str) -> None:
    tree = _clean_tree(tmp_path)
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)
    found = sealed.remains(tree)
    assert found
    assert all(name.startswith(path) for path in found)


def test_a_new_kit_takes_the_old_ones_place(tmp_path: Path) -> None:
    kit, draft = tmp_path / "kit", place.draft(tmp_path / "kit")
    draft.mkdir()
    (draft / "manifest.json").write_text("first")
    build._take_place(draft, kit)
    draft.mkdir()
    (draft / "manifest.json").write_text("second")
    build._take_place(draft, kit)
    assert (kit / "manifest.json").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["kit"]


def test_a_killed_builds_remains_are_removed(state: Path) -> None:
    kit = state / "kit"
    for kind in ("packages", "archives", "releases", "images"):
        place.draft(place.cache(kind) / "thing").mkdir()
        (place.draft(place.cache(kind) / "thing") / "half").write_text("x")
        (place.cache(kind) / "whole").write_text("x")
    place.draft(kit).mkdir()
    kit.mkdir()
    build._clean(kit)
    assert not list(state.rglob(f"{place.DRAFT}*"))
    assert len(list(state.rglob("whole"))) == 4
    assert kit.is_dir()


def test_a_second_build_is_told_to_wait(state: Path) -> None:
    with place.alone(), pytest.raises(Locked) as locked, place.alone():
        pytest.fail("two at once")
    assert locked.value.code == "kit-busy"
    with place.alone():
        pass


def test_an_archive_must_be_the_pinned_one(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []

    def maven(folder: Path, *goals: str) -> None:
        calls.append(goals)
        (folder / "fetched.jar").write_text("not the driver")

    monkeypatch.setattr(archives, "_maven", maven)
    with pytest.raises(Error) as error:
        archives.fetch(archives.DRIVER, lambda _text: None)
    assert error.value.code == "kit-archive"
    assert f"-Dartifact=org.postgresql:postgresql:{archives.DRIVER.version}:jar" in calls[0]
    assert not list(state.rglob("*.jar")) or not (place.cache("archives") / "jdbc.jar").exists()


def test_releases_are_the_vendors_where_they_are_given(estate: Estate, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    for app in estate.config.applications.apps:
        for name in ("app.war", "schema.sql", "notes.txt"):
            (folder / app.name / app.release / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / app.name / app.release / name).write_text(name)
    found = archives._releases(estate, folder, lambda _text: None)
    assert "applications/management/1.0.0/app.war" in found
    assert not [name for name in found if name.endswith("notes.txt")]
    (folder / "verification/1.0.0/app.war").unlink()
    with pytest.raises(BadInput) as missing:
        archives._releases(estate, folder, lambda _text: None)
    assert missing.value.code == "kit-no-releases"


def test_a_missing_tool_is_named() -> None:
    with pytest.raises(Error) as error:
        place.run("no-such-tool-here", code="x", hint="y")
    assert error.value.code == "kit-tool-missing"
    assert "no-such-tool-here" in error.value.message


def test_what_a_tool_said_is_told() -> None:
    with pytest.raises(Error) as error:
        place.run("sh", "-c", "echo no room >&2; exit 3", code="kit-image", hint="y")
    assert error.value.code == "kit-image"
    assert "no room" in error.value.message


def test_the_seal_is_a_valid_script() -> None:
    script = content.root() / "roles/os_image/files/seal.sh"
    subprocess.run(["sh", "-n", str(script)], check=True)
