"""The backups as they were seen, what is wrong with them, and what an expiry may take. Pure."""

from rmc_dr.backups.archive import Gap, gaps, lacking
from rmc_dr.backups.judge import Level, Limits, Remark, level, remarks
from rmc_dr.backups.keep import Keeping, keeping, outlived
from rmc_dr.backups.proof import Proof, Verdict
from rmc_dr.backups.seen import Archiver, BackupsObservation, DatabaseBackup, Fault, FileSnapshot, faults
from rmc_dr.backups.surroundings import Lineage, Room, Surroundings

__all__ = [
    "Archiver",
    "BackupsObservation",
    "DatabaseBackup",
    "Fault",
    "FileSnapshot",
    "Gap",
    "Keeping",
    "Level",
    "Limits",
    "Lineage",
    "Proof",
    "Remark",
    "Room",
    "Surroundings",
    "Verdict",
    "faults",
    "gaps",
    "keeping",
    "lacking",
    "level",
    "outlived",
    "remarks",
]
