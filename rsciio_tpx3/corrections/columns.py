"""Constant delays of chip columns: the phase of the clock on its way, and columns that are 25 ns off.

Sources: pymepix and tpx3awkward (phase), ASI's tpx3-to-root and a Serval log (double columns 97 to 101 of chip 0);
see ``docs/formats/tpx3.md``. None of them holds for all detectors; `column_fit` finds those of a recording.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.corrections.tables import errors_of_files, read_numbers
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.utils.clock import PIXEL_TICKS
from rsciio_tpx3.utils.units import to_ticks

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout

__all__ = ["COLUMN_RULES", "check_rules", "column_delays", "is_array_with_unit"]

COLUMN_RULES = ("phase", "double-columns-97-101")


def column_delays(user_input: Any, layout: Layout) -> tuple[np.ndarray, dict]:
    """Ticks to add to the times of each detector pixel.

    Parameters
    ----------
    user_input : str, sequence of str, or (array, str)
        Names of `COLUMN_RULES`: "phase" adds (x // 2) mod 16 steps of 1.5625 ns, 16 instead of 0;
        "double-columns-97-101" takes 25 ns off columns 194 to 203 of chip 0. Or what to add as an array with a unit of
        time: shape (256,) for each chip column, (chips, 256), or that of the detector.
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    ticks : numpy.ndarray of int16, shape (height * width,)
    found : dict
        For the metadata.

    Raises
    ------
    ValueError
        For an unknown name, a wrong shape, numbers that are not finite, or delays of more than 4 us.
    """
    chip, address = pixel_addresses(layout)
    column = (address & 0xFF).astype(np.int64)
    if isinstance(user_input, str):
        user_input = [user_input]
    if is_array_with_unit(user_input):
        values, unit = user_input
        ticks, found = _from_array(values, unit, layout, chip, column), {"rule": "table"}
    else:
        check_rules(user_input)
        ticks = sum((_rule(name, chip, column) for name in user_input), np.zeros(len(chip), np.int64))
        found = {"rule": ", ".join(user_input)}
    # 4.27 us: far above any delay of a column, and inside 16 bits.
    if np.abs(ticks).max() > np.iinfo(np.int16).max // 2:
        raise ValueError("corrections: columns are moved by more than 4 us; check the unit.")
    return np.where(chip < 0, 0, ticks).astype(np.int16), found


def is_array_with_unit(user_input: Any) -> bool:
    """Whether delays themselves were given, such as ``(array, "ns")``."""
    return (
        isinstance(user_input, (tuple, list))
        and len(user_input) == 2
        and [isinstance(v, str) for v in user_input] == [False, True]
    )


def check_rules(names: Iterable) -> None:
    """Refuse names that are not in `COLUMN_RULES`."""
    for name in names:
        if name not in COLUMN_RULES:
            raise ValueError(
                f"corrections: columns={name!r} is not a rule ({', '.join(COLUMN_RULES)}, or both in a list), "
                "not (array, unit), and not 'find' alone."
            )


def _rule(name: str, chip: np.ndarray, column: np.ndarray) -> np.ndarray:
    if name == "phase":
        phase = column // 2 % 16
        return np.where(phase == 0, 16, phase) * PIXEL_TICKS
    return np.where((chip == 0) & (column >= 194) & (column <= 203), -16 * PIXEL_TICKS, 0)


@errors_of_files
def _from_array(values: Any, unit: str, layout: Layout, chip: np.ndarray, column: np.ndarray) -> np.ndarray:
    values = read_numbers(values, "columns")
    if not np.isfinite(values).all():
        n = np.count_nonzero(~np.isfinite(values))
        raise ValueError(f"corrections: columns: {n} of the delays are not finite; 0 leaves a column where it is.")
    # One delay for each column, of all chips alike, of each pixel, or of each chip: distinguished by shape.
    if values.shape == (CHIP_SIZE,):
        values = values[column]
    elif values.shape == tuple(layout.sig_shape):
        values = values.ravel()
    elif values.ndim == 2 and values.shape[1] == CHIP_SIZE and len(values) > max(layout.chips):
        values = values[np.maximum(chip, 0), column]
    else:
        raise ValueError(
            f"corrections: columns has shape {values.shape}; expected (256,), (chips, 256) or the detector's "
            f"{layout.sig_shape}."
        )
    return np.rint(values * float(to_ticks((1, unit), "corrections: columns"))).astype(np.int64)
