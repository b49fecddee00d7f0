"""Takes one table out of the inspected copy back to the primary; the living one is not touched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rmc_dr import backup_record, content
from rmc_dr.backup_record import Entry
from rmc_dr.errors import Error, Interrupted, Refused
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone, canceled_by_signal
from rmc_dr.gates import PRIMARY_EXISTS
from rmc_dr.i18n import _
from rmc_dr.inspection import databases, standing
from rmc_dr.observe.pair import observe_pair
from rmc_dr.pair import Role, verdict
from rmc_dr.plans.moment import LATEST
from rmc_dr.plans.table import Table, beside, parse
from rmc_dr.runner import OnEvent, end_leftovers, run_playbook


@dataclass(frozen=True)
class TablePlan:
    """``table`` as of ``to`` comes from ``source`` to ``primary`` and is called ``new`` there."""

    table: Table
    new: str
    source: str
    primary: str
    to: str


@dataclass(frozen=True)
class TableBack:
    """What came back: rows, and how many seconds it took."""

    plan: TablePlan
    rows: int
    seconds: float


def make_plan(estate: Estate, text: str) -> TablePlan:
    """Raises BadInput for what is no table's name, Refused without an inspected copy or one primary."""
    table = parse(text, databases(estate))
    seen = standing(estate)
    moment = datetime.fromisoformat(seen.made if seen.to == LATEST else seen.to)
    new = beside(table.name, moment, estate.config.timezone)
    return TablePlan(table, new, seen.host, _primary(estate), seen.to if seen.to != LATEST else seen.made)


def take_back(estate: Estate, plan: TablePlan, on_event: OnEvent, break_lock: str | None = None) -> TableBack:
    """Copy it, all or nothing, and record it. Raises Locked or Refused before anything changes; Interrupted,
    and Error where it failed: then nothing of it stays."""
    started = datetime.now(UTC)
    mark = f"table-{estate.name}"
    with alone(estate, "restore table", break_lock), canceled_by_signal() as canceled:
        end_leftovers(mark)
        if _primary(estate) != plan.primary:
            raise Refused(
                "primary-changed",
                _("{primary} does not take the writes any more.").format(primary=plan.primary),
                _("Give the command again."),
            )
        outcome = run_playbook(
            estate,
            "restore-table.yml",
            variables={
                "run_id": mark,
                "restore_on": plan.primary,
                "restore_database": plan.table.database,
                "restore_schema": plan.table.schema,
                "restore_table": plan.table.name,
                "restore_as": plan.new,
                "restore_table_to": plan.to,
            },
            on_event=on_event,
            log=content.STATE / "restores" / f"{started:%Y%m%dT%H%M%SZ}-table.log",
            canceled=canceled,
            run_id=mark,
        )
        facts: Any = outcome.facts.get(plan.primary)
        told: Any = facts.get("table") if isinstance(facts, Mapping) else None
        ok = outcome.status == "ok" and isinstance(told, Mapping)
        rows = int(told["rows"]) if ok else None
        about = {"table": str(plan.table), "as": plan.new, "rows": rows}
        backup_record.append(
            estate.name, Entry("table", started, datetime.now(UTC), ok, plan.to, plan.primary, about)
        )
    if outcome.status == "canceled":
        raise Interrupted(
            "interrupted",
            _("Stopped; nothing of the table stays, unless it had arrived whole."),
            _("The command can be given again."),
        )
    if rows is None:
        failure = outcome.failures[0] if outcome.failures else None
        said = failure.message if failure else _("the playbook was ended in the middle")
        kind = Refused if failure and failure.refused else Error
        raise kind(
            "table-not-restored",
            _("{table} could not be taken back: {said}").format(
                table=plan.table, said=said.rstrip(".") + "."
            ),
            _(
                "The living table was not touched; look into the copy with `rmc-dr restore psql {name}`."
            ).format(name=plan.table.database),
        )
    return TableBack(plan, rows, float(told["seconds"]))


def _primary(estate: Estate) -> str:
    seen = observe_pair(estate)
    primaries = [node.name for node in seen.with_role(Role.PRIMARY)]
    state = verdict(seen).name
    if len(primaries) != 1 or state not in PRIMARY_EXISTS:
        raise Refused(
            "no-primary",
            _("No single host of the pair takes writes (it is: {verdict}).").format(verdict=state),
            _("Look with `rmc-dr db status`."),
        )
    return primaries[0]
