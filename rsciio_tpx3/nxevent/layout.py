"""Where things lie in an NXevent_data file, and how its arrays are packed.

Source: the NeXus definition of the base class NXevent_data. A pulse of that definition is a scan
position here: `event_index` (NX_INT, one a pulse) holds the first event of each position, `event_id`
(NX_INT, one per event) the detector pixel ``y * width + x``, in which a pixel that counts n electrons is
repeated n times. Values that are not counts go to `pulse_height` (NX_FLOAT, rank 2). The base classes
allow the group in an NXinstrument, and what only this package knows in NXparameters of an NXprocess.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = [
    "CHUNK_EVENTS",
    "ENTRY",
    "INSTRUMENT",
    "EVENTS",
    "PARAMETERS",
    "PROCESS",
    "height_type",
    "id_type",
    "load_plugin",
    "packing",
    "require_plugin",
]

ENTRY = "entry"
INSTRUMENT = "instrument"
EVENTS = "events"
PROCESS = "process"
PARAMETERS = "rsciio_tpx3"

CHUNK_EVENTS = 1 << 17
"""Events in one HDF5 chunk: 0.2 MB packed, the least that reading one frame costs."""

_BLOSC2 = 32026  # registered HDF5 filter number
_BYTEDELTA = 35  # registered Blosc2 filter: differences of neighbouring bytes
_ZSTD = 5


def packing(compression: str, dtype: DTypeLike, chunks: tuple[int, ...]) -> dict:
    """Arguments of h5py's create_dataset for pixel numbers, `chunks` among them.

    Pixel numbers ascend within a position. The shuffle filter puts their first, second, ... bytes
    together; differences of neighbours in these streams are small for all but the lowest byte, and zstd
    packs them to within a twentieth of what the order and number of events allow. The filters act on
    the bytes only: what a reader gets is plain pixel numbers. HDF5's Fletcher32 checksum comes last, over what is
    stored: the library compares it whenever it reads a chunk, before anything is unpacked.

    Parameters
    ----------
    compression : {"blosc2", "gzip"}
        "gzip" needs no plugin to read, and a third more space.
    dtype : numpy.dtype
        Of the numbers.
    chunks : tuple of int

    Returns
    -------
    dict
    """
    always = {"chunks": chunks, "fletcher32": True}
    if compression == "gzip":
        return {**always, "shuffle": True, "compression": "gzip", "compression_opts": 4}
    if compression != "blosc2":
        raise ValueError(f"compression={compression!r} is not valid: must be one of 'blosc2', 'gzip'.")
    require_plugin("to write with compression='blosc2'; compression='gzip' needs no plugin")
    n_bytes = np.dtype(dtype).itemsize
    # Higher levels look for repeats that counted pixels do not have: slower, and not smaller. A chunk is one block of
    # Blosc2: smaller ones would be for its own threads, which it starts anew for each chunk, and take more room.
    options = (0, math.prod(chunks) * n_bytes, 0, 0, 1, _BYTEDELTA, _ZSTD)
    return {**always, "shuffle": n_bytes > 1, "compression": _BLOSC2, "compression_opts": options}


def require_plugin(purpose: str) -> None:
    """Load the HDF5 filters, or say what to install."""
    try:
        import hdf5plugin  # noqa: F401  (loading it registers its filters: only where a file has some)
    except ImportError:
        raise ImportError(f"the package hdf5plugin is needed {purpose}. Install it: pip install hdf5plugin.") from None


def load_plugin() -> None:
    """Make the HDF5 filters known where they are installed; files without them need none."""
    try:
        import hdf5plugin  # noqa: F401  (as above)
    except ImportError:
        pass


def id_type(sig_shape: tuple[int, ...]) -> np.dtype:
    """Smallest signed type (NX_INT) for the pixel numbers of a detector."""
    last = int(sig_shape[0]) * int(sig_shape[1]) - 1
    return np.dtype(next(t for t in ("<i2", "<i4", "<i8") if last <= np.iinfo(t).max))


def height_type(dtype: DTypeLike) -> np.dtype:
    """Float type (NX_FLOAT) that holds every value of a type exactly, or as many as double precision does."""
    dtype = np.dtype(dtype)
    single = dtype.kind == "b" or (dtype.kind in "iuf" and np.can_cast(dtype, np.float32, "safe"))
    return np.dtype("<f4" if single else "<f8")
