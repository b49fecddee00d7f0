"""The proof by doing: backups are read, restored on the verification host and used; then all of it is gone.

The playbooks work on the verification host alone. Production is only looked at.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from rmc_dr import backup_record, content, journey, ssh, target_lock
from rmc_dr.backup import judge, look, one_at_a_time, send_news
from rmc_dr.backup_record import Entry
from rmc_dr.backups import BackupsObservation, Level, Proof, Verdict
from rmc_dr.backups.proof import loss, problem_of, prometheus, proofs_of, recovery_estimate
from rmc_dr.command import meanwhile
from rmc_dr.errors import BadInput, Error, Interrupted, Locked
from rmc_dr.estate import Application, Estate
from rmc_dr.estate_backup import BusinessCheck
from rmc_dr.exclusive import canceled_by_signal, lock_name
from rmc_dr.files import write_atomically
from rmc_dr.found import told
from rmc_dr.i18n import _, speaking
from rmc_dr.model import Reach, Stage
from rmc_dr.observe.pair import observe_pair
from rmc_dr.observe.postgres import next_transaction
from rmc_dr.pair import Role
from rmc_dr.plans import read_stages
from rmc_dr.record import plain
from rmc_dr.relay import relayed
from rmc_dr.runner import OnEvent, end_leftovers, run_playbook
from rmc_dr.store import packs
from rmc_dr.verify_plan import Reading, Scope, make_plan
from rmc_dr.words import size

PLAYBOOK = "backup-verify.yml"
# What of the backups' state makes a verification red, and the name of its proof.
STATE = {
    **dict.fromkeys(
        ("store-unreachable", "pgbackrest-unknown", "restic-unknown", "archiver-unknown"), "seen"
    ),
    **dict.fromkeys(
        ("backup-damaged", "backup-diverged", "chain-broken", "objects-missing", "no-backup"), "objects"
    ),
    **dict.fromkeys(("wal-missing", "archive-gap", "archive-behind", "archive-diverged"), "archive"),
}
NOT_FILES = ("copy", "recover", "pages", "business", "journey")
NOT_DATABASE = ("attachments",)
# The copy holds patients' data: the host removes it by itself when nobody renews its lease.
LEASE, LEASE_SECONDS, RENEW_SECONDS = "/srv/verify/lease", 1200, 120
INTO_NETWORK = (
    'exec nsenter --net="/proc/$(systemctl show --value --property=MainPID verification-net.service)/ns/net" '
    "socat STDIO TCP:{address}:{port}"
)


def plan(estate: Estate, scope: Scope) -> Reading:
    """What a verification would read now. Raises BadInput without a verification host, or Error."""
    return make_plan(estate, scope, look(estate))


def verify(estate: Estate, scope: Scope, on_event: OnEvent, break_lock: str | None = None) -> Verdict:
    """Verify, record the verdict, and send it where it is red. Raises BadInput or Locked before anything
    is done, Interrupted, and Error where nobody can say what there is to verify; that is recorded as red.
    """
    estate.only("verifier")
    started = datetime.now(UTC)
    with one_at_a_time(estate, "verify"):
        try:
            seen = look(estate)
            verdict = _Night(estate, make_plan(estate, scope, seen), seen, started, on_event).run(break_lock)
        except (BadInput, Locked, Interrupted):
            raise
        except Error as error:
            said = (Proof("begin", False, error.message),)
            _keep(estate, Verdict(scope, "", started, datetime.now(UTC), said), on_event)
            raise
        return _keep(estate, verdict, on_event)


def folder(started: datetime) -> Path:
    """Where a verification keeps its verdict and what Ansible printed."""
    return content.STATE / "verifications" / f"{started:%Y%m%dT%H%M%SZ}"


def _keep(estate: Estate, verdict: Verdict, on_event: OnEvent) -> Verdict:
    """Write the verdict down, and tell it to those who do not look."""
    red = [f"{proof.name}: {proof.detail}" for proof in verdict.red]
    place = folder(verdict.started)
    place.mkdir(parents=True, mode=0o700, exist_ok=True)
    document = plain({**verdict.__dict__, "green": verdict.green})
    write_atomically(place / "verdict.json", json.dumps(document, ensure_ascii=False, indent=1) + "\n")
    about = {
        "labels": list(verdict.labels),
        "read": list(verdict.read),
        "red": red,
        "rpo_seconds": verdict.rpo_seconds,
        "rto_estimate_seconds": verdict.rto_seconds,
    }
    backup_record.append(
        estate.name,
        Entry("verify", verdict.started, verdict.ended, verdict.green, verdict.scope, verdict.host, about),
    )
    backup = estate.config.backup
    if backup.textfile:
        write_atomically(backup.textfile, prometheus(verdict, estate.name), 0o644)
    if red:
        with speaking(estate.config.language):
            text = _("The verification of the backups of {estate} is red:").format(estate=estate.name)
        failed = send_news(estate, "\n".join([text, *red, ""]))
        if failed:
            on_event("note", text=_("The bad news could not be sent: {said}").format(said=failed))
    return verdict


@dataclass
class _Night:
    """One verification at work: the proofs, and the measures, so far."""

    estate: Estate
    reading: Reading
    seen: BackupsObservation
    started: datetime
    on_event: OnEvent
    proofs: list[Proof] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    stages: dict[str, float] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    rpo: float | None = None
    canceled: Callable[[], bool] = lambda: False

    @property
    def mark(self) -> str:
        """By this the playbooks of a killed verification are found and ended by the next one."""
        return f"verify-{self.estate.name}"

    def run(self, break_lock: str | None) -> Verdict:
        host, lock = self.estate.host(self.reading.host), lock_name("backup verify")
        end_leftovers(self.mark)
        target_lock.take(self.estate, host, lock, Reach.SYSTEM, break_lock)
        try:
            with canceled_by_signal() as canceled, meanwhile(self._renew, RENEW_SECONDS):
                self._stages(canceled)
        finally:
            target_lock.release(self.estate, host, lock)
        verdict = Verdict(
            scope=self.reading.scope,
            host=host.name,
            started=self.started,
            ended=datetime.now(UTC),
            proofs=tuple(self.proofs),
            read=tuple(sorted(self.read)),
            stages=self.stages,
            measured=self.measured,
            rpo_seconds=self.rpo,
            rto_seconds=recovery_estimate(self.measured),
        )
        proven = (*self.reading.chain, *self.measured.get("snapshots", ()))
        return replace(verdict, labels=proven if verdict.green else ())

    def _renew(self) -> None:
        """A host that does not answer now is asked again; the lease lasts for several tries."""
        host = self.estate.host(self.reading.host)
        renew = f"touch --no-create --date='+{LEASE_SECONDS} seconds' {LEASE}"
        with suppress(subprocess.TimeoutExpired):
            ssh.ask(self.estate, host, renew, RENEW_SECONDS / 4)

    def _stages(self, canceled: Callable[[], bool]) -> None:
        steps: Mapping[str, Callable[[Stage], object]] = {
            "scratch": lambda stage: self._play(stage, verification_lease_seconds=LEASE_SECONDS),
            "repository": self._repository,
            "recover": self._recover,
            "business": self._business,
            "attachments": self._attachments,
            "journey": self._journey,
        }
        *stages, sweep = read_stages(content.root() / "playbooks" / PLAYBOOK)
        left_out = (
            *(NOT_FILES if not self.reading.database else ()),
            *(NOT_DATABASE if not self.reading.files else ()),
        )
        try:
            with speaking(self.estate.config.language):
                self._state()
            for stage in stages:
                if stage.name in left_out:
                    continue
                if cause := self._needs(stage.name) & self.failed:
                    self.failed.add(stage.name)
                    with speaking(self.estate.config.language):
                        detail = _("not tried, because of: {stages}").format(stages=", ".join(cause))
                    self.proofs.append(Proof(stage.name, False, detail))
                    continue
                self.canceled = canceled
                steps.get(stage.name, self._play)(stage)
        finally:
            self.canceled = lambda: False
            self._play(sweep)

    @staticmethod
    def _needs(stage: str) -> set[str]:
        """What must have gone well before; damage that was found keeps nothing else from being looked at."""
        database = {
            "pages": {"recover"},
            "business": {"recover"},
            "journey": {"recover"},
            "recover": {"copy"},
        }
        return {"scratch", *database.get(stage, ())} - {stage}

    def _play(self, stage: Stage, **variables: Any) -> Mapping[str, Any]:
        """Run one stage; what it published. Its proofs are kept; a stage that failed is one, too."""
        self.on_event("stage", name=stage.name)
        given = {
            "run_id": self.mark,
            "verification_label": self.reading.label,
            "verification_room_bytes": self.reading.room_bytes,
        }
        outcome = run_playbook(
            self.estate,
            stage.playbook,
            variables={**given, **variables},
            on_event=self.on_event,
            log=folder(self.started) / f"{stage.name}.log",
            canceled=self.canceled,
            run_id=self.mark,
        )
        self.stages[stage.name] = round(outcome.seconds, 1)
        if outcome.status == "canceled":
            raise Interrupted(
                "interrupted",
                _("The verification was stopped; its scratch is removed."),
                _("Nothing but the verification host was touched. Give the command again."),
            )
        facts: Any = outcome.facts.get(self.reading.host)
        said: Mapping[str, Any] = facts.get("verification", {}) if isinstance(facts, Mapping) else {}
        with speaking(self.estate.config.language):
            checks = [{**one, "detail": told(one)} for one in said.get("checks", ())]
        self.proofs.extend(proofs_of(checks))
        if outcome.status != "ok":
            message = (
                outcome.failures[0].message if outcome.failures else _("the playbook was ended in the middle")
            )
            self.proofs.append(Proof(stage.name, False, message))
        if outcome.status != "ok" or said.get("stop"):
            self.failed.add(stage.name)
        self.measured.update(said.get("measured", {}))
        self.read.update(map(str, said.get("read", ())))
        return said

    def _state(self) -> None:
        """What one look at the backups says already: objects, chains, and the archive up to now."""
        asked = (
            STATE if self.reading.database else dict.fromkeys(("store-unreachable", "restic-unknown"), "seen")
        )
        if not self.reading.files:
            asked = {code: name for code, name in asked.items() if code != "restic-unknown"}
        critical = [
            (asked[remark.code], remark.text)
            for remark in judge(self.estate, self.seen, {})
            if remark.code in asked and (remark.level is Level.CRITICAL or remark.code.endswith("-unknown"))
        ]
        for name in dict.fromkeys(asked.values()):
            texts = [text for proof, text in critical if proof == name]
            self.proofs.append(Proof(name, not texts, "; ".join(texts)))
        if self.reading.late:
            detail = _("not read for more than 30 days; it is read now or in one of the next nights")
            self.proofs.append(Proof("rotation", False, detail, self.reading.late))

    def _repository(self, stage: Stage) -> None:
        reading = self.reading
        self._play(
            stage,
            verification_sets=list(reading.sets),
            verification_whole=reading.whole,
            verification_folders=list(reading.folders),
            verification_packs=list(reading.packs),
            verification_items=list(reading.items),
            verification_database=reading.database,
            verification_files=reading.files,
        )
        if reading.files:
            self._packs()

    def _packs(self) -> None:
        """restic reads a part of the packs by turns; what is new since the last time is read here, whole."""
        self.on_event("stage", name="packs")
        name, began = self.estate.name, time.monotonic()
        try:
            read = packs.read_new(self.estate, backup_record.packs(name), self.canceled)
        except (BotoCoreError, ClientError) as error:
            said = " ".join(str(error).split())[:200]
            with speaking(self.estate.config.language):
                detail = _("new packs could not be read: {said}").format(said=said)
            self.proofs.append(Proof("packs", False, detail))
            return
        backup_record.keep_packs(name, read.sound)
        self.stages["packs"] = round(time.monotonic() - began, 1)
        with speaking(self.estate.config.language):
            detail = _("{count} packs that are new, {size}, read whole").format(
                count=read.count, size=size(read.size)
            )
        self.proofs.append(Proof("packs", not read.bad, detail, read.bad))

    def _recover(self, stage: Stage) -> None:
        said = self._play(stage, verification_until=self.reading.until)
        reached = said.get("reached")
        if not isinstance(reached, Mapping):
            return
        primaries = [node.name for node in observe_pair(self.estate).with_role(Role.PRIMARY)]
        ahead = next_transaction(self.estate, self.estate.host(primaries[0])) if len(primaries) == 1 else None
        newest = reached.get("newest") or next(
            (one.stopped.timestamp() for one in self.seen.database or () if one.label == self.reading.label),
            None,
        )  # no commit was replayed: the copy is as of the backup
        self.rpo = loss(newest, reached["at"], reached.get("next"), ahead)
        allowed = self.estate.config.targets.rpo_minutes * 60
        with speaking(self.estate.config.language):
            detail = (
                _("nobody can say what would be lost: the copy holds no transaction with a time")
                if self.rpo is None
                else _("{seconds:.0f} s of writes would be lost; {allowed:.0f} s are promised").format(
                    seconds=self.rpo, allowed=allowed
                )
            )
        self.proofs.append(Proof("rpo", self.rpo is not None and self.rpo <= allowed, detail))

    def _business(self, stage: Stage) -> None:
        said = self._play(stage)
        answers: Mapping[str, Any] = said.get("answers", {})
        for check in self.estate.config.backup.checks:
            with speaking(self.estate.config.language):
                problem, detail = _judged(check, answers.get(check.name))
            self.proofs.append(
                Proof("business", not problem, f"{check.name}: {detail}", (check.name,) if problem else ())
            )

    def _attachments(self, stage: Stage) -> None:
        compare = self.reading.database and "recover" not in self.failed
        self._play(stage, verification_compare=compare)

    def _journey(self, stage: Stage) -> None:
        self._play(stage)
        if stage.name in self.failed:
            return
        host = self.estate.host(self.reading.host)
        port = self.estate.config.applications.port
        lead = INTO_NETWORK.format(address=host.address, port=port)
        with relayed([*ssh.command(self.estate, host), lead]) as through:
            for app in self.estate.config.applications.apps:
                with speaking(self.estate.config.language):
                    checks = journey.travel(self.estate, host, self._with_attachment(app), through)
                for check in checks:
                    self.proofs.append(Proof("journey", check.passed, f"{check.name} {check.detail}".strip()))

    def _with_attachment(self, app: Application) -> Application:
        """The application's journey, and one attachment out of the sample behind it."""
        chosen = self.measured.get("one_of", {}).get(app.name)
        known = next(
            (one for one in self.estate.config.backup.attachments if one.application == app.name), None
        )
        if chosen is None or known is None or known.get is None:
            return app
        step = {"get": known.get.replace("{id}", chosen["id"]), "sha256": chosen["sha256"]}
        if known.auth:
            step["auth"] = known.auth
        return app.model_copy(update={"journey": [*app.journey, step]})


def _judged(check: BusinessCheck, answer: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Whether an answer is a problem, and what is said of it."""
    if answer is None:
        return True, _("it was not asked")
    if problem := answer.get("problem"):
        return True, told({"says": problem, "values": {}, "detail": problem})
    value, expect = str(answer.get("value", "")), check.expect.model_dump(exclude_none=True)
    wrong = problem_of(value, expect, datetime.now(UTC))
    return wrong is not None, wrong or _("is {value}").format(value=value)
