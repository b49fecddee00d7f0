"""What can go wrong, said in one sentence with a hint, and the exit codes that say it to a script."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Documented in docs/runbooks/exit-codes.md; scripts may rely on them."""

    OK = 0  # done; for a rebuild: recovered and proven
    FAILED = 1  # a stage or a check failed; the message says whether anything was changed
    BAD_INPUT = 2  # the command line or the estate's files are wrong; nothing was changed
    REFUSED = 3  # going on could make it worse; nothing was changed, or the message names the stages begun
    LOCKED = 4  # another run holds the estate; nothing was changed, or the message names the stages begun
    INTERRUPTED = 5  # stopped by the operator; `rmc-dr resume` goes on


# How a run ends that an error ended; every other exit code says that it would not go on.
OUTCOMES = {ExitCode.FAILED: "failed", ExitCode.INTERRUPTED: "interrupted"}


class Error(Exception):
    """One clear sentence, a hint that says what to do next, and the exit code.

    ``code`` is stable English for tests and JSON (for example ``kit-tampered``); ``message`` and ``hint``
    are what the operator reads, already translated.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    @property
    def outcome(self) -> str:
        """How a run's record names an end by this error."""
        return OUTCOMES.get(self.exit_code, "refused")

    def add(self, sentence: str) -> None:
        """Say one sentence more."""
        self.message = f"{self.message} {sentence}"
        self.args = (self.message,)


class BadInput(Error):
    """The command line or a file of the estate cannot be used as it is."""

    exit_code = ExitCode.BAD_INPUT


class Refused(Error):
    """Going on could make it worse. What raises it has changed nothing."""

    exit_code = ExitCode.REFUSED


class Locked(Error):
    """Another run holds the estate."""

    exit_code = ExitCode.LOCKED


class Interrupted(Error):
    """The operator stopped it. A run stays open; `rmc-dr resume` goes on."""

    exit_code = ExitCode.INTERRUPTED
