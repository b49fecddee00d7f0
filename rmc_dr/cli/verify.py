"""`rmc-dr verify`."""

from __future__ import annotations

import click

from rmc_dr.cli.common import Context, pass_context
from rmc_dr.i18n import _


@click.command(help=_("Prove that hosts are as the estate describes them, and that the applications work."))
@click.argument("group", required=False, metavar="[appserver|dbserver|store|verifier]")
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def verify(context: Context, /, group: str | None, as_json: bool) -> int:
    from dataclasses import asdict
    from datetime import UTC, datetime

    from rmc_dr import content
    from rmc_dr import verify as story

    estate = context.estate()
    hosts = story.hosts_of(estate, group)
    folder = content.STATE / "verify"
    folder.mkdir(parents=True, exist_ok=True)
    junit = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{group or 'all'}.xml"
    checks = story.verify(estate, hosts, junit)
    failed = [check for check in checks if not check.passed]
    if context.json or as_json:
        context.emit(
            {"checks": [asdict(check) for check in checks], "failed": len(failed), "junit": str(junit)}
        )
        return int(bool(failed))
    for check in failed:
        context.console.print(_("failed: {name}: {detail}").format(name=check.name, detail=check.detail))
    context.console.print(
        _("{passed} of {count} checks passed on {hosts}. JUnit: {junit}").format(
            passed=len(checks) - len(failed),
            count=len(checks),
            hosts=", ".join(host.name for host in hosts),
            junit=junit,
        )
    )
    return int(bool(failed))
