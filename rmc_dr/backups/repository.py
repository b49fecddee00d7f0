"""pgBackRest's list of backups as it lies in the store, encrypted: read without any database host. Pure."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from rmc_dr.backups.seen import DatabaseBackup
from rmc_dr.i18n import _

MAGIC = b"Salted__"
KEY_BYTES, BLOCK_BYTES = 32, 16


class Sealed(ValueError):
    """The passphrase does not open it, or it is not what pgBackRest writes."""


def unseal(raw: bytes, passphrase: str) -> str:
    """The text of a file that pgBackRest encrypted: `openssl enc -d -aes-256-cbc -md sha1`. Raises Sealed."""
    salt, body = raw[len(MAGIC) : len(MAGIC) + 8], raw[len(MAGIC) + 8 :]
    if not raw.startswith(MAGIC) or not body or len(body) % BLOCK_BYTES:
        raise Sealed(_("it is not a file that pgBackRest encrypted"))
    derived = block = b""
    while len(derived) < KEY_BYTES + BLOCK_BYTES:
        block = hashlib.sha1(block + passphrase.encode() + salt, usedforsecurity=False).digest()
        derived += block
    key, start = derived[:KEY_BYTES], derived[KEY_BYTES : KEY_BYTES + BLOCK_BYTES]
    opening = Cipher(algorithms.AES256(key), modes.CBC(start)).decryptor()
    padding = PKCS7(8 * BLOCK_BYTES).unpadder()
    try:
        plain = padding.update(opening.update(body) + opening.finalize()) + padding.finalize()
        return plain.decode()
    except ValueError:
        raise Sealed(_("the passphrase does not open it")) from None


def read_backup_info(text: str) -> tuple[DatabaseBackup, ...]:
    """The backups in a `backup.info` that archived WAL leads on from, oldest first. Raises Sealed."""
    try:
        parts = _parts(text)
        bases = parts["db:history"]
        found = [
            _backup(label, said, bases[str(said["db-id"])])
            for label, said in parts.get("backup:current", {}).items()
            if said["backup-archive-start"]
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise Sealed(_("it cannot be read ({error})").format(error=error)) from None
    return tuple(sorted(found, key=lambda backup: backup.stopped))


def _parts(text: str) -> dict[str, dict[str, Any]]:
    parts: dict[str, dict[str, Any]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            name = line[1:-1]
        elif "=" in line:
            key, value = line.split("=", 1)
            parts.setdefault(name, {})[key] = json.loads(value)
    return parts


def _backup(label: str, said: dict[str, Any], base: dict[str, Any]) -> DatabaseBackup:
    return DatabaseBackup(
        label=label,
        kind=said["backup-type"],
        started=datetime.fromtimestamp(said["backup-timestamp-start"], UTC),
        stopped=datetime.fromtimestamp(said["backup-timestamp-stop"], UTC),
        size=said["backup-info-size"],
        stored=said["backup-info-repo-size-delta"],
        needs=tuple(said.get("backup-reference") or ()),
        wal_start=said["backup-archive-start"],
        wal_stop=said["backup-archive-stop"],
        archive=f"{base['db-version']}-{said['db-id']}",
        cluster=str(base["db-system-id"]),
        damaged=bool(said.get("backup-error")),
    )
