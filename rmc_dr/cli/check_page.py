"""What `rmc-dr check` and its watch have in common: a finding for machines, what to type, the textfile."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rmc_dr.i18n import _

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rmc_dr.check.findings import Finding
    from rmc_dr.check.seen import Seen
    from rmc_dr.estate import Estate


class Trouble:
    """Says on standard error what is in the way, once for as long as it stays the same; ends nothing."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, text: str) -> None:
        """ "" means that nothing is in the way any more."""
        from rmc_dr.words import printable

        if text and text != self._last:
            with suppress(OSError):
                click.echo(printable(text), err=True)
        self._last = text


class Textfile:
    """The file for Prometheus' node exporter, where one is wanted; a full disk costs the file and no more."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._trouble = Trouble()

    def write(self, estate: Estate, seen: Seen, found: Sequence[Finding]) -> bool:
        """Whether it was written, or none is wanted; why not is told."""
        from rmc_dr.check.monitoring import prometheus
        from rmc_dr.files import write_atomically

        if self._path is None:
            return True
        said = ""
        try:
            write_atomically(self._path, prometheus(seen, found, estate.name), 0o644)
        except OSError as error:
            said = _("{path} could not be written: {error}").format(
                path=self._path, error=error.strerror or error
            )
        self._trouble.tell(said)
        return not said


def plain(seen: Seen, finding: Finding) -> dict[str, object]:
    """A finding for machines."""
    return {**asdict(finding), "level": finding.level.name, "next": next_step(seen, finding)}


def next_step(seen: Seen, finding: Finding) -> str:
    """The command to type next, "" for none."""
    host = seen.wanted.get(finding.host)
    return finding.next(host.group if host else "")
