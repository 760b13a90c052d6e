"""Does the library find each part of a data set that it lists?

The parts of a data set are found by a tree of bounds (B-tree of version 1, the index of all files that are written for
HDF5 1.8 and earlier, h5py's default). It has no checksum. To list the parts its leaves are gone through in order; to
read one, the bounds are compared on the way down. A changed bound hides parts that the list still shows, and what is
not found reads as zeros. The indexes of later versions carry checksums, which the library verifies.

Source: HDF5 file format specification 3.0, sections III.A.1 (version 1 B-trees) and IV.A.2.i (data layout message).
"""

from __future__ import annotations

import struct

import h5py
import numpy as np

from rsciio_tpx3.utils.hdf5.references import LAYOUT, messages, read_at

__all__ = ["has_hidden_chunks"]

_CHUNKED = 2  # layout class (HDF5 file format specification 3.0, IV.A.2.i)
_HEAD = 24  # bytes of a node before its first bound
_MOST_LEVELS = 16
_MOST_NODE = 1 << 24
_UNDEFINED = (1 << 64) - 1  # an address that is not set: all bits are set

_Bound = tuple[int, ...]


def has_hidden_chunks(dataset: h5py.Dataset) -> bool:
    """Whether the bounds of a tree of parts contradict each other, so that parts which it lists are not found.

    Costs a look at each node: one for some 64 parts.

    Parameters
    ----------
    dataset : h5py.Dataset
        In parts ("chunked").
    """
    root = _root(dataset)
    if root is None:
        return False
    rank = len(dataset.shape) + 1  # the library counts the bytes of a value as an axis
    nothing: _Bound = (0,) * rank
    pending: list[tuple[int, int | None, _Bound, _Bound | None]] = [(root, None, nothing, None)]
    seen = set()
    while pending:
        at, level, lowest, beyond = pending.pop()
        node = None if at in seen else _node(dataset, at, rank)
        seen.add(at)
        if node is None or node[0] > _MOST_LEVELS or (level is not None and node[0] != level):
            return True
        bounds, children = node[1:]
        if bounds[0] < lowest or (beyond is not None and bounds[-1] > beyond):
            return True
        if any(first >= second for first, second in zip(bounds, bounds[1:])):
            return True
        if level := node[0]:
            pending += [(child, level - 1, first, last) for child, first, last in zip(children, bounds, bounds[1:])]
    return False


def _root(dataset: h5py.Dataset) -> int | None:
    """Address of a tree of version 1; None where the index is of another kind, or nothing is stored."""
    for kind, data in messages(dataset):
        if kind != LAYOUT:
            continue
        if data[:2] == bytes((3, _CHUNKED)) and len(data) >= 11:
            found = struct.unpack_from("<Q", data, 3)[0]
        elif data[:1] in (b"\x01", b"\x02") and data[2:3] == bytes((_CHUNKED,)) and len(data) >= 16:
            found = struct.unpack_from("<Q", data, 8)[0]
        else:
            return None
        return None if found == _UNDEFINED else found
    return None


def _node(dataset: h5py.Dataset, at: int, rank: int) -> tuple[int, list[_Bound], list[int]] | None:
    """Level, bounds and children of a node, a bound more than children; None for what is not a node."""
    head = read_at(dataset.file, at, _HEAD)
    if len(head) < _HEAD or head[:5] != b"TREE\x01":
        return None
    level, n = head[5], int.from_bytes(head[6:8], "little")
    words = 1 + rank + 1  # size and filters, bound, child
    n_bytes = 8 * (words * n + words - 1)
    content = read_at(dataset.file, at + _HEAD, min(n_bytes, _MOST_NODE))
    if n == 0 or len(content) < n_bytes:
        return None
    table = np.frombuffer(content + bytes(8), "<u8").reshape(n + 1, words)
    return level, list(map(tuple, table[:, 1:-1].tolist())), table[:-1, -1].tolist()
