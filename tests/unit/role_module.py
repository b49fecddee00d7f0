"""A role's module or program as Python, the way Ansible would load it."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from rmc_dr import content


def loaded(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def program(path: str) -> ModuleType:
    """A program of a role, whatever its name ends in; ``path`` is below the project's root."""
    spec = importlib.util.spec_from_loader("program", SourceFileLoader("program", str(content.root() / path)))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
