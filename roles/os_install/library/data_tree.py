#!/usr/bin/python
"""Compare the data partition's files with what they were before the reinstall."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.disk_prepare import MANIFEST
from ansible.module_utils.file_tree import differences, parse_lines, read_tree

DOCUMENTATION = r"""
module: data_tree
short_description: Prove that the files of the data partition are those from before the reinstall
description:
  - Reads what C(disk_install) noted on the new root, hashes every file again and compares.
  - Fails where a file is missing or changed, where the data was kept without its files being hashed, or where
    the data partition is not mounted. Once proven, later
    changes are the applications' own and are only reported.
options:
  path: {description: Where the data partition is mounted., type: path, required: true}
  state: {description: Folder with the notes of C(disk_install)., type: path, default: /var/lib/rmc-dr}
"""

NOTE = "data-before.json"
SHOWN = 20


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "state": {"type": "path", "default": "/var/lib/rmc-dr"},
        },
        supports_check_mode=True,
    )
    folder, state = Path(module.params["path"]), Path(module.params["state"])
    if not os.path.ismount(folder):
        module.fail_json(msg=f"The data partition is not mounted at {folder}.")
    try:
        noted = json.loads((state / NOTE).read_text())
        if noted["kept"] and noted.get("sha256") is None:
            module.fail_json(
                msg=f"The files of {folder} were not hashed before the reinstall: hash_data=false."
            )
        before = parse_lines((state / MANIFEST).read_bytes())
        after = read_tree(folder)
    except OSError as problem:
        module.fail_json(msg=f"The files cannot be compared: {problem}")
    found = differences(before, after.entries)
    result = {
        "kept": noted["kept"],
        "proven": noted.get("proven", False),
        "before": {"files": len(before), "sha256": noted.get("sha256"), "bytes": noted.get("bytes")},
        "after": {"files": len(after.entries), "sha256": after.digest, "bytes": after.size},
        **{key: {"count": len(names), "first": names[:SHOWN]} for key, names in found.items()},
    }
    if not result["proven"] and (found["missing"] or found["changed"]):
        module.fail_json(
            msg=f"{len(found['missing'])} files of {folder} are missing and {len(found['changed'])} changed "
            f"since before the reinstall, first: {', '.join((found['missing'] + found['changed'])[:5])}",
            data=result,
        )
    if not result["proven"] and not module.check_mode:
        _note_proven(state / NOTE, noted)
    module.exit_json(changed=not result["proven"], data={**result, "proven": True})


def _note_proven(note: Path, noted: dict[str, object]) -> None:
    fresh = note.with_suffix(".new")
    fresh.write_text(json.dumps({**noted, "proven": True}) + "\n")
    fresh.replace(note)


if __name__ == "__main__":
    main()
