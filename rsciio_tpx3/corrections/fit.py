"""From the words of the option `corrections` to steps, which may be fitted to the recording first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.store import recalled, require
from rsciio_tpx3.corrections.bad_pixels import count_pixels, find_bad_pixels, read_mask
from rsciio_tpx3.corrections.cluster_pairs import cluster_pairs
from rsciio_tpx3.corrections.column_fit import find_columns, found_delays
from rsciio_tpx3.corrections.columns import column_delays, is_array_with_unit
from rsciio_tpx3.corrections.energy import read_calibration
from rsciio_tpx3.corrections.options import report_of_correction
from rsciio_tpx3.corrections.steps import (
    CorrectedSource,
    EnergyStep,
    MaskStep,
    PixelDelayStep,
    TimeWalkStep,
    WidePixelStep,
)
from rsciio_tpx3.corrections.tables import is_path
from rsciio_tpx3.corrections.time_walk import MAX_TOT, fit_time_walk, walk_table
from rsciio_tpx3.events.grid import collecting_pixels
from rsciio_tpx3.utils.paths import has_ending

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.events.source import EventSource

__all__ = ["MAKERS", "hit_steps", "wide_pixel_step"]

_MOST_LISTED = 100  # bad pixels in the metadata
_HITS_FOR_COLUMNS = 1 << 22  # a thousand columns need more than one curve of time walk; some 350 MB


def hit_steps(source: EventSource, corrections: dict) -> tuple[EventSource, list]:
    """Steps for hits, each fitted to the hits as the steps before left them.

    Parameters
    ----------
    source : EventSource
    corrections : dict
        As `rsciio_tpx3.corrections.options.check_corrections` gives them.

    Returns
    -------
    source : EventSource
        Corrected.
    steps : list
    """
    steps, corrected = [], source
    for name, make in MAKERS.items():
        if name in corrections:
            steps.append(make(corrections[name], corrected))
            corrected = CorrectedSource(source, steps)
    return corrected, steps


def _report_of_input(name: str, user_input: Any) -> dict:
    """For the metadata: a file or folder with its checksum, or the table or the arrays that were given."""
    report = report_of_correction(name, user_input)
    return report if is_path(user_input) else {"given": report}


def _recalled(source: EventSource, name: str, find: Callable, about: Any = None) -> tuple[np.ndarray, dict]:
    """A table and its report from `find`, or from the cache where they were found before."""

    def make() -> tuple[dict[str, np.ndarray], dict]:
        table, report = find()
        arrays = {key: value for key, value in report.items() if isinstance(value, np.ndarray)}
        return {"table": table, **arrays}, {key: value for key, value in report.items() if key not in arrays}

    def check(arrays: dict[str, np.ndarray], values: dict) -> None:
        table = arrays["table"]
        known = [(math.prod(source.sig_shape),), (MAX_TOT + 1,)]
        require(table.dtype.kind in "bi" and table.shape in known, "a table of another form")

    arrays, values = recalled(source, name, make, about, check)
    return arrays["table"], {**values, **{key: value for key, value in arrays.items() if key != "table"}}


def _mask(user_input: Any, source: EventSource) -> MaskStep:
    if not (isinstance(user_input, (bool, dict)) or (isinstance(user_input, str) and user_input == "find")):
        if is_path(user_input) and has_ending(user_input, ".bpc") and source.describe().get("format") == "advacam":
            raise ValueError(
                f"corrections: mask='{user_input}': what the bits of Pixet's .bpc files mean is not documented, and "
                "Serval's belong to no Advacam detector. Give an array of the detector's shape, True to leave out."
            )
        return MaskStep(
            read_mask(user_input, source.layout).ravel(), {"method": "given", **_report_of_input("mask", user_input)}
        )
    limits = user_input if isinstance(user_input, dict) else {}

    def find() -> tuple[np.ndarray, dict]:
        bad = find_bad_pixels(count_pixels(source), source.layout, **limits)
        found: dict[str, Any] = {"method": "hot against the surroundings"}
        for name in ("hot", "dead"):  # (x, y), as HyperSpy names pixels
            pixels = np.argwhere(getattr(bad, name))[:, ::-1]
            found[f"{name}_pixels"] = len(pixels)
            found[f"{name}_x_y"] = pixels[:_MOST_LISTED].tolist()
        return bad.hot.ravel(), found

    return MaskStep(*_recalled(source, "mask", find, limits))


def _columns(user_input: Any, source: EventSource) -> PixelDelayStep:
    if isinstance(user_input, str) and user_input == "find":

        def find() -> tuple[np.ndarray, dict]:
            found = find_columns(cluster_pairs(source, _HITS_FOR_COLUMNS), source.layout)
            return found_delays(found, source.layout)

        return PixelDelayStep(*_recalled(source, "columns", find))
    ticks, found = column_delays(user_input, source.layout)
    if is_array_with_unit(user_input):
        delays, unit = report_of_correction("columns", user_input)
        found |= {"given": delays, "given_units": unit}
    return PixelDelayStep(ticks, found)


def _time_walk(user_input: Any, source: EventSource) -> TimeWalkStep:
    if user_input is True:
        return TimeWalkStep(*_recalled(source, "time-walk", lambda: fit_time_walk(cluster_pairs(source))))
    ticks, found = walk_table(user_input)
    return TimeWalkStep(ticks, {**found, **_report_of_input("time_walk", user_input)})


def _energy(user_input: Any, source: EventSource) -> EnergyStep:
    calibration, found = read_calibration(user_input, source.layout)
    return EnergyStep(calibration, {**found, **_report_of_input("energy", user_input)})


MAKERS = {"mask": _mask, "columns": _columns, "time_walk": _time_walk, "energy": _energy}
"""``make(user_input, source)`` of each correction of hits, in the order they are done; wide pixels follow clusters."""


def wide_pixel_step(layout: Layout, method: str, upsample: int) -> WidePixelStep:
    """The step for the pixels at chip borders.

    Parameters
    ----------
    layout : rsciio_tpx3.events.geometry.Layout
    method : {"delete", "spread"}
    upsample : int

    Raises
    ------
    ValueError
        If the layout has no gap to spread into.
    """
    collector = collecting_pixels(layout)
    n = np.bincount(collector[collector >= 0], minlength=len(collector))
    if n.max() < 2:
        raise ValueError(
            f"corrections: wide_pixels={method!r} needs a detector that shows the gap between its chips: pass gap=4, "
            "which gives each border pixel the room of three."
        )
    # Pixels that collect for themselves alone have nothing to spread.
    n[n < 2] = 0
    stands_for = np.flatnonzero((collector >= 0) & (n[collector] > 0))
    order = np.argsort(collector[stands_for], kind="stable")
    first = np.concatenate([[0], np.cumsum(n)]).astype(np.int32)
    area = stands_for[order].astype(np.int32)
    return WidePixelStep(first, area, layout.sig_shape[1], upsample, method == "spread")
