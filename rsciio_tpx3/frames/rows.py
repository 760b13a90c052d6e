"""A span of rows of a source, as a task holds it.

Tasks share the source while they stay in one process. A task that is sent to another process takes
along only what its own rows need, so that no large table travels, and none travels twice. Parts that all
rows need, such as a calibration of every pixel, are in the graph once, under a key of their own.
"""

from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.frames.source import FrameSource


__all__ = ["Rows"]


class Rows:
    """A span of rows of a source.

    Parameters
    ----------
    source : FrameSource
    start, stop : int
        Half-open range of flat positions.
    whole : FrameSource or None
        The source of the array that the rows belong to, which may have its axes in another order;
        None where `source` can be asked for these rows only: after pickling.
    """

    __slots__ = ("source", "start", "stop", "whole")

    def __init__(self, source: FrameSource, start: int, stop: int, whole: FrameSource | None = None) -> None:
        self.source, self.start, self.stop, self.whole = source, start, stop, whole

    def __reduce__(self) -> tuple:
        if isinstance(self.source, _Abridged):  # on its way for a second time: nothing is left to be taken out
            return Rows, (self.source, self.start, self.stop)
        source = self.source
        parts = source.shared_parts()
        if self.whole is not None:
            source = source.for_rows(self.start, self.stop)
        return Rows, (_Abridged.of(source, parts) if parts else source, self.start, self.stop)

    def read(self, parts: tuple = ()) -> CSRFrames:
        """The rows as `CSRFrames` of shape ``(stop - start, height, width)``.

        Parameters
        ----------
        parts : tuple
            `shared_parts` of the source; needed where the rows came from another process.
        """
        source = self.source.completed(parts) if isinstance(self.source, _Abridged) else self.source
        return source.frames(self.start, self.stop)


class _Abridged:
    """A source on its way to another process, with numbers in place of the parts that go there by themselves."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple:
        return _Abridged, (self.data,)

    @classmethod
    def of(cls, source: FrameSource, parts: tuple) -> _Abridged:
        numbers = {id(part): number for number, part in enumerate(parts)}
        file = io.BytesIO()
        pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
        # the stubs know both hooks as methods of subclasses only
        pickler.persistent_id = lambda item: numbers.get(id(item))  # type: ignore[method-assign]
        pickler.dump(source)
        return cls(file.getvalue())

    def completed(self, parts: tuple) -> FrameSource:
        unpickler = pickle.Unpickler(io.BytesIO(self.data))
        unpickler.persistent_load = parts.__getitem__  # type: ignore[method-assign]
        return unpickler.load()
