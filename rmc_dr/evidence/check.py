"""Whether evidence is still what was sealed: here, byte for byte, and in the store."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr.estate import Estate
from rmc_dr.evidence import copy, custody, sign
from rmc_dr.evidence.folder import CUSTODY, MANIFEST, SIGNATURE, Kept, files
from rmc_dr.evidence.manifest import Manifest, parse
from rmc_dr.i18n import _
from rmc_dr.kit.place import digest
from rmc_dr.model import Check
from rmc_dr.store import objects
from rmc_dr.store.client import client


def check(estate: Estate, kept: Kept, *, store: bool = True) -> Iterator[Check]:
    """Each thing that was looked at; what has changed is named. Raises BadInput."""
    if not kept.sealed:
        torn = (kept.path / CUSTODY).is_file()
        yield Check(
            "sealed",
            False,
            _("its manifest or its signature is missing")
            if torn
            else _("it was never sealed: the next `rmc-dr preserve` does"),
        )
        return
    text = (kept.path / MANIFEST).read_bytes()
    verdict = sign.check_file(estate, text, kept.path / SIGNATURE)
    yield Check(MANIFEST, verdict == "good", _unsigned(verdict))
    manifest = _manifest(text) if verdict == "good" else None
    if manifest:
        yield Check("id", manifest.id == kept.id, manifest.id if manifest.id != kept.id else "")
        yield from check_files(kept, manifest)
    entries = custody.read(estate, kept)
    for entry in entries:
        yield Check(f"custody {entry.number}", entry.good, "" if entry.good else _("this line was changed"))
    if not entries:
        yield Check("custody", False, _("it is missing"))
    if store:
        yield from _check_copy(estate, kept, manifest, custody.last(entries, custody.COPIED))


def check_files(kept: Kept, manifest: Manifest) -> Iterator[Check]:
    """Every file against the manifest, and what lies there beside."""
    known = {piece.file: piece for piece in manifest.had}
    found = set(files(kept.path))
    for name, piece in known.items():
        if name not in found:
            yield Check(name, False, _("it is missing"))
        elif not stat.S_ISREG((kept.path / name).lstat().st_mode):
            yield Check(name, False, _("it is no ordinary file"))
        else:
            same = digest(kept.path / name) == piece.sha256
            yield Check(name, same, "" if same else _("it was changed"))
    for name in sorted(found - known.keys()):
        yield Check(name, False, _("the manifest does not name it"))


def _unsigned(verdict: str) -> str:
    return {
        "foreign": _("it is signed by somebody who is not the estate's signer"),
        "wrong": _("it is not what was signed"),
    }.get(verdict, "")


def _manifest(text: bytes) -> Manifest | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _check_copy(
    estate: Estate, kept: Kept, manifest: Manifest | None, said: Mapping[str, Any] | None
) -> Iterator[Check]:
    if said is None:
        yield Check("store", False, _("it was never copied: the next `rmc-dr preserve` does"))
        return
    plain = {piece.file: piece.sha256 for piece in manifest.had} if manifest else {}
    verifier = client(estate, "verifier")
    for one in said.get("objects", ()):
        try:
            yield _check_object(estate, kept, one, plain.get(one["name"]), verifier)
        except ClientError as error:
            yield Check(f"store {one['name']}", False, _gone(error))
        except BotoCoreError as error:
            yield Check("store", False, " ".join(str(error).split())[:200])
            return


def _check_object(
    estate: Estate, kept: Kept, one: Mapping[str, Any], plain: str | None, verifier: Any
) -> Check:
    sealed, inner = copy.unsealed(estate, kept, one, verifier)
    name = f"store {one['name']}"
    if sealed != one["sha256"] or not inner or (plain and plain != inner):
        return Check(name, False, _("it was changed"))
    shown = objects.newest_version(verifier, estate.config.s3.bucket, str(one["key"]))
    if shown == one["version"]:
        return Check(name, True)
    return Check(
        name,
        False,
        _("somebody wrote over it; the version that was copied is still there")
        if shown
        else _("somebody hid it; the version that was copied is still there"),
    )


def _gone(error: ClientError) -> str:
    said = str(error.response.get("Error", {}).get("Code", "?"))
    return _("it is gone") if said in ("NoSuchKey", "NoSuchVersion", "404") else said
