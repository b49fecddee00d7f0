"""`rmc-dr kit build`: packages, archives, images, manifest, signature.

The kit in place stays until the new one has been proven.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rmc_dr import __version__, content
from rmc_dr import estate as estates
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.files import sync
from rmc_dr.i18n import _
from rmc_dr.kit import archives, images, packages, place, signature, verify
from rmc_dr.kit.manifest import FORMAT, NAME, Document, KitFile, Manifest, Versions, render
from rmc_dr.kit.place import Say
from rmc_dr.lab import presence

GIBIBYTE = 1024**3
NEEDED_GIB = 6
EXCHANGE = 2  # renameat2(2): RENAME_EXCHANGE
AT_FDCWD = -100


def build(estate: Estate, say: Say, *, liberty: Path | None = None, releases: Path | None = None) -> Manifest:
    """Make the estate's kit, or find that the one in place is what would be made; returns its manifest.

    ``liberty`` and ``releases`` are the centre's own archive and releases. Raises BadInput, Refused, Locked
    `kit-busy` or Error; the kit in place is never touched before a new one has been proven.
    """
    kit = estate.config.kit.path
    _refuse_not_root()
    _refuse_foreign_folder(kit)
    if liberty is not None:
        archives.refuse_no_liberty(liberty)
    with place.alone():
        builders = _builders(estate)
        _clean(kit)
        images.end_leftovers(builders)
        signature.require_key(_signing_key(estate))
        _refuse_no_room()
        lists = packages.package_lists(packages.image_roles())
        folder = packages.obtain(lists, say)
        archive = archives.obtain(estate, liberty, releases, say)
        made = _images(builders, folder, archive, say)
        files = {**archive.files, **{f"images/{image.name}.tar.zst": image.path for image in made}}
        hashes = {image.path: KitFile(sha256=image.sha256, size=image.size) for image in made}
        known = {name: hashes.get(path) or _described(path) for name, path in files.items()}
        current = _current(estate, known)
        if current is not None:
            say(_("The kit in {path} is up to date.").format(path=kit))
            return current
        say(_("Putting the kit together and signing it (about 10 seconds) ..."))
        return _put_together(estate, files, known, _versions(archive, made))


def _refuse_not_root() -> None:
    if os.geteuid() != 0:
        raise Refused(
            "kit-not-root",
            _("`kit build` boots builder hosts, which only root can."),
            _("Run it as root on the machine that builds kits."),
        )


def _refuse_foreign_folder(kit: Path) -> None:
    """What stands at the kit's path is removed when a new kit takes its place, so it must be a kit."""
    if kit.exists() and not (kit / NAME).is_file() and (not kit.is_dir() or any(kit.iterdir())):
        raise Refused(
            "kit-path-taken",
            _("{path} exists and is not a kit; it would be replaced.").format(path=kit),
            _("Name another folder in estate.kit.path, or move away what is there."),
        )


def _refuse_no_room() -> None:
    free = shutil.disk_usage(place.cache("images")).free / GIBIBYTE
    if free < NEEDED_GIB:
        raise Refused(
            "kit-no-room",
            _("Building a kit needs {needed} GiB below {place}; {free:.1f} GiB are free.").format(
                needed=NEEDED_GIB, place=content.STATE, free=free
            ),
            _("Free some room, or mount a larger disk there."),
        )


def _signing_key(estate: Estate) -> Path:
    return estate.private_dir / "kit_signing_key"


def _clean(kit: Path) -> None:
    """Remove what a killed build left half made."""
    kit.parent.mkdir(parents=True, exist_ok=True)
    kinds = ("packages", "archives", "releases", "images")
    place.remove_drafts(place.cache(kind) for kind in kinds)
    place.remove(place.draft(kit))


def _builders(estate: Estate) -> Estate:
    """The builder hosts: always the lab's, on this machine. An image knows no estate.

    Only the lab's secrets are made here; another estate's are its keeper's to make.
    """
    lab = content.root() / "inventories" / "lab"
    return presence.with_secrets(estate if estate.inventory == lab else estates.load(lab))


def _images(
    builders: Estate, folder: packages.PackageFolder, archive: archives.Archives, say: Say
) -> list[images.Image]:
    """Roles that need an archive read it from a folder laid out like the kit."""
    needed = {name: path for name, path in archive.files.items() if not name.startswith("applications/")}
    staging = place.draft(place.cache("archives") / "staged")
    for name, path in needed.items():
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.absolute())
    told = "".join(f"{name} {place.digest(path)}\n" for name, path in sorted(needed.items()))
    given = images.Ingredients(
        builders=builders,
        packages=folder,
        archives=staging,
        archives_digest=hashlib.sha256(told.encode()).hexdigest(),
        roles=packages.image_roles(),
    )
    try:
        return images.obtain(given, say)
    finally:
        place.remove(staging)


def _described(path: Path) -> KitFile:
    return KitFile(sha256=place.digest(path), size=path.stat().st_size)


def _current(estate: Estate, known: Mapping[str, KitFile]) -> Manifest | None:
    """The kit in place, if it holds the very files that would be made now and may be used."""
    try:
        manifest = verify.verify(estate)
    except Refused:
        return None
    return manifest if manifest.files == known and manifest.document.tool == __version__ else None


def _versions(archive: archives.Archives, made: list[images.Image]) -> Versions:
    releases: dict[str, list[str]] = {}
    for name in archive.files:
        if name.startswith("applications/") and name.endswith("/app.war"):
            _folder, app, release, _file = name.split("/")
            releases.setdefault(app, []).append(release)
    return Versions(
        debian=made[0].debian,
        liberty=archive.versions["liberty"],
        jdbc=archive.versions["jdbc"],
        applications=releases,
        images={image.name: dict(image.packages) for image in made},
    )


def _put_together(
    estate: Estate, files: Mapping[str, Path], known: Mapping[str, KitFile], versions: Versions
) -> Manifest:
    kit = estate.config.kit.path
    draft = place.draft(kit)
    draft.mkdir(mode=0o755)
    for name, path in files.items():
        target = draft / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o644)
    built = datetime.fromtimestamp(int(time.time()), UTC)
    document = Document(
        format=FORMAT,
        tool=__version__,
        built=built,
        expires=built + timedelta(days=estate.config.kit.max_age_days),
        files=dict(known),
        versions=versions,
    )
    (draft / NAME).write_bytes(render(document))
    signature.sign(draft / NAME, _signing_key(estate))
    os.sync()
    _prove(draft, estate, versions)
    _take_place(draft, kit)
    return verify.verify(estate)


def _prove(draft: Path, estate: Estate, versions: Versions) -> None:
    try:
        verify.prove(draft, estate.private_dir / "allowed_signers")
    except Refused as error:
        images.forget(versions.images)
        raise Error(
            "kit-cache-damaged",
            _("The new kit is not what was built: {problem} The kit in place was not touched.").format(
                problem=error.message
            ),
            _("The cached images were removed. Check the disk, then run `kit build` again."),
        ) from None


def _take_place(draft: Path, kit: Path) -> None:
    """The new kit takes the old one's name in one step: whoever looks finds one or the other, whole."""
    if kit.exists():
        _exchange(draft, kit)
        sync(kit.parent)
        place.remove(draft)
    else:
        draft.rename(kit)
        sync(kit.parent)


def _exchange(one: Path, other: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(other))
