"""The look itself: everything side by side, each part bounded, so that one that is dead holds up none."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import httpx

from rmc_dr import backup, journey, schedule
from rmc_dr.backups import BackupsObservation, Remark
from rmc_dr.check import remote
from rmc_dr.check.roads import Road, from_here, wanted
from rmc_dr.check.seen import Certificate, Health, Inspected, KitSeen, Login, Reached, Seen, TimerSeen
from rmc_dr.check.served import visit
from rmc_dr.errors import Error
from rmc_dr.estate import Application, Estate, Host
from rmc_dr.https import Https
from rmc_dr.kit.verify import glance
from rmc_dr.observe.activity import observe_activity
from rmc_dr.observe.pair import observe_pair, tls_context
from rmc_dr.store import endpoint
from rmc_dr.store.knock import knock

HTTP_SECONDS = 4.0
WORKERS = 64
MIB = 1024**2
DAY = 86400
ANSWERS = {200: True, 503: False}  # MicroProfile Health: up, down
Value = TypeVar("Value")


@dataclass
class _Asked:
    """What is being looked at, and why a part did not answer."""

    pool: ThreadPoolExecutor
    errors: dict[str, str]

    def ask(self, work: Callable[..., Value], *given: object) -> Future[Value]:
        return self.pool.submit(work, *given)

    def answer(self, what: str, asked: Future[Value]) -> Value | None:
        try:
            return asked.result()
        except Exception as error:  # noqa: BLE001 (in a triage no part that fails may hide the others)
            said = " ".join(str(error).split())[:200]
            self.errors[what] = said or type(error).__name__
            return None


def look(estate: Estate) -> Seen:
    """Look once, read-only. Raises BadInput without certificates or secrets; the unseen is unknown."""
    began = time.monotonic()
    estate.opened()
    trust = tls_context(estate)
    hosts = wanted(estate)
    peers = {host.name: host.address for host in hosts.values()}
    with ThreadPoolExecutor(WORKERS) as pool:
        asked = _Asked(pool, {})
        probes = {name: asked.ask(remote.observe, estate, host, peers) for name, host in hosts.items()}
        visits = [(road, asked.ask(visit, road, trust)) for road in from_here(estate)]
        pair = asked.ask(observe_pair, estate)
        activity = {host.name: asked.ask(observe_activity, estate, host) for host in estate.group("dbserver")}
        health = {host.name: asked.ask(_health, estate, host) for host in estate.group("appserver")}
        logins = {
            f"{app.name} ({host.name})": asked.ask(_login, estate, host, app)
            for host in estate.group("appserver")
            for app in estate.config.applications.apps
        }
        backups, kit = asked.ask(_backups, estate), asked.ask(_kit, estate)
        timers, inspected = asked.ask(_timers, estate), asked.ask(_inspected, estate)
        here, certificates = _visited(visits)
        stored, remarks = asked.answer("backups", backups) or (None, None)
        return Seen(
            at=datetime.now(UTC),
            wanted=hosts,
            hosts={name: probe.result() for name, probe in probes.items()},
            here=here,
            pair=asked.answer("pair", pair),
            activity=_all(asked, "activity", activity),
            health=_all(asked, "health", health),
            logins=_all(asked, "login", logins),
            certificates=certificates,
            backups=remarks,
            stored=stored,
            kit=asked.answer("kit", kit),
            timers=asked.answer("timers", timers),
            inspected=asked.answer("inspection", inspected),
            heap_bytes=estate.config.liberty.heap_mib * MIB,
            errors=asked.errors,
            seconds=round(time.monotonic() - began, 2),
        )


def _all(asked: _Asked, what: str, futures: Mapping[str, Future[Value]]) -> tuple[Value, ...]:
    found = [asked.answer(f"{what} {name}", future) for name, future in futures.items()]
    return tuple(value for value in found if value is not None)


Visits = list[tuple[Road, Future[tuple[Reached, Certificate | None]]]]


def _visited(visits: Visits) -> tuple[dict[str, dict[str, Reached]], tuple[Certificate, ...]]:
    here: dict[str, dict[str, Reached]] = {}
    certificates = []
    for road, future in visits:
        reached, certificate = future.result()
        here.setdefault(road.to, {})[road.service] = reached
        if certificate:
            certificates.append(certificate)
    return here, tuple(certificates)


def _health(estate: Estate, host: Host) -> Health:
    with Https(estate, host, estate.config.applications.port, HTTP_SECONDS) as https:
        try:
            live = https.request("GET", "/health/live")
        except httpx.HTTPError as error:
            return Health(host.name, None, None, trouble=str(error) or type(error).__name__)
        try:
            ready = https.request("GET", "/health/ready")
        except httpx.HTTPError as error:  # it waits for something, as for a database
            return Health(host.name, _up(live), False, trouble=str(error) or type(error).__name__)
    down = (*_down(live), *_down(ready))
    return Health(host.name, _up(live), _up(ready), tuple(dict.fromkeys(down)))


def _up(answer: httpx.Response) -> bool | None:
    """404 comes from a server without the feature: unknown, not down."""
    return ANSWERS.get(answer.status_code)


def _down(answer: httpx.Response) -> list[str]:
    try:
        return [str(check["name"]) for check in answer.json()["checks"] if check["status"] == "DOWN"]
    except (ValueError, KeyError, TypeError):
        return []


def _login(estate: Estate, host: Host, app: Application) -> Login:
    checks = journey.travel(estate, host, app, up_to_login=True, timeout_seconds=HTTP_SECONDS)
    return Login(host.name, app.name, tuple(checks))


def _backups(estate: Estate) -> tuple[BackupsObservation, tuple[Remark, ...]]:
    """What was seen, and how it is judged.

    One knock before the long look: behind a store that is silent every part of it would wait.
    """
    store = knock(endpoint.of(estate))
    if trouble := store.silent or store.untrusted:
        seen = BackupsObservation(datetime.now(UTC), None, None, None, None, None, {"store": trouble})
    else:
        seen = backup.look(estate)
    return seen, tuple(backup.judge(estate, seen, schedule.late(estate)))


def _kit(estate: Estate) -> KitSeen:
    try:
        manifest = glance(estate.config.kit.path, estate.private_dir / "allowed_signers")
    except Error as error:
        return KitSeen(None, error.code, error.message)
    return KitSeen(round((manifest.expires - datetime.now(UTC)).total_seconds() / DAY, 1))


def _timers(estate: Estate) -> tuple[TimerSeen, ...]:
    return tuple(TimerSeen(timer.job, timer.installed, timer.active) for timer in schedule.status(estate))


def _inspected(estate: Estate) -> Inspected:
    due = schedule.inspection(estate)
    if due.until is None:
        return Inspected(None, due.days, due.last is None)
    left = (due.until - datetime.now(UTC)).total_seconds() / DAY
    return Inspected(round(due.days - left, 1), due.days, due.last is None)
