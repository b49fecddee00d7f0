"""What a host's power can be in."""

from __future__ import annotations

from typing import Literal

State = Literal["off", "rescue", "disk", "unknown"]
