"""The rescue system of the lab's hosts: one unpacked tree for all, a throwaway layer for each."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.lab.hardware import Hardware
from rmc_dr.lab.place import alone, folder, host_folder, run

IMAGE = "images/rescue.tar.zst"
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
"""


@dataclass(frozen=True)
class Layers:
    """What overlayfs puts together: the common tree below, the host's own files above."""

    lower: Path
    upper: Path
    work: Path


def prepare(estate: Estate, host: Hardware) -> Layers:
    """The layers for one start: a fresh upper one holds the host's name and the pinned rescue key."""
    lower = tree(estate.config.kit.path)
    place = host_folder(host.name) / "rescue"
    shutil.rmtree(place, ignore_errors=True)
    layers = Layers(lower, place / "upper", place / "work")
    layers.work.mkdir(parents=True)
    key = estate.opened()
    files = {
        "etc/hostname": (f"{host.name}\n", 0o644),
        "etc/hosts": (f"127.0.0.1 localhost\n{host.address} {host.name}\n", 0o644),
        "etc/ssh/sshd_config.d/00-rescue.conf": (SSHD, 0o644),
        "etc/ssh/ssh_host_ed25519_key": (key.get("ssh_host_keys", "rescue", "private"), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (key.get("ssh_host_keys", "rescue", "public"), 0o644),
        "root/.ssh/authorized_keys": ((estate.private_dir / "id_ed25519.pub").read_text(), 0o600),
    }
    for name, (text, mode) in files.items():
        _write(layers.upper, name, text, mode)
    wants = layers.upper / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    for unit in ("systemd-networkd", "ssh"):
        (wants / f"{unit}.service").symlink_to(f"/usr/lib/systemd/system/{unit}.service")
    return layers


def tree(kit: Path) -> Path:
    """The unpacked rescue system of the kit, unpacked once for each content."""
    image = kit / IMAGE
    if not image.is_file():
        raise Error(
            "lab-no-rescue",
            _("The kit in {kit} has no rescue system.").format(kit=kit),
            _("Build the kit: `rmc-dr kit build`."),
        )
    with image.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    trees = folder() / "trees"
    unpacked = trees / content[:16]
    with alone("trees"):
        if not unpacked.is_dir():
            trees.mkdir(parents=True, exist_ok=True)
            draft = trees / "unpacking"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            run(
                "tar", "--extract", "--zstd", "--file", image, "--directory", draft,
                "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls",
            )  # fmt: skip
            draft.rename(unpacked)
    return unpacked


def forget_others(kit: Path) -> None:
    """Remove the trees of rescue systems that the kit no longer holds. Only while no host runs one."""
    current = tree(kit)
    with alone("trees"):
        for other in current.parent.iterdir():
            if other != current:
                shutil.rmtree(other)


def _write(upper: Path, name: str, text: str, mode: int) -> None:
    path = upper / name
    folders = [parent for parent in path.parents if parent == upper or upper in parent.parents]
    for parent in reversed(folders):
        parent.mkdir(exist_ok=True)
        parent.chmod(0o700 if "root" in parent.relative_to(upper).parts else 0o755)
    path.touch(mode=0o600)
    path.write_text(text if text.endswith("\n") else f"{text}\n")
    path.chmod(mode)
