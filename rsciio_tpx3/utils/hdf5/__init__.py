"""HDF5 files of unknown origin, read without trusting what they claim.

Who meets such a file now and then takes these names from here: h5py is loaded for files that need it alone.
"""

from typing import Any

from rsciio_tpx3.utils.lazy import loaded

_PUBLIC = {
    "check_heaps": "rsciio_tpx3.utils.hdf5.heaps",
    "find": "rsciio_tpx3.utils.hdf5.files",
    "groups_of_class": "rsciio_tpx3.utils.hdf5.contents",
    "open_hdf5": "rsciio_tpx3.utils.hdf5.files",
}

__all__ = [*_PUBLIC]


def __getattr__(name: str) -> Any:
    return loaded(__name__, _PUBLIC, name)
