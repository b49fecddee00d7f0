#!/usr/bin/python
"""Compares the attachments that a database knows of with the files in a folder."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: attachments_count
short_description: How many of the known attachments are there
description: Changes nothing. Names only; the contents are compared where backups are verified.
options:
  folder: {description: Where the attachments lie., type: path, required: true}
  known:
    description: Their paths below the folder, by the database.
    type: list
    elements: str
    required: true
"""
RETURN = r"""
count: {description: C(known) and C(missing) as counts, and the C(first) few that are missing., type: dict}
"""
SHOWN = 20


def count(folder: Path, known: list[str]) -> dict[str, object]:
    """What is known and not there; a path that leads out of the folder is not there."""
    missing = sorted(name for name in known if ".." in Path(name).parts or not (folder / name).is_file())
    return {"known": len(known), "missing": len(missing), "first": missing[:SHOWN]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "folder": {"type": "path", "required": True},
            "known": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, count=count(Path(module.params["folder"]), module.params["known"]))


if __name__ == "__main__":
    main()
