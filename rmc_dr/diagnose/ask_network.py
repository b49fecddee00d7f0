"""Questions about the network between the application server and the database servers. Pure."""

from __future__ import annotations

from collections.abc import Callable

from rmc_dr.check.judge_network import ordered
from rmc_dr.check.seen import Answer, Way
from rmc_dr.diagnose.question import UNKNOWN, Reply, question, unseen
from rmc_dr.diagnose.sight import Sight
from rmc_dr.i18n import _


def names(sight: Sight) -> Reply:
    """Whether the application server takes the names for the addresses that the estate gives them."""
    facts = sight.facts
    if facts is None or any(name not in facts.names for name in sight.databases):
        return unseen(sight, *(f"name {name}" for name in sight.databases))
    for name in sight.databases:
        found, right = facts.names[name], sight.seen.wanted[name].address
        if not found.addresses:
            return Reply(
                "unresolved",
                _("{host} knows no address for {name}: {why}").format(
                    host=sight.host, name=name, why=found.why or "-"
                ),
            )
        if found.addresses != (right,):
            return Reply(
                "wrong",
                _("{host} takes {name} for {found}; it is {right}").format(
                    host=sight.host, name=name, found=", ".join(found.addresses), right=right
                ),
            )
    listed = ", ".join(f"{name} = {sight.seen.wanted[name].address}" for name in sight.databases)
    return Reply("right", listed)


def packets(sight: Sight) -> Reply:
    """Whether anything comes back at all, from one database server at least."""
    return _best(sight, _packets_to, ("pass", "cut", "silent", UNKNOWN))


def _packets_to(sight: Sight, name: str) -> Reply:
    road = sight.road(name)
    ping = sight.facts.pings.get(name) if sight.facts else None
    if road and road.why in (Way.OPEN, Way.REFUSED):
        return Reply("pass", _("{name} answered on its port, in {ms:.1f} ms").format(name=name, ms=road.ms))
    if ping and ping.received:
        return Reply(
            "pass",
            _("{received} of {sent} packets came back from {name}").format(
                received=ping.received, sent=ping.sent, name=name
            ),
        )
    if road is None or ping is None or not _pings_prove(sight):
        return unseen(sight, f"ping {name}")
    if sight.seen.hosts[name].answer is Answer.SILENT and not _others_reach(sight, name):
        return Reply("silent", _("{name} answers nobody, this machine included").format(name=name))
    return Reply(
        "cut",
        _(
            "not one packet came back from {name}, which others reach: {sent} pings, and its port: {why}"
        ).format(name=name, sent=ping.sent, why=road.why.value),
    )


def _pings_prove(sight: Sight) -> bool:
    """Where no ping of the whole estate comes back, somebody forbids pings."""
    return any(
        ping.received
        for host in sight.seen.hosts.values()
        if host.facts
        for ping in host.facts.pings.values()
    )


def _others_reach(sight: Sight, name: str) -> bool:
    return any(
        host.facts.pings[name].received > 0
        for other, host in sight.seen.hosts.items()
        if other != sight.host and host.facts and name in host.facts.pings
    )


def ports(sight: Sight) -> Reply:
    """How PostgreSQL's port answers; blocked only where its own host says that it listens."""
    return _best(sight, _port_of, ("open", "dropped", "rejected", "closed", UNKNOWN))


def _port_of(sight: Sight, name: str) -> Reply:
    port = sight.seen.wanted[name].ports["postgresql"]
    road, facts = sight.road(name), sight.seen.facts(name)
    words = {"host": sight.host, "name": name, "port": port}
    if road is None:
        return unseen(sight, f"road {name}:{port}")
    if road.why is Way.OPEN:
        return Reply("open", _("{host} connects to {name}:{port}").format(**words))
    if facts is None or facts.listening is None:
        seen = _("{host} cannot connect to {name}:{port}, and {name} could not be asked whether it listens")
        return Reply(UNKNOWN, seen.format(**words))
    if port not in facts.listening:
        return Reply("closed", _("{name} itself says that nothing listens on port {port}").format(**words))
    if road.why is Way.TIMEOUT:
        seen = _("{name} listens on {port}, and packets of {host} to it vanish: no answer within 2 s")
        return Reply("dropped", seen.format(**words))
    if road.why in (Way.REFUSED, Way.UNREACHABLE):
        seen = _("{name} listens on {port}, and {host} is refused at once ({why})")
        return Reply("rejected", seen.format(**words, why=road.why.value))
    return unseen(sight, f"road {name}:{port}")


def large(sight: Sight) -> Reply:
    """Whether packets as large as the interface sends come through, both ways."""
    return _best(sight, _large_to, ("pass", "black", UNKNOWN))


def _large_to(sight: Sight, name: str) -> Reply:
    ping = sight.facts.pings.get(name) if sight.facts else None
    if ordered(sight.host, name) in sight.broken.black:
        mtu = ping.mtu if ping else None
        return Reply(
            "black",
            _("between {host} and {name} small packets pass, but none of {mtu} bytes").format(
                host=sight.host, name=name, mtu=mtu or "?"
            ),
        )
    whole = [attempt for source in sight.sources or () for attempt in source.attempts if attempt.host == name]
    if ping and ping.whole:
        return Reply("pass", _("packets of {mtu} bytes come through whole").format(mtu=ping.mtu or "?"))
    if any(attempt.whole for attempt in whole):
        return Reply("pass", _("a large answer of {name} came through").format(name=name))
    return unseen(sight, f"ping {name}")


def _best(sight: Sight, ask: Callable[[Sight, str], Reply], order: tuple[str, ...]) -> Reply:
    """Of several database servers one that can be reached is enough."""
    replies = [ask(sight, name) for name in sight.databases]
    return min(replies, key=lambda reply: order.index(reply.branch))


QUESTIONS = {
    "names": question(names, "right", "wrong", "unresolved"),
    "packets": question(packets, "pass", "cut", "silent"),
    "ports": question(ports, "open", "dropped", "rejected", "closed"),
    "large-packets": question(large, "pass", "black"),
}
