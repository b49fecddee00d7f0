"""`rmc-dr db`: the pair as it is, and who leads it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.cli.db_moves import failover, reinit, switchover
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rich.table import Table

    from rmc_dr.estate import Estate
    from rmc_dr.pair import Node, PairObservation, Verdict


@click.group(help=_("Look at the database pair, and choose who leads it."))
def db() -> None:
    """`rmc-dr db --help` lists them."""


for command in (switchover, failover, reinit):
    db.add_command(command)


@db.command(
    help=_("Show each node as it is, what Patroni and etcd say, and one verdict. 0 is healthy, 1 not.")
)
@click.option("--json", "as_json", is_flag=True, help=_("Print what was seen and the verdict as JSON."))
@pass_context
def status(context: Context, as_json: bool) -> None:
    from rmc_dr.observe.held import observe_held
    from rmc_dr.observe.pair import observe_pair
    from rmc_dr.pair import Name, Role, verdict

    estate = context.estate()
    seen = observe_pair(estate)
    judged = verdict(seen)
    held = observe_held(estate, [estate.host(node.name) for node in seen.with_role(Role.DOWN)])
    following = _held(held) if held else _next(estate, judged, seen)
    if as_json or context.json:
        context.emit({**_document(seen, judged, following), "held": held})
    else:
        _show(context, seen, judged, following)
    sys.exit(0 if judged.name is Name.HEALTHY else 1)


def _document(seen: PairObservation, judged: Verdict, following: str) -> dict[str, Any]:
    return {"verdict": judged.name, "reasons": judged.reasons, "next": following, "seen": asdict(seen)}


def _show(context: Context, seen: PairObservation, judged: Verdict, following: str) -> None:
    from rich.text import Text

    console = context.console
    console.print(_nodes(seen))
    console.print(_votes(seen))
    for slot in (slot for node in seen.nodes for slot in node.slots):
        console.print(
            _("Slot {name}: {active}, WAL {status}, keeps {bytes} bytes.").format(
                name=slot.name,
                active=_("in use") if slot.active else _("not in use"),
                status=slot.wal_status,
                bytes=_or_unknown(slot.kept_bytes),
            )
        )
    colour = "green" if judged.name == "healthy" else "red"
    named = (judged.name, f"bold {colour}")
    console.print(Text.assemble(_("Verdict:"), " ", named, f"  {_meaning(judged.name)}"))
    for reason in judged.reasons:
        console.print(f"  - {reason}")
    console.print(_("Next: {command}").format(command=following))


def _nodes(seen: PairObservation) -> Table:
    from rich.table import Table

    from rmc_dr.pair import Role

    table = Table(title=_("PostgreSQL, node by node"), title_justify="left")
    primary = next(iter(seen.with_role(Role.PRIMARY)), None)
    table.add_column("")
    for node in seen.nodes:
        table.add_column(node.name)
    for label, cells in _rows(seen.nodes, primary):
        table.add_row(label, *cells)
    return table


def _rows(nodes: tuple[Node, ...], primary: Node | None) -> list[tuple[str, list[str]]]:
    from rmc_dr.pair import Role, lag, replica_of
    from rmc_dr.words import lsn

    behind = {node.name: lag(primary, node) if node.role is Role.STANDBY else ("-", "-") for node in nodes}
    replicas = {node.name: replica_of(primary, node) if primary else None for node in nodes}
    rows = [
        (_("reachable"), [_yes(node.role in (Role.PRIMARY, Role.STANDBY)) for node in nodes]),
        (_("role"), [str(node.role) for node in nodes]),
        (_("system identifier"), [_or_unknown(node.system_identifier) for node in nodes]),
        (_("timeline"), [_or_unknown(node.timeline) for node in nodes]),
        (_("LSN written or received"), [lsn(node.lsn) for node in nodes]),
        (
            _("LSN replayed"),
            ["-" if node.role is Role.PRIMARY else lsn(node.replayed_lsn) for node in nodes],
        ),
        (_("lag in bytes"), [_or_unknown(behind[node.name][0]) for node in nodes]),
        (_("lag in seconds"), [_or_unknown(behind[node.name][1]) for node in nodes]),
        (_("receives"), ["-" if node is primary else _yes(node.streaming) for node in nodes]),
        (_("sync state"), [found.sync_state if (found := replicas[node.name]) else "-" for node in nodes]),
        (_("checksums"), [_yes(node.checksums) for node in nodes]),
        (_("version"), [_or_unknown(node.version).split(" ")[0] for node in nodes]),
    ]
    if any(node.error for node in nodes):
        rows.append((_("error"), [node.error for node in nodes]))
    return rows


def _votes(seen: PairObservation) -> Table:
    from rich.table import Table

    table = Table(title=_("What Patroni and etcd say"), title_justify="left")
    for label in (_("host"), "Patroni", _("leader, by its word"), "etcd"):
        table.add_column(label)
    healths = {member.name: member for member in seen.etcd}
    for name in dict.fromkeys([*(view.name for view in seen.patroni), *healths]):
        view, member = seen.view(name), healths.get(name)
        patroni = "-" if view is None else f"{view.role}, {view.state}" if view.answered else view.error
        leader = "-" if view is None else (view.leader or _("none")) if view.cluster_seen else _("unknown")
        etcd = "-" if member is None else f"{member.health} {member.error}".strip()
        table.add_row(name, patroni, leader, etcd)
    return table


def _or_unknown(value: object) -> str:
    if value is None:
        return _("unknown")
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _yes(value: bool | None) -> str:
    return _("unknown") if value is None else _("yes") if value else _("no")


def _meaning(name: str) -> str:
    """What the verdict means for the person who reads it at night."""
    return {
        "healthy": _("One primary, its standby holds every acknowledged write."),
        "unprotected": _("The pair serves, but the next loss would cost writes or the service."),
        "standby-lagging": _("The primary serves; the standby is too far behind."),
        "standby-down": _("The primary serves alone."),
        "no-primary": _("No node takes writes; the applications stand still."),
        "split-brain": _("Two nodes take writes. Every minute makes it worse."),
        "both-standby": _("Both nodes run, none takes writes; the applications stand still."),
        "diverged": _("The nodes hold different histories; one has writes that the other lacks."),
        "no-quorum": _("etcd cannot decide, so nothing takes over and nothing is promoted."),
        "disagreement": _("PostgreSQL and Patroni contradict each other."),
        "unknown": _("Too little was seen to say anything safe."),
    }[name]


def _held(held: Mapping[str, str]) -> str:
    """Patroni does not start there by hand either, and must not: the restore leads on."""
    runs = ", ".join(sorted(set(held.values()) - {""})) or "?"
    return _(
        "the restore {run} holds Patroni down on {hosts}: wait for it, or finish it by `rmc-dr resume` "
        "where it began; do not start Patroni by hand"
    ).format(run=runs, hosts=", ".join(held))


def _next(estate: Estate, judged: Verdict, seen: PairObservation) -> str:
    """The next command to type; docs/runbooks/pair-verdicts.md goes on from there."""
    from rmc_dr.pair import Health, Role

    down = [node.name for role in (Role.DOWN, Role.UNKNOWN) for node in seen.with_role(role)]
    standbys = [node.name for node in seen.with_role(Role.STANDBY)]
    sick = [member.name for member in seen.etcd if member.health is not Health.HEALTHY]
    deaf = [view.name for view in seen.patroni if not view.answered]
    start = "systemctl start patroni" if seen.with_role(Role.DOWN) else "systemctl status etcd patroni"
    look = "patronictl -c /etc/patroni/config.yml list"
    host, words = {
        "healthy": ("", ""),
        "unprotected": (",".join(sick or deaf), f"systemctl start {'etcd' if sick else 'patroni'}"),
        "standby-lagging": (",".join(standbys), "journalctl -u patroni -n 50"),
        "standby-down": (",".join(down or standbys), start if down else "journalctl -u patroni -n 50"),
        "no-primary": (",".join(down), start),
        "no-quorum": (",".join(sick), "systemctl start etcd"),
        "unknown": (",".join(down), "systemctl status etcd patroni"),
    }.get(judged.name, ("dbserver", look))
    if judged.name == "healthy":
        return _("nothing to do")
    if judged.name == "no-primary" and standbys:
        return "rmc-dr db failover --plan"
    return f"ansible -i {estate.inventory} {host or 'dbserver'} -a '{words if host else look}'"
