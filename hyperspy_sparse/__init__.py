"""HyperSpy and pyXem signals whose chunks stay sparse.

HyperSpy imports this module while it looks for its extensions, before it is ready to be imported
itself; so nothing here may import HyperSpy, and everything public is found on first use.
"""

import importlib

import hyperspy_sparse._register  # noqa: F401  (makes hs.load find our readers)

_PUBLIC = {
    "LazySparseDiffraction2D": "hyperspy_sparse.signals",
    "LazySparseElectronDiffraction2D": "hyperspy_sparse.signals",
    "LazySparsePolarDiffraction2D": "hyperspy_sparse.signals",
    "LazySparseSignal2D": "hyperspy_sparse.signals",
    "finish_loading": "hyperspy_sparse.signals",
    "DenseMemoryError": "hyperspy_sparse.memory",
    "get_limit": "hyperspy_sparse.memory",
    "save_limit": "hyperspy_sparse.memory",
    "set_limit": "hyperspy_sparse.memory",
}

__all__ = list(_PUBLIC)


def __dir__():
    return sorted(__all__)


def __getattr__(name):
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
