#!/usr/bin/python
"""Writes many small files in one round trip; each is replaced whole or left alone."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: base_files
short_description: Write many small files and links in one round trip, and put them into effect
description:
  - A task a file costs half a second a host; a baseline has twenty. Missing folders are made.
  - C(apply) runs once after all files are written, and counts only when it has succeeded. A run that is
    killed in between, where a handler would be lost, is made good by the next one.
options:
  files:
    description: What to write. Give either C(content) or C(link).
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where., type: path, required: true}
      content: {description: The whole text., type: str}
      link: {description: What a symbolic link points to., type: str}
      mode: {description: Octal., type: str, default: "0644"}
      owner: {description: User., type: str, default: root}
      group: {description: Group., type: str, default: root}
      keep: {description: Leave a file alone that is there already., type: bool, default: false}
      apply: {description: The command that puts the content into effect., type: list, elements: str}
author: [rmc-dr]
"""
RETURN = """
written: {description: The paths that were not as described., type: list, elements: str, returned: always}
applied: {description: The commands that were run., type: list, elements: str, returned: always}
"""
FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "no_log": True},
    "link": {"type": "str"},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "keep": {"type": "bool", "default": False},
    "apply": {"type": "list", "elements": "str"},
}
STAMPS = Path("/var/lib/rmc-dr/applied")


def main() -> None:
    options = {"type": "list", "elements": "dict", "required": True, "options": FILE}
    options["required_one_of"] = options["mutually_exclusive"] = [["content", "link"]]
    module = AnsibleModule(argument_spec={"files": options}, supports_check_mode=True)
    files = module.params["files"]
    try:
        wrong = [file for file in files if not is_right(file)]
        if not module.check_mode:
            for file in wrong:
                write(file)
        pending = [file for file in files if file["apply"] and (file in wrong or not is_applied(file))]
    except (OSError, KeyError, ValueError) as error:
        module.fail_json(msg=str(error))
    commands = list(dict.fromkeys(tuple(file["apply"]) for file in pending))
    if not module.check_mode:
        for command in commands:
            module.run_command(list(command), check_rc=True)
        for file in pending:
            stamp(file)
    module.exit_json(
        changed=bool(wrong or pending),
        written=[file["path"] for file in wrong],
        applied=[" ".join(command) for command in commands],
    )


def is_right(file: dict) -> bool:
    path = Path(file["path"])
    if file["keep"] and (path.exists() or path.is_symlink()):
        return True
    if file["link"] is not None:
        return path.is_symlink() and str(path.readlink()) == file["link"]
    if path.is_symlink() or not path.is_file():
        return False
    found = path.stat()
    same = path.read_bytes() == file["content"].encode()
    return same and (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == wanted(file)


def wanted(file: dict) -> tuple:
    """Mode, user and group as numbers. Raises KeyError for a name that the host does not know."""
    return int(file["mode"], 8), pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid


def write(file: dict) -> None:
    path = Path(file["path"])
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.rmc-dr")
    draft.unlink(missing_ok=True)
    if file["link"] is not None:
        draft.symlink_to(file["link"])
    else:
        mode, user, group = wanted(file)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file["content"].encode())
            stream.flush()
            os.fchown(descriptor, user, group)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
    draft.replace(path)


def stamp_of(file: dict) -> tuple[Path, str]:
    """Where the digest of the content last put into effect is kept, and the digest that should be there."""
    return STAMPS / file["path"].strip("/").replace("/", "-"), hashlib.sha256(content_of(file)).hexdigest()


def content_of(file: dict) -> bytes:
    return file["content"].encode() if file["content"] is not None else file["link"].encode()


def is_applied(file: dict) -> bool:
    path, digest = stamp_of(file)
    return path.is_file() and path.read_text() == digest


def stamp(file: dict) -> None:
    path, digest = stamp_of(file)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(digest)


if __name__ == "__main__":
    main()
