"""What Prometheus' node exporter reads from a text file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Sample = tuple[Mapping[str, str], float]


def gauge(name: str, samples: Iterable[Sample], digits: int = 3) -> list[str]:
    """The lines of one gauge: its labels, and the value with so many digits after the point."""
    return [
        f"# TYPE {name} gauge",
        *(f"{name}{_labels(labels)} {value:.{digits}f}" for labels, value in samples),
    ]


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
