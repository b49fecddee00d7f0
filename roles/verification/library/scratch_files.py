#!/usr/bin/python
"""A sample of attachments comes back and is compared by hash with what the restored database says of them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import time
from datetime import datetime
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.verification_host import RESTIC, Copy, Wrong, finding, run, short

DOCUMENTATION = r"""
module: scratch_files
short_description: Restore a sample of attachments, and compare the snapshot with the database's list
description:
  - Missing is what the database knew when the snapshot was taken and the snapshot lacks. Orphaned is what the
    snapshot holds and the database does not know; an upload that broke leaves such a file, so it is not red.
  - Only the ids of files leave the host.
options:
  host: {description: The host that took the snapshot., type: str, required: true}
  folder: {description: The attachments' folder on that host., type: path, required: true}
  sample: {description: How many files are brought back., type: int, required: true}
  compare: {description: Whether there is a restored database., type: bool, required: true}
  lists: {description: Each has application and sql., type: list, elements: dict, default: []}
  databases: {description: Application -> its database., type: dict, required: true}
  port: {description: The copy's port., type: int, required: true}
  scratch: {description: The scratch., type: path, required: true}
  timeout: {description: Seconds that a program may take., type: int, required: true}
author: [rmc-dr]
"""
MARGIN_SECONDS = 120  # an upload in hand when the snapshot was taken, and clocks that differ a little
SHOWN = 20
LIST = """
copy (select id::text, coalesce(sha256::text, ''), coalesce(extract(epoch from made::timestamptz), 0)
        from ({sql}) as listed (id, sha256, made)) to stdout
"""
READ_ONLY = "-c default_transaction_read_only=on -c role=pg_read_all_data"


def restic(given: dict, *words: str) -> str:
    """Raises Wrong with restic's own words."""
    done = run(
        RESTIC,
        "--no-lock",
        f"--cache-dir={given['scratch']}/cache",
        "--json",
        *words,
        timeout=given["timeout"],
    )
    if done.returncode:
        raise Wrong(
            f"restic could not read the backup ({done.returncode}): {short(done.stderr or done.stdout)}"
        )
    return done.stdout


def newest(given: dict) -> dict | None:
    listed = json.loads(restic(given, "snapshots", f"--host={given['host']}", "--tag=attachments") or "[]")
    return max(listed, key=lambda one: datetime.fromisoformat(one["time"]), default=None)


def held(given: dict, snapshot: str) -> dict[str, dict]:
    """Every file of the snapshot by its path below the folder; a hidden one is an upload that never ended."""
    found = {}
    for line in restic(given, "ls", snapshot, given["folder"], "--recursive").splitlines():
        node = json.loads(line)
        path = Path(node.get("path", "/"))
        if node.get("type") == "file" and not path.name.startswith("."):
            made = datetime.fromisoformat(node["mtime"]).timestamp()
            found[str(path.relative_to(given["folder"]))] = {"size": node.get("size", 0), "made": made}
    return found


def bring(given: dict, snapshot: str, chosen: list[str]) -> tuple[int, float]:
    """Restore these files; bytes and seconds. restic compares what it has written with what it has read."""
    wanted = Path(given["scratch"]) / "wanted"
    wanted.write_text("".join(f"{Path(given['folder']) / _literal(name)}\n" for name in chosen))
    target = Path(given["scratch"]) / "files"
    began = time.monotonic()
    restic(given, "restore", snapshot, f"--target={target}", f"--include-file={wanted}", "--verify")
    seconds = round(time.monotonic() - began, 2)
    here = target / Path(given["folder"]).relative_to("/")
    for path in [target, *target.rglob("*")]:  # the applications read them; nobody else lives here
        path.chmod(0o755 if path.is_dir() else 0o644)
    return sum((here / name).stat().st_size for name in chosen if (here / name).is_file()), seconds


def _literal(name: str) -> str:
    return "".join(f"\\{sign}" if sign in "*?[]\\" else sign for sign in name)


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def listed(given: dict, one: dict, timeout: float) -> dict[str, tuple[str, float]]:
    """What the database says: id -> SHA-256 and when it was made."""
    copy = Copy(given["scratch"], given["port"])
    statement = LIST.format(sql=one["sql"].rstrip().rstrip(";"))
    said = copy.sql(statement, given["databases"][one["application"]], timeout, READ_ONLY, "sqlstate")
    rows = (line.split("\t") for line in said.splitlines())
    return {row[0]: (row[1], float(row[2])) for row in rows}


def differences(
    files: dict[str, dict], rows: dict[str, tuple[str, float]], taken: float, known_until: float
) -> tuple[list[str], list[str]]:
    """Missing ids, and orphaned ones. Pure: what is younger than the other side is not looked for there."""
    missing = [
        name for name, (_sum, made) in rows.items() if made < taken - MARGIN_SECONDS and name not in files
    ]
    orphaned = [
        name
        for name, file in files.items()
        if file["made"] < known_until - MARGIN_SECONDS and name not in rows
    ]
    return sorted(missing), sorted(orphaned)


def compare(
    given: dict, one: dict, files: dict[str, dict], chosen: list[str], taken: float
) -> tuple[list[dict], dict]:
    """The findings on one application's files, and one file of the sample whose hash the database knows."""
    app = one["application"]
    rows = listed(given, one, given["timeout"])
    own = {name.removeprefix(f"{app}/"): file for name, file in files.items() if name.startswith(f"{app}/")}
    newest_row = max((made for _sum, made in rows.values()), default=0.0)
    missing, orphaned = differences(own, rows, taken, newest_row)
    here = Path(given["scratch"]) / "files" / Path(given["folder"]).relative_to("/") / app
    sample = [name.removeprefix(f"{app}/") for name in chosen if name.startswith(f"{app}/")]
    hashes = {name: digest(here / name) for name in sample if (here / name).is_file()}
    wrong = sorted(name for name, found in hashes.items() if rows.get(name, ("",))[0] not in ("", found))
    checks = [
        finding(
            "attachments",
            not missing and not wrong,
            "{app}: {listed} listed, {held} in the snapshot, {compared} compared by hash",
            app=app,
            listed=len(rows),
            held=len(own),
            compared=len(hashes),
        )
    ]
    for names, green, says in (
        (missing, False, "{app}: {count} missing"),
        (wrong, False, "{app}: {count} with other bytes"),
        (orphaned, True, "{app}: {count} that the database does not list (no fault by itself)"),
    ):
        if names:
            checks.append(finding("attachments", green, says, names[:SHOWN], app=app, count=len(names)))
    good = next((name for name in hashes if name in rows and name not in wrong), None)
    return checks, {app: {"id": good, "sha256": hashes[good]}} if good else {}


def verify(given: dict) -> dict:
    snapshot = newest(given)
    if snapshot is None:
        return {
            "checks": [
                finding("snapshot", False, "there is no snapshot of {host}'s attachments", host=given["host"])
            ]
        }
    name, taken = snapshot["short_id"], datetime.fromisoformat(snapshot["time"]).timestamp()
    files = held(given, name)
    chosen = _sample(given, files)
    room = shutil.disk_usage(given["scratch"]).free
    if sum(files[one]["size"] for one in chosen) > room:
        return {"checks": [finding("room", False, "no room for the sample of files", [given["scratch"]])]}
    count, seconds = bring(given, name, chosen) if chosen else (0, 0.0)
    here = Path(given["scratch"]) / "files" / Path(given["folder"]).relative_to("/")
    lost = [one for one in chosen if not (here / one).is_file()]
    checks = [
        finding("snapshot", True, "{id}, {count} files", id=name, count=len(files)),
        finding(
            "sample",
            not lost,
            "{back} of {chosen} files, {bytes} bytes",
            lost[:SHOWN],
            back=len(chosen) - len(lost),
            chosen=len(chosen),
            bytes=count,
        ),
    ]
    one_of: dict = {}
    for one in given["lists"] if given["compare"] else []:
        found, good = compare(given, one, files, chosen, taken)
        checks += found
        one_of.update(good)
    measured = {
        "snapshots": [name],
        "files_bytes": sum(file["size"] for file in files.values()),
        "sample_bytes": count,
        "sample_seconds": seconds,
        "one_of": one_of,
    }
    return {"checks": checks, "measured": measured}


def _sample(given: dict, files: dict[str, dict]) -> list[str]:
    """Others each time: a choice that never changed would never see the rest."""
    names = sorted(files)
    return random.SystemRandom().sample(names, min(given["sample"], len(names)))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "folder": {"type": "path", "required": True},
            "sample": {"type": "int", "required": True},
            "compare": {"type": "bool", "required": True},
            "lists": {"type": "list", "elements": "dict", "default": []},
            "databases": {"type": "dict", "required": True},
            "port": {"type": "int", "required": True},
            "scratch": {"type": "path", "required": True},
            "timeout": {"type": "int", "required": True},
        }
    )
    try:
        module.exit_json(changed=True, found=verify(module.params))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except (OSError, ValueError, KeyError, subprocess.SubprocessError) as problem:
        module.fail_json(msg=f"The sample of files could not be compared: {problem}")


if __name__ == "__main__":
    main()
