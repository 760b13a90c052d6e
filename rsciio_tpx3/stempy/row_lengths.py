"""How many electrons each row of a stempy file has, without reading the electrons.

Rows of different length lie in HDF5 as references of 16 bytes: the length (u32), where the values are (address u64
and index u32). The library reads a row only with all of its values; the references themselves are where it
says that the data set is stored. Source: HDF5 file format specification, variable-length data types.
"""

import math

import numpy as np

__all__ = ["row_lengths"]

_REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])


def row_lengths(path, name):
    """Lengths of the rows of a data set of one axis and variable length.

    Parameters
    ----------
    path : str
    name : str
        Of the data set.

    Returns
    -------
    numpy.ndarray of int64, shape (n_rows,), or None
        None where the references cannot be read as they lie: filtered, in another file, or of other sizes.
    """
    import h5py

    with h5py.File(path, "r") as file:
        dataset = file[name]
        pieces = _pieces(file, dataset)
        if pieces is None:
            return None
        lengths = np.zeros(len(dataset), np.int64)
        for first, offset, n in pieces:
            found = np.fromfile(path, _REFERENCE, n, offset=offset)["length"]
            lengths[first : first + n] = found[: len(lengths) - first]
        # what the library says of a few rows holds what was read against the file
        asked = {0, len(lengths) // 2, len(lengths) - 1} if len(lengths) else set()
        return lengths if all(len(dataset[row]) == lengths[row] for row in asked) else None


def _pieces(file, dataset):
    """First row, place in the file and number of references of each stored part; None where there is no telling."""
    create, sizes = dataset.id.get_create_plist(), file.id.get_create_plist().get_sizes()
    if create.get_nfilters() or file.userblock_size or sizes[0] != 8 or dataset.ndim != 1 or dataset.is_virtual:
        return None
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        return None if offset is None or dataset.external else [(0, offset, len(dataset))]
    chunks = map(dataset.id.get_chunk_info, range(dataset.id.get_num_chunks()))
    return [(chunk.chunk_offset[0], chunk.byte_offset, math.prod(dataset.chunks)) for chunk in chunks]
