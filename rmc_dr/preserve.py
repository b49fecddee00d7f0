"""The story of `rmc-dr preserve`: collect, seal, copy; and then what an earlier one left unfinished."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmc_dr import content, ssh
from rmc_dr.errors import Error, Interrupted, Locked, Refused
from rmc_dr.estate import Estate, Host
from rmc_dr.evidence import copy, custody, folder, manifest, sign
from rmc_dr.evidence.collect import MIB, Job, Room, collect
from rmc_dr.evidence.folder import COLLECTING, MANIFEST, Kept
from rmc_dr.evidence.manifest import Manifest
from rmc_dr.evidence.sources import Task, Window, disk_tasks, tasks
from rmc_dr.exclusive import canceled_by_signal
from rmc_dr.i18n import _
from rmc_dr.incident import attach
from rmc_dr.kit.place import digest
from rmc_dr.words import size

LEAST_FREE = 512 * MIB  # on this machine's disk, before and after
AHEAD_SECONDS = 3600  # a host's clock may be before ours
HOUR = 3600
SIGNATURE_END = b"-----END SSH SIGNATURE-----"  # without it a kill came while it was written


@dataclass(frozen=True)
class Wanted:
    """What is to be kept: of these hosts ("" for all), for this reason, in this run; ``hours`` back.

    ``disk`` is the device of one host's old root, read in its rescue system.
    """

    hosts: tuple[str, ...] = ()
    reason: str = ""
    run: str = ""
    hours: int | None = None
    heap: bool = False
    disk: str = ""


@dataclass(frozen=True)
class Preserved:
    """What came of it. ``not_copied`` says why the store has no copy yet; "" where it has."""

    id: str
    path: Path
    manifest: Manifest
    not_copied: str
    finished: tuple[str, ...]


def preserve(estate: Estate, wanted: Wanted) -> Preserved:
    """Keep what can be read of the estate now. Changes nothing on a host.

    Raises BadInput for an unknown host or an estate without its signer, Refused without room, Interrupted
    once what was had until then is sealed, and Error where not one source gave anything.
    """
    sign.key_of(estate)
    estate.opened()
    hosts = _hosts(estate, wanted.hosts)
    window = _window(estate, wanted.hours)
    asked = (
        [task for host in hosts for task in disk_tasks(estate, host, wanted.disk, window)]
        if wanted.disk
        else tasks(estate, hosts, window, heap=wanted.heap)
    )
    room = room_for(estate, content.STATE)
    heap_room = heap_room_for(estate, content.STATE, room) if wanted.heap else 0
    kept = folder.make(estate.name)
    with kept.hold(), canceled_by_signal() as canceled:
        alias: ssh.Alias = "rescue" if wanted.disk else "system"
        job = Job(estate, kept.path, Room(room), alias, canceled, Room(heap_room))
        sealed = _collect(job, kept, wanted, hosts, window, asked)
        if canceled():
            raise Interrupted(
                "interrupted",
                _("Stopped. What was had until then is sealed: {id}.").format(id=kept.id),
                _("`rmc-dr evidence show {id}` says what is missing.").format(id=kept.id),
            )
        if not sealed.had:
            raise _nothing(sealed)
        not_copied = _copied(estate, kept)
    # A run waits for this; an earlier one's leftovers can wait for somebody who does not.
    finished = () if wanted.run else finish_leftovers(estate, kept.id, not_copied)
    return Preserved(kept.id, kept.path, sealed, not_copied, finished)


def _collect(
    job: Job, kept: Kept, wanted: Wanted, hosts: Sequence[Host], window: Window, asked: Sequence[Task]
) -> Manifest:
    about = _about(job.estate, wanted, hosts, window)
    manifest.begin(job.estate, kept, about, asked)
    found = collect(job, asked)
    sealed = Manifest(
        kept.id,
        {**about, "estate": job.estate.name, "sealed": _now()},
        found.pieces,
        found.clocks,
        found.silent,
        interrupted=job.canceled(),
    )
    _seal(job.estate, kept, sealed, custody.COLLECTED, datetime.now(UTC))
    return sealed


def _seal(estate: Estate, kept: Kept, sealed: Manifest, did: str, at: datetime) -> None:
    """Attached as well to the incident that was open ``at`` that moment; a kill before the end is no end."""
    manifest.write(estate, kept, sealed)
    custody.append(estate, kept, did, files=len(sealed.had), bytes=sealed.bytes)
    attach.attach_once(
        estate.name, at, "evidence", kept.id, files=len(sealed.had), bytes=sealed.bytes,
        manifest_sha256=digest(kept.path / MANIFEST),
    )  # fmt: skip
    (kept.path / COLLECTING).unlink(missing_ok=True)


def _copied(estate: Estate, kept: Kept) -> str:
    """ "" once it is copied, else why not: a store that is down must not cost the evidence."""
    try:
        copy.send(estate, kept)
    except Error as error:
        return error.message
    return ""


def finish_leftovers(estate: Estate, but: str, store_silent: str) -> tuple[str, ...]:
    """Seal what a kill left open, and copy what no store has yet. Returns which were finished."""
    finished = []
    for kept in folder.all_of(estate.name):
        if kept.id == but:
            continue
        try:
            with kept.hold():
                if _finish(estate, kept, copy_too=not store_silent):
                    finished.append(kept.id)
        except Locked:
            continue  # its maker lives
    return tuple(finished)


def _finish(estate: Estate, kept: Kept, *, copy_too: bool) -> bool:
    did = False
    if (kept.path / COLLECTING).is_file():
        for draft in kept.path.glob(f".{folder.MANIFEST}.*"):
            draft.unlink()
        for opened in kept.path.glob("*/*"):  # a source that had not given a byte yet
            if opened.is_file() and not opened.is_symlink() and not opened.stat().st_size:
                opened.unlink()
        left = _left(estate, kept)
        if left is None:
            return False
        _seal(estate, kept, left, custody.CUT_OFF, kept.made)
        did = True
    if not kept.sealed:
        _sweep_empty(kept)
        return False
    if copy_too and not custody.tells(estate, kept, custody.COPIED):
        did = not _copied(estate, kept) or did
    return did


def _left(estate: Estate, kept: Kept) -> Manifest | None:
    """What is to be sealed. None where somebody changed what was: no new seal covers that up."""
    signature = kept.path / folder.SIGNATURE
    if not kept.sealed or not signature.read_bytes().rstrip().endswith(SIGNATURE_END):
        return manifest.of_leftover(kept)
    good = sign.check_file(estate, (kept.path / MANIFEST).read_bytes(), signature) == "good"
    return manifest.read(kept) if good else None


def _sweep_empty(kept: Kept) -> None:
    """Killed before the first word was written; a young one may be about to be."""
    empty = not [path for path in kept.path.iterdir() if path.name != folder.LOCK]
    if empty and time.time() - kept.path.stat().st_mtime > HOUR:
        shutil.rmtree(kept.path)


def room_for(estate: Estate, where: Path) -> int:
    """Bytes that a collection may take here. Raises Refused where the disk is nearly full."""
    where.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(where).free
    if free < 2 * LEAST_FREE:
        raise Refused(
            "evidence-no-room",
            _("Only {free} are free below {path}.").format(free=size(free), path=where),
            _("Make room for {need} first: old collections, runs, the kit's cache.").format(
                need=size(2 * LEAST_FREE)
            ),
        )
    return min(estate.config.evidence.total_mib * MIB, free - LEAST_FREE)


def heap_room_for(estate: Estate, where: Path, others: int) -> int:
    """Bytes that heaps may take beside the rest: twice, once more while the copy for the store is made."""
    free = shutil.disk_usage(where).free - LEAST_FREE - others
    return max(0, min(estate.config.evidence.heap_mib * MIB, free // 2))


def _hosts(estate: Estate, names: Sequence[str]) -> list[Host]:
    if names:
        return [estate.host(name) for name in dict.fromkeys(names)]
    return [host for host in estate.hosts.values() if "builder" not in host.groups]


def _window(estate: Estate, hours: int | None) -> Window:
    now = time.time()
    return Window(now - (hours or estate.config.evidence.hours) * HOUR, now + AHEAD_SECONDS)


def _about(estate: Estate, wanted: Wanted, hosts: Sequence[Host], window: Window) -> dict[str, Any]:
    keys = manifest.fingerprints(estate)
    return {
        "began": _now(),
        "centre": estate.config.centre,
        "reason": wanted.reason,
        "run": wanted.run,
        "disk": wanted.disk,
        "since": datetime.fromtimestamp(window.since, UTC).isoformat(timespec="seconds"),
        **custody.who(),
        "hosts": {
            host.name: {
                "address": host.address,
                "host_key": keys.get("rescue" if wanted.disk else host.name, ""),
            }
            for host in hosts
        },
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _nothing(sealed: Manifest) -> Error:
    why = "; ".join(f"{name}: {said}" for name, said in sealed.silent.items()) or _("no source gave anything")
    return Error(
        "evidence-nothing",
        _("Nothing could be kept: {why}.").format(why=why),
        _("Look at power, network and host keys: `rmc-dr verify`."),
    )
