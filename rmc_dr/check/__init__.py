"""Triage: one look at everything, side by side, and what is wrong with it, the worst first."""
