#!/usr/bin/python3
"""Reads a Liberty archive on the control machine: its version and SHA-256; refuses what is not Liberty."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: liberty_archive
short_description: Recognise a Liberty archive
description: Returns version, edition and sha256 of a Liberty zip; fails for a traditional WebSphere archive.
options:
  path: {description: The archive on the control machine., type: path, required: true}
author: [rmc-dr]
"""
VERSIONS = "wlp/lib/versions/"
# What only a traditional WebSphere Application Server, or an Installation Manager repository of it, contains.
TRADITIONAL = ("AppServer/", "repository.config", "repository.xml", "profileTemplates/", "com.ibm.websphere.")


class NotLiberty(Exception):
    """The sentence that the operator reads."""


def recognise(path: Path) -> dict[str, str]:
    """Version, edition and SHA-256 of a Liberty archive. Raises NotLiberty with the reason."""
    if not path.is_file():
        raise NotLiberty(f"{path} is missing. Put a Liberty archive there; estate.liberty.archive names it.")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            found = [name for name in names if name.startswith(VERSIONS) and name.endswith(".properties")]
            if "wlp/bin/server" in names and found:
                return {**_version([archive.read(name).decode() for name in found]), "sha256": _sha256(path)}
    except zipfile.BadZipFile:
        raise NotLiberty(f"{path} is no zip archive. Take Liberty's zip, not its installer.") from None
    if any(name.startswith(TRADITIONAL) or f"/{TRADITIONAL[0]}" in name for name in names):
        raise NotLiberty(
            f"{path} is a traditional WebSphere Application Server. rmc-dr runs WebSphere Liberty or "
            "Open Liberty: an archive whose top folder is wlp/."
        )
    raise NotLiberty(f"{path} is no Liberty archive: it has no wlp/bin/server.")


def _version(texts: list[str]) -> dict[str, str]:
    """A licensed Liberty lists the open product it is based on as well; its own name wins."""
    products = []
    for text in texts:
        lines = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        products.append({key.strip(): value.strip() for key, value in lines})
    products.sort(key=lambda product: product.get("com.ibm.websphere.productId") == "io.openliberty")
    return {
        "version": products[0].get("com.ibm.websphere.productVersion", "unknown"),
        "edition": products[0].get("com.ibm.websphere.productName", "unknown"),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    module = AnsibleModule(
        argument_spec={"path": {"type": "path", "required": True}}, supports_check_mode=True
    )
    try:
        module.exit_json(changed=False, **recognise(Path(module.params["path"])))
    except NotLiberty as reason:
        module.fail_json(msg=str(reason))


if __name__ == "__main__":
    main()
