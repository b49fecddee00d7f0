"""Covers the estate's own secrets in what arrives, byte for byte, so that the headers of a tar stay true."""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 8  # a shorter secret would cover ordinary words
SHORTEST_LINE = 16


class Masker:
    """Feeds on chunks. What may be the beginning of a secret is held back until the next one."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = sorted(
            {part.encode() for secret in secrets for part in _parts(secret)}, key=len, reverse=True
        )
        self._keep = max(map(len, self._secrets), default=1) - 1
        self._held = b""
        self.masked = 0

    def feed(self, chunk: bytes) -> bytes:
        window = self._cover(self._held + chunk)
        split = max(0, len(window) - self._keep)
        self._held = window[split:]
        return window[:split]

    def rest(self) -> bytes:
        held, self._held = self._held, b""
        return held

    def _cover(self, window: bytes) -> bytes:
        for secret in self._secrets:
            if secret in window:
                self.masked += window.count(secret)
                window = window.replace(secret, b"*" * len(secret))
        return window


def _parts(secret: str) -> Iterable[str]:
    """A password whole; of a key each line that says something."""
    lines = [line.strip() for line in secret.splitlines()]
    if len(lines) > 1:
        return [line for line in lines if len(line) >= SHORTEST_LINE and not line.startswith("-----")]
    return [secret] if len(secret) >= SHORTEST else []
