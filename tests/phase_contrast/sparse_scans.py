"""Signals of given counts, for tests that need no optics."""

from hyperspy.signals import LazySignal2D

from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3 import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource


def sparse_scan(counts, chunks="auto"):
    return finish_loading(LazySignal2D(to_dask(MemorySource.from_dense(counts), chunks=chunks)))
