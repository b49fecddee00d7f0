"""Keeps known secrets out of what is written down."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MASK = "[secret]"
SHORTEST = 6  # a shorter secret would mask ordinary words


class Redactor:
    """Masks every known secret, whole or any line of a longer one, wherever a string holds it."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._parts: set[str] = set()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Mask these as well from now on."""
        self._parts |= {part for secret in secrets for part in (secret, *_telling_lines(secret))}
        usable = sorted((part for part in self._parts if len(part) >= SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, usable))) if usable else None

    def clean(self, value: Any) -> Any:
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(MASK, value)
        if isinstance(value, dict):
            return {self.clean(key): self.clean(item) for key, item in value.items()}
        return [self.clean(item) for item in value] if isinstance(value, list) else value


def _telling_lines(secret: str) -> list[str]:
    """The lines of a key or certificate that say something: without its BEGIN and END."""
    lines = [line.strip() for line in secret.splitlines()]
    return (
        [line for line in lines if len(line) >= 16 and not line.startswith("-----")] if len(lines) > 1 else []
    )
