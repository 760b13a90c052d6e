"""Small values of HDF5 files, as Python has them, each with its size checked before it is read.

A chunk of 2 GiB may be packed into 10 kB, and a thousand references to one long text take little room.
"""

from __future__ import annotations

import itertools
import logging
import math
from typing import Any

import h5py
import numpy as np

from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError
from rsciio_tpx3.utils.hdf5.files import OTHER_FILES, text
from rsciio_tpx3.utils.hdf5.references import StoredAttributes, limit_attribute, limit_values
from rsciio_tpx3.utils.hdf5.storage import check_stored

__all__ = [
    "MOST_BYTES",
    "MOST_ITEMS",
    "attribute",
    "attributes",
    "limit_size",
    "value",
    "whole",
    "whole_numbers",
]

_logger = logging.getLogger(__name__)

MOST_BYTES = 1 << 24
"""Of one value of metadata."""

MOST_ITEMS = 10_000
"""Values of metadata in one file."""

_MOST_ATTRIBUTE = 1 << 20  # 1 MB: far above any description


def attribute(item: h5py.Group | h5py.Dataset, name: str, stored: StoredAttributes | None = None) -> Any:
    """Value of an attribute as Python has it; None where it is absent, empty, too large or cannot be read."""
    try:
        if name not in item.attrs:
            return None
        about = item.attrs.get_id(name)
        if math.prod(about.shape or ()) * about.dtype.itemsize > _MOST_ATTRIBUTE:
            _logger.warning(f"attribute {name!r} of {item.name} in {item.file.filename!r} is too large and excluded.")
            return None
        limit_attribute(item, name, _MOST_ATTRIBUTE, about, stored)
        return _plain(item.attrs[name])
    except Exception as error:  # of a dozen types, and no attribute is worth the data
        _log_excluded(item, name, error)
        return None


def attributes(item: h5py.Group | h5py.Dataset, most: int = MOST_ITEMS) -> dict[str, Any]:
    """Names and values of the attributes of an object, `attribute` of each; no more than `most` of them."""
    try:
        names = list(itertools.islice(item.attrs, most + 1))
    except Exception as error:
        _log_excluded(item, "(all)", error)
        return {}
    if len(names) > most:
        _logger.warning(f"{item.name} in {item.file.filename!r} has more than {most} attributes; the rest is excluded.")
    stored = StoredAttributes(item)
    return {name: attribute(item, name, stored) for name in names[:most]}


def _log_excluded(item: h5py.Group | h5py.Dataset, name: str, error: Exception) -> None:
    _logger.warning(f"attribute {name!r} of {item.name} cannot be read ({error}) and is excluded.")


def value(dataset: h5py.Dataset, most: int = MOST_BYTES) -> Any:
    """Value of a small data set as Python has it, its size checked before it is read.

    Parameters
    ----------
    dataset : h5py.Dataset
    most : int
        Bytes.

    Returns
    -------
    object
        Numbers, texts, lists and dictionaries of these; None for an empty one.

    Raises
    ------
    LimitError
        If it is too large.
    Tpx3FormatError, LossError
        If it lies in another file, or some of its parts are lost.
    """
    if dataset.external or dataset.is_virtual:
        raise Tpx3FormatError(f"{dataset.name} of {dataset.file.filename!r} lies in other files. {OTHER_FILES}")
    shape = dataset.shape
    if shape is None:
        return None
    limit_size(dataset, most)
    limit_values(dataset, most)
    if dataset.chunks is not None and dataset.id.get_num_chunks():  # what was never set at all has its default
        check_stored(dataset)
    texts = h5py.check_vlen_dtype(dataset.dtype) or h5py.check_string_dtype(dataset.dtype)
    if not shape or texts is None or dataset.size <= 1:
        return _plain(dataset[()])
    # one by one: many references to one long text take little room in a file, and empty ones none
    if dataset.size > MOST_ITEMS:
        raise LimitError(
            f"{dataset.name} of {dataset.file.filename!r} holds {dataset.size} texts or rows; expected at most "
            f"{MOST_ITEMS} in a value of metadata."
        )
    found, n_bytes = [], 0
    for place in np.ndindex(shape):
        found.append(_plain(dataset[place]))
        n_bytes += len(found[-1]) if hasattr(found[-1], "__len__") else 8
        if n_bytes > most:
            raise LimitError(f"{dataset.name} of {dataset.file.filename!r} holds more than {most} bytes of text.")
    return found


def limit_size(dataset: h5py.Dataset, most: int, remedy: str = "It is too much for what it should be.") -> None:
    """Raise LimitError where a data set, or the part of it that is unpacked at once, has more bytes than `most`."""
    shape = dataset.chunks or ()
    n_bytes = max(math.prod(dataset.shape or ()), math.prod(shape)) * dataset.dtype.itemsize
    if n_bytes > most:
        raise LimitError(
            f"{dataset.name} of {dataset.file.filename!r} would take {n_bytes} bytes, more than {most}. {remedy}"
        )


def _plain(found: Any) -> Any:
    """A value of h5py as Python has it."""
    if isinstance(found, h5py.Empty):
        return None
    if isinstance(found, np.void) and found.dtype.names:
        return {name: _plain(found[name]) for name in found.dtype.names}
    if isinstance(found, np.ndarray):
        if found.dtype.names:
            return [_plain(item) for item in found.ravel()[:MOST_ITEMS]]
        if found.dtype.kind in "biufc":
            return found.tolist()  # plain already: a million numbers one by one took 0.2 s
        return [_plain(item) for item in found.tolist()] if found.ndim else _plain(found[()])
    if isinstance(found, list):
        return [_plain(item) for item in found]
    if isinstance(found, np.generic):
        found = found.item()
    if isinstance(found, (h5py.Reference, h5py.RegionReference)):
        return None
    return text(found)


def whole(found: Any) -> int | None:
    """A number without a fraction as an int, also where it is text, a float, or a list of one; else None."""
    while isinstance(found, (list, tuple, np.ndarray)) and len(found) == 1:
        found = found[0]
    if isinstance(found, (bytes, str)):
        found = text(found).strip()
        return int(found) if found.lstrip("-").isdecimal() and len(found) < 20 else None
    if isinstance(found, (bool, np.bool_)) or not isinstance(found, (int, float, np.number)):
        return None
    return int(found) if np.isfinite(found) and found == int(found) else None


def whole_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """An array of numbers without fractions as int64, of whatever type and byte order they are.

    Parameters
    ----------
    array : numpy.ndarray
    what : str
        For errors.

    Returns
    -------
    numpy.ndarray of int64, shape (n,)
    """
    array = np.asarray(array).ravel()
    if array.dtype.kind == "f":
        if len(array) and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
            raise Tpx3FormatError(f"{what} holds {array.dtype} values that are not integers.")
        too_large = len(array) and np.abs(array).max() >= 2.0**53
    else:
        too_large = array.dtype == np.uint64 and len(array) and int(array.max()) > np.iinfo(np.int64).max
    if too_large:
        raise Tpx3FormatError(f"{what} holds {array.max()}, beyond any number of events or pixels.")
    return array.astype(np.int64)
