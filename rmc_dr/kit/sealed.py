"""Proves that a tree holds nothing that must not be in a golden image."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Each must be missing, or be an empty folder or file.
FORBIDDEN = (
    "etc/ssh/ssh_host_*",
    "etc/ssl/private/*",
    "etc/machine-id",
    "var/lib/dbus/machine-id",
    "etc/hostname",
    "etc/rmc-dr/tls/*",
    "root/.ssh",
    "root/.ansible",
    "root/.bash_history",
    "home/*/.ssh",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/*",
    "var/lib/apt/lists/*",
    "var/cache/apt/archives/*.deb",
    "var/log/journal/*",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/postgresql/*/*",
    "var/lib/etcd/*",
    "var/lib/ceph/*/*",
    "etc/ceph/ceph.conf",
    "etc/ceph/*.keyring",
    "etc/ceph/*.pem",
    "mnt/*",
    "srv/*",
    "tmp/*",
)
KEY_FOLDERS = ("etc", "root", "home", "opt", "srv", "var/lib")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
LARGEST_KEY = 65536


def remains(tree: Path) -> list[str]:
    """Paths, relative to the tree, of an identity, a key, a package source or a trace of the builder."""
    found = {path for pattern in FORBIDDEN for path in tree.glob(pattern) if not _is_empty(path)}
    found |= set(_private_keys(tree))
    return sorted(str(path.relative_to(tree)) for path in found)


def _is_empty(path: Path) -> bool:
    if path.is_symlink():
        return False
    return not any(path.iterdir()) if path.is_dir() else path.stat().st_size == 0


def _private_keys(tree: Path) -> Iterator[Path]:
    """Files that hold a private key in PEM, wherever a role may have left one."""
    for folder in KEY_FOLDERS:
        for path in (tree / folder).rglob("*"):
            if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST_KEY:
                continue
            if PRIVATE_KEY.search(path.read_bytes()):
                yield path
