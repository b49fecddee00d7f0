"""The tables of an inspection report: machines, capacity, backups, drills, certificates, patches. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from rmc_dr.i18n import _
from rmc_dr.report.document import Block, Line, Pairs, Row, Section, Table, Tone, TrendChart, Words
from rmc_dr.report.held import agreed, day, drills, measured, verifications, when
from rmc_dr.rounds import capacity, patches
from rmc_dr.rounds.facts import Facts, Patch
from rmc_dr.rounds.history import Consent, Inspection
from rmc_dr.rounds.trend import ENOUGH_DAYS, ENOUGH_POINTS, Trend
from rmc_dr.words import size

CHARTED_DISKS = 6
MONTH_DAYS = 30
UNITS = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


def machine_sections(inspection: Inspection) -> Iterator[Section]:
    facts, zone = inspection.facts, inspection.timezone
    if facts is None:
        return
    unknown = _("unknown")
    machines = [
        Row(
            (
                one.name if one.answer == "system" else f"{one.name}: {answer_word(one.answer)}",
                one.group,
                one.address,
                one.os or unknown,
                one.kernel or unknown,
                when(one.booted, zone) if one.booted else unknown,
            ),
            Tone.PLAIN if one.answer == "system" else Tone.BAD,
        )
        for one in facts.servers
    ]
    versions: dict[tuple[str, str], list[str]] = {}
    for one in facts.servers:
        for product, version in (one.software or {}).items():
            versions.setdefault((product, version), []).append(one.name)
    software = [
        Row((product, version, ", ".join(names))) for (product, version), names in sorted(versions.items())
    ]
    applications = [
        Row((one.name, name, release))
        for one in facts.servers
        for name, release in sorted((one.applications or {}).items())
    ]
    untold = [Row((unknown, unknown, one.name), Tone.OPEN) for one in facts.servers if one.software is None]
    columns = (_("Product"), _("Version"), _("Machines"))
    yield Section(
        _("Servers and software"),
        [
            Table(
                (_("Machine"), _("For"), _("Address"), _("Operating system"), _("Kernel"), _("Up since")),
                machines,
                unknown,
            ),
            Table(columns, [*software, *untold], unknown),
            Table((_("Machine"), _("Application"), _("Release")), applications, unknown),
        ],
    )


def answer_word(answer: str) -> str:
    """Why a machine could not be looked at."""
    return {
        "silent": _("does not answer"),
        "refused": _("takes no SSH"),
        "rescue": _("runs its rescue system"),
        "foreign": _("another machine answers"),
        "unreadable": _("its answer is none"),
    }.get(answer, answer)


def capacity_section(oldest_first: Sequence[Inspection], zone: str) -> Section:
    seen = capacity.measured(oldest_first)
    others = {
        _("databases"): capacity.databases(seen),
        _("WAL on the primary"): capacity.wal(seen),
        _("backups of the database in the store"): capacity.stored(seen),
    }
    disks = {f"{host} {path}": found for (host, path), found in capacity.disks(seen).items()}
    fullest = sorted(disks, key=lambda name: _share(disks[name]), reverse=True)[:CHARTED_DISKS]
    charted = {**others, **{name: disks[name] for name in fullest}}
    lines = [_line(name, found) for name, found in charted.items() if found.points]
    columns = (
        _("What"), _("Now"), _("Limit"), _("Used of the limit"), _("Since the one before"),
        _("In 30 days, by the trend"), _("Full about"),
    )  # fmt: skip
    rows = [_capacity_row(name, found, zone) for name, found in {**others, **disks}.items()]
    blocks: list[Block] = [
        TrendChart(_("Capacity, one point an inspection; the fullest disks"), lines),
        Table(columns, rows, _("unknown")),
    ]
    if len(seen) < ENOUGH_POINTS or all(found.a_day is None for found in charted.values()):
        text = _(
            "{points} inspections are too few to say how it grows: that takes {enough}, over at least "
            "{days:.0f} days. Nothing is estimated."
        ).format(points=len(seen), enough=ENOUGH_POINTS, days=ENOUGH_DAYS)
        blocks.append(Words(text, Tone.OPEN))
    else:
        text = _("An estimate is the straight line through the inspections: it knows of no plans.")
        blocks.append(Words(text))
    return Section(_("Capacity and its trend"), blocks)


def _line(name: str, found: Trend) -> Line:
    most = max(max((value for _at, value in found.points), default=0.0), found.limit or 0.0)
    scale, unit = next(((scale, unit) for scale, unit in UNITS if most >= scale), (1e3, "kB"))
    points = [(at, value / scale) for at, value in found.points]
    return Line(name, unit, points, None if found.limit is None else found.limit / scale)


def _share(found: Trend) -> float:
    return found.points[-1][1] / found.limit if found.points and found.limit else 0.0


def _capacity_row(name: str, found: Trend, zone: str) -> Row:
    if not found.points:
        return Row((name, *[_("unknown")] * 6), Tone.OPEN)
    share = _share(found)
    return Row(
        (
            name,
            size(found.points[-1][1]),
            size(found.limit) if found.limit else "-",
            f"{100 * share:.0f} %" if found.limit else "-",
            _("not measured") if found.since_last is None else _signed(found.since_last),
            _("not measured") if found.a_day is None else _signed(MONTH_DAYS * found.a_day),
            _full(found, zone),
        ),
        Tone.BAD if share >= 0.95 else Tone.WARN if share >= 0.85 else Tone.PLAIN,
    )


def _full(found: Trend, zone: str) -> str:
    if found.limit is None:
        return "-"
    if found.a_day is None:
        return _("not estimated")
    return day(found.full, zone) if found.full else _("not within 10 years")


def _signed(count: float) -> str:
    return f"{'-' if count < 0 else '+'}{size(abs(count))}"


def kept_sections(inspection: Inspection) -> Iterator[Section]:
    """Backups, drills, certificates and kit, patches."""
    facts, zone = inspection.facts, inspection.timezone
    if facts is None or inspection.at is None:
        return
    yield Section(
        _("Backups proven"), [_backups(facts, zone), verifications(facts.backups.verifications, zone)]
    )
    yield Section(_("Drills held since the inspection before"), [drills(facts.drills, zone)])
    yield _certificates(facts, inspection.at, inspection.at + timedelta(days=inspection.days), zone)
    yield _patches(facts, inspection.consents.get("patches"))


def _backups(facts: Facts, zone: str) -> Pairs:
    backups, unknown = facts.backups, _("unknown")
    proven = backups.proven
    return Pairs(
        [
            (_("Newest backup of the database"), when(backups.newest, zone) if backups.newest else unknown),
            (_("Newest full backup"), when(backups.full, zone) if backups.full else unknown),
            (_("Backups of the database"), unknown if backups.count is None else str(backups.count)),
            (_("They take"), unknown if backups.stored is None else size(backups.stored)),
            (_("Snapshots of files"), unknown if backups.snapshots is None else str(backups.snapshots)),
            (_("Locked until"), when(backups.locked_until, zone) if backups.locked_until else unknown),
            (_("Last proven"), when(proven.at, zone) if proven else _("not done")),
            (_("RPO, measured"), measured(proven.rpo_seconds if proven else None)),
            (_("RTO, estimated"), measured(proven.rto_estimate_seconds if proven else None)),
        ]
    )


def _certificates(facts: Facts, at: datetime, until: datetime, zone: str) -> Section:
    rows = [
        Row((one.host, one.service, _("proves nothing: {why}").format(why=one.trouble), "-"), Tone.BAD)
        if one.ends is None
        else Row(
            (one.host, one.service, day(one.ends, zone), str((one.ends - at).days)),
            Tone.WARN if one.ends < until else Tone.GOOD,
        )
        for one in facts.certificates
    ]
    kit = facts.kit
    about = [
        (_("Recovery kit (SHA-256)"), kit.sha256 or _("unknown")),
        (_("Built"), when(kit.built, zone) if kit.built else _("unknown")),
        (_("Expires"), when(kit.expires, zone) if kit.expires else _("unknown")),
        *([(_("It may not be used"), kit.trouble)] if kit.trouble else []),
    ]
    columns = (_("Machine"), _("Service"), _("Ends"), _("Days left"))
    return Section(_("Certificates and kit"), [Table(columns, rows, _("unknown")), Pairs(about)])


def _patches(facts: Facts, consent: Consent | None) -> Section:
    found = facts.patches
    merged: dict[tuple[str, str, str], list[Patch]] = {}
    for one in found.waiting:
        merged.setdefault((one.name, one.installed, one.offered), []).append(one)
    rows = [
        Row((name, installed, offered, ", ".join(one.host for one in where)), Tone.WARN)
        for (name, installed, offered), where in merged.items()
    ]
    unknown = [Row((host, _why(why)), Tone.OPEN) for host, why in sorted(found.unknown.items())]
    nothing = _("nothing that the kit knows of") if not unknown else _("unknown")
    note = _(
        "The machines ask no mirror: compared is what is installed with what the kit holds. What appeared "
        "after the kit was built is unknown."
    )
    return Section(
        _("Patches waiting, and the consent for them"),
        [
            Table((_("What"), _("Installed"), _("In the kit"), _("Machines")), rows, nothing),
            *([Table((_("Unknown for"), _("Why")), unknown, "-")] if unknown else []),
            Pairs([(_("The hospital's consent for patches"), agreed(consent))]),
            Words(note),
        ],
    )


def _why(code: str) -> str:
    return {
        patches.UNTOLD: _("the machine did not tell what is installed"),
        patches.NO_KIT: _("the kit cannot be used"),
        patches.NO_IMAGE: _("the kit has no image of this machine"),
    }.get(code, code)
