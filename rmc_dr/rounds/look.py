"""The look of an inspection: everything that `check` sees, and what only a quarter asks for. Read-only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rmc_dr import backup, backup_record, drill_record, releases, schedule
from rmc_dr.backups import BackupsObservation
from rmc_dr.check.judge import judge
from rmc_dr.check.look import look as look_at_all
from rmc_dr.check.seen import Answer, Seen
from rmc_dr.drill_record import DrillResult
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.incident import clocks
from rmc_dr.incident.record import incidents
from rmc_dr.kit.manifest import Manifest
from rmc_dr.kit.verify import glance
from rmc_dr.pair import verdict
from rmc_dr.rounds import capacity, patches, risks
from rmc_dr.rounds.ask import ask
from rmc_dr.rounds.compare import by_weight
from rmc_dr.rounds.facts import Backups, Certificate, Disk, Facts, Kit, Patches, Risk, Server
from rmc_dr.rounds.history import Inspection
from rmc_dr.rounds.proofs import proof, rehearsed
from rmc_dr.rounds.told import Told

FULL_SOON = timedelta(days=180)
Tell = Callable[[str], object]


@dataclass(frozen=True)
class _Looked:
    """All that was seen; None where a part could not be."""

    seen: Seen
    told: Mapping[str, Told]
    silent: Mapping[str, str]
    drills: Sequence[DrillResult]
    kit: Manifest | None
    trouble: str


def look(estate: Estate, earlier: Sequence[Inspection], tell: Tell) -> Facts:
    """Look once. ``earlier`` are the inspections before, newest first.

    Raises Refused where no host answered: an inspection that saw nothing is none. BadInput without secrets.
    """
    began = time.monotonic()
    tell(_("Looking at everything, as `rmc-dr check` does ..."))
    seen = look_at_all(estate)
    if not any(host.answer is Answer.SYSTEM for host in seen.hosts.values()):
        raise Refused(
            "nothing-seen",
            _("No host answers this machine, so there is nothing to inspect."),
            _("Look at its own cable, address and switch; then `rmc-dr check`. Nothing was recorded."),
        )
    tell(_("Asking each host what is installed and how large it is ..."))
    told, silent = _asked(estate, seen)
    kit, trouble = _kit(estate)
    looked = _Looked(seen, told, silent, drill_record.results(), kit, trouble)
    facts = _facts(estate, looked, earlier)
    return facts.model_copy(
        update={
            "risks": _risks(estate, looked, facts, earlier),
            "seconds": round(time.monotonic() - began, 1),
        }
    )


def _asked(estate: Estate, seen: Seen) -> tuple[dict[str, Told], dict[str, str]]:
    with ThreadPoolExecutor(max(1, len(seen.wanted))) as pool:
        asked = {name: pool.submit(ask, estate, estate.host(name)) for name in seen.wanted}
    told, silent = {}, {}
    for name, future in asked.items():
        try:
            told[name] = future.result()
        except OSError as error:
            silent[name] = str(error)
    return told, silent


def _kit(estate: Estate) -> tuple[Manifest | None, str]:
    try:
        return glance(estate.config.kit.path, estate.private_dir / "allowed_signers"), ""
    except Error as error:
        return None, error.code


def _facts(estate: Estate, looked: _Looked, earlier: Sequence[Inspection]) -> Facts:
    seen, since = looked.seen, earlier[0].at if earlier else None
    primary = [one for one in seen.activity if one.host in seen.primaries]
    databases = [one.databases for one in looked.told.values() if one.databases]
    return Facts(
        seconds=0,
        servers=tuple(_server(estate, looked, name) for name in seen.wanted),
        pair=verdict(seen.pair).name.value if seen.pair else None,
        disks=tuple(
            Disk(host=name, path=one.path, size=one.size, free=one.free)
            for name, host in seen.hosts.items()
            for one in (host.facts.filesystems or () if host.facts else ())
        ),
        databases=max(databases, key=lambda found: sum(found.values())) if databases else None,
        wal=primary[0].wal_bytes if len(primary) == 1 else None,
        certificates=tuple(
            Certificate(
                host=one.host,
                service=one.service,
                ends=None if one.days is None else seen.at + timedelta(days=one.days),
                trouble=one.trouble,
            )
            for one in seen.certificates
        ),
        kit=Kit(trouble=looked.trouble)
        if looked.kit is None
        else Kit(built=looked.kit.built, expires=looked.kit.expires, sha256=looked.kit.sha256),
        backups=_proven(estate.name, seen.stored, since),
        drills=tuple(rehearsed(looked.drills, since)),
        patches=_patches(estate, looked),
        unseen=_unseen(estate, looked),
    )


def _unseen(estate: Estate, looked: _Looked) -> dict[str, str]:
    mute = [
        name
        for name, told in looked.told.items()
        if "dbserver" in estate.host(name).groups and not told.databases
    ]
    return {
        **looked.seen.errors,
        **looked.silent,
        **{f"databases {name}": "PostgreSQL did not tell how large it is" for name in mute},
        **(looked.seen.stored.errors if looked.seen.stored else {}),
    }


def _server(estate: Estate, looked: _Looked, name: str) -> Server:
    host, told = estate.host(name), looked.told.get(name)
    server = Server(
        name=name,
        group=host.groups[0],
        address=host.address,
        answer=looked.seen.hosts[name].answer.value,
    )
    if told is None:
        return server
    software = dict(told.software)
    if told.driver and looked.kit is not None:
        known = looked.kit.files.get("jdbc/postgresql.jar")
        same = known is not None and known.sha256 == told.driver
        software["jdbc"] = looked.kit.versions.jdbc if same else told.driver[:12]
    about = {"os": told.os, "kernel": told.kernel, "booted": told.booted}
    return server.model_copy(update={**about, "software": software, "applications": told.applications})


def _proven(estate: str, seen: BackupsObservation | None, since: datetime | None) -> Backups:
    """What lies in the store, and what the record says of its proof."""
    proofs = [proof(one) for one in backup_record.entries(estate) if one.what == "verify"]
    green = [one for one in proofs if one.good]
    known = seen.database if seen else None
    whole = [one.stopped for one in known or () if one.kind == "full" and not one.damaged]
    locks = [one.locked_until for one in known or () if one.locked_until]
    return Backups(
        seen=known is not None,
        newest=seen.newest.stopped if seen and seen.newest else None,
        full=max(whole, default=None),
        count=None if known is None else len(known),
        stored=None if known is None else sum(one.stored for one in known),
        snapshots=None if seen is None or seen.files is None else len(seen.files),
        locked_until=max(locks, default=None),
        verifications=tuple(one for one in proofs if since is None or one.at > since),
        proven=green[-1] if green else None,
    )


def _patches(estate: Estate, looked: _Looked) -> Patches:
    known: dict[str, set[str]] = {}
    for row in releases.history(estate.name):
        known.setdefault(row.application, set()).update({row.release, row.before})
    images = {name: estate.host(name).image for name in looked.seen.wanted}
    archive = estate.config.liberty.archive
    return patches.compared(looked.told, looked.silent, images, looked.kit, archive, known)


def _risks(estate: Estate, looked: _Looked, facts: Facts, earlier: Sequence[Inspection]) -> tuple[Risk, ...]:
    now, limits = looked.seen.at, estate.config.check
    since = earlier[0].at if earlier else None
    late, ever = schedule.late(estate), [one.drill for one in looked.drills]
    growth = capacity.disks([*capacity.measured(earlier), (now, facts)])
    told = [
        (one.state, clocks.read(one.state, now)) for one in incidents() if one.state.estate == estate.name
    ]

    def checked() -> Iterable[risks.Said]:
        seen = looked.seen
        if seen.stored is not None:
            seen = replace(seen, backups=tuple(backup.judge(estate, seen.stored, late)))
        return risks.found(judge(seen, limits), seen)

    verifier = bool(estate.group("verifier"))
    return by_weight(
        [
            *risks.in_both(checked),
            *risks.in_both(lambda: risks.broken_clocks(told, since)),
            *risks.in_both(lambda: risks.filling(growth, now + FULL_SOON)),
            *risks.in_both(
                lambda: risks.untested(
                    facts.drills, drill_record.KINDS, ever, facts.patches, verifier=verifier
                )
            ),
        ]
    )
