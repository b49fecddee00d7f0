"""Debian's packages, fetched once: a base tree that boots, and a folder that apt installs from.

Everything after this step needs no network. apt has verified what it downloaded, so the folder, which only
root can write, is trusted by the builders.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from rmc_dr import content
from rmc_dr.i18n import _
from rmc_dr.kit import place
from rmc_dr.kit.place import Say

SUITE = "trixie"
BASE = (
    "ca-certificates", "dbus", "iproute2", "openssh-server", "python3", "python3-apt",
    "systemd", "systemd-sysv", "udev", "zstd",
)  # fmt: skip
FRESH_DAYS = 30
EPOCH = 1735689600  # one time for all files: the same packages make the same base tree
PLAYBOOK = "kit-image.yml"
NO_RECOMMENDS = 'APT::Install-Recommends "false"'


@dataclass(frozen=True)
class PackageFolder:
    """``base`` is a tar of the minimal tree; ``folder`` a flat apt repository; ``digest`` names both."""

    base: Path
    folder: Path
    digest: str


def image_roles() -> dict[str, list[str]]:
    """Which roles make which image: the table in playbooks/kit-image.yml."""
    plays = yaml.safe_load((content.root() / "playbooks" / PLAYBOOK).read_text())
    table: dict[str, list[str]] = plays[0]["vars"]["kit_image_roles"]
    return table


def package_lists(table: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The packages of each image: what the defaults of its roles list as `<role>_packages`."""
    return {
        image: sorted({package for role in roles for package in _role_packages(role)})
        for image, roles in table.items()
    }


def _role_packages(role: str) -> list[str]:
    path = content.root() / "roles" / role / "defaults" / "main.yml"
    defaults = yaml.safe_load(path.read_text()) or {} if path.is_file() else {}
    packages: list[str] = defaults.get(f"{role}_packages", [])
    return packages


def obtain(lists: Mapping[str, Sequence[str]], say: Say) -> PackageFolder:
    """The package folder for these lists, out of the cache or fetched. Raises Error `kit-packages`."""
    asked = json.dumps([SUITE, BASE, lists], sort_keys=True)
    target = place.cache("packages") / hashlib.sha256(asked.encode()).hexdigest()[:16]
    if _age_days(target) > FRESH_DAYS:
        say(_("Fetching Debian's packages and making the base tree (about 2 minutes) ..."))
        _fetch(target, lists)
        _forget_others(target)
    return PackageFolder(target / "base.tar", target / "debs", (target / "digest").read_text())


def _age_days(target: Path) -> float:
    stamp = target / "digest"
    return (time.time() - stamp.stat().st_mtime) / 86400 if stamp.is_file() else float("inf")


def _fetch(target: Path, lists: Mapping[str, Sequence[str]]) -> None:
    draft = place.draft(target)
    place.remove(draft)
    debs, scratch = draft / "debs", draft / "scratch"
    for folder in (debs, scratch):
        folder.mkdir(parents=True)
    # A process namespace of its own that dies with us: a build that is killed leaves no mount and no child.
    place.run(
        "setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child",
        "env", f"TMPDIR={scratch}", f"SOURCE_DATE_EPOCH={EPOCH}",
        "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase",
        f"--include={','.join(BASE)}", f"--aptopt={NO_RECOMMENDS}",
        *(f"--customize-hook={_download(packages)}" for packages in lists.values() if packages),
        f'--customize-hook=mv "$1"/var/cache/apt/archives/*.deb {shlex.quote(str(debs))}',
        SUITE, draft / "base.tar",
        name="mmdebstrap",
        code="kit-packages",
        hint=_("`kit build` needs Debian's package mirror; check the network, then run it again."),
    )  # fmt: skip
    place.remove(scratch)
    index = place.run(
        "apt-ftparchive", "packages", ".", cwd=debs, code="kit-packages", hint=_("Run `kit build` again.")
    )
    (debs / "Packages").write_text(index)
    base = place.digest(draft / "base.tar")
    (draft / "digest").write_text(hashlib.sha256(f"{base}{index}".encode()).hexdigest())
    place.remove(target)
    os.sync()
    draft.rename(target)


def _download(packages: Sequence[str]) -> str:
    """apt outside the tree, with mmdebstrap's configuration, fetches what apt inside will install."""
    names = " ".join(shlex.quote(package) for package in packages)
    get = f"apt-get install --yes --download-only --option {shlex.quote(NO_RECOMMENDS.replace(' ', '=', 1))}"
    return f'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" {get} {names}'


def _forget_others(target: Path) -> None:
    """Keep the newest two folders: this one, and the one of the branch or month before."""
    others = [path for path in target.parent.iterdir() if path.is_dir() and path != target]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[1:]:
        place.remove(path)
