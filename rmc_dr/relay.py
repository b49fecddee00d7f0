"""A socket of this machine that leads through SSH to where no network does."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rmc_dr import scratch


@contextmanager
def relayed(command: Sequence[str]) -> Iterator[Path]:
    """A socket for as long as the block lasts; a connection to it is input and output of the command."""
    with scratch.folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = folder / "relay"
        listener.bind(str(path))
        listener.listen()
        started: list[subprocess.Popen[bytes]] = []

        def serve() -> None:
            with suppress(OSError):  # the listener was closed: it is over
                while True:
                    caller, _address = listener.accept()
                    with caller:
                        started.append(
                            subprocess.Popen(
                                list(command),
                                stdin=caller.fileno(),
                                stdout=caller.fileno(),
                                stderr=subprocess.DEVNULL,
                            )
                        )

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            serving.join()
            for process in started:
                process.terminate()
                process.wait()
