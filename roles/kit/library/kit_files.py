#!/usr/bin/python3
"""Proves files of the recovery kit: the manifest by its signature, each file by the manifest's SHA-256."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: kit_files
short_description: Prove files of the kit before they are used
description:
  - Runs on the control machine. Returns C(sha256), file name to digest, of every file that I(names) names.
  - Fails as refused where the manifest is not the pinned signer's, or a file is not the manifest's.
options:
  kit: {description: The kit's folder., type: path, required: true}
  allowed_signers: {description: Who may sign kits; lies outside of the kit., type: path, required: true}
  names: {description: Files or whole folders of the kit., type: list, elements: str, required: true}
author: [rmc-dr]
"""
SIGNER = NAMESPACE = "rmc-dr-kit"


class Unproven(Exception):
    """The sentence that the operator reads."""


def prove(kit: Path, allowed_signers: Path, names: list[str]) -> dict[str, str]:
    """The digests of all named files. Raises Unproven where one of them is not what was signed."""
    manifest = _signed_manifest(kit, allowed_signers)
    proven = {}
    for name in names:
        inside = [file for file in manifest if file == name or file.startswith(f"{name}/")]
        if not inside:
            raise Unproven(f"The kit in {kit} holds no {name}.")
        foreign = {str(path.relative_to(kit)) for path in (kit / name).rglob("*") if not path.is_dir()} - {
            *inside
        }
        if foreign:
            raise Unproven(
                f"The kit's manifest does not name {', '.join(sorted(foreign))}. Nothing was used."
            )
        proven.update({file: manifest[file] for file in inside})
    for file, digest in proven.items():
        path = kit / file
        if path.is_symlink() or not path.is_file() or _sha256(path) != digest:
            raise Unproven(f"{path} is not the file that the kit's manifest describes. It was not used.")
    return proven


def _signed_manifest(kit: Path, allowed_signers: Path) -> dict[str, str]:
    """What is believed are the very bytes whose signature was checked."""
    try:
        text = (kit / "manifest.json").read_bytes()
    except OSError as problem:
        raise Unproven(f"The kit in {kit} cannot be read: {problem.strerror}.") from None
    command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", SIGNER, "-f", str(allowed_signers)]
    command += ["-s", str(kit / "manifest.json.sig")]
    if subprocess.run(command, input=text, capture_output=True, check=False).returncode:
        raise Unproven(
            f"The manifest of the kit in {kit} is not signed by the signer that {allowed_signers} pins. "
            "Nothing of it was used. See `rmc-dr kit verify`."
        )
    return {name: file["sha256"] for name, file in json.loads(text)["files"].items()}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kit": {"type": "path", "required": True},
            "allowed_signers": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        proven = prove(Path(given["kit"]), Path(given["allowed_signers"]), given["names"])
    except Unproven as reason:
        module.fail_json(msg=str(reason), refused=True)
    module.exit_json(changed=False, sha256=proven)


if __name__ == "__main__":
    main()
