"""The lazy signal classes whose chunks are sparse: HyperSpy's and pyXem's, with one mixin.

They are their parents in every respect; `mixin.SparseFramesMixin` adds speed, a memory limit and
the choice of class. Which class a signal has follows from its chunks: `CSRFrames` make it the
sparse twin, dense chunks the stock class. The signal type in the metadata stays the host's, so
files and results are at home where this package is not installed.

Every lazy class of images that is registered with HyperSpy has a twin, by pyXem or by another
extension: ``LazySparseInSituDiffraction2D`` is made when it is first needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.extensions import ALL_EXTENSIONS
from hyperspy.signals import LazySignal2D, Signal2D
from pyxem.signals import (
    Diffraction2D,
    ElectronDiffraction2D,
    LazyDiffraction2D,
    LazyElectronDiffraction2D,
    LazyPolarDiffraction2D,
    PolarDiffraction2D,
)

from hyperspy_sparse import assigned_data, deferred, mixin, twins
from hyperspy_sparse import navigator as _navigator
from hyperspy_sparse.arguments import needs_signal
from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource, frames_by_lines

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.frames.deferred import DeferredFrames


__all__ = [
    "LazySparseDiffraction2D",
    "LazySparseElectronDiffraction2D",
    "LazySparsePolarDiffraction2D",
    "LazySparseSignal2D",
    "SparseDiffraction2D",
    "SparseElectronDiffraction2D",
    "SparsePolarDiffraction2D",
    "SparseSignal2D",
    "as_sparse_twin",
    "finish_later",
    "finish_loading",
]


class LazySparseSignal2D(mixin.SparseFramesMixin, LazySignal2D):
    """A lazy `hyperspy.api.signals.Signal2D` over sparse frames."""


class LazySparseDiffraction2D(mixin.SparseFramesMixin, LazyDiffraction2D):
    """A lazy `pyxem.signals.Diffraction2D` over sparse frames."""


class LazySparseElectronDiffraction2D(mixin.SparseFramesMixin, LazyElectronDiffraction2D):
    """A lazy `pyxem.signals.ElectronDiffraction2D` over sparse frames.

    This is what loading a Timepix3 recording gives. All methods of pyXem and HyperSpy are there;
    centre of mass, integration and virtual detectors run on the counted events alone.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> s
    <LazySparseElectronDiffraction2D, title: Simulated disks, dimensions: (8, 6|32, 32)>
        sparse     4,089 entries in memory: 20.34 kiB, dense 48.00 kiB
    >>> s.get_direct_beam_position(method="center_of_mass").axes_manager.navigation_shape
    (8, 6)
    """


class LazySparsePolarDiffraction2D(mixin.SparseFramesMixin, LazyPolarDiffraction2D):
    """A lazy `pyxem.signals.PolarDiffraction2D` over sparse frames."""


for _twin in (
    LazySparseSignal2D,
    LazySparseDiffraction2D,
    LazySparseElectronDiffraction2D,
    LazySparsePolarDiffraction2D,
):
    twins.register_twin(_twin)
assigned_data.watch_stock_classes()


class _BecomesLazy:
    """A class that HyperSpy may choose for a signal in memory, and that passes it on to its twin.

    ``set_signal_type("sparse_...")`` looks among the classes that are not lazy if the signal is
    not; sparse frames always are.
    """

    def __init__(self, data: np.ndarray, *args: Any, **kwargs: Any) -> None:
        super().__init__(data, *args, **kwargs)
        self.metadata.Signal.signal_type = twins.host_type(self.metadata.Signal.signal_type)
        twin = self._twin
        self.__class__ = self._stock
        if self._data.ndim > 2 and self._data.dtype.kind in "biuf":
            self._data = to_dask(MemorySource(frames_by_lines(self._data)))
            self._lazy = True
            self.__class__ = twin
            self.__init__(self._data, full_initialisation=False)


class SparseSignal2D(_BecomesLazy, Signal2D):
    """Made of an array in memory, this is a `LazySparseSignal2D`."""

    _stock, _twin = Signal2D, LazySparseSignal2D


class SparseDiffraction2D(_BecomesLazy, Diffraction2D):
    """Made of an array in memory, this is a `LazySparseDiffraction2D`."""

    _stock, _twin = Diffraction2D, LazySparseDiffraction2D


class SparseElectronDiffraction2D(_BecomesLazy, ElectronDiffraction2D):
    """Made of an array in memory, this is a `LazySparseElectronDiffraction2D`."""

    _stock, _twin = ElectronDiffraction2D, LazySparseElectronDiffraction2D


class SparsePolarDiffraction2D(_BecomesLazy, PolarDiffraction2D):
    """Made of an array in memory, this is a `LazySparsePolarDiffraction2D`."""

    _stock, _twin = PolarDiffraction2D, LazySparsePolarDiffraction2D


def __getattr__(name: str) -> Any:
    """The twins of all other registered classes, by their names."""
    lazy, plain = name.startswith("LazySparse"), name.removeprefix("Lazy").removeprefix("Sparse")
    entry = ALL_EXTENSIONS["signals"].get(f"Lazy{plain}")
    if not (lazy or name.startswith("Sparse")) or entry is None or entry["signal_dimension"] != 2:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    twin = twins.twin_of(getattr(importlib.import_module(entry["module"]), f"Lazy{plain}"))
    if twin is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: Lazy{plain} is not for real images")
    if not lazy:
        module = importlib.import_module(ALL_EXTENSIONS["signals"][plain]["module"])
        stock = getattr(module, plain)
        about = {"__doc__": f"Made of an array in memory, this is a `LazySparse{plain}`.", "__module__": __name__}
        twin = type(name, (_BecomesLazy, stock), {"_stock": stock, "_twin": twin, **about})
    globals()[name] = twin
    return twin


def as_sparse_twin(signal: BaseSignal) -> BaseSignal:
    """Give a signal with sparse chunks its sparse class, in place.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        Any signal; nothing happens unless its data are a dask array of `CSRFrames`.

    Returns
    -------
    The same signal.
    """
    if twins.has_sparse_chunks(signal):
        signal._lazy = True
        if not isinstance(signal, mixin.SparseFramesMixin):
            signal._assign_subclass()
        twins.settle(signal)
    return signal


def finish_later(signal: BaseSignal, frames: DeferredFrames) -> BaseSignal:
    """Last step of loading a recording that is not read yet: the sparse class, which knows what it waits for.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        As HyperSpy made it from the reader's dictionary.
    frames : rsciio_tpx3.frames.deferred.DeferredFrames

    Returns
    -------
    The same signal, with the class changed.
    """
    signal = as_sparse_twin(signal)
    deferred.wait_for(signal, frames)
    return signal


@needs_signal
def finish_loading(
    signal: BaseSignal, navigator: np.ndarray | None = None, holds: str = _navigator.COUNTS
) -> BaseSignal:
    """Last step of loading: the sparse class, and a navigator that is there at once.

    Parameters
    ----------
    signal : hyperspy.api.signals.BaseSignal
        As HyperSpy made it from the reader's dictionary.
    navigator : numpy.ndarray, shape nav_shape (NumPy order), or None
        Counts per position, where the source knows them without reading the data.
    holds : str
        What the navigator has of each position, if that is something else.

    Returns
    -------
    The same signal, with the class changed and ``signal.navigator`` set.

    Raises
    ------
    ValueError
        If `navigator` has another shape than the navigation axes.
    """
    signal = as_sparse_twin(signal)
    if navigator is not None:
        _navigator.attach(signal, navigator, holds)
    return signal
