"""Standard streams and language as a command finds them: closed, or unable to show what is said."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from rmc_dr.i18n import _

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

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
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            setattr(sys, name, _patient(stream))
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name, "").strip("0") == "":
            os.environ.pop(name, None)  # no terminal is that small: nobody knows its size
    _settle_language()


class _Patient(io.FileIO):
    """A stream whose reader may leave (`| head`, a lost line); the work goes on and ends as it would have."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self._gone = (errno.EPIPE, errno.EIO) if self.isatty() else (errno.EPIPE,)

    def write(self, data: ReadableBuffer, /) -> Any:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._gone:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def _patient(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    """The same stream without an error for what cannot be encoded, nor for a reader who left."""
    stream.reconfigure(errors="replace")
    try:
        number = stream.fileno()
    except OSError:
        return stream  # a test's: there is no file behind it
    if number not in (1, 2) or isinstance(getattr(stream.buffer, "raw", stream.buffer), _Patient):
        return stream
    stream.flush()
    raw = _Patient(number)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


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
