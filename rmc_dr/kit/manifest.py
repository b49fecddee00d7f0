"""What a kit says of itself: every file with hash and size, versions, build time. Pure; no disk, no clock."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

NAME = "manifest.json"
SIGNATURE = "manifest.json.sig"
FORMAT = 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KitFile(_Strict):
    """One file of the kit; ``size`` in bytes."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Versions(_Strict):
    """``images`` maps image to Debian package to version; ``applications`` maps application to releases."""

    debian: str
    liberty: str
    jdbc: str
    applications: dict[str, list[str]]
    images: dict[str, dict[str, str]]


class Document(_Strict):
    """The JSON document itself."""

    format: int = Field(ge=FORMAT, le=FORMAT)
    tool: str
    built: datetime
    expires: datetime
    files: dict[str, KitFile] = Field(min_length=1)
    versions: Versions

    @field_validator("built", "expires")
    @classmethod
    def _aware(cls, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise ValueError("a time needs its zone")
        return value.astimezone(UTC)

    @field_validator("files")
    @classmethod
    def _plain_names(cls, value: dict[str, KitFile]) -> dict[str, KitFile]:
        for name in value:
            if not is_plain(name):
                raise ValueError(f"{name!r} is not a plain path inside the kit")
        return value


class Manifest:
    """A manifest that has been read; ``sha256`` is that of its own bytes and names the kit."""

    def __init__(self, root: Path, text: bytes) -> None:
        """Raises ValueError for bytes that are no manifest."""
        self.root = root
        self.sha256 = hashlib.sha256(text).hexdigest()
        try:
            self.document = Document.model_validate(json.loads(text))
        except (ValidationError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(_first(error)) from None

    @property
    def files(self) -> Mapping[str, KitFile]:
        return self.document.files

    @property
    def built(self) -> datetime:
        return self.document.built

    @property
    def expires(self) -> datetime:
        return self.document.expires

    def in_date(self, now: datetime) -> bool:
        """Whether the kit has been built and has not expired."""
        return self.built <= now < self.expires

    @property
    def versions(self) -> Versions:
        return self.document.versions

    def path(self, name: str) -> Path:
        """Where a file of the kit lies. Raises KeyError for a name that the manifest does not hold."""
        if name not in self.files:
            raise KeyError(name)
        return self.root / name


def render(document: Document) -> bytes:
    """The bytes that are signed."""
    plain: dict[str, Any] = document.model_dump(mode="json")
    return (json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def is_plain(name: str) -> bool:
    """A relative path of ordinary names; nothing that could lead out of the kit or hide in it."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and str(PurePosixPath(*parts)) == name
        and not name.startswith("/")
        and name.isprintable()
        and "\\" not in name
        and all(part not in ("..", ".") for part in parts)
        and name not in (NAME, SIGNATURE)
    )


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in details['loc'])}: {details['msg']}"
    return str(error)
