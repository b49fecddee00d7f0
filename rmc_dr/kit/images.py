"""Golden images: builder hosts boot from a base tree, the project's own roles run on them, tar does the rest.

An image is cached under the content of everything that made it. What the installed systems have in common
is an image too, `system`, which never gets into a kit.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rmc_dr import content, runner
from rmc_dr.errors import Error
from rmc_dr.estate import Estate, Host
from rmc_dr.files import sync
from rmc_dr.i18n import _
from rmc_dr.kit import place, sealed
from rmc_dr.kit.packages import PLAYBOOK, PackageFolder
from rmc_dr.kit.place import Say
from rmc_dr.lab import machine, network, presence
from rmc_dr.lab.place import host_folder

SYSTEM = "system"
RUN = "kit-build"
ZSTD_LEVEL = 3  # of 768 MB: 366 MB in 5 s of CPU; level 5: 358 in 12 s, level 10: 336 in 34 s
KEEP = 3  # cached images of one name
ANSWER_SECONDS = 60
PROGRESS_SECONDS = 30
# What configures an estate later cannot reach an image, which is made by tasks/install.yml.
NOT_IN_IMAGES = ("tasks/configure.yml", "tasks/main.yml", "meta/argument_specs.yml")
BUILDER_FILES = {
    "etc/apt/sources.list": "deb [trusted=yes] file:/mnt ./\n",
    "etc/dpkg/dpkg.cfg.d/rmc-dr-builder": "force-unsafe-io\n",
}


@dataclass(frozen=True)
class Image:
    """One packed image. ``packages`` maps Debian package to version; ``size`` is in bytes."""

    name: str
    path: Path
    sha256: str
    size: int
    debian: str
    packages: Mapping[str, str]


@dataclass(frozen=True)
class Ingredients:
    """What all images of one build are made of. ``archives`` holds the folders liberty and jdbc."""

    builders: Estate
    packages: PackageFolder
    archives: Path
    archives_digest: str
    roles: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Work:
    """One build. ``doing`` tells whoever waits what each image is busy with; ``given_up`` ends it early."""

    given: Ingredients
    say: Say
    doing: dict[str, str] = field(default_factory=dict)
    given_up: threading.Event = field(default_factory=threading.Event)


def obtain(given: Ingredients, say: Say) -> list[Image]:
    """All images of the kit, out of the cache or built side by side. Raises Error `kit-image`."""
    keys = {name: _key(given, name) for name in given.roles}
    wanted = [name for name in given.roles if name != SYSTEM]
    missing = [name for name in wanted if _cached(name, keys[name]) is None]
    if missing:
        say(_("Building the images {names} (about 5 minutes) ...").format(names=", ".join(missing)))
        if _cached(SYSTEM, keys[SYSTEM]) is None and any(
            _begins_with_system(given, name) for name in missing
        ):
            missing.insert(0, SYSTEM)
        _build_all(given, {name: keys[name] for name in missing}, keys[SYSTEM], say)
    return [image for name in wanted if (image := _cached(name, keys[name]))]


def end_leftovers(builders: Estate) -> None:
    """End what a killed build left running, and remove its trees."""
    runner.end_leftovers(RUN)
    for host in builders.group("builder"):
        machine.kill(host.name)
        place.remove(host_folder(host.name))
    presence.release_network()


def _begins_with_system(given: Ingredients, name: str) -> bool:
    common = list(given.roles[SYSTEM])
    return name != SYSTEM and list(given.roles[name][: len(common)]) == common


def _key(given: Ingredients, name: str) -> str:
    """A name made of everything that the image is made of."""
    digest = hashlib.sha256(f"{name} {given.packages.digest} {ZSTD_LEVEL}".encode())
    roles = sorted({*given.roles[name], "os_image"})  # sorted: a set has another order in each process
    sources = [f"playbooks/{PLAYBOOK}", *(f"roles/{role}" for role in roles)]
    for source in sources:
        digest.update(_fingerprint(content.root() / source).encode())
    if "liberty" in given.roles[name]:
        digest.update(given.archives_digest.encode())
    return digest.hexdigest()[:16]


def _fingerprint(path: Path) -> str:
    """The content of a playbook, or of a role as far as it can reach an image."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    relevant = sorted(
        file
        for file in files
        if "__pycache__" not in file.parts and str(file.relative_to(path)) not in NOT_IN_IMAGES
    )
    lines = [f"{file.relative_to(path.parent)} {place.digest(file)}" for file in relevant]
    return "\n".join(lines)


def _image_path(name: str, key: str) -> Path:
    return place.cache("images") / f"{name}-{key}.tar.zst"


def _cached(name: str, key: str) -> Image | None:
    note = place.cache("images") / f"{name}-{key}.json"
    if not note.is_file():
        return None
    path = _image_path(name, key)
    known = json.loads(note.read_text())
    return Image(path=path, **known) if path.is_file() and path.stat().st_size == known["size"] else None


def _build_all(given: Ingredients, keys: Mapping[str, str], system_key: str, say: Say) -> None:
    network.up(given.builders.config.network)
    work = Work(given, say)
    building: dict[str, Future[None]] = {}

    def build(name: str) -> None:
        base = given.packages.base
        if _begins_with_system(given, name):
            if SYSTEM in building:
                building[SYSTEM].result()
            base = _image_path(SYSTEM, system_key)
        _build(work, name, keys[name], base)

    try:
        with ThreadPoolExecutor(len(keys)) as pool:
            for name in keys:
                building[name] = pool.submit(build, name)
            try:
                while wait(building.values(), timeout=PROGRESS_SECONDS).not_done:
                    doing = sorted(work.doing.copy().items())
                    say("  " + "; ".join(f"{name}: {task}" for name, task in doing))
            except BaseException:  # Ctrl-C: the pool waits for its threads, so tell them to end
                work.given_up.set()
                raise
            for future in building.values():
                future.result()
    finally:
        presence.release_network()


def _build(work: Work, name: str, key: str, base: Path) -> None:
    started = time.monotonic()
    given, doing = work.given, work.doing
    host = next(host for host in given.builders.group("builder") if host.image == name)
    tree = host_folder(host.name) / "tree"
    on = given.builders.config.network
    try:
        doing[name] = _("booting the builder")
        _lay_base_tree(given, base, tree)
        machine.boot_tree(host.name, tree, host.address, on, {given.packages.folder: "/mnt"})
        if not presence.answers(given.builders, host, "system", ANSWER_SECONDS):
            raise _silent(host)
        _run_roles(work, host)
        doing[name] = _("packing")
        machine.power_off(host.name)
        _prove_sealed(name, tree)
        _pack(name, key, tree)
    finally:
        doing.pop(name, None)
        machine.kill(host.name)
        place.remove(host_folder(host.name))
    _forget_old(name)
    seconds = time.monotonic() - started
    work.say(_("Image {name} is ready after {seconds:.0f} s.").format(name=name, seconds=seconds))


def _lay_base_tree(given: Ingredients, base: Path, tree: Path) -> None:
    tree.mkdir(parents=True, mode=0o755)
    place.run(
        "tar", "--extract", "--file", base, "--directory", tree, "--numeric-owner",
        "--xattrs", "--xattrs-include=*", "--acls",
        code="kit-image", hint=_("Look for room on the disk, then run `kit build` again."),
    )  # fmt: skip
    private = given.builders.private_dir
    secrets = given.builders.opened()
    for path in (tree / "etc/ssh").glob("ssh_host_*"):
        path.unlink()
    files = {
        **BUILDER_FILES,
        "etc/ssh/ssh_host_ed25519_key": secrets.get("ssh_host_keys", "builder", "private"),
        "root/.ssh/authorized_keys": (private / "id_ed25519.pub").read_text(),
        "etc/hosts": "".join(
            f"{address} {names}\n"
            for address, names in {
                "127.0.0.1": "localhost",
                **{host.address: host.name for host in given.builders.group("builder")},
            }.items()
        ),
    }
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o600 if "ssh" in path.parts or ".ssh" in path.parts else 0o644)
        path.write_text(text if text.endswith("\n") else f"{text}\n")
    (tree / "root/.ssh").chmod(0o700)
    wants = tree / "etc/systemd/system/multi-user.target.wants"
    for unit in ("systemd-networkd", "ssh"):
        link = wants / f"{unit}.service"
        if not link.is_symlink():
            link.symlink_to(f"/usr/lib/systemd/system/{unit}.service")


def _run_roles(work: Work, host: Host) -> None:
    given = work.given

    def tell(kind: str, **event: Any) -> None:
        if kind == "task" and event.get("status") == "started":
            work.doing[host.image] = str(event["task"])

    log = place.cache("images") / f"{host.image}.log"
    outcome = runner.run_playbook(
        given.builders,
        PLAYBOOK,
        variables={
            "liberty_kit_path": str(given.archives),
            "kit_image_done": list(given.roles[SYSTEM]) if _begins_with_system(given, host.image) else [],
        },
        on_event=tell,
        log=log,
        run_id=RUN,
        canceled=work.given_up.is_set,
        limit=host.name,
    )
    if outcome.status != "ok":
        failed = (f"{failure.task}: {failure.message}" for failure in outcome.failures)
        raise Error(
            "kit-image",
            _("The image {name} cannot be built: {said}").format(
                name=host.image, said="; ".join(failed) or outcome.status
            ),
            _("Ansible's own words are in {log}.").format(log=log),
        )


def _silent(host: Host) -> Error:
    return Error(
        "kit-image",
        _("The builder {host} does not answer over SSH.").format(host=host.name),
        _("Run `kit build` again. If it stays so, look at the machine's console log below {folder}.").format(
            folder=host_folder(host.name)
        ),
    )


def _prove_sealed(name: str, tree: Path) -> None:
    if found := sealed.remains(tree):
        raise Error(
            "kit-image-not-sealed",
            _("The image {name} would hold what no image may hold: {paths}.").format(
                name=name, paths=", ".join(found[:8])
            ),
            _("Make it in the role's configure.yml, or remove it in roles/os_image/files/seal.sh."),
        )


def _pack(name: str, key: str, tree: Path) -> None:
    target = _image_path(name, key)
    draft = place.draft(target)
    place.run(
        "tar", "--create", "--file", draft, "--directory", tree, "--sort=name", "--numeric-owner",
        "--xattrs", "--xattrs-include=*", "--acls", f"--use-compress-program=zstd -T0 -{ZSTD_LEVEL}",
        "--exclude=./run/*", "--exclude=./proc/*", "--exclude=./sys/*", ".",
        code="kit-image", hint=_("Look for room on the disk, then run `kit build` again."),
    )  # fmt: skip
    sync(draft)
    debian = (tree / "etc/debian_version").read_text().strip()
    versions = installed((tree / "var/lib/dpkg/status").read_text())
    image = Image(name, target, place.digest(draft), draft.stat().st_size, debian, versions)
    draft.rename(target)
    known = {field: value for field, value in asdict(image).items() if field != "path"}
    note = target.parent / f"{name}-{key}.json"
    draft_note = place.draft(note)
    draft_note.write_text(json.dumps(known))
    draft_note.rename(note)


def installed(status: str) -> dict[str, str]:
    """Package to version, from the text of dpkg's status file."""
    found = {}
    for paragraph in status.split("\n\n"):
        lines = (line for line in paragraph.splitlines() if ": " in line and line[0] != " ")
        fields = dict(line.split(": ", 1) for line in lines)
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields["Version"]
    return found


def forget(names: Iterable[str]) -> None:
    """Remove all cached images of these names."""
    for name in names:
        _forget_old(name, keep=0)


def _forget_old(name: str, keep: int = KEEP) -> None:
    notes = sorted(
        place.cache("images").glob(f"{name}-*.json"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for note in notes[keep:]:
        note.unlink()
        note.with_suffix(".tar.zst").unlink(missing_ok=True)
