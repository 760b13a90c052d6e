"""Which object of a file is this, answered in a way that damage cannot make endless.

`h5py.h5o.get_info` measures the tree of a group as well: it follows the links between neighbours, and goes round for
ever where damage has made them a circle (HDF5 1.14 and 2.0).
"""

from __future__ import annotations

import h5py

__all__ = ["address", "identity"]


def identity(item: h5py.Group | h5py.Dataset) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What two paths to one object have in common."""
    about = h5py.h5g.get_objinfo(item.id)
    return about.fileno, about.objno


def address(item: h5py.Group | h5py.Dataset) -> int:
    """Where the header of an object lies, from the end of the user block on."""
    low, high = identity(item)[1]
    return low + (high << 32)  # `high` is used where C's long has 32 bits
