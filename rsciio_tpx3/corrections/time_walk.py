"""How much later small charges fire: fitted from the clusters of a recording, or given as a table.

The hits of one electron come from one moment, so the delay of a hit against the hit of the largest ToT in its cluster
is the difference of their time walks. An amplifier that rises linearly crosses the threshold after a time that goes
with 1 / charge, and ToT grows with charge, so the walk is taken as ``a / (ToT + b)``, up to
a constant that no comparison within the recording can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy  # its parts are loaded when they are used first: they cost more than most recordings do

from rsciio_tpx3.corrections.tables import errors_of_files, tot_rows
from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

if TYPE_CHECKING:
    from rsciio_tpx3.corrections.cluster_pairs import ClusterPairs

__all__ = ["MAX_TOT", "fit_time_walk", "walk_table"]

MAX_TOT = 1023  # ten bits
_FEWEST_PAIRS = 200  # of hits: fewer fit two parameters to noise
_LONGEST_DELAY = 4000  # ns; windows are read as much wider
_MOST_PAIRS = 100_000  # a fit with more takes seconds and changes nothing
_NS = 1e9 / TICKS_PER_SECOND


def fit_time_walk(pairs: ClusterPairs) -> tuple[np.ndarray, dict]:
    """Fit ``a / (ToT + b)`` to delays within clusters, less its value at the median ToT of the largest hits.

    Parameters
    ----------
    pairs : rsciio_tpx3.corrections.cluster_pairs.ClusterPairs

    Returns
    -------
    ticks : numpy.ndarray of int32, shape (1024,)
        Delay at each ToT, rounded; negative for charges larger than usual.
    found : dict
        ``a`` (ns x ToT), ``b``, number of pairs, and the root mean square of the delays before and after, in ns.

    Raises
    ------
    ConflictError
        If there are too few clusters of several hits.
    """
    delay, tot, tot_largest = pairs.delay, pairs.tot, pairs.tot_largest
    if len(delay) < _FEWEST_PAIRS:
        raise ConflictError(
            f"corrections: time_walk cannot be fitted: {len(delay)} pairs of hits in clusters were found, "
            f"{_FEWEST_PAIRS} are needed. Give a table of ToT (steps of 25 ns) and delay (ns) instead."
        )
    # Evenly over the recording: its first part alone need not be like the rest.
    some = slice(None, None, -(-len(delay) // _MOST_PAIRS))
    measured, low, high = delay[some] * _NS, tot[some], tot_largest[some]
    fit = scipy.optimize.least_squares(
        lambda p: p[0] / (low + p[1]) - p[0] / (high + p[1]) - measured,
        x0=(50.0, 2.0),
        bounds=((0, -0.5), (1e6, 1e3)),
        x_scale=(50.0, 2.0),
        loss="soft_l1",  # accidental neighbours do not decide
        f_scale=5.0,
    )
    a, b = (float(value) for value in fit.x)
    # differences alone are measured: the usual largest hit keeps its time, and no electron moves by an unknown constant
    reference = int(np.median(tot_largest))
    walk = a / (np.arange(MAX_TOT + 1) + b).clip(0.5)
    ticks = np.rint((walk - walk[reference]) / _NS).astype(np.int32)
    rest = delay - ticks[tot] + ticks[tot_largest]
    if _rms(rest) >= _rms(delay):
        raise ConflictError(
            f"corrections: time_walk: no delay of the form a / (ToT + b) is seen in {len(delay)} pairs of hits: their "
            f"spread is {_rms(delay):.3g} ns before and {_rms(rest):.3g} ns after. Give a table instead."
        )
    return ticks, {
        "method": "fit of a / (ToT + b) to delays within clusters",
        "a": a,
        "a_units": "ns",
        "b": b,
        "tot_without_delay": reference,
        "pairs": len(delay),
        "rms_before": _rms(delay) * 1e-9,
        "rms_after": _rms(rest) * 1e-9,
        "rms_units": "s",
    }


@errors_of_files
def walk_table(table: Any) -> tuple[np.ndarray, dict]:
    """Delay in ticks at each ToT, interpolated between the rows (ToT, delay in ns) of a table or a file.

    Raises
    ------
    ValueError
        If the table has another shape or numbers that are not finite, its ToT does not increase, or a delay is longer
        than 4 us.
    """
    table = tot_rows(table, "time_walk", "delay (ns)", others=", or True to fit it to the recording")
    if not (np.abs(table[:, 1]) <= _LONGEST_DELAY).all():
        low, high = table[:, 1].min(), table[:, 1].max()
        raise ValueError(
            f"corrections: time_walk: delays from {low:.4g} to {high:.4g} ns; expected numbers of no more than "
            f"{_LONGEST_DELAY} ns. Check the unit."
        )
    delay = np.interp(np.arange(MAX_TOT + 1), table[:, 0], table[:, 1])
    return np.rint(delay / _NS).astype(np.int32), {"method": "table", "rows": len(table)}


def _rms(ticks: np.ndarray) -> float:
    """Root mean square in ns, without the farthest per cent: those are accidental neighbours."""
    near = np.sort(np.abs(ticks))[: max(1, int(0.99 * len(ticks)))]
    return float(np.sqrt(np.mean(near.astype(float) ** 2)) * _NS)
