"""What is remembered between openings of a recording."""

CACHE_BYTES = 2 * 2**30
"""Size of all entries together above which the ones not used for the longest time are removed."""
