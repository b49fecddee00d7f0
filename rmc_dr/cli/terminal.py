"""Standard streams and language as a command finds them: closed, or unable to show what is said."""

from __future__ import annotations

import io
import os
import sys

import click

from rmc_dr.i18n import _

STREAMS = ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"))
LANGUAGE = "RMC_DR_LANG"


def make_ready() -> None:
    """Stand in for closed streams, let what a terminal cannot show be replaced, and settle the language."""
    for number, name, mode in STREAMS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: else the next file would be our stderr
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    _settle_language()


def _settle_language() -> None:
    wanted = os.environ.get(LANGUAGE, "")
    if wanted and not wanted.lower().startswith(("zh", "en")):
        os.environ[LANGUAGE] = "en"  # for the programs that this one starts as well: it is said once
        click.echo(
            _("{variable}={wanted}: there are only zh and en; English it is.").format(
                variable=LANGUAGE, wanted=ascii(wanted)[1:-1]
            ),
            err=True,
        )
