"""The question before each stage: a fresh observation -> yes, or the reason why not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rmc_dr.i18n import _
from rmc_dr.model import Answer, Check, HostObservation, PairState, Reach, Request

YES = Answer(True)
PRIMARY_EXISTS = frozenset({"healthy", "unprotected", "standby-lagging", "standby-down"})


@dataclass(frozen=True)
class Look:
    """What is observed before a stage. ``wanted_identity`` is the machine that the estate names."""

    request: Request
    wanted_identity: str
    host: HostObservation
    pair: PairState
    last_checks: Sequence[Check] = ()


def ask(stage: str, look: Look) -> Answer:
    """The gate of one stage. A stage without a question of its own only needs the right machine."""
    return GATES[look.request.plan].get(stage, _same_machine)(look)


def ask_all(stage: str, looks: Sequence[Look]) -> Answer:
    """Every host's answer has to be yes; else the first that is not."""
    answers = [ask(stage, look) for look in looks]
    return next((answer for answer in answers if not answer.yes), YES)


def _same_machine(look: Look) -> Answer:
    if look.host.reach is Reach.FOREIGN:
        return Answer(
            False,
            _("something answers at {host} with a host key that is not pinned").format(host=look.host.name),
            _("Find out which machine that is; rmc-dr will not touch it."),
        )
    if look.host.identity not in (None, look.wanted_identity):
        return Answer(
            False,
            _("{host} is the machine {found}, not {wanted}").format(
                host=look.host.name, found=look.host.identity, wanted=look.wanted_identity
            ),
            _("Check address and cabling, or take the machine in by `rmc-dr host adopt`."),
        )
    return YES


def _fence(look: Look) -> Answer:
    if look.request.replaces(look.host.name):
        return _same_machine(look)
    if look.host.may_serve:
        return Answer(
            False,
            _("it cannot be told whether {host} serves its applications: its system runs").format(
                host=look.host.name
            ),
            _(
                "Ask its users and look at it. If it is to be rebuilt, close the run by "
                '`rmc-dr runs abandon last --reason "..."` and begin anew with --replace-healthy {host}.'
            ).format(host=look.host.name),
        )
    if look.host.serving:
        return Answer(
            False,
            _("{host} serves its applications again").format(host=look.host.name),
            _('Nothing needs a rebuild. Close the run: `rmc-dr runs abandon last --reason "..."`.'),
        )
    return _same_machine(look)


def _reinstall(look: Look) -> Answer:
    if look.host.reach is not Reach.RESCUE:
        return Answer(
            False,
            _("{host} is not proven to run the rescue system (it is: {reach})").format(
                host=look.host.name, reach=look.host.reach
            ),
            _("The old system must be fenced before its disk is written. `rmc-dr resume` fences it again."),
        )
    if look.host.identity is None:
        return Answer(
            False,
            _("{host} does not say which machine it is").format(host=look.host.name),
            _(
                "Read its identity by `rmc-dr host adopt {host}`. If it is not to be rebuilt, "
                "`rmc-dr fence release {host}` boots its own system again."
            ).format(host=look.host.name),
        )
    return _same_machine(look)


def _system_answers(look: Look) -> Answer:
    if look.host.reach is not Reach.SYSTEM:
        return Answer(
            False,
            _("{host} does not answer as the installed system (it is: {reach})").format(
                host=look.host.name, reach=look.host.reach
            ),
            _(
                "It stands in the rescue system: `rmc-dr resume` boots it. Where the run was given up, "
                "`rmc-dr fence release {host}` does, and lets the users in."
            ).format(host=look.host.name)
            if look.host.reach is Reach.RESCUE
            else _("See whether it boots, then `rmc-dr resume`."),
        )
    return _same_machine(look)


def _database(look: Look) -> Answer:
    if look.pair.verdict in ("split-brain", "diverged", "both-standby"):
        return Answer(
            False,
            _("the database pair is in the state {verdict}").format(verdict=look.pair.verdict),
            _("Look with `rmc-dr db status`; no application may write before that is settled."),
        )
    return _system_answers(look)


def _start(look: Look) -> Answer:
    if look.pair.verdict not in PRIMARY_EXISTS:
        return Answer(
            False,
            _("no primary that can be trusted: the pair is {verdict}").format(verdict=look.pair.verdict),
            _("Look with `rmc-dr db status`, mend the pair, then `rmc-dr resume`."),
        )
    return _system_answers(look)


def _open(look: Look) -> Answer:
    failed = [check.name for check in look.last_checks if not check.passed]
    if failed or not look.last_checks:
        return Answer(
            False,
            _("the new server is not proven: {checks}").format(checks=", ".join(failed) or _("no check ran")),
            _("See `rmc-dr verify appserver`, mend what it names, then `rmc-dr resume`."),
        )
    return _start(look)


def _handover(look: Look) -> Answer:
    if look.pair.primary == look.host.name and look.pair.verdict != "healthy":
        return Answer(
            False,
            _("{host} takes the writes, and no other host is proven to hold them all").format(
                host=look.host.name
            ),
            _("Mend the standby first: `rmc-dr db status` names the next command."),
        )
    return _other_leads(look) if look.pair.primary != look.host.name else _same_machine(look)


def _other_leads(look: Look) -> Answer:
    """Nothing of a database host is taken down before the other one is seen to take the writes."""
    if look.pair.primary in (None, look.host.name):
        return Answer(
            False,
            _("the other database host does not take the writes (the pair is {verdict})").format(
                verdict=look.pair.verdict
            ),
            _("Look with `rmc-dr db status`, mend the pair, then `rmc-dr resume`."),
        )
    return _same_machine(look)


def _reinstall_member(look: Look) -> Answer:
    answer = _other_leads(look)
    return _reinstall(look) if answer.yes else answer


def _nobody_else_leads(look: Look) -> Answer:
    if look.pair.primary not in (None, look.host.name):
        return Answer(
            False,
            _("{primary} takes the writes, not {host}").format(
                primary=look.pair.primary, host=look.host.name
            ),
            _('Close the run: `rmc-dr runs abandon last --reason "..."`, then restore on the primary.'),
        )
    return _system_answers(look)


def _nobody_leads(look: Look) -> Answer:
    """The data of a host is written over only while no host takes writes."""
    if look.pair.primary is not None or look.pair.verdict not in ("no-primary", "unknown"):
        return Answer(
            False,
            _("the pair is not at rest (it is: {verdict})").format(verdict=look.pair.verdict),
            _("Look with `rmc-dr db status`; `rmc-dr resume` asks again."),
        )
    return _system_answers(look)


def lives(host: HostObservation, pair: PairState) -> bool:
    """Whether a host serves, or nothing proves that it does not: its applications, or its PostgreSQL."""
    if host.name in pair.running or host.serving:
        return True
    return host.may_serve and host.name not in pair.down


def _nothing_lives(look: Look) -> Answer:
    """Of a pair that is to be restored nothing may live: what it holds may be newer than every backup."""
    if lives(look.host, look.pair) and not look.request.replaces(look.host.name):
        return Answer(
            False,
            _("{host} lives, or may live").format(host=look.host.name),
            _(
                "What it holds may be newer than every backup: look with `rmc-dr db status`, close this run "
                'by `rmc-dr runs abandon last --reason "..."`.'
            ),
        )
    return _same_machine(look)


def _at_rest(look: Look) -> Answer:
    """Patroni is held down and no PostgreSQL serves while the pair is founded and restored."""
    if look.pair.primary is not None or look.pair.running:
        return Answer(
            False,
            _("PostgreSQL serves already on {hosts}").format(hosts=", ".join(look.pair.running)),
            _("Look with `rmc-dr db status`; `rmc-dr resume` asks again."),
        )
    return _system_answers(look)


def _restored_one_leads(look: Look) -> Answer:
    if look.pair.primary not in (None, look.request.options["restore_on"]):
        return Answer(
            False,
            _("{primary} takes the writes, not {host}").format(
                primary=look.pair.primary, host=look.request.options["restore_on"]
            ),
            _("Look with `rmc-dr db status`; `rmc-dr resume` asks again."),
        )
    return _system_answers(look)


def _verifier_is_dead(look: Look) -> Answer:
    if look.host.reach is Reach.SYSTEM and not look.request.replaces(look.host.name):
        return Answer(
            False,
            _("{host} runs its own system again").format(host=look.host.name),
            _('Nothing needs a rebuild. Close the run: `rmc-dr runs abandon last --reason "..."`.'),
        )
    return _same_machine(look)


_PAIR_ANEW: dict[str, Callable[[Look], Answer]] = {
    "living": _nothing_lives,
    "fence": _nothing_lives,
    "reinstall": _reinstall,
    "found": _at_rest,
    "safety": _at_rest,
    "restore": _at_rest,
    "check": _at_rest,
    "lead": _restored_one_leads,
    "rejoin": _start,
    "converge": _start,
    "start": _start,
    "verify": _start,
    "open": _open,
}
GATES: dict[str, dict[str, Callable[[Look], Answer]]] = {
    "rebuild-appserver": {
        "fence": _fence,
        "reinstall": _reinstall,
        "converge": _system_answers,
        "files": _system_answers,
        "database": _database,
        "start": _start,
        "verify": _start,
        "open": _open,
    },
    "rebuild-dbserver": {
        "handover": _handover,
        "fence": _other_leads,
        "reinstall": _reinstall_member,
        "converge": _system_answers,
        "replicate": _start,
        "verify": _start,
    },
    "rebuild-verifier": {
        "living": _verifier_is_dead,
        "fence": _verifier_is_dead,
        "reinstall": _reinstall,
        "converge": _system_answers,
        "verify": _system_answers,
    },
    "restore-database": {
        "safety": _nobody_else_leads,
        "restore": _nobody_leads,
        "check": _nobody_leads,
        "lead": _nobody_else_leads,
        "start": _start,
        "verify": _start,
        "open": _open,
        "rejoin": _start,
    },
    "rebuild-estate": {**_PAIR_ANEW, "files": _system_answers, "database": _database},
    "rebuild-pair": _PAIR_ANEW,
}
