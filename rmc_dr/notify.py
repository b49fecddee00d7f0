"""The only sender of notifications: a command of the estate's takes the news on its standard input."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from rmc_dr.i18n import _

TIMEOUT_SECONDS = 60
ADDRESSES = "APPRISE_URLS"  # where the program apprise looks for what it must keep out of its arguments


def send(command: Sequence[str], text: str, addresses: str = "") -> str | None:
    """Hand the news to the command; returns why that failed. ``addresses`` is secret: it goes into the
    environment alone.
    """
    if not command:
        return None
    given = {ADDRESSES: addresses} if addresses else {}
    try:
        done = subprocess.run(
            list(command),
            input=text,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (
            str(error)
            if isinstance(error, OSError)
            else _("no answer within {n} s").format(n=TIMEOUT_SECONDS)
        )
    return None if done.returncode == 0 else done.stderr.strip()[-200:] or str(done.returncode)
