"""Between sparse signals and the arrays and programs of others."""

from hyperspy_sparse.interop.arrays import (
    FrameView,
    convert,
    run_udf,
    to_libertem,
    to_napari,
    to_py4dstem,
    to_quantem,
    to_quantem_direct,
    to_sparse,
)

__all__ = [
    "FrameView",
    "convert",
    "run_udf",
    "to_libertem",
    "to_napari",
    "to_py4dstem",
    "to_quantem",
    "to_quantem_direct",
    "to_sparse",
]
