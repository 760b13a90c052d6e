"""The signal dictionary of a counted file, whatever its format: with our record, or as another program left it."""

from rsciio_tpx3.metadata.record import default_axes
from rsciio_tpx3.reader.signal import frames_signal

__all__ = ["counted_signal"]


def counted_signal(source, record, metadata, original_metadata, lazy, chunks, account=None):
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
    lazy, chunks, account
        As in `reading.frames_signal`.

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
            account=account,
        )
    ]
