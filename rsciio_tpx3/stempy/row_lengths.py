"""How many electrons each row of a stempy file has, without reading the electrons.

The library reads a row only with all of its values; the references to them (see `references`) are where it says that
the data set is stored.
"""

from __future__ import annotations

import math
import os
from typing import Any

import h5py
import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.stempy.references import REFERENCE
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5

__all__ = ["row_lengths"]

_NUMBER = 4  # bytes of a pixel number


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
        pieces = _pieces(file, dataset)
        if pieces is None:
            return None
        lengths = np.zeros(len(dataset), np.int64)
        for first, offset, n in pieces:
            found = np.fromfile(path, REFERENCE, n, offset=offset)["length"]
            lengths[first : first + n] = found[: len(lengths) - first]
        if lengths.sum() * _NUMBER > stamp.size:
            raise Tpx3FormatError(
                f"{name} of {stamp.name!r} refers to {lengths.sum()} electrons, more than a file of {stamp.size} bytes "
                "holds. It is damaged; copy it again."
            )
        # what the library says of a few rows holds what was read against the file
        sampled = {0, len(lengths) // 2, len(lengths) - 1} if len(lengths) else set()
        return lengths if all(len(dataset[row]) == lengths[row] for row in sampled) else None


def _pieces(file: h5py.Group, dataset: h5py.Dataset) -> list[tuple[int, int, int]] | None:
    """First row, place in the file and number of references of each stored part; None where there is no telling."""
    create, sizes = dataset.id.get_create_plist(), file.id.get_create_plist().get_sizes()
    if create.get_nfilters() or file.userblock_size or sizes[0] != 8 or dataset.ndim != 1 or dataset.is_virtual:
        return None
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return None if offset is None or dataset.external else [(0, offset, len(dataset))]
    found = []

    def note(chunk: Any) -> None:
        found.append((chunk.chunk_offset[0], chunk.byte_offset, math.prod(dataset.chunks)))

    if hasattr(h5py.h5d.DatasetID, "chunk_iter"):
        dataset.id.chunk_iter(note)  # one pass; asking for each in turn looks from the first every time
    else:  # h5py before 3.8
        for i in range(dataset.id.get_num_chunks()):
            note(dataset.id.get_chunk_info(i))
    return [piece for piece in found if piece[0] < len(dataset)]
