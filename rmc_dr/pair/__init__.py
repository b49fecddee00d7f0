"""The database pair: what was seen of it, and one verdict out of a closed set. Pure."""

from rmc_dr.pair.judge import Name, Verdict, verdict
from rmc_dr.pair.seen import (
    EtcdMember,
    Health,
    Limits,
    Node,
    PairObservation,
    PatroniView,
    Replica,
    Role,
    Slot,
    lag,
    replica_of,
)

__all__ = [
    "EtcdMember",
    "Health",
    "Limits",
    "Name",
    "Node",
    "PairObservation",
    "PatroniView",
    "Replica",
    "Role",
    "Slot",
    "Verdict",
    "lag",
    "replica_of",
    "verdict",
]
