"""The words in which a run is told to people: stages, outcomes, durations and sizes, in their language."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rmc_dr.i18n import _


def stage_title(name: str) -> str:
    """What a stage does, as an operator would say it; a stage that nobody named here keeps its own name."""
    return {
        "preserve": _("Preserve what can still be read"),
        "handover": _("Hand the writes over to the other host"),
        "living": _("Make sure that nothing lives that would be lost"),
        "found": _("Found the voters' cluster anew"),
        "applications": _("Configure the application server"),
        "fence": _("Fence the old machine"),
        "reinstall": _("Reinstall the operating system"),
        "boot": _("Boot the installed system"),
        "converge": _("Configure system and applications"),
        "files": _("Check the attachments"),
        "fetch": _("Fetch the snapshot beside the attachments"),
        "put": _("Put the attachments in their places"),
        "database": _("Check the database"),
        "replicate": _("Wait until it holds all data"),
        "safety": _("Make the safety copy stand"),
        "restore": _("Bring the database back"),
        "check": _("Check what was brought back"),
        "lead": _("Let it lead"),
        "rejoin": _("Make the other host its standby"),
        "start": _("Start the applications"),
        "verify": _("Prove that the server works"),
        "open": _("Open to users"),
        "switchover": _("Hand over to the standby"),
        "isolate": _("Take the power of what may take writes"),
        "failover": _("Promote the standby"),
        "reinit": _("Make the standby anew"),
        "scratch": _("Make room for the scratch"),
        "repository": _("Read the repositories"),
        "packs": _("Read the new packs of the files"),
        "copy": _("Restore the newest backup"),
        "recover": _("Recover it to the archive's end"),
        "pages": _("Check every page, table and index"),
        "business": _("Ask the business checks"),
        "attachments": _("Bring a sample of files back"),
        "journey": _("Start the applications on the copy"),
        "sweep": _("Remove the scratch"),
        "quiesce": _("Stop the applications"),
        "close": _("Keep the users out"),
        "pair-down": _("Stop the database pair"),
        "voters": _("Start the voters"),
        "pair-up": _("Start the database pair"),
        "deploy": _("Bring the release in and switch to it"),
        "undo": _("Take its migrations back"),
        "back": _("Go back to the release before"),
        "reconfigure": _("Write Liberty's configuration anew from the estate"),
    }.get(name, name)


def plan_title(name: str) -> str:
    return {
        "rebuild-appserver": _("Rebuild of the application server"),
        "rebuild-dbserver": _("Rebuild of a database host"),
        "rebuild-verifier": _("Rebuild of the verification host"),
        "rebuild-estate": _("Rebuild of the whole estate"),
        "rebuild-pair": _("Rebuild of the database pair from the backup"),
        "restore-database": _("Restore of the database"),
        "restore-files": _("Restore of the attachments"),
        "db-switchover": _("Switchover of the database pair"),
        "db-failover": _("Failover of the database pair"),
        "db-reinit": _("A standby made anew"),
        "stop": _("Stop"),
        "stop-writes": _("Write-freeze"),
        "start": _("Start"),
        "restart": _("Restart"),
        "deploy": _("Deploy of a release"),
        "deploy-back": _("Going back to the release before"),
    }.get(name, name)


def drill_part(name: str) -> str:
    """What of a drill's time a measure reaches to."""
    return {
        "detection": _("until the leader's lock had changed hands"),
        "promotion": _("until the new primary took writes"),
        "reconnection": _("until all users were served again"),
        "rewind": _("until the store showed the backups again"),
        "rebuild": _("until everything was rebuilt and proven"),
    }.get(name, name)


def outcome_word(outcome: str | None) -> str:
    return {
        None: _("not finished"),
        "recovered": _("recovered"),
        "done": _("done"),
        "failed": _("failed"),
        "refused": _("refused"),
        "interrupted": _("interrupted"),
        "abandoned": _("given up"),
    }.get(outcome, outcome or "")


def status_word(status: str) -> str:
    return {
        "pending": _("not done"),
        "running": _("running"),
        "ok": _("done"),
        "failed": _("failed"),
        "canceled": _("stopped"),
        "cut": _("cut off"),
    }.get(status, status)


def custody_word(did: str) -> str:
    """What was done with evidence; older records say one of these in English words."""
    return {
        "collected": _("collected"),
        "copied": _("copied to the store"),
        "sealed-after-cut": _("sealed after it was cut off"),
        "sealed after it was cut off": _("sealed after it was cut off"),
    }.get(did, printable(did))


def changed_word(changed: str) -> str:
    return {"yes": _("yes"), "no": _("no"), "unknown": _("unknown")}.get(changed, changed)


def release_state(what: str, state: str) -> str:
    """What came of a deploy, or of going back."""
    if what == "deploy-back" and state == "deployed":
        return _("gone back")
    return {
        "deployed": _("deployed"),
        "rolled-back": _("failed, rolled back by itself"),
        "not-deployed": _("not deployed, the one before runs on"),
        "broken": _("FAILED, does not work"),
    }.get(state, outcome_word(state or None))


def training_word(training: bool | None) -> str:
    if training is None:
        return _("not done")
    return _("needed") if training else _("not needed")


def consent_words(consent: Mapping[str, Any] | None, without: str | None) -> str:
    """Who agreed and when, or why nobody was asked."""
    if consent:
        at = datetime.fromisoformat(str(consent["at"])).astimezone()
        return f"{consent['by']}, {at:%Y-%m-%d %H:%M %z}"
    return _("NOBODY was asked: {reason}").format(reason=without) if without else _("not done")


def duration(seconds: float | None) -> str:
    """``1:02:03`` or ``2:03``; what was not measured is "not done"."""
    if seconds is None:
        return _("not done")
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def spoken_duration(seconds: float | None) -> str:
    """A duration as a sentence holds it: ``4 min 12 s``."""
    if seconds is None:
        return _("not done")
    if seconds < 60:
        return _("{seconds:.0f} s").format(seconds=seconds)
    if seconds < 3600:
        return _("{minutes} min {seconds} s").format(
            minutes=round(seconds) // 60, seconds=round(seconds) % 60
        )
    hours, minutes = divmod(round(seconds / 60), 60)
    if not minutes:
        return _("{hours} h").format(hours=hours)
    return _("{hours} h {minutes} min").format(hours=hours, minutes=minutes)


def size(count: float) -> str:
    """Bytes in units of 1000, as disks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def lsn(position: int | None) -> str:
    """A position in the WAL the way PostgreSQL writes it."""
    return _("unknown") if position is None else f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def printable(text: object) -> str:
    """A host's words on one line, without anything that could steer a terminal."""
    return tame(" ".join(str(text).split()))


def tame(text: str) -> str:
    """The same, on the lines that it had."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        "�" if sign not in "\n\t" and unicodedata.category(sign) in ("Cc", "Cf", "Cs") else sign
        for sign in text
    )
