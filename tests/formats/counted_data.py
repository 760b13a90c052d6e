"""Counted frames that show every mistake: all sizes differ, rows are empty or full, counts are large."""

import numpy as np

from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource


def counted(nav_shape=(5, 7), sig_shape=(11, 13), dtype=np.uint16, seed=0, most=1000):
    """Dense counts with empty rows, one full row, and counts above 255."""
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.15, (*nav_shape, *sig_shape)).astype(np.int64)
    dense[dense == 2] = min(most, np.iinfo(dtype).max)
    flat = dense.reshape(-1, *sig_shape)
    flat[0] = 0
    flat[len(flat) // 2] = 1
    flat[-2:] = 0
    return flat.reshape(dense.shape).astype(dtype)


def signal_dict(data, metadata=None):
    """A RosettaSciIO dictionary as HyperSpy's save makes it, with calibrated axes."""
    names = ["frame", "y", "x"][-(data.ndim - 2) :] if data.ndim > 2 else []
    axes = [
        {"name": n, "size": s, "navigate": True, "scale": 0.5 + i, "offset": -3.25, "units": "nm"}
        for i, (n, s) in enumerate(zip(names, data.shape))
    ]
    axes += [
        {"name": n, "size": s, "navigate": False, "scale": 0.01 * (i + 1), "offset": 0.125, "units": "$A^{-1}$"}
        for i, (n, s) in enumerate(zip(("ky", "kx"), data.shape[-2:]))
    ]
    default = {"General": {"title": "it's a test'''"}, "Signal": {"signal_type": "electron_diffraction"}}
    return {"data": data, "axes": axes, "metadata": metadata or default, "original_metadata": {"a": {"b": [1, 2.5]}}}


def lazy(dense, chunks="auto"):
    """Dask array of sparse chunks over dense counts."""
    return to_dask(MemorySource(CSRFrames.from_dense(dense)), chunks=chunks)
