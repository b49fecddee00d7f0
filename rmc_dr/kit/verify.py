"""Whether a kit may be used: signed by the pinned signer, whole, unchanged, nothing beside, not expired.

Runs before every use. Nothing in the kit is believed before the signature has been checked.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.kit import place, signature
from rmc_dr.kit.manifest import NAME, SIGNATURE, KitFile, Manifest

LARGEST_MANIFEST = 16 * 1024 * 1024


def verify(estate: Estate, accept_expired: str | None = None) -> Manifest:
    """Prove the estate's kit. Raises Refused with a code of its own for each thing that can be wrong.

    ``accept_expired`` is the operator's reason for using an expired kit; the caller records it.
    """
    manifest = prove(estate.config.kit.path, estate.private_dir / "allowed_signers")
    _refuse_expired(manifest, accept_expired)
    return manifest


def prove(kit: Path, allowed_signers: Path) -> Manifest:
    """Everything but the expiry."""
    manifest = glance(kit, allowed_signers)
    _compare_contents(kit, manifest)
    return manifest


def glance(kit: Path, allowed_signers: Path) -> Manifest:
    """Signature, names and sizes, in milliseconds: no file is read, so a changed byte is not found."""
    text = _read_manifest(kit)
    _check_signature(kit, text, allowed_signers)
    try:
        manifest = Manifest(kit, text)
    except ValueError as error:
        raise Refused(
            "kit-manifest",
            _("The kit's manifest cannot be read: {problem}").format(problem=error),
            _("The kit was made by another version of rmc-dr; build it anew with this one."),
        ) from None
    _compare_files(kit, manifest)
    return manifest


def _read_manifest(kit: Path) -> bytes:
    if not kit.is_dir():
        raise Refused(
            "kit-missing",
            _("There is no kit in {path}.").format(path=kit),
            _("Build it with `rmc-dr kit build`, or copy it there from its keeping place."),
        )
    for path in (kit / NAME, kit / SIGNATURE):
        if path.is_symlink() or not path.is_file():
            raise Refused(
                "kit-missing-file",
                _("The kit has no {name}.").format(name=path.name),
                _("Copy the kit anew from its keeping place; it is not whole."),
            )
    with (kit / NAME).open("rb") as stream:
        text = stream.read(LARGEST_MANIFEST + 1)
    if len(text) > LARGEST_MANIFEST:
        raise Refused("kit-manifest", _("The kit's manifest is too large."), _use_another())
    return text


def _check_signature(kit: Path, text: bytes, allowed_signers: Path) -> None:
    if not allowed_signers.is_file():
        raise BadInput(
            "kit-no-signer",
            _("Nobody is known who may sign kits: {path} is missing.").format(path=allowed_signers),
            _("Restore it from the estate's private folder; it must not come from the kit."),
        )
    if kit.resolve() in allowed_signers.resolve().parents:
        raise Refused(
            "kit-signer-inside",
            _("The file of signers {path} lies inside the kit, which could then vouch for itself.").format(
                path=allowed_signers
            ),
            _("Keep estate.private_dir outside of the kit."),
        )
    match signature.check(text, kit / SIGNATURE, allowed_signers):
        case "foreign":
            raise Refused(
                "kit-foreign-signer",
                _("The kit is signed by somebody who is not in {path}.").format(path=allowed_signers),
                _use_another(),
            )
        case "wrong":
            raise Refused("kit-signature", _("The signature of the kit's manifest is wrong."), _use_another())
        case "good":
            pass


def _compare_files(kit: Path, manifest: Manifest) -> None:
    found: dict[str, int] = {}
    for path in _walk(kit):
        name = str(path.relative_to(kit))
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise Refused(
                "kit-unsafe-path",
                _("{name} in the kit is a link or no ordinary file.").format(name=name),
                _use_another(),
            )
        if name not in (NAME, SIGNATURE):
            found[name] = status.st_size
    if missing := sorted(manifest.files.keys() - found.keys()):
        raise Refused(
            "kit-missing-file",
            _("The kit lacks {names}.").format(names=", ".join(missing)),
            _("Copy the kit anew from its keeping place; it is not whole."),
        )
    if foreign := sorted(found.keys() - manifest.files.keys()):
        raise Refused(
            "kit-foreign-file",
            _("The kit holds files that its manifest does not name: {names}.").format(
                names=", ".join(foreign)
            ),
            _("Move them out of the kit after you know who put them there."),
        )
    for name, size in found.items():
        if size != manifest.files[name].size:
            raise _tampered(name)


def _walk(folder: Path) -> Iterator[Path]:
    """Every entry that is not a plain folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path)


def _compare_contents(kit: Path, manifest: Manifest) -> None:
    """Hash on all cores, the largest files first, so that no core is left with a large one at the end."""

    def is_whole(item: tuple[str, KitFile]) -> bool:
        return place.digest(kit / item[0]) == item[1].sha256

    items = sorted(manifest.files.items(), key=lambda item: item[1].size, reverse=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for (name, _file), whole in zip(items, pool.map(is_whole, items), strict=True):
            if not whole:
                raise _tampered(name)


def _refuse_expired(manifest: Manifest, accept_expired: str | None) -> None:
    if accept_expired and accept_expired.strip():
        return
    now = datetime.now(UTC)
    if now >= manifest.expires:
        raise Refused(
            "kit-expired",
            _("The kit expired on {date}; it lacks the updates since {built}.").format(
                date=manifest.expires.date(), built=manifest.built.date()
            ),
            _("Build a new one, or give --accept-expired-kit REASON; the reason is recorded."),
        )
    if now < manifest.built:
        raise Refused(
            "kit-clock",
            _("The kit was built on {built}, but this machine's clock says {now}.").format(
                built=manifest.built.strftime("%Y-%m-%d %H:%M UTC"), now=now.strftime("%Y-%m-%d %H:%M UTC")
            ),
            _("Set the clock, or give --accept-expired-kit REASON; the reason is recorded."),
        )


def _tampered(name: str) -> Refused:
    return Refused(
        "kit-tampered",
        _("{name} in the kit is not what the manifest says.").format(name=name),
        _use_another(),
    )


def _use_another() -> str:
    return _("Do not use this kit. Take another copy of it, or build a new one.")
