"""The database pair: what was seen of it, one verdict out of a closed set, and what may be done. Pure."""

from rmc_dr.pair.holdings import Holding, apart
from rmc_dr.pair.judge import Name, Verdict, follows, verdict
from rmc_dr.pair.keys import ClusterKeys
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
    "ClusterKeys",
    "EtcdMember",
    "Health",
    "Holding",
    "Limits",
    "Name",
    "Node",
    "PairObservation",
    "PatroniView",
    "Replica",
    "Role",
    "Slot",
    "Verdict",
    "apart",
    "follows",
    "lag",
    "replica_of",
    "verdict",
]
