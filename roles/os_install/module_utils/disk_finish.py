"""Makes an unpacked image boot, by BIOS and by UEFI, and gives it the host's own files."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.module_utils.disk_identity import Disk
from ansible.module_utils.disk_layout import ESP, ROOT, read_table
from ansible.module_utils.disk_prepare import MANIFEST, Shell, filesystem_uuid, open_disk, partition_nodes

SHIM = "usr/lib/shim/shimx64.efi.signed"
GRUB = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
# With what is mounted on them: in a container, the disk's node and the parts of /sys are mounts of their own.
KERNEL_FOLDERS = (("dev", "--rbind"), ("proc", "--bind"), ("sys", "--rbind"))


class BootError(Exception):
    """The image cannot be made to boot; says what is missing."""


def make_bootable(
    shell: Shell, disk: Disk, root_uuid: str, files: Sequence[Mapping[str, str]], state: Path
) -> dict[str, object]:
    """Everything after unpacking. May be repeated as often as it is interrupted."""
    with open_disk(disk) as read:
        table = read_table(read, disk.size, disk.sector)
    nodes = partition_nodes(shell, disk, table or ())
    found = filesystem_uuid(shell, nodes[ROOT]) if ROOT in nodes else "none"
    if found != root_uuid:
        raise BootError(f"the root filesystem is {found}, not {root_uuid} that this run has made")
    target = state / "target"
    target.mkdir(exist_ok=True)
    shell.run("mount", nodes[ROOT], str(target))
    _forget_the_builder(target)
    _write_files(target, files)
    shutil.copyfile(state / MANIFEST, _made(target / "var/lib/rmc-dr", 0o755) / MANIFEST)
    _fill_esp(shell, target, nodes[ESP], root_uuid, state)
    _install_grub(shell, target, disk, nodes[ROOT], root_uuid)
    shell.run("systemctl", f"--root={target}", "enable", "systemd-networkd.service", "ssh.service")
    os.sync()
    shell.run("umount", str(target))
    shell.run("blockdev", "--flushbufs", disk.device)
    return {"changed": True}


def _forget_the_builder(target: Path) -> None:
    """An image carries no identity; make sure of it, whoever built it."""
    for key in (target / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (target / "etc/machine-id").write_text("")
    (target / "var/lib/dbus/machine-id").unlink(missing_ok=True)


def _write_files(target: Path, files: Sequence[Mapping[str, str]]) -> None:
    for file in files:
        path = target / file["path"].lstrip("/")
        mode = int(file["mode"], 8)
        _made(path.parent, 0o700 if mode & 0o077 == 0 and ".ssh" in path.parts else 0o755)
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as opened:
            opened.write(file["content"])
        path.chmod(mode)


def _made(folder: Path, mode: int) -> Path:
    if not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(mode)
    return folder


def _fill_esp(shell: Shell, target: Path, esp: str, root_uuid: str, state: Path) -> None:
    """With mtools, which need no vfat in the rescue system's kernel."""
    for source in (SHIM, GRUB):
        if not (target / source).is_file():
            raise BootError(
                f"the image has no /{source}; its packages shim-signed and grub-efi-amd64-signed lack"
            )
    stub = state / "grub.cfg"
    stub.write_text(
        f"search.fs_uuid {root_uuid} root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"
    )
    for folder in ("EFI", "EFI/BOOT", "EFI/debian"):
        if shell.code("mdir", "-i", esp, f"::/{folder}")[0]:
            shell.run("mmd", "-i", esp, f"::/{folder}")
    for source, name in (
        (target / SHIM, "EFI/BOOT/BOOTX64.EFI"),
        (target / GRUB, "EFI/BOOT/grubx64.efi"),
        (stub, "EFI/debian/grub.cfg"),
    ):
        shell.run("mcopy", "-o", "-i", esp, str(source), f"::/{name}")


def _install_grub(shell: Shell, target: Path, disk: Disk, root: str, root_uuid: str) -> None:
    for folder, bind in KERNEL_FOLDERS:
        shell.run("mount", bind, f"/{folder}", str(target / folder))
    link = Path("/dev/disk/by-uuid") / root_uuid
    if not link.exists():  # without it update-grub names the root by its device, wrong on the next machine
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(root)
    shell.run("chroot", str(target), "grub-install", "--target=i386-pc", disk.device)
    shell.run("chroot", str(target), "update-grub")
    lines = re.findall(r"^\s*linux\s.*$", (target / "boot/grub/grub.cfg").read_text(), re.MULTILINE)
    if not lines or any(f"root=UUID={root_uuid}" not in line for line in lines):
        raise BootError(f"the boot menu does not start root=UUID={root_uuid}: {lines[:2]}")
    for folder, _bind in KERNEL_FOLDERS:
        shell.run("umount", "--recursive", str(target / folder))
