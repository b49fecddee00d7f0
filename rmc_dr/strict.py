"""The base of all that is read from an estate's files: a key that nobody knows is an error,
and so is a number without an end."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
