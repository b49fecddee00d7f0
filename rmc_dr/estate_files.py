"""An inventory's files before anybody believes them: sane in size, depth and names, a vault in its place."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _

LARGEST = 1024 * 1024  # bytes of one file
MOST_FILES = 500
DEEPEST = 40  # levels
MOST_VALUES = 50_000  # of one file, every alias written out
ENCRYPTED = b"$ANSIBLE_VAULT;"
HOST_NAME = re.compile(
    r"(?=.{1,63}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_monstrous(inventory: Path) -> None:
    """Raises BadInput `inventory-monstrous` before Ansible would eat all memory. What is no YAML at all is
    left to Ansible, which names the line."""
    for number, path in enumerate(_files(inventory)):
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(_("{file} is no ordinary file.").format(file=path))
        if status.st_size > LARGEST or number >= MOST_FILES:
            raise _refusal(_("{file} is too much for an inventory.").format(file=path))
        text = path.read_bytes()
        if not text.startswith(ENCRYPTED) and path.suffix in (".yml", ".yaml", ".json", ""):
            _weigh(path, text)


def _files(inventory: Path) -> Iterator[Path]:
    yield from sorted(path for path in inventory.iterdir() if path.exists() and not path.is_dir())
    for name in ("group_vars", "host_vars"):
        yield from (path for path in (inventory / name).rglob("*") if path.exists() and not path.is_dir())


def _weigh(path: Path, text: bytes) -> None:
    """Count the values of a document as they would be with each alias written out."""
    open_nodes: list[list[Any]] = [[None, 0]]  # anchor, and values so far
    whole: dict[str, int] = {}
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                if event.anchor not in whole:
                    raise _refusal(_("{file} contains itself by an alias.").format(file=path))
                open_nodes[-1][1] += whole[event.anchor]
            elif isinstance(event, yaml.ScalarEvent):
                open_nodes[-1][1] += 1
                if event.anchor:
                    whole[event.anchor] = 1
            elif isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append([event.anchor, 1])
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, values = open_nodes.pop()
                open_nodes[-1][1] += values
                if anchor:
                    whole[anchor] = values
            if open_nodes[-1][1] > MOST_VALUES:
                raise _refusal(_("{file} is too much for an inventory.").format(file=path))
            if len(open_nodes) > DEEPEST:
                raise _refusal(_("{file} is nested too deeply.").format(file=path))
    except (yaml.YAMLError, RecursionError, ValueError):
        return


def _refusal(message: str) -> BadInput:
    return BadInput(
        "inventory-monstrous", message, _("Compare it with inventories/example; an estate's files are small.")
    )


def refuse_odd_name(name: str) -> None:
    """A host's name becomes a word of commands and a part of paths."""
    if not HOST_NAME.fullmatch(name):
        raise BadInput(
            "host-name",
            _("{name} is no name of a host.").format(name=ascii(name)),
            _("Use letters, digits, hyphens and dots, as in app1."),
        )


def no_secrets(vault: Path, *, lab: bool) -> BadInput:
    """Why an inventory that could be read told no secrets, and what makes them."""
    if not vault.is_file():
        return BadInput(
            "vault-missing",
            _("The estate's secrets are missing: there is no {path}.").format(path=vault),
            _("`rmc-dr lab up` makes them.")
            if lab
            else _("Restore the file from a copy; for a new estate `rmc-dr estate init` makes it."),
        )
    if not vault.read_bytes().strip():
        return empty_vault(vault)
    return BadInput(
        "vault-invalid",
        _("{path} holds no dictionary `vault`.").format(path=vault),
        _("Compare it with inventories/example/vault.example.yml."),
    )


def empty_vault(path: Path) -> BadInput:
    return BadInput(
        "vault-empty",
        _("The vault {path} is empty.").format(path=path),
        _("Restore the file from a copy; for a new estate remove it, then `rmc-dr estate init` makes it."),
    )
