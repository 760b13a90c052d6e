"""Chunks packed as HDF5's filters pack them, in any thread.

The library lets one thread in at a time, so that packing, which takes most of the time of writing, keeps all others
out. What its filters do to the bytes of a chunk is no secret of the library: two of them are a few lines, one is zlib,
and others are plugins (see `filter_plugins`), which know nothing of files.

Source: HDF5 file format specification 3.0 (filter pipeline: shuffle, deflate, Fletcher's checksum).
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable

import h5py
import numpy as np

from rsciio_tpx3.utils.hdf5.filter_plugins import plugin_step

__all__ = ["chunk_packing"]

_STEP = Callable[[np.ndarray], "np.ndarray | None"]


def chunk_packing(dataset: h5py.Dataset) -> Callable[[np.ndarray], tuple[np.ndarray, int]] | None:
    """A function that packs a chunk as the library would, and may run in any thread.

    Parameters
    ----------
    dataset : h5py.Dataset
        In chunks.

    Returns
    -------
    callable or None
        Takes an array of all values of one chunk, and gives the bytes and the mask of filters that were omitted, as
        `h5py.h5d.DatasetID.write_direct_chunk` takes them. None where a filter cannot be applied outside of the
        library: then it has to pack.

    Examples
    --------
    >>> with h5py.File("packed.h5", "w", driver="core", backing_store=False) as file:
    ...     dataset = file.create_dataset("a", (4,), "<i4", chunks=(4,), shuffle=True)
    ...     packed, mask = chunk_packing(dataset)(np.array([1, 2, 3, 4]))
    >>> packed[:4], mask
    (array([1, 2, 3, 4], dtype=uint8), 0)
    """
    create = dataset.id.get_create_plist()
    filters = [create.get_filter(i) for i in range(create.get_nfilters())]
    steps = [_step(code, parameters) for code, _, parameters, _ in filters]
    known = [step for step in steps if step is not None]
    if len(known) < len(steps):
        return None
    optional = [bool(flags & h5py.h5z.FLAG_OPTIONAL) for _, flags, *_ in filters]
    dtype, name = dataset.dtype, dataset.name

    def pack(values: np.ndarray) -> tuple[np.ndarray, int]:
        packed, omitted = np.ascontiguousarray(values, dtype).reshape(-1).view(np.uint8), 0
        for i, step in enumerate(known):
            done = step(packed)
            if done is not None:
                packed = done
            elif optional[i]:  # such as one that would need more bytes than there were
                omitted |= 1 << i
            else:
                raise OSError(f"filter {filters[i][0]} of HDF5 could not pack {packed.nbytes} bytes of {name}.")
        return packed, omitted

    return pack


def _step(code: int, parameters: tuple[int, ...]) -> _STEP | None:
    """The filter of a number, or None where it is not known here."""
    if code == h5py.h5z.FILTER_SHUFFLE:
        return functools.partial(_shuffled, size=parameters[0])
    if code == h5py.h5z.FILTER_DEFLATE:
        return functools.partial(_deflated, level=parameters[0])
    if code == h5py.h5z.FILTER_FLETCHER32:
        return _with_checksum
    return plugin_step(code, parameters)


def _shuffled(packed: np.ndarray, size: int) -> np.ndarray:
    """The first bytes of all numbers, then all second ones, and so on; what is no whole number stays at the end."""
    whole = len(packed) // size * size
    if size < 2 or whole == size:
        return packed
    shuffled = np.empty_like(packed)
    numbers, planes = packed[:whole].reshape(-1, size), shuffled[:whole].reshape(size, -1)
    for i in range(size):  # faster than both axes at once
        planes[i] = numbers[:, i]
    shuffled[whole:] = packed[whole:]
    return shuffled


def _deflated(packed: np.ndarray, level: int) -> np.ndarray:
    return np.frombuffer(zlib.compress(packed.data, level), np.uint8)


def _with_checksum(packed: np.ndarray) -> np.ndarray:
    """Bytes with their checksum behind."""
    return np.concatenate([packed, _checksum(packed)])


def _checksum(packed: np.ndarray) -> np.ndarray:
    """Fletcher's checksum of bytes, in four bytes of little endian.

    Sums of 16-bit words, and of these sums, modulo 65535, where HDF5 has 65535 for zero unless all words are zero. The
    first byte of a word is the high one; a last byte without a partner is one too. Here the words are added up with
    their bytes exchanged: modulo 65535, that is a factor of 256.
    """
    words = packed[: len(packed) // 2 * 2].view("<u2")
    if len(packed) % 2:
        words = np.append(words, np.uint16(packed[-1]))
    first = second = 0
    for start in range(0, len(words), len(_WEIGHTS)):
        part = words[start : start + len(_WEIGHTS)].astype(np.uint64)
        second += first * len(part) + int(part @ _WEIGHTS[len(_WEIGHTS) - len(part) :])
        first += int(part.sum())
    folded = [(256 * total - 1) % 65535 + 1 if total else 0 for total in (first, second)]
    return np.array([folded[1] << 16 | folded[0]], "<u4").view(np.uint8)


_WEIGHTS = np.arange(1 << 17, 0, -1, dtype=np.uint64)  # a sum of so many words, each times its place, is below 2**64
