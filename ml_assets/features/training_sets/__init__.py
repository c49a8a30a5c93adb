"""Training sets as of the instant of each label, proved free of leakage."""

LARGEST_SAMPLE = 20_000
"""Rows of a training set that are examined for leaks, at most: which, follows from their ids."""
LOOKED_AT = 5_000
"""Rows of a training set that are built again to see whether it still comes out the same."""

GROUP = 2**15
"""Rows of a row group: a training streams some groups at a time, in random order."""
