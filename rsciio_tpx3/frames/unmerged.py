"""Rows of a recording as they come, for sums: hits neither sorted by pixel nor added up.

Half of the time that rows take goes into their order, which a sum of integers does not need: a pattern summed over
positions, a virtual image, a centre of mass. What needs one entry a pixel (extremes, variances, float sums that must
not depend on the order) takes the canonical rows. Nobody gets to see these here but the kernels that ask for them.
A sum is right even where a pixel counts more than the type of the counts can hold; canonical rows refuse that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.canonical import canonical_frames
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.binned_source import BinnedSource
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.frames.sliced_source import ChosenSource, SlicedSource
from rsciio_tpx3.frames.source import FrameSource

__all__ = ["UnmergedFrames", "in_any_order", "merged", "unmerged"]


class UnmergedFrames(FrameSource):
    """A `FrameSource` whose rows hold a pixel once for each hit, with a count of 1, in no order.

    Parameters
    ----------
    events : EventFrames
        Of counts.
    """

    def __init__(self, events: EventFrames) -> None:
        self.events = events
        self.nav_shape, self.sig_shape, self.dtype = events.nav_shape, events.sig_shape, events.dtype

    def __dask_tokenize__(self) -> Any:
        return "rsciio_tpx3.UnmergedFrames", normalize_token(self.events)

    def row_events(self) -> np.ndarray | None:
        """Hits per row, where they have been counted; see `FrameSource.row_events`."""
        return self.events.row_events()

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows of the flat range ``start`` to ``stop``, not canonical; see `FrameSource.frames`."""
        return self.events.frames(start, stop, merged=False)

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.events.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        return UnmergedFrames(self.events.for_rows(start, stop))


def unmerged(source: FrameSource) -> FrameSource:
    """The same frames as a source of rows for sums of integers; `source` itself where that would be no faster."""
    if type(source) is EventFrames and source.values == "counts":
        return UnmergedFrames(source)
    if isinstance(source, SlicedSource | ChosenSource):
        whole = unmerged(source.source)
        return source if whole is source.source else source.over(whole)
    if type(source) is BinnedSource and _as_wide_as_a_sum(source):
        return BinnedSource(unmerged(source.source), source.factors, source.dtype, merged=False)
    return source


def in_any_order(source: FrameSource) -> FrameSource:
    """The same frames for what does not depend on the order of a row's pixels; itself where that is no faster."""
    if type(source) is BinnedSource and source.merged:
        return BinnedSource(source.source, source.factors, source.dtype, in_order=False)
    return source


def _as_wide_as_a_sum(source: BinnedSource) -> bool:
    """Whether binned integers are of the type of a sum: narrower ones overflow, and what they are made of does not."""
    kind = source.source.dtype.kind
    return kind in "ui" and source.dtype == np.dtype(f"{kind}8")


def merged(frames: CSRFrames, dtype: np.dtype | None = None) -> CSRFrames:
    """Frames of an `unmerged` source as canonical `CSRFrames`, of another type where the source has another one."""
    dtype = frames.dtype if dtype is None else np.dtype(dtype)
    parts = frames.data.astype(dtype, copy=False), frames.indices, frames.indptr
    found = canonical_frames(*parts, frames.sig_shape, dtype, "a scan position of the recording")
    return CSRFrames._make(found.data, found.indices, found.indptr, frames.shape)
