"""What two readings of the edges of one recording have in common: as many as had come, and more of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["COLUMNS", "difference"]

COLUMNS = ("start", "stop", "phase", "num", "base", "step")


def difference(one: Scan, other: Scan, until: int) -> int | None:
    """The first time before `until` at which two readings of the edges may differ; None where they agree.

    Parameters
    ----------
    one, other : Scan
    until : int
        Ticks.
    """
    n, m = (int(np.searchsorted(scan.start, until)) for scan in (one, other))
    same = one.den == other.den and one.n_columns == other.n_columns
    k = min(n, m)
    if same:
        differs = np.zeros(k, bool)
        for name in COLUMNS:
            first, second = getattr(one, name)[:k], getattr(other, name)[:k]
            if name == "stop":  # what lies beyond has not been used yet
                first, second = np.minimum(first, until), np.minimum(second, until)
            differs |= first != second
        at = np.flatnonzero(differs)
        if len(at) == 0 and n == m:
            return None
        k = int(at[0]) if len(at) else k
    else:
        k = 0
    starts = [int(scan.start[k]) for scan, size in ((one, n), (other, m)) if k < size]
    return min(starts) if starts else None
