"""What may be given for each correction: looked at before a recording is read, and written down for its metadata.

Shapes that depend on the detector are compared where it is known (`rsciio_tpx3.corrections.fit`).
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rsciio_tpx3.corrections.bad_pixels import check_limits, mask_array
from rsciio_tpx3.corrections.columns import COLUMN_RULES, check_rules, is_array_with_unit
from rsciio_tpx3.corrections.energy import MATRICES, calibration_of_rows, matrix_files, need_matrices
from rsciio_tpx3.corrections.pixet_xml import read_pixet_xml
from rsciio_tpx3.corrections.tables import is_path, need_file
from rsciio_tpx3.corrections.time_walk import walk_table
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.fingerprints import fingerprint
from rsciio_tpx3.utils.paths import has_ending
from rsciio_tpx3.utils.units import to_ticks

__all__ = ["CORRECTIONS", "WIDE_PIXELS", "report_of_correction", "check_corrections", "with_paths"]

WIDE_PIXELS = ("leave", "delete", "spread")
_TAKE_FILES = ("mask", "time_walk", "energy")
_EXAMPLE = '{"mask": "find", "time_walk": True}'


def check_corrections(corrections: dict | None) -> dict:
    """The corrections that were requested, each of a kind that can be meant.

    Parameters
    ----------
    corrections : dict or None
        As the option of the readers.

    Returns
    -------
    dict
        Without those that are off.

    Raises
    ------
    TypeError, ValueError, UnitError
        For what is not a correction, saying what is.
    FileNotFoundError
        If a file does not exist.
    """
    if corrections is None or corrections is False:
        return {}
    if not isinstance(corrections, dict):
        raise TypeError(
            f"corrections={corrections!r}: expected a dictionary of names and what to do, such as {_EXAMPLE}. Names "
            f"are {', '.join(CORRECTIONS)}."
        )
    unknown = set(corrections) - set(CORRECTIONS)
    if unknown:
        raise TypeError(f"corrections: unknown name {min(map(str, unknown))!r}. Known are {', '.join(CORRECTIONS)}.")
    requested = {
        name: user_input
        for name, user_input in corrections.items()
        if user_input is not None and user_input is not False
    }
    # Files are looked at here, before a recording of many GB is read for nothing.
    for name, user_input in requested.items():
        CORRECTIONS[name](user_input)
    return requested


def report_of_correction(name: str, user_input: Any) -> Any:
    """What was given for a correction, in plain text and numbers; see `rsciio_tpx3.utils.fingerprints.fingerprint`.

    Files have their checksums; of a folder of matrices it is a list of ``files``, each with its name.
    """
    if name == "energy" and is_path(user_input) and os.path.isdir(user_input):
        files = [fingerprint(Path(path)) for path in matrix_files(user_input).values()]
        return {"file": os.path.basename(os.path.normpath(user_input)), "files": files}
    return fingerprint(_with_paths(user_input, name, Path))


def with_paths(corrections: Any, change: Callable[[Any], Any]) -> Any:
    """The same corrections with another path for each file or folder that they name."""
    if not isinstance(corrections, dict):
        return corrections
    return {name: _with_paths(user_input, name, change) for name, user_input in corrections.items()}


def _with_paths(user_input: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """The same where text that names a file is what `change` makes of it."""
    if name not in _TAKE_FILES:
        return user_input
    if isinstance(user_input, dict):
        return {key: _with_paths(value, name, change) for key, value in user_input.items()}
    return change(user_input) if is_path(user_input) and (name, user_input) != ("mask", "find") else user_input


def _check_mask(user_input: Any) -> None:
    if user_input is True or (isinstance(user_input, str) and user_input == "find"):
        return
    if isinstance(user_input, dict):
        unknown = set(user_input) - {"probability", "contrast"}
        if unknown:
            raise TypeError(
                f"corrections: mask: unknown parameter {min(map(str, unknown))!r}. Known are probability, contrast."
            )
        check_limits(**user_input)
        return
    if is_path(user_input):
        need_file(
            user_input, "mask",
            'mask="find" looks for hot pixels; otherwise give a .npy or text file, a .bpc of Serval, or an array of '
            "the detector's shape, True where a pixel is excluded.",
        )  # fmt: skip
        if has_ending(user_input, ".bpc"):
            return
    mask_array(user_input)


def _check_columns(user_input: Any) -> None:
    if isinstance(user_input, str):
        if user_input != "find":
            check_rules([user_input])
        return
    ways = f'"find", {", ".join(map(repr, COLUMN_RULES))}, both of these in a list, or (array, "ns")'
    if is_array_with_unit(user_input):
        to_ticks((1, user_input[1]), "corrections: columns")
        return
    if not np.iterable(user_input):
        raise TypeError(f"corrections: columns={user_input!r} says nothing of delays: expected {ways}.")
    items = list(user_input)
    if items and all(isinstance(item, str) for item in items):
        check_rules(items)
        return
    if any(isinstance(item, str) for item in items):
        raise TypeError(f"corrections: columns={user_input!r} cannot be read: expected {ways}.")
    raise UnitError(
        f"corrections: columns: delays of shape {np.asarray(user_input).shape} have no unit. Write (array, 'ns'): "
        "programs of this field differ between ns, ticks and s."
    )


def _check_time_walk(user_input: Any) -> None:
    if user_input is True:
        return
    if is_path(user_input):
        need_file(
            user_input, "time_walk", "time_walk=True fits it to the recording; otherwise give rows of ToT and delay "
            "in ns, as an array or a file."
        )  # fmt: skip
    walk_table(user_input)


def _check_energy(user_input: Any) -> None:
    ways = (
        "Give a folder with caliba, calibb, calibc and calibt, the .xml of a chip, a dictionary of a, b, c, t, or rows "
        "of ToT and keV"
    )
    if user_input is True:
        raise TypeError(f"corrections: energy=True: a recording does not give its energies. {ways}.")
    if isinstance(user_input, dict):
        need_matrices(user_input)
        for letter in MATRICES:
            if is_path(user_input[letter]):
                need_file(user_input[letter], f"energy: {letter}", f"{ways}.")
        return
    if is_path(user_input):
        need_file(user_input, "energy", f"{ways}.")
        if os.path.isdir(user_input):
            matrix_files(user_input)
            return
        if has_ending(user_input, ".xml"):
            read_pixet_xml(user_input)
            return
    calibration_of_rows(user_input)


def _check_wide_pixels(user_input: Any) -> None:
    if not isinstance(user_input, str) or user_input not in WIDE_PIXELS:
        raise ValueError(
            f"corrections: wide_pixels={user_input!r} is not valid: must be one of {', '.join(map(repr, WIDE_PIXELS))}."
        )


CORRECTIONS = {
    "mask": _check_mask,
    "columns": _check_columns,
    "time_walk": _check_time_walk,
    "energy": _check_energy,
    "wide_pixels": _check_wide_pixels,
}
"""Names of the corrections, in the order they are done; what looks at each."""
