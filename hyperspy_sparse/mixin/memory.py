"""What a sparse signal takes in memory and in files: dense only within the memory limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signals import LazySignal

from hyperspy_sparse import deferred, expansion, navigator, recipes, saving, shifted
from hyperspy_sparse.twins import densified
from rsciio_tpx3.csr.memory_limit import check as check_dense_size
from rsciio_tpx3.frames.in_memory import held_in_memory

if TYPE_CHECKING:
    import os

    from hyperspy.signal import BaseSignal
    from numpy.typing import DTypeLike


__all__ = ["MemoryMixin"]


class MemoryMixin:
    """Computing, saving and keeping the frames, which say first what would become dense."""

    def compute(
        self,
        close_file: bool = False,
        show_progressbar: bool | None = None,
        memory_limit: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the whole signal dense in memory, if it fits below the memory limit.

        Where that takes many times the memory of the events, a warning names both sizes, once in a session.

        Parameters
        ----------
        close_file, show_progressbar, **kwargs
            As in HyperSpy.
        memory_limit : int, str or None
            Bytes, or text as "8 GiB"; None takes `hyperspy_sparse.get_limit`.

        Raises
        ------
        hyperspy_sparse.DenseMemoryError
            If the dense array would be larger than the limit.
        """
        check_dense_size(self.data.shape, self.data.dtype, "compute()", memory_limit)
        deferred.read_recording(self)
        expansion.warn_once(self.data, "compute()")
        self.data = densified(self.data)  # and the class is the stock one from here on
        LazySignal.compute(self, close_file=close_file, show_progressbar=show_progressbar, **kwargs)

    def to_dense(self, memory_limit: int | str | None = None, show_progressbar: bool | None = None) -> BaseSignal:
        """A dense copy of the signal in memory, in the host's own class.

        Parameters
        ----------
        memory_limit : int, str or None
            Largest size that is allowed; None takes `hyperspy_sparse.get_limit`.

        Returns
        -------
        hyperspy.api.signals.BaseSignal
            Not lazy; a `pyxem.signals.ElectronDiffraction2D`, for instance.

        Raises
        ------
        hyperspy_sparse.DenseMemoryError
            If the dense array would be larger than the limit.
        """
        check_dense_size(self.data.shape, self.data.dtype, "to_dense()", memory_limit)
        deferred.read_recording(self)
        new = self._deepcopy_with_new_data(densified(self.data), copy_variance=True)
        new.compute(show_progressbar=show_progressbar)
        return new

    def save(
        self,
        filename: str | os.PathLike | None = None,
        overwrite: bool | None = None,
        extension: str | None = None,
        file_format: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the signal; formats for dense data are written chunk by chunk.

        The file holds the host's signal type and class, so it opens where this package is not
        installed. Formats of `rsciio_tpx3` keep the frames sparse.

        Parameters
        ----------
        filename, overwrite, extension, file_format, **kwargs
            As in :meth:`hyperspy.api.signals.BaseSignal.save`.
        """
        saving.check_arguments(filename, overwrite, extension, file_format)
        deferred.read_recording(self)
        options = {"overwrite": overwrite, "file_format": file_format, **kwargs}
        if saving.keeps_frames(filename, extension, file_format):
            return super().save(filename, extension=extension, **options)
        stock = saving.in_stock_class(self)
        stock.save(filename, extension=extension, **options)
        self.tmp_parameters = stock.tmp_parameters

    def persist(self, **kwargs: Any) -> None:
        """Read everything once and keep the sparse frames in memory, in place.

        They are one piece there, whatever the chunks, so that analyses cut it as they like; where a cluster is
        connected, its workers keep the chunks.

        Parameters
        ----------
        **kwargs
            Passed to :meth:`dask.array.Array.persist`.
        """
        deferred.read_recording(self)
        before = self.data.name
        self.data = (
            recipes.held(self.data, **kwargs) if shifted.is_shifted(self.data) else held_in_memory(self.data, **kwargs)
        )
        # The picture belongs to an array by its name: the same frames have another name now.
        navigator.renamed(self, before)
        self.events.data_changed.trigger(obj=self)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the frames are sparse: a dense array is always a copy.")
        check_dense_size(self.data.shape, np.dtype(dtype or self.data.dtype), "numpy.asarray")
        dense = np.asarray(densified(self.data).compute())
        return dense if dtype is None else dense.astype(dtype, copy=False)
