"""`rmc-dr kit`: build, verify, show."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmc_dr.cli.common import Context, a_reason, lab_inventory, pass_context
from rmc_dr.i18n import _

if TYPE_CHECKING:
    from rmc_dr.estate import Estate
    from rmc_dr.kit.manifest import Manifest

MEBIBYTE = 1024 * 1024


@click.group(help=_("The recovery kit: golden images, runtime and releases, signed."))
def kit() -> None:
    """Build on a connected machine; verify and show anywhere."""


@kit.command(help=_("Build the kit, or find that the one in place is up to date. Needs root and a network."))
@click.option(
    "--liberty",
    type=click.Path(path_type=Path, dir_okay=False),
    help=_("The centre's own Liberty archive, in place of Open Liberty."),
)
@click.option(
    "--releases",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help=_("The vendor's releases: APP/RELEASE/app.war and schema.sql."),
)
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def build(context: Context, liberty: Path | None, releases: Path | None, as_json: bool) -> None:
    from rmc_dr.kit.build import build as build_kit

    context.json = context.json or as_json
    started = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - started:6.1f} s] {text}", err=context.json)

    manifest = build_kit(_estate(context), say, liberty=liberty, releases=releases)
    _tell(context, manifest, time.monotonic() - started)


@kit.command(help=_("Prove that the kit is signed, whole and unchanged."))
@click.option("--accept-expired-kit", metavar="REASON", callback=a_reason, help=_("Accept an expired kit."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def verify(context: Context, accept_expired_kit: str | None, as_json: bool) -> None:
    from rmc_dr.kit.verify import verify as verify_kit

    context.json = context.json or as_json
    started = time.monotonic()
    manifest = verify_kit(_estate(context), accept_expired_kit)
    _tell(context, manifest, time.monotonic() - started)


@kit.command(help=_("Show what the kit holds."))
@click.option("--json", "as_json", is_flag=True, help=_("Print JSON for machines."))
@pass_context
def show(context: Context, as_json: bool) -> None:
    from rmc_dr.kit.verify import prove

    context.json = context.json or as_json
    estate = _estate(context)
    manifest = prove(estate.config.kit.path, estate.private_dir / "allowed_signers")
    if context.json:
        context.emit({"path": str(manifest.root), **manifest.document.model_dump(mode="json")})
        return
    from rich.table import Table

    table = Table(box=None)
    for heading in (_("File"), _("Size"), _("SHA-256"), _("Version")):
        table.add_column(heading, no_wrap=True)
    for name, file in sorted(manifest.files.items()):
        size = _("{n:.1f} MiB").format(n=file.size / MEBIBYTE)
        table.add_row(name, size, file.sha256[:16], _version(manifest, name))
    context.console.print(table)
    _say_dates(context, manifest)


def _estate(context: Context) -> Estate:
    """Without -i the kit is the lab's: it can be built before there is any estate."""
    from rmc_dr.errors import BadInput
    from rmc_dr.estate import load

    try:
        return context.estate()
    except BadInput as error:
        if error.code != "no-inventory" or context.inventory is not None:
            raise
        return load(lab_inventory())


def _tell(context: Context, manifest: Manifest, seconds: float) -> None:
    if context.json:
        context.emit(
            {
                "path": str(manifest.root),
                "sha256": manifest.sha256,
                "built": manifest.built.isoformat(),
                "expires": manifest.expires.isoformat(),
                "seconds": round(seconds, 2),
            }
        )
        return
    size = sum(file.size for file in manifest.files.values()) / MEBIBYTE
    context.console.print(
        _("The kit in {path} is signed, whole and unchanged.").format(path=manifest.root),
        _("{count} files, {size:.0f} MiB, {seconds:.1f} s.").format(
            count=len(manifest.files), size=size, seconds=seconds
        ),
    )
    _say_dates(context, manifest)


def _say_dates(context: Context, manifest: Manifest) -> None:
    context.console.print(
        _("Built {built}, expires {expires}, by rmc-dr {tool}.").format(
            built=manifest.built.date(), expires=manifest.expires.date(), tool=manifest.document.tool
        )
    )


def _version(manifest: Manifest, name: str) -> str:
    versions = manifest.versions
    kind, *rest = Path(name).parts
    if kind == "images":
        image = rest[0].removesuffix(".tar.zst")
        return _("Debian {version}, {count} packages").format(
            version=versions.debian, count=len(versions.images.get(image, {}))
        )
    return {"liberty": versions.liberty, "jdbc": versions.jdbc}.get(kind, rest[1] if len(rest) > 2 else "")
