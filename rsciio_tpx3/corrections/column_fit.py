"""Delays of chip columns, found from the clusters of a recording.

The hits of one electron come from one moment. What two of them differ in time is the difference of the delays of their
columns, plus that of their time walks, plus noise:

    delay_i - delay_j = column[i] - column[j] + walk(ToT_i) - walk(ToT_j)

This is linear in all unknowns, one for each chip column and one for each class of ToT, and is solved for all of them at
once, so that neither passes for the other. Pairs that do not fit lose their weight (Tukey's biweight): accidental
neighbours do not decide.

Differences leave a constant open. It is set for each set of columns that clusters link, so that the median of its
delays is 0. A beam that falls in at an angle makes the next column late by always the same, which adds up along the
chip like a delay would. The two columns of a double column share one clock [1]_, so what they differ in *is* that
tilt; it is taken off where it is seen beyond doubt.

References
----------
.. [1] Poikela et al., Timepix3: a 65K channel hybrid pixel readout chip with simultaneous ToA/ToT and sparse readout,
   JINST 9 (2014) C05013: super pixels of two by four pixels; all known defects are of double columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.utils.clock import PIXEL_TICKS, TICKS_PER_SECOND
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from rsciio_tpx3.corrections.cluster_pairs import ClusterPairs
    from rsciio_tpx3.events.geometry import Layout

__all__ = ["FoundColumns", "find_columns", "found_delays"]

_PAIRS_OF_LINK = 10  # of two columns, to compare them at all
_PAIRS_OF_BRIDGE = 200  # of two sets of columns, to compare these
_FEWEST_COLUMNS = 32  # of a set: the phases of the clock repeat after 32, so the median of fewer means nothing
_WORST_ERROR = PIXEL_TICKS  # columns that are known less well than the clock's step keep their times
_MOST_PAIRS = 2_000_000  # time and memory of the fit grow with them, its errors fall with their root only
_NS = 1e9 / TICKS_PER_SECOND
# differences of two times in steps of the clock scatter by this much at least
_LEAST_SCATTER = PIXEL_TICKS / np.sqrt(6)
_TUKEY = 4.685  # in standard deviations: 95 % efficient for normal noise
_MOST_ROUNDS = 20  # of new weights, should they not settle
_SETTLED = 0.02  # ticks: a tenth of the errors that are ever reached


@dataclass(frozen=True)
class FoundColumns:
    """Delays of chip columns.

    Attributes
    ----------
    chips : tuple of int
    delay, error : numpy.ndarray of float64, shape (n_chips, 256)
        In ticks; the error is one standard deviation, against the mean of the set. NaN where nothing was found.
    pairs : numpy.ndarray of int64, shape (n_chips, 256)
        Pairs of hits of which one lies in the column, and the other in another one.
    set_number : numpy.ndarray of int64, shape (n_chips, 256)
        Columns of one number were compared with each other; -1 where nothing was found.
    tilt, tilt_error : float
        Ticks from one detector pixel to the next, taken off; 0 where none was seen.
    scatter : tuple of float
        Root mean square, in ticks, of what pairs differ, before and after; walk taken off in both. Of pairs that the
        fit did not give up as accidental.
    """

    chips: tuple
    delay: np.ndarray
    error: np.ndarray
    pairs: np.ndarray
    set_number: np.ndarray
    tilt: float
    tilt_error: float
    scatter: tuple


def found_delays(found: FoundColumns, layout: Layout) -> tuple[np.ndarray, dict]:
    """The correction that removes the delays, and a report of them.

    Parameters
    ----------
    found : FoundColumns
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    ticks : numpy.ndarray of int16, shape (height * width,)
        To add to the times of each detector pixel; 0 in columns that keep their time.
    report : dict
        For the metadata.
    """
    chip, address = pixel_addresses(layout)
    # By chip number (one byte in the file) and column, so that a hit needs one look-up.
    added = np.zeros((256, CHIP_SIZE), np.int16)
    added[list(found.chips)] = np.rint(-np.nan_to_num(found.delay))
    known = found.set_number >= 0
    sets = [np.flatnonzero((found.set_number == k).any(axis=1)) for k in range(found.set_number.max() + 1)]
    report = {
        "rule": "found",
        "method": "least squares over differences of time within clusters",
        "pairs": int(found.pairs.sum()) // 2,
        "columns_found": int(known.sum()),
        "columns_left": int((~known).sum()),
        # chips in one list were compared with each other; the constant between lists is not known
        "chips_compared": [[found.chips[i] for i in chips] for chips in sets],
        "rms_before": found.scatter[0] * _NS * 1e-9,
        "rms_after": found.scatter[1] * _NS * 1e-9,
        "rms_units": "s",
        "chips": list(found.chips),
        # 0 where a column keeps its time: not every file format can hold NaN
        "delay": np.round(np.nan_to_num(found.delay) * _NS, 2),
        "delay_errors": np.round(np.nan_to_num(found.error) * _NS, 2),
        "delay_units": "ns",
        "delay_pairs": found.pairs,
        "delay_set": found.set_number,
    }
    if found.tilt:
        report |= {"tilt": found.tilt * _NS, "tilt_errors": found.tilt_error * _NS, "tilt_units": "ns/px"}
    return added[np.maximum(chip, 0), address & 0xFF] * (chip >= 0), report


def find_columns(pairs: ClusterPairs, layout: Layout) -> FoundColumns:
    """Delays of the columns of each chip, from pairs of hits in clusters.

    Parameters
    ----------
    pairs : rsciio_tpx3.corrections.cluster_pairs.ClusterPairs
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    FoundColumns

    Raises
    ------
    ConflictError
        If there are too few pairs to say anything, or to say it as well as the step of the clock.
    """
    chips = layout.chips
    first, second = _nodes(pairs.pixel, layout), _nodes(pairs.pixel_largest, layout)
    n_nodes = len(chips) * CHIP_SIZE
    apart = first != second
    number = _sets(first[apart], second[apart], n_nodes)
    of_columns = np.bincount(np.concatenate([first[apart], second[apart]]), minlength=n_nodes)
    if number.max() < 0:
        raise ConflictError(
            f"corrections: columns='find': {int(apart.sum())} pairs of hits of one electron in different columns were "
            f"found; they do not link {_FEWEST_COLUMNS} neighbouring columns of a chip, for which {_PAIRS_OF_LINK} in "
            "each two of these are needed. Find them in a longer recording of this detector, and give (array, unit)."
        )
    # pairs within a column tell nothing about columns, but much about walk
    used = np.flatnonzero((number[first] == number[second]) & (number[first] >= 0))
    used = used[:: -(-len(used) // _MOST_PAIRS)]
    # Columns and walk by charge are solved together: a column of small charges alone would look late.
    system = _System(pairs, used, first[used], second[used], number)
    solved, covariance = system.solve()
    delay, covariance = solved[:n_nodes], covariance[:n_nodes, :n_nodes]
    error = np.sqrt(np.diag(covariance))
    _check_errors(float(np.median(error[number >= 0])), int(apart.sum()))
    number = _renumbered(np.where(error <= _WORST_ERROR, number, -1))
    found = number >= 0
    # A tilt that double columns agree on is no delay of single columns: it is reported apart.
    tilt, tilt_error = _tilt(delay, covariance, found, layout)
    delay = delay - tilt * _positions(layout)
    # Differences leave a constant of each set open: its median column keeps its time.
    for k in range(number.max() + 1):
        delay[number == k] -= np.median(delay[number == k])
    before, after = system.scatter(solved, np.zeros(n_nodes)), system.scatter(solved, delay + tilt * _positions(layout))
    shape = len(chips), CHIP_SIZE
    return FoundColumns(
        chips, np.where(found, delay, np.nan).reshape(shape), np.where(found, error, np.nan).reshape(shape),
        of_columns.reshape(shape), number.reshape(shape), tilt, tilt_error, (before, after),
    )  # fmt: skip


def _check_errors(typical: float, n_pairs: int) -> None:
    if typical > _WORST_ERROR:
        needed = int(np.ceil(n_pairs * (typical / _WORST_ERROR) ** 2))
        raise ConflictError(
            f"corrections: columns='find': {n_pairs} pairs of hits of one electron in different columns tell the delay "
            f"of a column to {typical * _NS:.3g} ns; about {needed} are needed for the {_WORST_ERROR * _NS:.4g} ns of "
            "the clock's step. Find them in a longer recording of this detector, and give (array, unit)."
        )


def _nodes(pixel: np.ndarray, layout: Layout) -> np.ndarray:
    """Number of the chip column of each pixel: chip by chip in the order of the layout."""
    chip, address = pixel_addresses(layout)
    place = np.zeros(256, np.int64)
    place[list(layout.chips)] = np.arange(len(layout.chips))
    return place[chip[pixel]] * CHIP_SIZE + (address[pixel] & 0xFF)


def _sets(first: np.ndarray, second: np.ndarray, n_nodes: int) -> np.ndarray:
    """Number of the set of each column, -1 for columns that too few pairs link with others."""

    def joined(a: np.ndarray, b: np.ndarray, n: int, fewest: int) -> tuple[int, np.ndarray]:
        counts = coo_array((np.ones(len(a)), (np.minimum(a, b), np.maximum(a, b))), shape=(n, n)).tocsr()
        counts.data[counts.data < fewest] = 0
        counts.eliminate_zeros()
        return connected_components(counts, directed=False)

    n, own = joined(first, second, n_nodes, _PAIRS_OF_LINK)
    # columns of a set that is too small to say what is usual stay as they are; so does a single one
    large = np.bincount(own, minlength=n) >= _FEWEST_COLUMNS
    a, b = own[first], own[second]
    bridge = large[a] & large[b] & (a != b)
    n, of_set = joined(a[bridge], b[bridge], n, _PAIRS_OF_BRIDGE)
    return _renumbered(np.where(large[own], of_set[own], -1))


def _renumbered(number: np.ndarray) -> np.ndarray:
    """Numbers from 0 on without gaps; -1 stays."""
    return np.where(number >= 0, np.searchsorted(np.unique(number[number >= 0]), number), -1)


def _walk_class(tot: np.ndarray) -> np.ndarray:
    """Class of ToT: each small value for itself, larger ones in eight classes an octave, as walk falls off."""
    tot = np.asarray(tot)
    octave = 8 * np.log2(np.maximum(tot, 32) / 32)
    return np.where(tot < 32, tot, 32 + octave.astype(np.int64))


@njit(nogil=True, cache=True)
def _add_equations(
    places: np.ndarray, measured: np.ndarray, weight: np.ndarray, normal: np.ndarray, right: np.ndarray
) -> None:
    """Add ``weight * row.T @ row`` and ``weight * row.T * measured`` of each pair, whose row is +1, -1, +1, -1."""
    for i in range(len(measured)):
        for j in range(4):
            a, sign = places[i, j], weight[i] * (1 - 2 * (j & 1))
            right[a] += sign * measured[i]
            for k in range(4):
                normal[a, places[i, k]] += sign * (1 - 2 * (k & 1))


class _System:
    """The linear equations of all pairs: each has two columns and two classes of ToT."""

    def __init__(
        self, pairs: ClusterPairs, used: np.ndarray, first: np.ndarray, second: np.ndarray, number: np.ndarray
    ) -> None:
        self.number = number
        known, classes = np.unique(
            _walk_class(np.concatenate([pairs.tot[used], pairs.tot_largest[used]])), return_inverse=True
        )
        low, high = classes[: len(used)], classes[len(used) :]
        self.size = len(number) + len(known)
        # in order of the smaller charge, so that the pairs of a class lie together
        order = np.argsort(low, kind="stable")
        self.borders = np.searchsorted(low[order], np.arange(len(known) + 1))
        places = np.stack([first, second, len(number) + low, len(number) + high], axis=1)
        self.places = places.astype(np.int32)[order]
        self.measured = pairs.delay[used[order]].astype(float)

    def solve(self) -> tuple[np.ndarray, np.ndarray]:
        """Unknowns and their covariance, robustly: weights and unknowns in turns."""
        solved, normal = self._weighted(np.ones(len(self.measured)))
        for _ in range(_MOST_ROUNDS):
            before, rest = solved, self._rest(solved)
            scale = self._scale(rest)
            weight = np.clip(1 - (rest / (_TUKEY * scale)) ** 2, 0, None) ** 2 / scale**2
            solved, normal = self._weighted(weight)
            if np.abs(solved - before).max() < _SETTLED:
                break
        self.with_weight = weight > 0
        return solved, np.linalg.inv(normal)

    def _weighted(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        normal, right = np.zeros((self.size, self.size)), np.zeros(self.size)
        _add_equations(self.places, self.measured, weight, normal, right)
        largest = normal.diagonal().max()
        # what differences leave open: the mean of each set, and of the walk
        n = len(self.number)
        members: Any
        for members in (*(np.flatnonzero(self.number == k) for k in range(-1, self.number.max() + 1)), slice(n, None)):
            own = np.zeros(self.size)
            own[members] = 1
            normal += largest / max(own.sum(), 1) * np.outer(own, own)
        normal[np.diag_indices(self.size)] += 1e-9 * largest  # columns without a pair
        return np.linalg.solve(normal, right), normal

    def _rest(self, solved: np.ndarray) -> np.ndarray:
        one, other, low, high = solved[self.places].T
        return self.measured - one + other - low + high

    def _scale(self, rest: np.ndarray) -> np.ndarray:
        """Standard deviation of each pair, from the median over pairs of its class: small charges scatter more."""
        size = np.abs(rest)
        scale = np.full(len(size), np.median(size))
        for start, stop in zip(self.borders[:-1], self.borders[1:]):
            if stop - start >= 50:
                scale[start:stop] = np.median(size[start:stop])
        return np.maximum(scale / 0.6745, _LEAST_SCATTER)

    def scatter(self, solved: np.ndarray, delay: np.ndarray) -> float:
        """Root mean square of the pairs that count, less walk and these delays."""
        rest = self._rest(np.concatenate([delay, solved[len(delay) :]]))[self.with_weight]
        return float(np.sqrt(np.mean(rest**2)))


def _positions(layout: Layout) -> np.ndarray:
    """Detector pixel of each chip column along the axis that columns are counted on, shape (n_chips * 256,)."""
    width = layout.sig_shape[1]
    out = []
    for chip in layout.chips:
        offset, step, _ = (int(value) for value in layout.rules[chip])
        flat = offset + step * np.arange(CHIP_SIZE)
        out.append(flat % width if abs(step) == 1 else flat // width)
    return np.concatenate(out)


def _tilt(delay: np.ndarray, covariance: np.ndarray, found: np.ndarray, layout: Layout) -> tuple[float, float]:
    """Ticks from pixel to pixel that both columns of double columns differ by, and its error; 0 where not sure."""
    even = np.arange(0, len(delay), 2)
    even = even[found[even] & found[even + 1]]
    if len(even) < _FEWEST_COLUMNS // 2:
        return 0.0, 0.0
    place = _positions(layout)
    step = (delay[even + 1] - delay[even]) / (place[even + 1] - place[even])
    variance = covariance[even, even] + covariance[even + 1, even + 1] - 2 * covariance[even, even + 1]
    tilt = float(np.median(step))
    spread = np.median(np.abs(step - tilt)) / 0.6745
    error = float(1.2533 * spread / np.sqrt(len(step)))
    # columns that differ one by one are not a sign of a tilt
    alike = spread < 3 * np.sqrt(np.median(variance))
    return (tilt, error) if alike and abs(tilt) > 4 * error else (0.0, 0.0)
