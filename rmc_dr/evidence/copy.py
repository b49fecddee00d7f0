"""The copy in the object store: encrypted here, put by the writer's key, locked by the bucket, read back."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.evidence import crypt, custody
from rmc_dr.evidence.folder import MANIFEST, SIGNATURE, Kept, files
from rmc_dr.i18n import _
from rmc_dr.store import objects
from rmc_dr.store.client import client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX = "evidence/"
ENDING = ".sealed"
COPY_SECONDS = 120  # a restart may be waiting; what is left over is copied by the next
AT_ONCE = 4


@dataclass(frozen=True)
class Stored:
    """One object: the version that is locked until then, and the SHA-256 of what it holds, encrypted."""

    name: str
    key: str
    version: str
    bytes: int
    sha256: str
    locked_until: str


def send(estate: Estate, kept: Kept) -> list[Stored]:
    """Copy a sealed collection to the store, and say so in its custody. Hold it meanwhile.

    Raises Error `evidence-not-copied`, BadInput without secrets: what lies here stays as it is, and the next
    `rmc-dr preserve` tries again.
    """
    deadline = time.monotonic() + COPY_SECONDS
    try:
        writer, verifier = client(estate, "writer"), client(estate, "verifier")
        passphrase = estate.opened().get("backup", "evidence_passphrase")

        def one(name: str) -> Stored:
            if time.monotonic() > deadline:
                raise _not_copied(kept, _("not done within {seconds} s").format(seconds=COPY_SECONDS))
            return _send(estate, kept, name, passphrase, writer, verifier)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            stored = list(pool.map(one, _names(kept)))
    except (BotoCoreError, ClientError) as error:
        raise _not_copied(kept, " ".join(str(error).split())[:300]) from None
    custody.append(estate, kept, custody.COPIED, objects=[asdict(one) for one in stored])
    return stored


def _names(kept: Kept) -> list[str]:
    """The books first: with them alone it is known what there was."""
    return [MANIFEST, SIGNATURE, *sorted(files(kept.path))]


def _send(
    estate: Estate, kept: Kept, name: str, passphrase: str, writer: S3Client, verifier: S3Client
) -> Stored:
    bucket, key = estate.config.s3.bucket, f"{PREFIX}{kept.id}/{name}{ENDING}"
    with (kept.path / name).open("rb") as plain, tempfile.TemporaryFile(dir=kept.path) as sealed:
        sums = objects.Sums.of(_sealed(plain, sealed, passphrase, f"{kept.id}/{name}"))
        sealed.seek(0)
        try:
            placed = objects.put(writer, verifier, bucket, key, sealed, sums)
        except objects.NotAsSent:
            raise _not_copied(
                kept, _("what was read back of {name} is not what was sent").format(name=name)
            ) from None
    return Stored(name, key, placed.version, sums.size, sums.sha256, placed.locked_until)


def _sealed(plain: IO[bytes], sealed: IO[bytes], passphrase: str, name: str) -> Iterator[bytes]:
    """Encrypt into the other file, and tell what was written."""
    for part in crypt.seal(iter(lambda: plain.read(objects.CHUNK), b""), passphrase, name):
        sealed.write(part)
        yield part


def unsealed(estate: Estate, kept: Kept, stored: Mapping[str, Any], verifier: S3Client) -> tuple[str, str]:
    """SHA-256 of the copy of one file, encrypted and decrypted; the second "" where it cannot be decrypted.

    Raises ClientError or BotoCoreError.
    """
    passphrase = estate.opened().get("backup", "evidence_passphrase")
    outer, inner = hashlib.sha256(), hashlib.sha256()

    def noted() -> Iterator[bytes]:
        for part in objects.fetch(
            verifier, estate.config.s3.bucket, str(stored["key"]), str(stored["version"])
        ):
            outer.update(part)
            yield part

    sealed = noted()
    try:
        for part in crypt.unseal(sealed, passphrase, f"{kept.id}/{stored['name']}"):
            inner.update(part)
    except crypt.Damaged:
        for _rest in sealed:
            pass
        return outer.hexdigest(), ""
    return outer.hexdigest(), inner.hexdigest()


def _not_copied(kept: Kept, why: str) -> Error:
    return Error(
        "evidence-not-copied",
        _("The evidence {id} is sealed here, but not copied to the store: {why}.").format(
            id=kept.id, why=why
        ),
        _("Look with `rmc-dr store check`; the next `rmc-dr preserve` copies it. It lies in {path}.").format(
            path=kept.path
        ),
    )
