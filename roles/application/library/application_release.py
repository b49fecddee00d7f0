#!/usr/bin/python3
"""The applications' releases: what the host lacks of those in the kit, and the atomic switch.

One call looks after all applications, so that a host on which nothing changed costs little.
"""

from __future__ import annotations

import hashlib
import os
import pwd
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: application_release
short_description: Look at, prepare and switch the releases of applications
description:
  - C(prepare) makes the folders and returns in C(missing) the files to copy, and the C(applications) with the
    digests that their files must have.
  - C(switch) checks the files on the disk and makes the release the current one.
options:
  do: {description: What to do., choices: [prepare, switch], required: true}
  proven: {description: "C(prepare): file of the kit to its SHA-256, as C(kit_files) proved it.", type: dict}
  applications:
    description: Each has name and release; after C(prepare) also C(sha256), file name to digest.
    type: list
    elements: dict
    required: true
author: [rmc-dr]
"""
APPS = Path("/opt/apps")
ATTACHMENTS = Path("/srv/attachments")
USER = "liberty"
SUMS = "SHA256SUMS"
# Liberty still runs what was current before; whoever restarts it removes this.
OWED = APPS / ".restart-owed"
NEEDED = ("app.war", "schema.sql")


class Wrong(Exception):
    """The sentence that the operator reads."""


def prepare(apps: list[dict[str, Any]], proven: dict[str, str]) -> dict[str, Any]:
    apps = [{**app, "sha256": _sums(app, proven)} for app in apps]
    owner = pwd.getpwnam(USER)
    changed = _folder(ATTACHMENTS, 0o755)
    missing = []
    for app in apps:
        changed |= _folder(ATTACHMENTS / app["name"], 0o750, owner.pw_uid, owner.pw_gid)
        folder = _release(app)
        for part in (APPS, APPS / app["name"], folder.parent, folder):
            changed |= _folder(part, 0o755)
        missing += [
            {"from": f"{_in_kit(app)}/{name}", "to": str(folder / name)}
            for name, digest in app["sha256"].items()
            if not (folder / name).is_file() or _sha256(folder / name) != digest
        ]
    return {"changed": changed, "missing": missing, "applications": apps}


def _sums(app: dict[str, Any], proven: dict[str, str]) -> dict[str, str]:
    """The digests of the release's files by their plain names."""
    found = {
        Path(file).name: digest for file, digest in proven.items() if str(Path(file).parent) == _in_kit(app)
    }
    lacking = [name for name in NEEDED if name not in found]
    if lacking:
        raise Wrong(f"The release {app['release']} of {app['name']} in the kit lacks {', '.join(lacking)}.")
    return found


def _in_kit(app: dict[str, Any]) -> str:
    return f"applications/{app['name']}/{app['release']}"


def switch(apps: list[dict[str, Any]]) -> dict[str, Any]:
    for app in apps:
        _check(app)
    for app in apps:
        _switch_one(APPS / app["name"], f"releases/{app['release']}")
    return {"changed": OWED.exists()}


def _switch_one(home: Path, wanted: str) -> None:
    current = home / "current"
    before = str(current.readlink()) if current.is_symlink() else ""
    if before == wanted:
        return
    OWED.touch()
    if before:
        _link(home / "previous", before)
    _link(current, wanted)


def _check(app: dict[str, Any]) -> None:
    """The files are those of the kit, or, without one, those that were noted when they came from it."""
    folder = _release(app)
    if app.get("sha256"):
        sums = app["sha256"]
    else:
        try:
            lines = (folder / SUMS).read_text().splitlines()
        except FileNotFoundError:
            raise Wrong(f"The release {app['release']} of {app['name']} is not on this host.") from None
        sums = {line.split("  ", 1)[1]: line.split("  ", 1)[0] for line in lines}
    for name, digest in sums.items():
        if not (folder / name).is_file() or _sha256(folder / name) != digest:
            raise Wrong(f"{folder / name} is damaged: its SHA-256 is not what it was in the kit.")
    _write(folder / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))


def _release(app: dict[str, Any]) -> Path:
    return APPS / app["name"] / "releases" / app["release"]


def _folder(path: Path, mode: int, uid: int = 0, gid: int = 0) -> bool:
    made = not path.is_dir()
    path.mkdir(exist_ok=True)
    seen = path.stat()
    if (seen.st_mode & 0o7777, seen.st_uid, seen.st_gid) == (mode, uid, gid):
        return made
    os.chown(path, uid, gid)
    path.chmod(mode)
    return True


def _link(path: Path, target: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(path)


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text() == text:
        return
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text)
    draft.replace(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "do": {"type": "str", "choices": ["prepare", "switch"], "required": True},
            "proven": {"type": "dict"},
            "applications": {"type": "list", "elements": "dict", "required": True},
        },
        required_if=[("do", "prepare", ["proven"])],
    )
    apps = module.params["applications"]
    try:
        prepares = module.params["do"] == "prepare"
        module.exit_json(**(prepare(apps, module.params["proven"]) if prepares else switch(apps)))
    except Wrong as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
