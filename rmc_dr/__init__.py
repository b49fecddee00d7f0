"""Disaster recovery for the systems of an assisted-reproduction centre."""

__version__ = "0.1.0"
