"""Time over threshold to energy, pixel by pixel or with one table.

A pixel answers with ``ToT = a E + b - c / (E - t)``, with four numbers of its own, as Advacam's Pixet calibrates
(``docs/formats/advacam.md``). Solved for the energy it is the larger root of a quadratic equation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.corrections.pixet_xml import read_pixet_xml
from rsciio_tpx3.corrections.tables import errors_of_files, is_path, read_numbers, tot_rows
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.packing import Packed
from rsciio_tpx3.utils.paths import has_ending

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout

__all__ = [
    "MATRICES",
    "PixelCalibration",
    "TableCalibration",
    "calibration_of_rows",
    "matrix_files",
    "need_matrices",
    "read_calibration",
]

MATRICES = ("a", "b", "c", "t")


@dataclass(frozen=True)
class PixelCalibration(Packed):
    """Four numbers for each detector pixel; arrays of float32, shape (height * width,)."""

    a: np.ndarray
    b: np.ndarray
    c: np.ndarray
    t: np.ndarray

    def energy(self, pixel: np.ndarray, tot: np.ndarray) -> np.ndarray:
        """Energy of hits in keV, 0 where the calibration gives less."""
        out = np.empty(len(pixel), np.float32)
        _solve(pixel, tot, self.a, self.b, self.c, self.t, out)
        return out

    def tot(self, pixel: np.ndarray, energy: np.ndarray) -> np.ndarray:
        """Time over threshold, as a fraction, that energies in keV give; below 0 where a pixel does not answer."""
        a, b, c, t = (np.float64(getattr(self, name)[pixel]) for name in MATRICES)
        above = energy > t
        return np.where(above, a * energy + b - c / np.where(above, energy - t, 1), -1)


@dataclass(frozen=True)
class TableCalibration(Packed):
    """Energy in keV at each ToT; array of float32, shape (1024,)."""

    table: np.ndarray

    def energy(self, pixel: np.ndarray, tot: np.ndarray) -> np.ndarray:
        """Energy of hits in keV."""
        return self.table[np.minimum(tot, len(self.table) - 1)]


@njit(nogil=True, cache=True)
def _solve(
    pixel: np.ndarray, tot: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, t: np.ndarray, out: np.ndarray
) -> None:
    for i in range(len(pixel)):
        p = pixel[i]
        slope, shift = np.float64(a[p]), np.float64(t[p])
        linear = tot[i] - np.float64(b[p])
        root = (linear - slope * shift) ** 2 + 4.0 * slope * c[p]
        out[i] = max((linear + slope * shift + np.sqrt(max(root, 0.0))) / (2.0 * slope), 0.0)


@errors_of_files
def read_calibration(user_input: Any, layout: Layout) -> tuple[PixelCalibration | TableCalibration, dict]:
    """A calibration from what a user has.

    Parameters
    ----------
    user_input : str, Path, dict or array-like
        A folder with text matrices ``caliba``, ``calibb``, ``calibc`` and ``calibt`` (any ending); Pixet's
        configuration of a chip, a `.xml`; a dictionary of arrays or files ``a``, ``b``, ``c``, ``t``; or rows of ToT
        and energy in keV, as an array or a text file.
        Matrices have the shape of the detector, or (256, 256) or (chips, 256, 256) in the pixels of the chip.
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    calibration : PixelCalibration or TableCalibration
    found : dict
        For the metadata.

    Raises
    ------
    ValueError, FileNotFoundError
        If something is missing, has another shape, or is not a calibration; of a file it is Tpx3FormatError.
    """
    chip = {}
    if is_path(user_input):
        if os.path.isdir(user_input):
            user_input = matrix_files(user_input)
        elif has_ending(user_input, ".xml"):
            user_input, chip["chip"] = read_pixet_xml(user_input)
    if not isinstance(user_input, dict):
        return calibration_of_rows(user_input)
    need_matrices(user_input)
    flat = {letter: _flat(user_input[letter], letter, layout) for letter in MATRICES}
    exists = pixel_addresses(layout)[0] >= 0
    with np.errstate(over="ignore"):
        # judged as they are kept: in 32 bits the smallest numbers are 0 and the largest infinite
        flat = {letter: values.astype(np.float32) for letter, values in flat.items()}
    finite = np.logical_and.reduce([np.isfinite(values) for values in flat.values()])
    bad = exists & ~((flat["a"] > 0) & (flat["c"] >= 0) & finite)
    if not (exists & ~bad).any():
        raise ValueError("corrections: energy: no pixel has a > 0 and c >= 0, and finite numbers.")
    for values in flat.values():
        # pixels without a calibration take the usual one rather than none
        values[bad | ~exists] = np.median(values[exists & ~bad])
    found = {"method": "ToT = a E + b - c / (E - t)", "pixels_without_calibration": int(bad.sum()), **chip}
    return PixelCalibration(**flat), found


def need_matrices(user_input: dict) -> None:
    """Refuse a dictionary without all of `MATRICES`."""
    missing = [letter for letter in MATRICES if letter not in user_input]
    if missing:
        raise ValueError(f"corrections: energy lacks {', '.join(missing)}: expected the matrices a, b, c and t.")


def matrix_files(folder: str | os.PathLike) -> dict:
    """Each of `MATRICES` to its file in a folder."""
    return {letter: _matrix_file(folder, letter) for letter in MATRICES}


def _matrix_file(folder: str | os.PathLike, letter: str) -> str:
    stem = f"calib{letter}"
    names = [name for name in sorted(os.listdir(folder)) if os.path.splitext(name)[0].lower() == stem]
    if not names:
        raise FileNotFoundError(
            f"corrections: energy: no file {stem}.txt in {str(folder)!r}: expected caliba, calibb, calibc and calibt."
        )
    return os.path.join(folder, names[0])


@errors_of_files
def _flat(user_input: Any, letter: str, layout: Layout) -> np.ndarray:
    values = read_numbers(user_input, f"energy: {letter}")
    chip, address = pixel_addresses(layout)
    if values.ndim == 0:
        return np.full(len(chip), float(values))
    # Of one chip, in its own coordinates; of the whole detector as shown; or of each chip in its own coordinates.
    if values.shape == (CHIP_SIZE, CHIP_SIZE) and layout.chips == (0,):
        return values.ravel()[address]
    if values.shape == tuple(layout.sig_shape):
        return values.ravel().copy()
    if values.shape[1:] == (CHIP_SIZE, CHIP_SIZE) and len(values) > max(layout.chips):
        return values.reshape(len(values), -1)[np.maximum(chip, 0), address]
    raise ValueError(
        f"corrections: energy: matrix {letter} has shape {values.shape}; expected the detector's {layout.sig_shape}, "
        "or (chips, 256, 256)."
    )


@errors_of_files
def calibration_of_rows(user_input: Any) -> tuple[TableCalibration, dict]:
    """Calibration, and its report, from rows of ToT and energy; see `read_calibration`."""
    rows = tot_rows(
        user_input, "energy", "energy (keV)", others=", or a folder or dictionary of the matrices a, b, c, t"
    )
    if not np.isfinite(rows).all():
        raise ValueError("corrections: energy: the table holds numbers that are not finite. Leave such rows out.")
    tot = np.arange(1024)
    energy = np.interp(tot, rows[:, 0], rows[:, 1])
    # beyond the last row the last slope goes on: a saturated table would hide large charges
    slope = (rows[-1, 1] - rows[-2, 1]) / (rows[-1, 0] - rows[-2, 0])
    beyond = tot > rows[-1, 0]
    energy[beyond] = rows[-1, 1] + slope * (tot[beyond] - rows[-1, 0])
    return TableCalibration(energy.astype(np.float32)), {"method": "table", "rows": len(rows)}
