"""Takes backups and judges them: what is decided here is done by a playbook, and kept in the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from rmc_dr import backup_record, content, notify
from rmc_dr.backup_record import Entry
from rmc_dr.backups import BackupsObservation, Limits, Remark, faults, remarks
from rmc_dr.command import meanwhile
from rmc_dr.errors import Error, Locked, Refused
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import addresses
from rmc_dr.i18n import _, speaking
from rmc_dr.incident.words import titled
from rmc_dr.locks import only_one
from rmc_dr.observe.backups import observe_backups, running
from rmc_dr.observe.expiry import expiring
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import PairObservation, Role
from rmc_dr.runner import Outcome, end_leftovers, run_playbook

Kind = Literal["full", "diff"]
OnEvent = Callable[..., object]
FULL_EVERY = timedelta(days=7)
LOOK_SECONDS = 5


@dataclass(frozen=True)
class Plan:
    """What a run will do. ``host`` runs the database's backup and is read for it; "" for none."""

    host: str
    kind: Kind | None
    files: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Done:
    """What a run did: the database backup's label ("" for none), and the snapshots of each host."""

    label: str
    snapshots: Mapping[str, Any]
    seconds: float


def make_plan(estate: Estate, *, database: bool, files: bool, kind: Kind | None = None) -> Plan:
    """Decide host and kind from a fresh look. Raises Refused `no-primary`; BadInput without secrets."""
    names = tuple(host.name for group in ("appserver", "dbserver") for host in estate.group(group))
    if not database:
        return Plan("", None, names if files else (), "")
    host, why = _choose(observe_pair(estate))
    if kind is None:
        seen = observe_backups(estate, {})
        kind = kind_due(seen)
    return Plan(host, kind, names if files else (), why)


def kind_due(seen: BackupsObservation) -> Kind:
    """A full backup where none is whole, or the newest is a week old; else what has changed since."""
    broken = {fault.label for fault in faults(seen)}
    fulls = [
        backup.stopped
        for backup in seen.database or ()
        if backup.kind == "full" and not backup.damaged and backup.label not in broken
    ]
    return "diff" if fulls and seen.at - max(fulls) < FULL_EVERY else "full"


def _choose(pair: PairObservation) -> tuple[str, str]:
    """The host that runs the backup, and why."""
    primaries = [node.name for node in pair.with_role(Role.PRIMARY)]
    if len(primaries) != 1:
        raise Refused(
            "no-primary",
            _("{count} hosts of the pair say that they are the primary; a backup needs exactly one.").format(
                count=len(primaries)
            ),
            _("Look with `rmc-dr db status`."),
        )
    standbys = [node.name for node in pair.with_role(Role.STANDBY) if node.streaming]
    if standbys:
        return standbys[0], _("from the standby, which spares the primary")
    return primaries[0], _("from the primary: the pair is unprotected, no standby follows it")


def run(estate: Estate, plan: Plan, on_event: OnEvent) -> Done:
    """Take the backups. Raises Locked while another is at work, Error where one fails; both are recorded."""
    with one_at_a_time(estate, *(["database"] if plan.host else []), *(["files"] if plan.files else [])):
        started = datetime.now(UTC)
        with _watching(estate, plan, on_event):
            outcome = run_playbook(
                estate,
                "backup.yml",
                variables={
                    "backup_host": plan.host,
                    "backup_files": bool(plan.files),
                    "pgbackrest_type": plan.kind or "diff",
                },
                on_event=on_event,
                log=backup_record.folder() / f"{started:%Y%m%dT%H%M%SZ}.log",
            )
        return _recorded(estate, plan, started, outcome)


def _recorded(estate: Estate, plan: Plan, started: datetime, outcome: Outcome) -> Done:
    facts = {host: said for host, said in outcome.facts.items() if isinstance(said, Mapping)}
    label = str(facts.get(plan.host, {}).get("label", ""))
    snapshots = {host: said["snapshots"] for host, said in facts.items() if "snapshots" in said}
    ended = datetime.now(UTC)
    failed = [f"{failure.host}: {failure.task}: {failure.message}" for failure in outcome.failures]
    if plan.host:
        about: dict[str, Any] = {"label": label} if label else {"failed": failed}
        kind = plan.kind or ""
        backup_record.append(
            estate.name, Entry("database", started, ended, bool(label), kind, plan.host, about)
        )
    if plan.files:
        whole = set(snapshots) == set(plan.files)
        about = {"snapshots": snapshots, **({} if whole else {"failed": failed})}
        backup_record.append(estate.name, Entry("files", started, ended, whole, about=about))
    if outcome.status != "ok":
        done = [*([label] if label else []), *snapshots]
        raise Error(
            "backup-failed",
            _("The backup did not end well: {said}").format(
                said=failed[0] if failed else _("the playbook was ended in the middle")
            ),
            _(
                "Done all the same: {done}. `rmc-dr backup status` says what is behind; the log is in {log}."
            ).format(done=", ".join(done) or "-", log=backup_record.folder()),
        )
    return Done(label, snapshots, outcome.seconds)


@contextmanager
def one_at_a_time(estate: Estate, *repositories: str) -> Iterator[None]:
    """One backup or expiry of a repository at a time; a rebuild is not kept from beginning.

    A verification holds a lock of its own, which an expiry needs as well: nothing goes while it is read. An
    expiry takes all of them, so whoever holds one may end what a killed expiry left on this machine; what it
    left at work on its host is waited for. Raises Locked.
    """
    busy = _("Another backup, expiry or verification is at work (process {pid}).")
    with ExitStack() as stack:
        for name in repositories:
            path = content.STATE / "locks" / f"{estate.name}-backup-{name}.lock"
            stack.enter_context(only_one(path, "backup-running", busy))
        end_leftovers(expiry_mark(estate))
        if host := expiring(estate):
            raise Locked(
                "backup-running",
                _("An expiry whose command has ended is still at work on {host}.").format(host=host),
                _("Wait until it has ended, then try again."),
            )
        yield


def expiry_mark(estate: Estate) -> str:
    """By this the playbook of a killed expiry is found and ended by the next command."""
    return f"expire-{estate.name}"


def _watching(estate: Estate, plan: Plan, on_event: OnEvent) -> AbstractContextManager[None]:
    """Tell how far the database's backup is, for as long as the block lasts."""

    def tell() -> None:
        if told := running(estate, estate.host(plan.host)):
            on_event("progress", done=told[0], total=told[1])

    return meanwhile(tell, LOOK_SECONDS) if plan.host else nullcontext()


def look(estate: Estate) -> BackupsObservation:
    """One look at all backups, with the record's word of what was proven."""
    return observe_backups(estate, backup_record.verified(estate.name))


def judge(estate: Estate, seen: BackupsObservation, late: Mapping[str, datetime | None]) -> list[Remark]:
    """What is wrong by the estate's own limits; ``late`` names the timers that are behind."""
    backup = estate.config.backup
    snapshots = [(host.name, "attachments") for host in estate.group("appserver")]
    snapshots += [
        (host.name, "configuration") for group in ("appserver", "dbserver") for host in estate.group(group)
    ]
    limits = Limits(
        archive_seconds=backup.archive_seconds,
        max_age_hours=backup.max_age_hours,
        verify_hours=backup.verify_hours,
        lock_days=estate.config.s3.lock_days,
        snapshots=tuple(snapshots),
        late_timers=late,
        red=backup_record.last_red(estate.name),
    )
    return remarks(seen, limits)


def bad_news(estate: Estate, seen: BackupsObservation, late: Mapping[str, datetime | None]) -> str:
    """What is wrong, in the estate's language, for whoever is told of it."""
    with speaking(estate.config.language):
        said = [one.text for one in judge(estate, seen, late)]
        return "\n".join([_("The backups of {estate} need somebody:").format(estate=estate.name), *said, ""])


def send_news(estate: Estate, text: str) -> str | None:
    """Send bad news to whom the vault names, if anybody; returns which of them could not be reached."""
    with speaking(estate.config.language):
        title = titled(estate.config.centre, _("the backups need somebody"))
    return notify.unreached(addresses(estate), title, text)
