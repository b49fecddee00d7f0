"""The story of `rmc-dr diagnose`: look, walk the tree, tell the incident, mend what the leaf allows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from rmc_dr import frozen, journey, response, service
from rmc_dr.check.look import HTTP_SECONDS
from rmc_dr.check.look import look as look_at_all
from rmc_dr.check.seen import Answer, Seen
from rmc_dr.command import Listener
from rmc_dr.diagnose.sight import Sight, expected
from rmc_dr.diagnose.tree import Leaf, Mend, Walk, trees, walk
from rmc_dr.errors import Error, Refused
from rmc_dr.estate import Application, Estate, Host, with_new_secrets
from rmc_dr.i18n import _, language
from rmc_dr.incident import attach
from rmc_dr.incident.record import open_incident
from rmc_dr.model import Plan
from rmc_dr.observe.activity import observe_activity
from rmc_dr.observe.inside import observe_inside, observe_sources
from rmc_dr.observe.sessions import observe_sessions

GREEN_SECONDS = 60  # so long after a mend the last consequence may last
PAUSE_SECONDS = 2
HEALTHY = "healthy"
MENDS: tuple[Mend, ...] = ("restart", "reconfigure", "freeze")
Found = TypeVar("Found")


def diagnose(estate: Estate, tree: str, host: Host) -> Walk:
    """Look, and walk the tree. Changes nothing. Raises BadInput without certificates or secrets."""
    return walk(tree, look(estate, host))


def leaf_of(found: Walk) -> Leaf:
    return trees().leaves[found.leaf]


def command_of(found: Walk) -> str:
    """What the leaf says to type; "" for nothing."""
    return leaf_of(found).command.replace("{host}", found.host).replace("{tree}", found.tree)


def look(estate: Estate, host: Host) -> Sight:
    """One look of `rmc-dr check`, then what the application server and the primary tell beyond it."""
    estate = with_new_secrets(estate)
    seen = look_at_all(estate)
    errors: dict[str, str] = {}
    primary = estate.host(seen.primaries[0]) if len(seen.primaries) == 1 else None
    users = [f"{app.database}_app" for app in estate.config.applications.apps]
    with ThreadPoolExecutor(4) as pool:
        inside = sources = None
        if seen.hosts[host.name].answer is Answer.SYSTEM:
            inside = pool.submit(observe_inside, estate, host, threads=not _well(seen, host.name))
            sources = pool.submit(observe_sources, estate, host)
        else:
            errors |= dict.fromkeys(("inside", "sources"), _("the host does not answer"))
        sessions = later = None
        if primary:
            sessions = pool.submit(observe_sessions, estate, primary, users)
            later = pool.submit(observe_activity, estate, primary)
        else:
            errors |= dict.fromkeys(("sessions", "activity"), _("no primary is known"))
        return Sight(
            seen,
            host.name,
            estate.config.check,
            expected(estate),
            sources=_had(sources, "sources", errors),
            inside=_had(inside, "inside", errors),
            sessions=_had(sessions, "sessions", errors),
            later=_had(later, "activity", errors),
            errors=errors,
        )


def _well(seen: Seen, host: str) -> bool:
    """Whether users can log in, so that Java need not be asked for its threads."""
    ready = any(health.host == host and health.ready for health in seen.health)
    logins = [login for login in seen.logins if login.host == host]
    return ready and bool(logins) and all(check.passed for login in logins for check in login.checks)


def _had(asked: Future[Found] | None, name: str, errors: dict[str, str]) -> Found | None:
    if asked is None:
        return None
    try:
        return asked.result()
    except Exception as error:  # noqa: BLE001 (in a diagnosis no look that fails may hide the others)
        errors[name] = " ".join(str(error).split())[:200] or type(error).__name__
        return None


def attach_to_incident(estate: Estate, found: Walk) -> str | None:
    """Note the diagnosis in the open incident, and class the fault by it; the incident's name, or None.

    What was read on the hosts stays out of the record: it may hold anything. Never stops a diagnosis.
    """
    with suppress(Error, OSError):
        state = open_incident(estate.name)
        if state is None:
            return None
        way = ", ".join(f"{step.asks}={step.branch}" for step in found.steps)
        attach.attach(estate.name, "diagnosis", tree=found.tree, host=found.host, leaf=found.leaf, way=way)
        finding = leaf_of(found).finding
        if finding and finding not in state.findings:
            response.classify(estate, [finding])
        return state.incident
    return None


def plan_mend(estate: Estate, found: Walk) -> Plan:
    """What --fix would do. Raises Refused where the leaf allows no mend, or where users are served."""
    mend = _allowed(estate, found)
    if mend == "freeze":
        return service.plan_stop(estate, writes=True)
    return service.plan_restart(estate, writes=True, reconfigure=mend == "reconfigure")


def carry_out(
    estate: Estate, found: Walk, listeners: Sequence[Listener], skip_preserve: str | None
) -> frozen.Told | None:
    """Do what the leaf allows; the scene is kept first. Raises Refused, Locked, Interrupted or Error.

    A freeze opens or joins an incident before it begins, so that run and evidence attach themselves; who was
    told of it is returned.
    """
    mend = _allowed(estate, found)
    if mend != "freeze":
        reconfigure = mend == "reconfigure"
        service.restart(estate, listeners, writes=True, skip_preserve=skip_preserve, reconfigure=reconfigure)
        return None
    state = frozen.join_incident(estate, leaf_of(found))
    if state and not state.attached("diagnosis"):  # opened just now
        attach_to_incident(estate, found)
    service.stop(estate, listeners, writes=True, skip_preserve=skip_preserve)
    return frozen.tell(estate, state, leaf_of(found))


def again(estate: Estate, before: Walk, host: Host, canceled: Callable[[], bool]) -> Walk:
    """Walk the same tree until it is green, or for a minute; the last walk."""
    deadline = time.monotonic() + GREEN_SECONDS
    while True:
        found = diagnose(estate, before.tree, host)
        if found.leaf == HEALTHY or time.monotonic() > deadline or canceled():
            return found
        time.sleep(PAUSE_SECONDS)


def _allowed(estate: Estate, found: Walk) -> Mend:
    leaf = leaf_of(found)
    if leaf.mend in MENDS:
        if not leaf.felt and _users_log_in(estate, estate.host(found.host)):
            raise _served(found)
        return leaf.mend
    by_hand = _("{do}. {command}").format(do=leaf.do.said(language()), command=command_of(found)).strip()
    code, message = {
        "nothing": ("nothing-to-mend", _("Nothing is wrong on this way, so nothing is mended.")),
        "look": ("not-known", _("It is not known what is wrong, so nothing is mended.")),
        "wait": ("mends-itself", _("It should mend itself; nothing is done.")),
        "hand": ("by-hand", _("rmc-dr cannot mend this by itself; nothing was changed.")),
        "rebuild": ("by-rebuild", _("A rebuild is never begun by a diagnosis; nothing was changed.")),
    }[leaf.mend]
    raise Refused(code, message, by_hand)


def _users_log_in(estate: Estate, host: Host) -> bool:
    """Whether every application's log-in works now. A journey that has none, or is none, proves nothing."""
    apps = estate.config.applications.apps
    with ThreadPoolExecutor(max(1, len(apps))) as pool:
        return bool(apps) and all(pool.map(lambda app: _logs_in(estate, host, app), apps))


def _logs_in(estate: Estate, host: Host, app: Application) -> bool:
    with suppress(Error, OSError):
        if any(step.secret for step in journey.read_steps(app)):
            checks = journey.travel(estate, host, app, up_to_login=True, timeout_seconds=HTTP_SECONDS)
            return all(check.passed for check in checks)
    return False


def _served(found: Walk) -> Refused:
    by_hand = {
        "restart": "`rmc-dr restart --writes`",
        "reconfigure": "`rmc-dr stop --writes`, `ansible-playbook -i INVENTORY playbooks/reconfigure.yml`,"
        " `rmc-dr start`",
        "freeze": "`rmc-dr stop --writes`",
    }
    return Refused(
        "users-served",
        _("Users log in to every application of {host}, so nothing is stopped; nothing was changed.").format(
            host=found.host
        ),
        _("Do it at a quiet time: {commands}.").format(commands=by_hand[leaf_of(found).mend]),
    )
