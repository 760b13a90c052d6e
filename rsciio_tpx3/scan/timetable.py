"""Which scan position at that time: looked up instead of computed.

For a short stretch of a recording, the times at which the scan position changes are worked out once, exactly, with
the arithmetic of `rsciio_tpx3.scan.scan`. A hit is then placed by two small reads: the cell of the stretch it
lies in names an interval, and at most the next few intervals have to be tried. Hits come from several lines at a
time when the scan is fast, so this does not depend on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.scan.scan import AFTER, BEFORE, EXCLUDED, FLYBACK, search
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["NOWHERE", "Timetable", "add_counts", "count_entries", "make_timetable", "position_keys"]

NOWHERE = -5
"""Position of what is not a hit of the stretch; other negative positions are those of `scan.OUTSIDE_NAMES`."""

# constants: within compiled code NumPy's function is compiled too
_NEVER, _LARGEST = np.iinfo(np.int64).max, np.iinfo(np.int32).max
_MOST_CELLS = 1 << 16  # 256 kB of int32: about what an L2 cache holds


@dataclass(frozen=True)
class Timetable:
    """Intervals of one position each.

    Attributes
    ----------
    begin : numpy.ndarray of int32, shape (n + 1,)
        Where each interval begins, in steps from the stretch's origin; ascending, and closed by the largest int32.
    position : numpy.ndarray of int64, shape (n,)
        Flat scan position, or a negative reason. The last interval, from the end of the stretch on, is `NOWHERE`.
    cell : numpy.ndarray of int32
        Interval in which each cell of ``2**shift`` steps begins.
    shift : int
    """

    begin: np.ndarray
    position: np.ndarray
    cell: np.ndarray
    shift: int


def make_timetable(scan: Scan, origin: int, step: int, span: int, most: int) -> Timetable | None:
    """The positions in one stretch of time.

    Parameters
    ----------
    scan : rsciio_tpx3.scan.scan.Scan
        With at least one segment.
    origin, step, span : int
        The stretch: times ``origin + step * k`` ticks for k from 0 to below `span`.
    most : int
        Intervals at the most: a longer table does not pay.

    Returns
    -------
    Timetable or None
        None where it would be too long, or its numbers too large; `scan.place_hits` has no such limits.
    """
    if span >= 2**31 - 1 or step * span * scan.den >= 2**60:
        return None
    begin, position = np.empty(most + 2, np.int32), np.empty(most + 1, np.int64)
    n = _intervals(*scan.columns(), origin, step, span, begin, position)
    if n < 0:
        return None
    # one or two cells an interval, so that hardly any cell holds more than one border
    shift = max(int(span // (2 * n)).bit_length() - 1, int(span // _MOST_CELLS).bit_length(), 0)
    cell = np.empty((span >> shift) + 1, np.int32)
    _cells(begin, shift, cell)
    return Timetable(begin[: n + 1], position[:n], cell, shift)


@njit(nogil=True, cache=True, error_model="numpy")
def _intervals(
    start: np.ndarray,
    stop: np.ndarray,
    phase: np.ndarray,
    num: np.ndarray,
    base: np.ndarray,
    direction: np.ndarray,
    den: int,
    n_columns: int,
    origin: int,
    step: int,
    span: int,
    begin: np.ndarray,
    position: np.ndarray,
) -> int:
    """Fill `begin` and `position`; returns the number of intervals, or -1 where they do not fit."""
    room = len(position) - 1
    last = len(start) - 1
    end = origin + step * span
    unit = step * den  # a step in the units of `num` and `phase`
    n = 0
    # Phase 1: the segment in which the stretch begins; before the first one there is no position.
    s = search(origin, start)
    if s < 0:
        begin[n], position[n] = 0, BEFORE
        n, s = 1, np.int64(0)
    # Phase 2: segment after segment, each cut at its columns.
    while s <= last and start[s] < end:
        following = start[s + 1] if s < last else _NEVER
        # The part of the segment that lies in the stretch.
        first, final = max(start[s], origin), min(stop[s], following, end)
        after = AFTER if s == last else FLYBACK
        if first < final:
            if n >= room:
                return -1
            begin[n] = -((origin - first) // step)  # rounded up
            if base[s] < 0:
                position[n] = EXCLUDED
                n += 1
            else:
                # Columns of its first and its last tick; all beyond `n_columns` are one interval without a position.
                column = ((first - start[s]) * den + phase[s]) // num[s]
                final_column = min(((final - 1 - start[s]) * den + phase[s]) // num[s], n_columns)
                position[n] = base[s] + direction[s] * column if column < n_columns else after
                n += 1
                if n + final_column - column > room:
                    return -1
                # the next column begins at this exact fraction of `unit`, rounded up; then add and carry
                # No division inside the loop over columns: their borders are an arithmetic series.
                exact = (column + 1) * num[s] - phase[s] + (start[s] - origin) * den + unit - 1
                whole, rest = exact // unit, exact % unit
                whole_step, rest_step = num[s] // unit, num[s] % unit
                for c in range(column + 1, final_column + 1):
                    begin[n] = whole
                    position[n] = base[s] + direction[s] * c if c < n_columns else after
                    n += 1
                    whole += whole_step
                    rest += rest_step
                    if rest >= unit:
                        rest -= unit
                        whole += 1
        # From the end of the segment to the next one, or to the end of the stretch.
        pause = max(stop[s], origin)
        if pause < min(following, end):
            if n >= room:
                return -1
            begin[n], position[n] = -((origin - pause) // step), after
            n += 1
        s += 1
    # Hits from the end of the stretch on; the border after them is above every time and ends each search.
    begin[n], position[n] = span, NOWHERE
    begin[n + 1] = _LARGEST
    return n + 1


@njit(nogil=True, cache=True, error_model="numpy")
def _cells(begin: np.ndarray, shift: int, cell: np.ndarray) -> None:
    k = 0
    for c in range(len(cell)):  # both ascend, so one walk serves all cells
        while begin[k + 1] <= c << shift:
            k += 1
        cell[c] = k


@njit(nogil=True, cache=True, error_model="numpy")
def count_entries(when: np.ndarray, begin: np.ndarray, cell: np.ndarray, shift: int, entries: np.ndarray) -> None:
    """Count the times in each interval of a table.

    Parameters
    ----------
    when : numpy.ndarray of int32, shape (n,)
        Steps from the stretch's origin, 0 to its span.
    begin, cell, shift
        Of the `Timetable`.
    entries : numpy.ndarray of int64, shape (n_intervals, 2)
        Added to, in turns: a hit mostly lies where the last one did, and to add to what was just written would take
        longer than all the rest. Their sums are the counts.
    """
    bits, one = np.uint32(shift), np.uint32(1)
    flat = entries.reshape(-1)
    for i in range(len(when)):
        # unsigned, since NumPy would count negative numbers from the end
        k = np.uint32(cell[np.uint32(when[i]) >> bits])
        k += when[i] >= begin[k + one]  # the usual one or none, without a branch that would be guessed wrong
        while when[i] >= begin[k + one]:
            k += one
        flat[(np.uint64(k) << np.uint64(1)) | (np.uint64(i) & np.uint64(1))] += 1


@njit(nogil=True, cache=True, error_model="numpy")
def add_counts(position: np.ndarray, entries: np.ndarray, counts: np.ndarray, outside: np.ndarray) -> None:
    """Add the entries of intervals to the counts of their positions, or of the reasons why they have none.

    The parameters are the sums of `count_entries`, and those of `rsciio_tpx3.scan.scan.count_positions`.
    """
    for k in range(len(entries)):
        if position[k] < 0:
            outside[-position[k]] += entries[k]
        elif position[k] < len(counts):
            counts[position[k]] += entries[k]


@njit(nogil=True, cache=True, error_model="numpy")
def position_keys(
    when: np.ndarray,
    pixel: np.ndarray,
    begin: np.ndarray,
    cell: np.ndarray,
    shift: int,
    row: np.ndarray,
    bits: int,
    keys: np.ndarray,
) -> int:
    """Row and pixel of each hit as one number, ``row << bits | pixel``.

    Parameters
    ----------
    when, pixel : numpy.ndarray of int32, shape (n,)
    begin, cell, shift
        Of the `Timetable`.
    row : numpy.ndarray of int64, one for each interval
        Row from 0, or negative for what is excluded.
    bits : int
        Bits of a pixel number.
    keys : numpy.ndarray of uint32 or uint64, shape (n,) or more
        Filled from 0.

    Returns
    -------
    int
        Keys written.
    """
    cell_bits, one = np.uint32(shift), np.uint32(1)
    n = np.uint64(0)
    for i in range(len(when)):
        # as in `count_entries`; a call for each hit would cost more than the look-up
        k = np.uint32(cell[np.uint32(when[i]) >> cell_bits])
        k += when[i] >= begin[k + one]
        while when[i] >= begin[k + one]:
            k += one
        # written in any case, and kept by counting on
        keys[n] = (row[k] << bits) | pixel[i]
        n += np.uint64(row[k] >= 0)
    return n
