"""What may be given for each correction: looked at before a recording is read, and written down for its metadata.

Shapes that depend on the detector are compared where it is known (`rsciio_tpx3.corrections.fit`).
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from rsciio_tpx3.corrections.tables import is_path, need_file
from rsciio_tpx3.utils.fingerprints import fingerprint
from rsciio_tpx3.utils.paths import has_ending

__all__ = ["CORRECTIONS", "WIDE_PIXELS", "report_of_correction", "check_corrections"]

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
    requested = {name: given for name, given in corrections.items() if given is not None and given is not False}
    for name, given in requested.items():
        CORRECTIONS[name](given)
    return requested


def report_of_correction(name: str, given: Any) -> Any:
    """What was given for a correction, in plain text and numbers; see `rsciio_tpx3.utils.fingerprints.fingerprint`.

    Files have their checksums; of a folder of matrices it is a list of ``files``, each with its name.
    """
    if name == "energy" and is_path(given) and os.path.isdir(given):
        from rsciio_tpx3.corrections.energy import matrix_files

        files = [fingerprint(Path(path)) for path in matrix_files(given).values()]
        return {"file": os.path.basename(os.path.normpath(given)), "files": files}
    if name in _TAKE_FILES:
        given = _with_paths(given, name)
    return fingerprint(given)


def _with_paths(given: Any, name: str) -> Any:
    """The same where text that names a file is a path."""
    if isinstance(given, dict):
        return {key: _with_paths(value, name) for key, value in given.items()}
    return Path(given) if is_path(given) and (name, given) != ("mask", "find") else given


def _check_mask(given: Any) -> None:
    from rsciio_tpx3.corrections.bad_pixels import check_limits, mask_array

    if given is True or (isinstance(given, str) and given == "find"):
        return
    if isinstance(given, dict):
        unknown = set(given) - {"probability", "contrast"}
        if unknown:
            raise TypeError(
                f"corrections: mask: unknown parameter {min(map(str, unknown))!r}. Known are probability, contrast."
            )
        check_limits(**given)
        return
    if is_path(given):
        need_file(
            given, "mask",
            'mask="find" looks for hot pixels; otherwise give a .npy or text file, a .bpc of Serval, or an array of '
            "the detector's shape, True where a pixel is excluded.",
        )  # fmt: skip
        if has_ending(given, ".bpc"):
            return
    mask_array(given)


def _check_columns(given: Any) -> None:
    from rsciio_tpx3.corrections.columns import COLUMN_RULES, check_rules, is_array_with_unit
    from rsciio_tpx3.exceptions import UnitError
    from rsciio_tpx3.utils.units import to_ticks

    if isinstance(given, str):
        if given != "find":
            check_rules([given])
        return
    ways = f'"find", {", ".join(map(repr, COLUMN_RULES))}, both of these in a list, or (array, "ns")'
    if is_array_with_unit(given):
        to_ticks((1, given[1]), "corrections: columns")
        return
    if not np.iterable(given):
        raise TypeError(f"corrections: columns={given!r} says nothing of delays: expected {ways}.")
    items = list(given)
    if items and all(isinstance(item, str) for item in items):
        check_rules(items)
        return
    if any(isinstance(item, str) for item in items):
        raise TypeError(f"corrections: columns={given!r} cannot be read: expected {ways}.")
    raise UnitError(
        f"corrections: columns: delays of shape {np.asarray(given).shape} have no unit. Write (array, 'ns'): programs "
        "of this field differ between ns, ticks and s."
    )


def _check_time_walk(given: Any) -> None:
    from rsciio_tpx3.corrections.time_walk import walk_table

    if given is True:
        return
    if is_path(given):
        need_file(
            given, "time_walk", "time_walk=True fits it to the recording; otherwise give rows of ToT and delay in ns, "
            "as an array or a file."
        )  # fmt: skip
    walk_table(given)


def _check_energy(given: Any) -> None:
    from rsciio_tpx3.corrections.energy import MATRICES, calibration_of_rows, matrix_files, need_matrices
    from rsciio_tpx3.corrections.pixet_xml import read_pixet_xml

    ways = (
        "Give a folder with caliba, calibb, calibc and calibt, the .xml of a chip, a dictionary of a, b, c, t, or rows "
        "of ToT and keV"
    )
    if given is True:
        raise TypeError(f"corrections: energy=True: a recording does not give its energies. {ways}.")
    if isinstance(given, dict):
        need_matrices(given)
        for letter in MATRICES:
            if is_path(given[letter]):
                need_file(given[letter], f"energy: {letter}", f"{ways}.")
        return
    if is_path(given):
        need_file(given, "energy", f"{ways}.")
        if os.path.isdir(given):
            matrix_files(given)
            return
        if has_ending(given, ".xml"):
            read_pixet_xml(given)
            return
    calibration_of_rows(given)


def _check_wide_pixels(given: Any) -> None:
    if not isinstance(given, str) or given not in WIDE_PIXELS:
        raise ValueError(
            f"corrections: wide_pixels={given!r} is not valid: must be one of {', '.join(map(repr, WIDE_PIXELS))}."
        )


CORRECTIONS = {
    "mask": _check_mask,
    "columns": _check_columns,
    "time_walk": _check_time_walk,
    "energy": _check_energy,
    "wide_pixels": _check_wide_pixels,
}
"""Names of the corrections, in the order they are done; what looks at each."""
