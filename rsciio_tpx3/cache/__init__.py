"""What is remembered between openings of a recording."""

import importlib

__all__ = ["CACHE_BYTES", "cache_folder", "clear_cache"]

CACHE_BYTES = 2 * 2**30
"""Size of all entries together above which the ones not used for the longest time are removed."""


def __getattr__(name: str) -> object:
    # on first use, since the store imports this
    if name in __all__:
        return getattr(importlib.import_module("rsciio_tpx3.cache.store"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
