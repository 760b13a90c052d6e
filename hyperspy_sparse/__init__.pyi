"""What editors and type checkers see of the names that ``hyperspy_sparse`` imports on first use."""

from typing import Any

from hyperspy_sparse import data as data
from hyperspy_sparse.alignment import align_frames as align_frames
from hyperspy_sparse.deferred import read_recording as read_recording
from hyperspy_sparse.disk_positions import find_disks as find_disks
from hyperspy_sparse.drift import Drift as Drift
from hyperspy_sparse.drift import find_drift as find_drift
from hyperspy_sparse.follow import refresh as refresh
from hyperspy_sparse.interop.arrays import convert as convert
from hyperspy_sparse.interop.arrays import to_sparse as to_sparse
from hyperspy_sparse.interop.serving import serve as serve
from hyperspy_sparse.kernels import register_kernel as register_kernel
from hyperspy_sparse.live_view import live as live
from hyperspy_sparse.microscope import set_microscope as set_microscope
from hyperspy_sparse.passes import one_pass as one_pass
from hyperspy_sparse.passes import virtual_images as virtual_images
from hyperspy_sparse.phase_contrast import LineAccumulator as LineAccumulator
from hyperspy_sparse.phase_contrast import error_map as error_map
from hyperspy_sparse.phase_contrast import fit_aberrations as fit_aberrations
from hyperspy_sparse.phase_contrast import fourier_ring_correlation as fourier_ring_correlation
from hyperspy_sparse.phase_contrast import phase as phase
from hyperspy_sparse.phase_contrast import split_electrons as split_electrons
from hyperspy_sparse.phase_contrast import tilted_images as tilted_images
from hyperspy_sparse.selection import select as select
from hyperspy_sparse.signals import LazySparseDiffraction2D as LazySparseDiffraction2D
from hyperspy_sparse.signals import LazySparseElectronDiffraction2D as LazySparseElectronDiffraction2D
from hyperspy_sparse.signals import LazySparsePolarDiffraction2D as LazySparsePolarDiffraction2D
from hyperspy_sparse.signals import LazySparseSignal2D as LazySparseSignal2D
from hyperspy_sparse.signals import SparseDiffraction2D as SparseDiffraction2D
from hyperspy_sparse.signals import SparseElectronDiffraction2D as SparseElectronDiffraction2D
from hyperspy_sparse.signals import SparsePolarDiffraction2D as SparsePolarDiffraction2D
from hyperspy_sparse.signals import SparseSignal2D as SparseSignal2D
from hyperspy_sparse.signals import finish_loading as finish_loading
from hyperspy_sparse.summary import recording_summary as recording_summary
from rsciio_tpx3 import __version__ as __version__
from rsciio_tpx3.csr.memory_limit import DenseMemoryError as DenseMemoryError
from rsciio_tpx3.csr.memory_limit import get_limit as get_limit
from rsciio_tpx3.csr.memory_limit import save_limit as save_limit
from rsciio_tpx3.csr.memory_limit import set_limit as set_limit

def __getattr__(name: str) -> Any: ...  # twins of classes that are registered elsewhere
