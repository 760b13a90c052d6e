"""The signal dictionary of a counted file, whatever its format: with our record, or as another program left it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rsciio_tpx3.metadata.record import check_axes, default_axes
from rsciio_tpx3.reader.signal import frames_signal

if TYPE_CHECKING:
    from rsciio_tpx3.frames.source import FrameSource
    from rsciio_tpx3.metadata.known import KnownMetadata


__all__ = ["check_layout", "counted_signal"]


def counted_signal(
    source: FrameSource,
    record: dict | None,
    metadata: dict,
    original_metadata: dict,
    lazy: bool,
    chunks: int | str | tuple,
    known: KnownMetadata | None = None,
) -> list[dict]:
    """RosettaSciIO's list of one signal dictionary for a source of counted frames.

    Parameters
    ----------
    source : FrameSource
        With ``row_counts(read)``: the counts of each position where they are to be had without reading the events, or
        at all where `read` is true; None otherwise.
    record : dict or None
        What our writer noted, as `metadata.record.read_record` gives it.
    metadata, original_metadata : dict
        For a file without a record.
    lazy, chunks, known
        As in `rsciio_tpx3.reader.signal.frames_signal`.

    Returns
    -------
    list of dict
    """
    axes = record["axes"] if record else None
    # what will be in memory is read anyway
    picture, holds = source.row_counts(read=not lazy), "Counts"
    if picture is None:
        picture, holds = source.row_events(), "Entries"
    return [
        frames_signal(
            source,
            axes[:-2] if axes else default_axes(source.nav_shape),
            record["metadata"] if record else metadata,
            record["original_metadata"] if record else original_metadata,
            lazy=lazy,
            chunks=chunks,
            navigator=None if picture is None else picture.reshape(source.nav_shape),
            navigator_holds=holds,
            sig_axes=axes[-2:] if axes else None,
            known=known,
        )
    ]


def check_layout(signal: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape of a signal dictionary's frames, refused unless the last two axes are the detector and all have a scale.

    Returns
    -------
    nav_shape, sig_shape : tuple of int
    """
    flags = [bool(axis["navigate"]) for axis in signal["axes"]]
    shape = tuple(int(n) for n in signal["data"].shape)
    if len(flags) != len(shape) or flags[-2:] != [False, False] or not all(flags[:-2]):
        raise ValueError(
            f"counted formats hold frames with two signal axes; found data of shape {shape} with signal axes "
            f"{[i for i, nav in enumerate(flags) if not nav]}. Transpose the signal first: s.transpose(signal_axes=2)."
        )
    check_axes(signal["axes"])
    return shape[:-2], shape[-2:]
