"""Sparse kernels: functions on a stack of `CSRFrames` that stand for functions of one image.

One module per family, one table. HyperSpy's `map` asks the table for the image function that pyXem
maps; where it finds a kernel, and the kernel accepts the options, all frames of a chunk are
answered at once from their events.
"""

from hyperspy_sparse.kernels.table import Kernel, find_kernel, known_kernels, register_kernel

__all__ = ["Kernel", "find_kernel", "known_kernels", "register_kernel"]
