"""Looks at the database's backups with nothing but the store and the vault: no host has to answer."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr.backups import BackupsObservation, DatabaseBackup
from rmc_dr.backups.archive import is_segment
from rmc_dr.backups.repository import Sealed, read_backup_info, unseal
from rmc_dr.estate import Estate
from rmc_dr.observe.backups import REPOSITORY, objects
from rmc_dr.store.client import client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MANIFEST = "backup.manifest"
# pgBackRest keeps its list twice; either will do.
LISTS = ("backup.info", "backup.info.copy")


def observe_store(estate: Estate) -> BackupsObservation:
    """Look once with the verifier's key; what cannot be read is unknown, and `errors` says why.

    ``labels`` are the backups whose manifest the store shows. Raises BadInput without the vault.
    """
    passphrase = estate.opened().get("backup", "database_passphrase")
    s3 = client(estate, "verifier")
    bucket, stanza = estate.config.s3.bucket, estate.config.database.cluster
    now = datetime.now(UTC)
    try:
        database = _listed(s3, bucket, f"{REPOSITORY}/backup/{stanza}/", passphrase)
        archived, newest = _archived(s3, bucket, f"{REPOSITORY}/archive/{stanza}/")
        labels = _manifests(s3, bucket, f"{REPOSITORY}/backup/{stanza}/")
    except (BotoCoreError, ClientError, Sealed) as error:
        said = {"store": " ".join(str(error).split())[:200] or type(error).__name__}
        return BackupsObservation(now, None, None, None, None, None, said)
    return BackupsObservation(now, database, None, archived, labels, None, archived_at=newest)


def _listed(s3: S3Client, bucket: str, folder: str, passphrase: str) -> tuple[DatabaseBackup, ...]:
    """What the list of backups says; nothing where there is none. Raises Sealed where no copy can be read."""
    spoiled: Sealed | None = None
    for name in LISTS:
        try:
            raw = s3.get_object(Bucket=bucket, Key=folder + name)["Body"].read()
            return read_backup_info(unseal(raw, passphrase))
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                raise
        except Sealed as error:
            spoiled = Sealed(f"{folder}{name}: {error}")
    if spoiled:
        raise spoiled
    return ()


def _archived(s3: S3Client, bucket: str, folder: str) -> tuple[dict[str, tuple[str, ...]], datetime | None]:
    """The segments of each part of the archive, and when the newest of all was stored."""
    parts: dict[str, list[str]] = defaultdict(list)
    newest: datetime | None = None
    for key, modified in objects(s3, bucket, folder):
        part, _slash, name = key.removeprefix(folder).partition("/")
        segment = name.rpartition("/")[2][:24]
        if is_segment(segment):
            parts[part].append(segment)
            newest = modified if newest is None else max(newest, modified)
    return {part: tuple(sorted(set(names))) for part, names in parts.items()}, newest


def _manifests(s3: S3Client, bucket: str, folder: str) -> tuple[str, ...]:
    keys = (key.removeprefix(folder) for key, _modified in objects(s3, bucket, folder))
    return tuple(sorted(key.removesuffix(f"/{MANIFEST}") for key in keys if key.endswith(f"/{MANIFEST}")))
