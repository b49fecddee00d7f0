"""Rehearsals in the lab: users at work, a disaster, a recovery, and what it cost."""
