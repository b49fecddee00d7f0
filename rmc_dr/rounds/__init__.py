"""The quarterly inspection (巡检): the look, its record, what the next one compares with.

`rmc_dr/inspection.py` is another thing: a backup that was brought back beside production, to look into.
"""
