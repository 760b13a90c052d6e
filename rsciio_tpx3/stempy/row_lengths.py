"""How many electrons each row of a stempy file has, without reading the electrons.

The library reads a row only with all of its values; the references to them (see `references`) are where it says that
the data set is stored.
"""

from __future__ import annotations

import os

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.stempy.references import read_references, stored_references
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5

__all__ = ["row_lengths"]


def row_lengths(path: str | os.PathLike, name: str, allow_external: bool = False) -> np.ndarray | None:
    """Lengths of the rows of a data set of one axis and variable length.

    Parameters
    ----------
    path : str
    name : str
        Of the data set.
    allow_external : bool
        See `rsciio_tpx3.utils.hdf5.files.find`.

    Returns
    -------
    numpy.ndarray of int64, shape (n_rows,), or None
        None where the references cannot be read as they lie: packed, in another file, or of other sizes.

    Raises
    ------
    Tpx3FormatError
        If all rows together would be longer than the file: they are never packed.
    """
    stamp = FileStamp.of(path)
    with open_hdf5(stamp, "stempy file") as file:
        dataset = find(file, name, allow_external)
        if dataset.file != file:
            return None
        parts = stored_references(dataset)
        references = None if parts is None else read_references(path, parts, 0, len(dataset))
        if references is None:
            return None
        lengths = references["length"].astype(np.int64)
        if lengths.sum() * dataset.id.get_type().get_super().get_size() > stamp.size:
            raise Tpx3FormatError(
                f"{name} of {stamp.name!r} refers to {lengths.sum()} electrons, more than a file of {stamp.size} bytes "
                "holds. It is damaged; copy it again."
            )
        # what the library says of a few rows holds what was read against the file
        sampled = {0, len(lengths) // 2, len(lengths) - 1} if len(lengths) else set()
        return lengths if all(len(dataset[row]) == lengths[row] for row in sampled) else None
