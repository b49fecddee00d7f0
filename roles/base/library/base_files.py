#!/usr/bin/python
"""Writes many small files in one round trip; each is replaced whole or left alone."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tempfile

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: base_files
short_description: Write many small files and links in one round trip
description: A task a file costs half a second a host; a baseline has twenty. Missing folders are made.
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
author: [rmc-dr]
"""
RETURN = """
written: {description: The paths that were not as described., type: list, elements: str, returned: always}
"""
FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "no_log": True},
    "link": {"type": "str"},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "keep": {"type": "bool", "default": False},
}


def main() -> None:
    files = {"type": "list", "elements": "dict", "required": True, "options": FILE}
    files["required_one_of"] = files["mutually_exclusive"] = [["content", "link"]]
    module = AnsibleModule(argument_spec={"files": files}, supports_check_mode=True)
    wrong = [file for file in module.params["files"] if not is_right(file)]
    if not module.check_mode:
        for file in wrong:
            try:
                write(file)
            except (OSError, KeyError, ValueError) as error:
                module.fail_json(msg=f"{file['path']}: {error}")
    module.exit_json(changed=bool(wrong), written=[file["path"] for file in wrong])


def is_right(file: dict) -> bool:
    path = file["path"]
    if file["keep"] and os.path.lexists(path):
        return True
    if file["link"] is not None:
        return os.path.islink(path) and os.readlink(path) == file["link"]
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    found = os.stat(path)
    with open(path, "rb") as stream:
        same = stream.read() == file["content"].encode()
    return same and (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == wanted(file)


def wanted(file: dict) -> tuple:
    """Mode, user and group as numbers; -1 for a name that the host does not know yet."""
    try:
        return int(file["mode"], 8), pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid
    except KeyError:
        return -1, -1, -1


def write(file: dict) -> None:
    folder = os.path.dirname(file["path"])
    os.makedirs(folder, mode=0o755, exist_ok=True)
    if file["link"] is not None:
        draft = tempfile.mktemp(prefix=".rmc-dr-", dir=folder)
        os.symlink(file["link"], draft)
    else:
        descriptor, draft = tempfile.mkstemp(prefix=".rmc-dr-", dir=folder)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(file["content"].encode())
            stream.flush()
            os.fchown(descriptor, pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid)
            os.fchmod(descriptor, int(file["mode"], 8))
            os.fsync(descriptor)
    os.replace(draft, file["path"])


if __name__ == "__main__":
    main()
