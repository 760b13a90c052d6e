"""HyperSpy and pyXem signals whose chunks stay sparse.

HyperSpy imports this module while it looks for its extensions, before it is ready to be imported
itself; so nothing here may import HyperSpy, and everything public is found on first use.
"""

import importlib

import hyperspy_sparse._register  # noqa: F401  (makes hs.load find our readers)
from rsciio_tpx3 import __version__

_PUBLIC = {
    "LazySparseDiffraction2D": "hyperspy_sparse.signals",
    "LazySparseElectronDiffraction2D": "hyperspy_sparse.signals",
    "LazySparsePolarDiffraction2D": "hyperspy_sparse.signals",
    "LazySparseSignal2D": "hyperspy_sparse.signals",
    "SparseDiffraction2D": "hyperspy_sparse.signals",
    "SparseElectronDiffraction2D": "hyperspy_sparse.signals",
    "SparsePolarDiffraction2D": "hyperspy_sparse.signals",
    "SparseSignal2D": "hyperspy_sparse.signals",
    "finish_loading": "hyperspy_sparse.signals",
    "live": "hyperspy_sparse.live_view",
    "one_pass": "hyperspy_sparse.passes",
    "read_recording": "hyperspy_sparse.deferred",
    "recording_summary": "hyperspy_sparse.summary",
    "refresh": "hyperspy_sparse.follow",
    "select": "hyperspy_sparse.selection",
    "virtual_images": "hyperspy_sparse.passes",
    "find_drift": "hyperspy_sparse.drift",
    "Drift": "hyperspy_sparse.drift",
    "align_frames": "hyperspy_sparse.alignment",
    "set_microscope": "hyperspy_sparse.microscope",
    "find_disks": "hyperspy_sparse.disk_positions",
    "LineAccumulator": "hyperspy_sparse.phase_contrast",
    "error_map": "hyperspy_sparse.phase_contrast",
    "fit_aberrations": "hyperspy_sparse.phase_contrast",
    "fourier_ring_correlation": "hyperspy_sparse.phase_contrast",
    "split_electrons": "hyperspy_sparse.phase_contrast",
    "phase": "hyperspy_sparse.phase_contrast",
    "tilted_images": "hyperspy_sparse.phase_contrast",
    "register_kernel": "hyperspy_sparse.kernels",
    "serve": "hyperspy_sparse.interop.serving",
    "to_sparse": "hyperspy_sparse.interop.arrays",
    "convert": "hyperspy_sparse.interop.arrays",
    "DenseMemoryError": "rsciio_tpx3.csr.memory_limit",
    "get_limit": "rsciio_tpx3.csr.memory_limit",
    "save_limit": "rsciio_tpx3.csr.memory_limit",
    "set_limit": "rsciio_tpx3.csr.memory_limit",
}

_MODULES = ("data",)

__all__ = ["__version__", *_PUBLIC, *_MODULES]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name.startswith(("LazySparse", "Sparse")):  # the twin of a class that is registered elsewhere
        return getattr(importlib.import_module("hyperspy_sparse.signals"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
