"""The part `check` of estate.yml: from where on `rmc-dr check` warns, and from where on it alarms."""

from __future__ import annotations

from pydantic import Field, model_validator

from rmc_dr.strict import Strict


class Above(Strict):
    """What is higher is worse."""

    warning: float = Field(ge=0, allow_inf_nan=False)
    critical: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Above:
        if self.critical < self.warning:
            raise ValueError("critical must not lie below warning")
        return self


class Below(Strict):
    """What is lower is worse."""

    warning: float = Field(ge=0, allow_inf_nan=False)
    critical: float = Field(ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _in_order(self) -> Below:
        if self.critical > self.warning:
            raise ValueError("critical must not lie above warning")
        return self


class Percent(Above):
    warning: float = Field(ge=0, le=100)
    critical: float = Field(ge=0, le=100)


class Thresholds(Strict):
    """Each has a default; the estate names those that it wants otherwise. The unit ends the name."""

    latency_ms: Above = Above(warning=20, critical=200)
    clock_seconds: Above = Above(warning=2, critical=30)
    load_per_core: Above = Above(warning=8, critical=32)
    memory_percent: Percent = Percent(warning=90, critical=97)
    disk_percent: Percent = Percent(warning=85, critical=95)
    inodes_percent: Percent = Percent(warning=85, critical=95)
    files_percent: Percent = Percent(warning=80, critical=95)
    heap_percent: Percent = Percent(warning=90, critical=98)
    threads: Above = Above(warning=500, critical=2000)
    connections_percent: Percent = Percent(warning=80, critical=95)
    transaction_seconds: Above = Above(warning=300, critical=3600)
    lock_seconds: Above = Above(warning=30, critical=300)
    certificate_days: Below = Below(warning=30, critical=7)
    kit_days: Below = Below(warning=14, critical=0)
