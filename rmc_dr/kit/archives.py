"""What is not a Debian package: the Liberty runtime, the JDBC driver, the applications' releases."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rmc_dr import content, migrations
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.files import sync
from rmc_dr.i18n import _
from rmc_dr.kit import place
from rmc_dr.kit.place import Say

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
SAMPLE_RELEASES = ("1.0.0", "1.1.0")
RELEASE_FILES = ("app.war", "schema.sql", "journey-user.sql")


@dataclass(frozen=True)
class Artifact:
    """A file on Maven Central, pinned to one version and one content. ``about`` says how long it takes."""

    name: str
    coordinates: str
    version: str
    packaging: str
    sha256: str
    about: str


LIBERTY = Artifact(
    "liberty", "io.openliberty:openliberty-runtime", "26.0.0.3", "zip",
    "bf394f83897a5aa4d0564604637e934c8f64b9fcb06a8dfcec2a49feed951778", "352 MB",
)  # fmt: skip
DRIVER = Artifact(
    "jdbc", "org.postgresql:postgresql", "42.7.14", "jar",
    "73914527305a40cce504b0d3d90b23caf565136912d607ae8ae7c5895512332c", "1 MB",
)  # fmt: skip


@dataclass(frozen=True)
class Archives:
    """Files by their place in the kit, and the versions that they are."""

    files: Mapping[str, Path]
    versions: Mapping[str, str]


def obtain(estate: Estate, liberty: Path | None, releases: Path | None, say: Say) -> Archives:
    """All archives of a kit. ``liberty`` and ``releases`` are the centre's own, where it has them."""
    files = {"jdbc/postgresql.jar": fetch(DRIVER, say)}
    versions = {"jdbc": DRIVER.version}
    name = f"liberty/{estate.config.liberty.archive}"
    if liberty is None:
        files[name] = fetch(LIBERTY, say)
        versions["liberty"] = LIBERTY.version
    else:
        files[name] = liberty
        versions["liberty"] = liberty.name
    files |= _releases(estate, releases, say)
    return Archives(files, versions)


def fetch(artifact: Artifact, say: Say) -> Path:
    """The artifact out of the cache or by Maven. Raises Error `kit-archive` for any other content."""
    target = place.cache("archives") / f"{artifact.name}-{artifact.version}.{artifact.packaging}"
    if target.is_file() and place.digest(target) == artifact.sha256:
        return target
    say(
        _("Fetching {what} {version} ({size}) ...").format(
            what=artifact.coordinates, version=artifact.version, size=artifact.about
        )
    )
    scratch = place.draft(target)
    place.remove(scratch)
    scratch.mkdir()
    _maven(
        scratch,
        COPY,
        f"-Dartifact={artifact.coordinates}:{artifact.version}:{artifact.packaging}",
        f"-DoutputDirectory={scratch}",
    )
    (fetched,) = scratch.iterdir()
    if (seen := place.digest(fetched)) != artifact.sha256:
        raise Error(
            "kit-archive",
            _("{what} {version} is not the pinned file: its SHA-256 is {seen}.").format(
                what=artifact.coordinates, version=artifact.version, seen=seen
            ),
            _("Do not use it. Compare with the publisher's checksum before changing rmc_dr/kit/archives.py."),
        )
    sync(fetched)
    fetched.rename(target)
    place.remove(scratch)
    return target


def _releases(estate: Estate, folder: Path | None, say: Say) -> dict[str, Path]:
    """`applications/APP/RELEASE/FILE` -> file, for the vendor's releases or the sample application's."""
    names = [app.name for app in estate.config.applications.apps]
    if folder is None:
        if estate.config.power.driver != "lab":
            raise BadInput(
                "kit-no-releases",
                _("The kit needs the applications' releases."),
                _("Give --releases FOLDER with APP/RELEASE/app.war and schema.sql in it."),
            )
        built = {release: _sample_application(release, say) for release in SAMPLE_RELEASES}
        found = {
            f"{name}/{release}/{file.name}": file
            for name in names
            for release, made in built.items()
            for file in sorted(made.iterdir())
        }
    else:
        found = {
            str(path.relative_to(folder)): path
            for path in sorted([*folder.glob("*/*/*"), *folder.glob(f"*/*/{migrations.FOLDER}/*.sql")])
            if path.name in RELEASE_FILES or path.parent.name == migrations.FOLDER
        }
        for name, release in {(name.split("/")[0], name.split("/")[1]) for name in found}:
            own = [file for file in found if file.startswith(f"{name}/{release}/")]
            migrations.refuse_misnamed(name, release, own)
    for app in estate.config.applications.apps:
        if f"{app.name}/{app.release}/app.war" not in found:
            raise BadInput(
                "kit-no-releases",
                _("The release {release} of {app} is missing.").format(release=app.release, app=app.name),
                _("Put it at {path}, or name another release in estate.yml.").format(
                    path=f"{app.name}/{app.release}/app.war"
                ),
            )
    return {f"applications/{name}": path for name, path in found.items()}


def _sample_application(release: str, say: Say) -> Path:
    """The stand-in for the vendor's application, built by Maven from tests/sample-app."""
    source = content.root() / "tests" / "sample-app"
    sources = sorted(path for path in source.rglob("*") if path.is_file() and "target" not in path.parts)
    told = "".join(f"{path.relative_to(source)} {place.digest(path)}\n" for path in sources)
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    target = place.cache("releases") / f"{release}-{key}"
    if target.is_dir():
        return target
    say(_("Building the sample application {release} (about 20 seconds) ...").format(release=release))
    scratch, work = place.draft(target), place.draft(target.with_name(f"{target.name}-work"))
    for path in (scratch, work):
        place.remove(path)
    shutil.copytree(source, work, ignore=shutil.ignore_patterns("target"))
    _maven(work, f"-Drevision={release}", "package")
    scratch.mkdir()
    shutil.copyfile(work / "target" / "app.war", scratch / "app.war")
    for name in RELEASE_FILES[1:]:
        if (source / name).is_file():
            shutil.copyfile(source / name, scratch / name)
    place.remove(work)
    scratch.rename(target)
    return target


def _maven(folder: Path, *goals: str) -> None:
    place.run(
        "mvn", "--batch-mode", "--quiet", "--strict-checksums", *goals, cwd=folder, code="kit-archive",
        hint=_("`kit build` needs Maven Central; check the network, then run it again."),
    )  # fmt: skip


def refuse_no_liberty(path: Path) -> None:
    """Raises BadInput where a file cannot be a Liberty archive; the role looks closer."""
    if not path.is_file():
        raise BadInput(
            "kit-no-archive",
            _("There is no archive {path}.").format(path=path),
            _("Give --liberty the path of a Liberty archive."),
        )
    try:
        with zipfile.ZipFile(path) as archive:
            is_liberty = "wlp/bin/server" in archive.namelist()
    except zipfile.BadZipFile:
        is_liberty = False
    if not is_liberty:
        raise BadInput(
            "kit-no-liberty",
            _("{path} is no Liberty archive: a zip with wlp/bin/server in it.").format(path=path),
            _("Take WebSphere Liberty's or Open Liberty's zip, not its installer."),
        )
