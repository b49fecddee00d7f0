#!/usr/bin/python
"""Reads the repositories to their last byte, as far as tonight's turn goes, and names what is damaged."""

from __future__ import annotations

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.verification_host import AS_POSTGRES, RESTIC, Wrong, finding, run
from ansible.module_utils.verification_reading import may_be_a_writer, pgbackrest_findings, restic_findings
from ansible.module_utils.verification_wal import spoiled

DOCUMENTATION = r"""
module: repository_read
short_description: Read the backups' repositories and name what is damaged
description:
  - pgBackRest reads the sets with all that they need; the archive's folders are read segment by segment;
    restic reads parts of its packs, and all of its structure.
  - Damage is told in C(found), with the object. The module itself fails only where it cannot look.
options:
  stanza: {description: pgBackRest's stanza., type: str, required: true}
  database: {description: Read the database's repository., type: bool, required: true}
  files: {description: Read the files' repository., type: bool, required: true}
  sets: {description: Backups to read., type: list, elements: str, default: []}
  whole: {description: Read all backups and all WAL instead., type: bool, default: false}
  folders: {description: Folders of the archive to read., type: list, elements: str, default: []}
  packs: {description: "Parts of restic's packs, as 3/28, or all.", type: list, elements: str, default: []}
  items: {description: The names of what is read by turns., type: list, elements: str, default: []}
  scratch: {description: The scratch., type: path, required: true}
  timeout: {description: Seconds that one program may take., type: int, required: true}
author: [rmc-dr]
"""
AGAIN_SECONDS = 15
WHOLE = "whole"
WHOLE_PARTS = {"": "its structure", "all": "every pack"}


def read_sets(given: dict) -> tuple[list[dict], set[str]]:
    """The findings on the backups, and the labels that were sound."""
    stanza, checks, sound = given["stanza"], [], set()
    for label in [""] if given["whole"] else given["sets"]:
        found = _verify(stanza, label, given["timeout"])
        if may_be_a_writer(found):  # a backup that ends right now renews one copy after the other
            time.sleep(AGAIN_SECONDS)
            found = _verify(stanza, label, given["timeout"])
        checks += [
            finding("repository", False, "{said}: {name}", [name], said=said, name=name)
            if name
            else finding("repository", False, said)
            for said, name in found
        ]
        if not found:
            checks.append(finding("repository", True, label or "every backup, and every archived segment"))
            sound.add(label or WHOLE)
    return checks, sound


def _verify(stanza: str, label: str, timeout: float) -> list[tuple[str, str]]:
    words = ["pgbackrest", f"--stanza={stanza}", "--log-level-console=detail", "--verbose"]
    done = run(*AS_POSTGRES, *words, *([f"--set={label}"] if label else []), "verify", timeout=timeout)
    return pgbackrest_findings(f"{done.stdout}\n{done.stderr}", whole=not label)


def read_folders(given: dict) -> tuple[list[dict], set[str]]:
    checks, sound, count = [], set(), 0
    for folder in given["folders"]:
        read, bad = spoiled(given["stanza"], folder)
        count += read
        checks += [
            finding("wal", False, "damaged: {name} ({said})", [name], name=name, said=said)
            for name, said in bad
        ]
        if not bad:
            sound.add(f"wal {folder}")
    if count and not checks:
        checks.append(finding("wal", True, "{count} segments, whose turn it was", count=count))
    return checks, sound


def read_packs(given: dict) -> tuple[list[dict], set[str]]:
    """restic's structure is read in any case; a part of the packs, or all of them, as their turn comes."""
    checks, sound = [], set()
    for part in given["packs"] or [""]:
        depth = ["--read-data"] if part == "all" else [f"--read-data-subset={part}"] if part else []
        done = run(
            RESTIC, "--no-lock", f"--cache-dir={given['scratch']}/cache", "--json", "check", *depth,
            timeout=given["timeout"],
        )  # fmt: skip
        ended, found = restic_findings(f"{done.stdout}\n{done.stderr}")
        checks += [finding("packs", False, said, names) for said, names in found]
        if not found and (done.returncode or not ended):
            checks.append(finding("packs", False, "restic ended with {code}", code=done.returncode))
        elif not found:
            if part in WHOLE_PARTS:
                checks.append(finding("packs", True, WHOLE_PARTS[part]))
            else:
                checks.append(finding("packs", True, "part {part} of the packs", part=part))
            sound |= {f"packs {part}"} if part else set()
    return checks, sound


def read(given: dict) -> dict:
    checks: list[dict] = []
    sound: set[str] = set()
    began = time.monotonic()
    parts = [
        *([read_sets, read_folders] if given["database"] else []),
        *([read_packs] if given["files"] else []),
    ]
    for part in parts:
        found, proven = part(given)
        checks += found
        sound |= proven
    return {
        "checks": checks,
        "read": sorted(name for name in given["items"] if _is_read(name, sound)),
        "measured": {"read_seconds": round(time.monotonic() - began, 1)},
    }


def _is_read(name: str, sound: set[str]) -> bool:
    """A backup is read with each later one of its chain; the whole repository brings all of the database."""
    if name.startswith("packs "):
        return name in sound or "packs all" in sound
    return name in sound or WHOLE in sound or any(label.startswith(f"{name}_") for label in sound)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "database": {"type": "bool", "required": True},
            "files": {"type": "bool", "required": True},
            "sets": {"type": "list", "elements": "str", "default": []},
            "whole": {"type": "bool", "default": False},
            "folders": {"type": "list", "elements": "str", "default": []},
            "packs": {"type": "list", "elements": "str", "default": []},
            "items": {"type": "list", "elements": "str", "default": []},
            "scratch": {"type": "path", "required": True},
            "timeout": {"type": "int", "required": True},
        }
    )
    try:
        module.exit_json(changed=False, found=read(module.params))
    except Wrong as reason:
        module.fail_json(msg=str(reason), refused=reason.refused)
    except OSError as problem:
        module.fail_json(msg=f"The repositories could not be read: {problem}")


if __name__ == "__main__":
    main()
