"""Reads archived WAL to its last byte: each segment's name holds the SHA-1 of what it unpacks to."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.verification_host import (
    AS_POSTGRES,
    ENVIRONMENT,
    Wrong,
    cores,
    in_slice,
    run,
    short,
    still_ours,
)
from ansible.module_utils.verification_reading import segments

LIST_SECONDS = 300
READ_SECONDS = 300


def spoiled(stanza: str, folder: str, only: Sequence[str] = ()) -> tuple[int, list[tuple[str, str]]]:
    """How many segments of a folder (17-1/0000000100000000) were read, and which are not what they say.

    ``only`` narrows it down to these segments. Raises Wrong where the folder cannot be listed.
    """
    path = f"archive/{stanza}/{folder}"
    done = run(
        *AS_POSTGRES,
        "pgbackrest",
        f"--stanza={stanza}",
        "--output=json",
        "repo-ls",
        path,
        timeout=LIST_SECONDS,
    )
    if done.returncode:
        raise Wrong(f"The archive's folder {folder} cannot be listed: {short(done.stderr or done.stdout)}")
    wanted = [one for one in segments(done.stdout) if not only or one[1] in only]

    def look(one: tuple[str, str, str]) -> tuple[str, str] | None:
        name, _segment, digest = one
        said = _sha1(stanza, f"{path}/{name}", name.endswith(".zst"))
        return None if said == digest else (f"{folder}/{name}", said)

    with ThreadPoolExecutor(cores()) as pool:
        return len(wanted), [bad for bad in pool.map(look, wanted) if bad]


def _sha1(stanza: str, path: str, packed: bool) -> str:
    """The digest of a segment's content, or what went wrong."""
    still_ours()
    get = [*in_slice(), *AS_POSTGRES, "pgbackrest", f"--stanza={stanza}", "repo-get", path]
    content = b""
    for command in (get, ["zstd", "-dcq"]) if packed else (get,):
        try:
            done = subprocess.run(
                command,
                input=content,
                capture_output=True,
                env=ENVIRONMENT,
                cwd="/",
                timeout=READ_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "it did not end"
        if done.returncode:
            return short(done.stderr.decode(errors="replace")) or f"ended with {done.returncode}"
        content = done.stdout
    return hashlib.sha1(content).hexdigest()  # noqa: S324 the archive's own
