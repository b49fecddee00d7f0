"""What waits to be brought in: what the kit has newer than the machines. Pure.

An isolated hospital's machines ask no mirror; the kit is what is on the spot. Where that tells nothing, it is
unknown what waits, never nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from rmc_dr.kit.manifest import Manifest
from rmc_dr.rounds.facts import Patch, Patches
from rmc_dr.rounds.told import Told
from rmc_dr.rounds.versions import newer

# Why nobody can say what waits.
UNTOLD, NO_KIT, NO_IMAGE = "untold", "no-kit", "no-image"


def compared(
    told: Mapping[str, Told],
    silent: Collection[str],
    images: Mapping[str, str],
    kit: Manifest | None,
    archive: str,
    deployed: Mapping[str, Collection[str]],
) -> Patches:
    """``silent`` hosts told nothing, ``images`` maps a host to its image in the kit; ``archive`` is Liberty's
    name in the kit. ``deployed`` are the releases of each application that ran before, or run.
    """
    unknown = dict.fromkeys(silent, UNTOLD)
    if kit is None:
        return Patches(unknown=unknown | dict.fromkeys(told, NO_KIT))
    waiting: list[Patch] = []
    for name, said in sorted(told.items()):
        known = kit.versions.images.get(images.get(name, ""))
        if known is None:
            unknown[name] = NO_IMAGE
        else:
            waiting.extend(_packages(name, said.packages, known))
        waiting.extend(_runtime(name, said, kit, archive))
        waiting.extend(_releases(name, said, kit, deployed))
    return Patches(waiting=tuple(waiting), unknown=unknown)


def _packages(host: str, installed: Mapping[str, str], offered: Mapping[str, str]) -> Iterator[Patch]:
    for package in sorted(installed.keys() & offered.keys()):
        if newer(offered[package], installed[package]):
            yield Patch(host=host, name=package, installed=installed[package], offered=offered[package])


def _runtime(host: str, said: Told, kit: Manifest, archive: str) -> Iterator[Patch]:
    """Another runtime or driver in the kit than the one that was installed, told apart by their SHA-256."""
    for name, mine, path, version in (
        ("liberty", said.runtime, f"liberty/{archive}", kit.versions.liberty),
        ("jdbc", said.driver, "jdbc/postgresql.jar", kit.versions.jdbc),
    ):
        theirs = kit.files.get(path)
        if mine and theirs is not None and mine != theirs.sha256:
            yield Patch(host=host, name=name, installed=said.software.get(name, mine[:12]), offered=version)


def _releases(
    host: str, said: Told, kit: Manifest, deployed: Mapping[str, Collection[str]]
) -> Iterator[Patch]:
    for application, current in sorted(said.applications.items()):
        for release in sorted(kit.versions.applications.get(application, ())):
            if release != current and release not in deployed.get(application, ()):
                yield Patch(host=host, name=application, installed=current, offered=release)
