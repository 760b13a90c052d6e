"""The targets by name."""

from tests.fuzz.targets.advacam import T3p, T3pa
from tests.fuzz.targets.cache import CacheEntry
from tests.fuzz.targets.counted import NXevent, RawCsr, Stempy
from tests.fuzz.targets.pixels import PixelFiles
from tests.fuzz.targets.sidecars import Sidecars
from tests.fuzz.targets.tpx3 import Tpx3, Tpx3Scan

__all__ = ["TARGETS", "target_of"]

TARGETS = {t.name: t for t in (Tpx3, Tpx3Scan, T3pa, T3p, RawCsr, NXevent, Stempy, Sidecars, PixelFiles, CacheEntry)}


def target_of(name):
    """A new target of this name."""
    if name not in TARGETS:
        raise SystemExit(f"{name!r} is not a target: must be one of {', '.join(TARGETS)}")
    return TARGETS[name]()
