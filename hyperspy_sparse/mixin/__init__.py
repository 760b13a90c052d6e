"""What the sparse signal classes do differently from their parents, and nothing else.

Five things: the class follows the chunks, functions that `map` knows by a sparse kernel run on
the events, the whole signal becomes dense only within the memory limit, one frame is read for
one picture, and a recording may wait to be read. Parts of the class by what they answer: `data`,
`analyses`, `memory`, and `hyperspy_sparse.decomposition`.
"""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from hyperspy.signals import LazySignal

from hyperspy_sparse import deferred, navigator
from hyperspy_sparse import frame_cache as frames
from hyperspy_sparse.calibration_cache import remember_geometries
from hyperspy_sparse.decomposition import DecompositionMixin
from hyperspy_sparse.mixin.analyses import AnalysesMixin
from hyperspy_sparse.mixin.data import DataMixin
from hyperspy_sparse.mixin.memory import MemoryMixin
from hyperspy_sparse.summary import Summary, recording_summary
from hyperspy_sparse.twins import has_sparse_chunks, host_type, sparsified
from rsciio_tpx3.utils.logs import follow_host

__all__ = ["SparseFramesMixin"]


class SparseFramesMixin(DataMixin, AnalysesMixin, DecompositionMixin, MemoryMixin):
    """Methods of the sparse signal classes; stands before the host's class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        follow_host()
        self._leave_sparse_type()
        self._remember_geometries()

    def _remember_geometries(self) -> None:
        remember_geometries(self)

    def _leave_sparse_type(self) -> None:
        """After ``set_signal_type("sparse_...")``: keep the host's type, make the chunks sparse."""
        signal_type = self.metadata.get_item("Signal.signal_type", "")
        if not signal_type.startswith("sparse_"):
            return
        self.metadata.Signal.signal_type = host_type(signal_type)
        if isinstance(self._data, da.Array) and not has_sparse_chunks(self) and self._data.ndim > 2:
            self._data = sparsified(self._data)

    # -- recordings that wait for the first computation ------------------------------------------

    @property
    def metadata(self) -> Any:
        """The metadata of the signal; complete as soon as its recording has been read."""
        deferred.complete(self)
        return self._metadata

    @property
    def original_metadata(self) -> Any:
        """The original metadata of the signal; complete as soon as its recording has been read."""
        deferred.complete(self)
        return self._original_metadata

    # -- what the signal says of itself --------------------------------------------------------------

    @property
    def recording(self) -> Summary:
        """Where the events of the recording went, and what the frames take in memory.

        It prints as a few lines, and ``s.recording.plot()`` draws it; see `hyperspy_sparse.recording_summary`.
        """
        return recording_summary(self)

    def __repr__(self) -> str:
        if not has_sparse_chunks(self):
            return super().__repr__()
        return f"{super().__repr__()}\n{recording_summary(self, read=False).indented()}"

    def __str__(self) -> str:
        return super().__repr__()  # one line: messages and lists name a signal by it

    def _repr_html_(self) -> str:
        shown = super()._repr_html_()
        return recording_summary(self, read=False)._repr_html_() + shown if has_sparse_chunks(self) else shown

    # -- pictures --------------------------------------------------------------------------------

    def plot(self, *args: Any, **kwargs: Any) -> None:
        deferred.read_recording(self)
        navigator.drop_if_outdated(self)
        computed = self.navigator is None
        super().plot(*args, **kwargs)
        if computed:
            navigator.note_as_ours(self)

    plot.__doc__ = LazySignal.plot.__doc__

    def _get_cache_dask_chunk(self, indices: tuple) -> np.ndarray:
        frame = frames.one_frame(self, indices)
        return super()._get_cache_dask_chunk(indices) if frame is None else frame
