"""The archive in the object store: each form of a report, then its signed line of the index; all locked.

The line is enough to list a report and to prove its bytes on a machine that never saw it. Reports are not
encrypted: docs/reports.md says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.evidence import sign
from rmc_dr.i18n import _
from rmc_dr.journal import plain
from rmc_dr.publish import shelf
from rmc_dr.publish.shelf import Entry, File, Stored
from rmc_dr.store import objects
from rmc_dr.store.client import client
from rmc_dr.untrusted import load

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX = "reports/"
INDEX = f"{PREFIX}index/"


def send(estate: Estate, entry: Entry) -> Entry:
    """Put a report of this machine into the store and prove it there; the entry then says where.

    Raises Error `report-not-archived`: the files stay here; Refused `report-changed` where they are not what
    was made.
    """
    files = {one.name: _own(estate, entry, one) for one in entry.files}
    try:
        return _send(estate, entry, files, client(estate, "writer"), client(estate, "verifier"))
    except objects.NotAsSent:
        raise _not_archived(entry, _("what was read back is not what was sent")) from None
    except Error as error:
        raise _not_archived(entry, error.message) from None
    except (BotoCoreError, ClientError, OSError) as error:
        raise _not_archived(entry, " ".join(str(error).split())[:300]) from None


def _own(estate: Estate, entry: Entry, one: File) -> bytes:
    path = shelf.folder(estate.name) / one.name
    data = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(data).hexdigest() != one.sha256:
        raise Refused(
            "report-changed",
            _("The report {id} is not archived: {name} here is not what was made.").format(
                id=entry.id, name=one.name
            ),
            _("Keep it as evidence; make the report anew from the journal."),
        )
    return data


def _send(
    estate: Estate, entry: Entry, files: Mapping[str, bytes], writer: S3Client, verifier: S3Client
) -> Entry:
    stored = tuple(
        _put(estate, writer, verifier, f"{PREFIX}{entry.id}/{name}", name, data)
        for name, data in files.items()
    )
    archived = replace(entry, objects=stored)
    text = json.dumps(plain(archived), ensure_ascii=True, sort_keys=True)
    line = json.dumps({"said": text, "signature": sign.sign(estate, text.encode())}).encode()
    _put(estate, writer, verifier, f"{INDEX}{entry.id}.json", entry.id, line)
    return archived


def listed(estate: Estate, but: Collection[str] = ()) -> Iterator[Entry]:
    """The reports that the bucket itself knows of, hidden ones too, without those of these names.

    What the estate's signer did not sign is left out, whoever put it there. Raises Error `store-silent`.
    """
    bucket, verifier = estate.config.s3.bucket, client(estate, "verifier")
    try:
        found = set(but)
        pages = verifier.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=INDEX)
        for page in pages:
            for version in page.get("Versions", ()):
                name = version["Key"].removeprefix(INDEX).removesuffix(".json")
                if name in found:
                    continue
                line = b"".join(objects.fetch(verifier, bucket, version["Key"], version["VersionId"]))
                if (entry := _believed(estate, line)) and entry.id == name:
                    found.add(name)
                    yield entry
    except (BotoCoreError, ClientError) as error:
        raise _silent(error) from None


def fetched(estate: Estate, stored: Stored) -> bytes:
    """One form of a report as the store has it. Raises Error `store-silent`."""
    try:
        return b"".join(
            objects.fetch(client(estate, "verifier"), estate.config.s3.bucket, stored.key, stored.version)
        )
    except (BotoCoreError, ClientError) as error:
        raise _silent(error) from None


def _put(estate: Estate, writer: S3Client, verifier: S3Client, key: str, name: str, data: bytes) -> Stored:
    sums = objects.Sums.of(iter([data]))
    placed = objects.put(writer, verifier, estate.config.s3.bucket, key, data, sums)
    return Stored(name, key, placed.version, placed.locked_until)


def _believed(estate: Estate, line: bytes) -> Entry | None:
    try:
        outer = load(line)
        text, signature = str(outer["said"]), str(outer["signature"])
        return shelf.parse(load(text)) if sign.check(estate, text.encode(), signature) else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _silent(error: Exception) -> Error:
    return Error(
        "store-silent",
        _("The object store does not give it: {why}.").format(why=" ".join(str(error).split())[:300]),
        _("Look with `rmc-dr store check`."),
    )


def _not_archived(entry: Entry, why: str) -> Error:
    return Error(
        "report-not-archived",
        _("The report {id} is kept here, but not archived: {why}.").format(id=entry.id, why=why.rstrip(".")),
        _("Look with `rmc-dr store check`; `rmc-dr report archive` or the next report sends it."),
    )
