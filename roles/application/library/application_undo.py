#!/usr/bin/python3
"""Takes migrations of a release back, the last one first, in one transaction. Runs on the primary."""

from __future__ import annotations

import subprocess

from ansible.module_utils.application_sql import (
    MIGRATION_SECONDS,
    NAME,
    SqlFailed,
    Wrong,
    run,
    undo,
    undo_name,
)
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: application_undo
short_description: Take back migrations that a failed release brought
description: Runs NAME.undo.sql of each, and forgets that it ran. All of them or none.
options:
  database: {description: The application's database., type: str, required: true}
  names: {description: The migrations to take back., type: list, elements: str, required: true}
  migrations: {description: "File name of the release's migrations to SQL.", type: dict, required: true}
author: [rmc-dr]
"""


def script(database: str, names: list[str], migrations: dict[str, str]) -> str:
    """Raises Wrong where one of them cannot be taken back."""
    lacking = [name for name in names if not NAME.fullmatch(name) or undo_name(name) not in migrations]
    if lacking:
        raise Wrong(f"There is no undo for {', '.join(lacking)}; nothing was taken back.")
    return undo(f"{database}_owner", names, migrations)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "database": {"type": "str", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "migrations": {"type": "dict", "required": True},
        }
    )
    database, names = module.params["database"], module.params["names"]
    try:
        run(
            database,
            script(database, names, module.params["migrations"]),
            role=f"{database}_owner",
            seconds=MIGRATION_SECONDS * len(names) + 120,
        )
    except (SqlFailed, Wrong, subprocess.TimeoutExpired) as reason:
        module.fail_json(msg=f"The migrations of {database} could not be taken back: {str(reason)[:1000]}")
    module.exit_json(changed=True, undone=names)


if __name__ == "__main__":
    main()
