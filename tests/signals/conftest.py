"""One small scan as sparse and as dense signal, all four sizes different."""

import dask.array as da
import numpy as np
import pytest
from hyperspy.io import dict2signal

from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3 import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

NAV, SIG = (3, 5), (16, 12)
AXES = [
    {"name": "y", "size": 3, "scale": 0.5, "offset": 1.0, "units": "nm", "navigate": True},
    {"name": "x", "size": 5, "scale": 0.5, "offset": 2.0, "units": "nm", "navigate": True},
    {"name": "ky", "size": 16, "scale": 0.1, "offset": -0.8, "units": "1/A", "navigate": False},
    {"name": "kx", "size": 12, "scale": 0.1, "offset": -0.6, "units": "1/A", "navigate": False},
]


@pytest.fixture(scope="session")
def counts():
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:16, :12]
    disk = 2.0 * np.exp(-((y - 7.5) ** 2 + (x - 6.2) ** 2) / 8)
    counts = rng.poisson(disk + 0.05, (*NAV, *SIG)).astype(np.uint8)
    counts[1, 2] = 0
    return counts


def _load(counts, navigator=None, chunks=(2, 5), signal_type="electron_diffraction"):
    """As hs.load makes it from the dictionary of a reader."""
    dictionary = {
        "data": to_dask(MemorySource.from_dense(counts), chunks=chunks),
        "axes": [dict(axis) for axis in AXES],
        "metadata": {"General": {"title": "scan"}, "Signal": {"signal_type": signal_type}},
        "original_metadata": {"recorded": {"by": "nobody"}},
        "attributes": {"_lazy": True},
        "post_process": [lambda s: finish_loading(s, navigator)],
    }
    return dict2signal(dictionary)


def _dense(counts, chunks=(2, 5), signal_type="electron_diffraction"):
    """The same signal with dense chunks, in the host's class."""
    return dict2signal(
        {
            "data": da.from_array(counts, chunks=(*chunks, *SIG)),
            "axes": [dict(axis) for axis in AXES],
            "metadata": {"General": {"title": "scan"}, "Signal": {"signal_type": signal_type}},
            "original_metadata": {"recorded": {"by": "nobody"}},
            "attributes": {"_lazy": True},
        }
    )


@pytest.fixture
def sparse_signal(counts):
    return _load(counts, counts.sum(axis=(2, 3)))


@pytest.fixture
def dense_signal(counts):
    return _dense(counts)


@pytest.fixture(scope="session")
def load():
    """The function that makes the sparse signal, for other chunks and types."""
    return _load


@pytest.fixture(scope="session")
def dense():
    return _dense
