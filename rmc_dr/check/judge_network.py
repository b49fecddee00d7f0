"""What is wrong between the hosts: a cut, a firewall, packets that are too large, wrong names. Pure.

A port is only held to be blocked where its host itself says that it listens there: else the service is at
fault, and has a finding of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rmc_dr.backups import Level
from rmc_dr.check.findings import Area, Finding, crossed, level_of
from rmc_dr.check.roads import CONTROL
from rmc_dr.check.seen import Answer, Facts, Ping, Reached, Seen, Way
from rmc_dr.estate_limits import Thresholds
from rmc_dr.i18n import _
from rmc_dr.spoken import spoken

UP = (Answer.SYSTEM, Answer.REFUSED, Answer.UNREADABLE)
Pair = tuple[str, str]


@dataclass(frozen=True)
class BlockedPort:
    """A port that listens, and that some cannot reach. ``way`` is how it ended for them.

    ``ours``: it is of a host of the estate. Whether the store of somebody else listens nobody can say.
    """

    to: str
    port: int
    service: str
    way: Way
    sources: tuple[str, ...]
    ours: bool = True

    @property
    def from_here(self) -> bool:
        return CONTROL in self.sources


@dataclass(frozen=True)
class Broken:
    """What the network does not do; each pair in the order of its names."""

    cut: frozenset[Pair]
    black: frozenset[Pair]
    ports: tuple[BlockedPort, ...]

    def blocks(self, to: str, service: str) -> bool:
        """Whether this machine is kept off a port that listens."""
        return any(one.to == to and one.service == service and one.from_here for one in self.ports)


def broken(seen: Seen) -> Broken:
    cut = frozenset(_cut(seen))
    pings = _pings(seen)
    black = frozenset(pair for pair, ping in pings.items() if ping.received and ping.whole is False)
    return Broken(cut, black, tuple(_blocked(seen, cut)))


def judge(seen: Seen, limits: Thresholds, found: Broken) -> Iterator[Finding]:
    yield from _cuts(seen, found)
    yield from _mtu(seen, found)
    for blocked in found.ports:
        yield _port(blocked)
    yield from _names(seen)
    yield from _tls(seen, found)
    yield from _quality(seen, limits, found)


def ordered(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def _up(seen: Seen, name: str) -> bool:
    host = seen.hosts.get(name)
    return host is not None and host.answer in UP


def _told(seen: Seen) -> Iterator[tuple[str, Facts]]:
    for name, host in seen.hosts.items():
        if host.facts:
            yield name, host.facts


def _pings(seen: Seen) -> dict[Pair, Ping]:
    """Of each pair the worse of its two directions, where both hosts are up."""
    worse: dict[Pair, Ping] = {}
    for name, facts in _told(seen):
        for other, ping in facts.pings.items():
            if not _up(seen, other):
                continue
            pair = ordered(name, other)
            before = worse.get(pair)
            if before is None or (ping.received, ping.whole is not False) < (
                before.received,
                before.whole is not False,
            ):
                worse[pair] = ping
    return worse


def _roads(seen: Seen) -> Iterator[tuple[str, str, int, str, Reached]]:
    """Each road that was tried, from a host or from here: source, target, port, service, how it ended."""
    for name, facts in _told(seen):
        for number, road in enumerate(seen.wanted[name].roads):
            if reached := facts.roads.get(str(number)):
                yield name, road.to, road.port, road.service, reached
    for to, services in seen.here.items():
        for service, reached in services.items():
            yield CONTROL, to, seen.wanted[to].ports[service], service, reached


def _cut(seen: Seen) -> Iterator[Pair]:
    """Pairs without a single packet. Where no ping at all comes back, pings prove nothing."""
    pings = _pings(seen)
    if not any(ping.received for ping in pings.values()):
        return
    open_pairs = {
        ordered(source, to)
        for source, to, _port, _service, reached in _roads(seen)
        if reached.why in (Way.OPEN, Way.REFUSED) and source != CONTROL
    }
    yield from (pair for pair, ping in pings.items() if not ping.received and pair not in open_pairs)


def _linked(seen: Seen, pair: Pair) -> bool:
    """Whether anything of the estate goes between the two."""
    one, other = pair
    return any(road.to == other for road in seen.wanted[one].roads) or any(
        road.to == one for road in seen.wanted[other].roads
    )


def _cuts(seen: Seen, found: Broken) -> Iterator[Finding]:
    """One that several others cannot reach is named once, not once for each of them."""
    left = set(found.cut)
    while left:
        count: dict[str, list[Pair]] = defaultdict(list)
        for pair in sorted(left):
            for name in pair:
                count[name].append(pair)
        name = max(sorted(count), key=lambda one: len(count[one]))
        pairs = count[name]
        others = sorted(other for pair in pairs for other in pair if other != name)
        level = Level.CRITICAL if any(_linked(seen, pair) for pair in pairs) else Level.WARNING
        text = _("no packet passes between {host} and {others}").format(host=name, others=", ".join(others))
        yield Finding(level, "network-cut", Area.NETWORK, name, text, ", ".join(others))
        left -= set(pairs)


def _mtu(seen: Seen, found: Broken) -> Iterator[Finding]:
    pings = _pings(seen)
    for pair in sorted(found.black):
        largest = pings[pair].mtu
        text = _("between {one} and {other} small packets pass, but none of {mtu} bytes").format(
            one=pair[0], other=pair[1], mtu=largest
        )
        level = Level.CRITICAL if _linked(seen, pair) else Level.WARNING
        yield Finding(level, "mtu-blackhole", Area.NETWORK, pair[0], text, largest)


def _blocked(seen: Seen, cut: frozenset[Pair]) -> Iterator[BlockedPort]:
    sources: dict[tuple[str, int, str, Way], list[str]] = defaultdict(list)
    for source, to, port, service, reached in _roads(seen):
        if reached.why is Way.OPEN or ordered(source, to) in cut:
            continue
        if to not in seen.wanted or _listens(seen, to, port):
            sources[to, port, service, reached.why].append(source)
    for (to, port, service, way), names in sorted(sources.items()):
        yield BlockedPort(to, port, service, way, tuple(names), ours=to in seen.wanted)


def _listens(seen: Seen, name: str, port: int) -> bool:
    facts = seen.facts(name)
    return facts is not None and facts.listening is not None and port in facts.listening


def _port(blocked: BlockedPort) -> Finding:
    sources = ", ".join(_("this machine") if name == CONTROL else name for name in blocked.sources)
    words = {"to": blocked.to, "port": blocked.port, "service": blocked.service, "sources": sources}
    if blocked.way is Way.UNRESOLVED:
        text = _("{sources} cannot resolve {to}").format(**words)
        return Finding(Level.CRITICAL, "name-unresolved", Area.NETWORK, blocked.sources[0], text)
    if not blocked.ours:
        code = "port-dropped" if blocked.way is Way.TIMEOUT else "port-rejected"
        text = _("{sources} cannot connect to port {port} ({service}) of {to}")
    elif blocked.way is Way.TIMEOUT:
        code = "port-dropped"
        text = _("packets from {sources} to port {port} ({service}) of {to} vanish: a firewall drops them")
    else:
        code = "port-rejected"
        text = _("{sources} may not connect to port {port} ({service}) of {to}: a firewall rejects it")
    value = f"{blocked.service} {blocked.port}"
    return Finding(Level.CRITICAL, code, Area.NETWORK, blocked.to, text.format(**words), value)


def _names(seen: Seen) -> Iterator[Finding]:
    for host, facts in _told(seen):
        wrong: dict[str, str] = {}
        unknown = []
        for name, found in facts.names.items():
            right = seen.wanted[name].address if name in seen.wanted else None
            if not found.addresses:
                unknown.append(name)
            elif right and found.addresses != (right,):
                wrong[name] = ", ".join(found.addresses)
        if wrong:
            listed = ", ".join(f"{name} = {addresses}" for name, addresses in sorted(wrong.items()))
            text = _("{host} takes names of the estate for other addresses: {names}").format(
                host=host, names=listed
            )
            yield Finding(_weight(seen, host, wrong), "name-wrong", Area.NETWORK, host, text, listed)
        if unknown:
            names = ", ".join(sorted(unknown))
            text = _("{host} cannot resolve {names}").format(host=host, names=names)
            level = _weight(seen, host, dict.fromkeys(unknown, ""))
            yield Finding(level, "name-unresolved", Area.NETWORK, host, text, names)


def _weight(seen: Seen, host: str, names: Mapping[str, str]) -> Level:
    """Critical where the host works with one of them."""
    used = {host, *(road.to for road in seen.wanted[host].roads)}
    return Level.CRITICAL if used & set(names) else Level.WARNING


def _tls(seen: Seen, found: Broken) -> Iterator[Finding]:
    """A port that opens, and on which no TLS comes to stand, though its certificate is good from here."""
    bad = {one.host for one in seen.certificates if one.trouble}
    mute = {one.host for one in seen.health if one.live is None and one.trouble}  # hung, which says more
    for source, to, port, service, reached in _roads(seen):
        if not reached.tls or to in bad or ordered(source, to) in found.black:
            continue
        if service == "https" and to in mute:
            continue
        where = _("this machine") if source == CONTROL else source
        text = _("{source} reaches port {port} ({service}) of {to}, but TLS fails: {said}").format(
            source=where, port=port, service=service, to=to, said=spoken(reached.tls)
        )
        yield Finding(Level.CRITICAL, "tls-fails", Area.NETWORK, to, text, f"{service} {port}")


def _quality(seen: Seen, limits: Thresholds, found: Broken) -> Iterator[Finding]:
    for pair, ping in sorted(_pings(seen).items()):
        one, other = pair
        if 0 < ping.received < ping.sent and pair not in found.black:
            text = _("{lost} of {sent} packets between {one} and {other} were lost").format(
                lost=ping.sent - ping.received, sent=ping.sent, one=one, other=other
            )
            lost = ping.sent - ping.received
            yield Finding(Level.WARNING, "packet-loss", Area.NETWORK, one, text, lost)
        if level := level_of(ping.ms, limits.latency_ms):
            text = _("a packet between {one} and {other} takes {ms:.0f} ms").format(
                one=one, other=other, ms=ping.ms
            )
            limit = crossed(level, limits.latency_ms)
            yield Finding(level, "latency-high", Area.NETWORK, one, text, ping.ms, limit)
