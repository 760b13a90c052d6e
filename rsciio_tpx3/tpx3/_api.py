"""The RosettaSciIO reader of `.tpx3` files."""

import os
from collections.abc import Sequence
from typing import Any

from rsciio_tpx3.cache.recall import unread
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.reader.event_format import EventFormat, reader_functions
from rsciio_tpx3.tpx3.source import Tpx3Source, cache_of, files_of
from rsciio_tpx3.utils.files import FileStamp

__all__ = ["FORMAT", "available_signals", "file_info", "file_reader"]


def _unread(
    filename: str | os.PathLike,
    all_parts: bool | Sequence,
    on_loss: str,
    cache: bool | str,
    before_reset: str,
    **_: Any,
) -> list[FileStamp] | None:
    """The files as they are now, if their index is not in the cache; see `EventFormat`."""
    parts, losses = files_of(filename, all_parts, on_loss)
    return unread(cache_of(parts, losses, cache, before_reset), [part.stamp for part in parts])


FORMAT = EventFormat(
    name="TPX3",
    what=".tpx3 files",
    source=Tpx3Source,
    source_options=(
        "layout", "gap", "orientation", "all_parts", "on_loss", "before_reset", "cache", "follow", "show_progressbar",
    ),
    layout=make_layout,
    unread=_unread,
    summary="Read a Timepix3 event recording as a 4D STEM data set of sparse frames.",
    filename_text=("str, Path or sequence of them", "A sequence is one acquisition cut into pieces, in order of time."),
    notes="Opening reads the file once to find the trigger edges, and once more to count the hits of each position; "
    "frames are decoded when they are requested. With ``lazy=True`` both wait for the first computation where they are "
    "not needed for the shape of the array: give `navigation_shape` with the number of frames (or one frame, "
    "``frames=0``), `layout`, and `dwell_time` or `dtype`.",
    raises={
        "Tpx3FormatError": 'If the file is not a Timepix3 stream, or is damaged and `on_loss` is "raise".',
        "ScanSyncError": "If there are no trigger edges, or they do not fit the requested scan.",
        "UnitError": "If a time or another quantity has no unit, or a wrong one.",
        "MetadataConflictError": "If files next to the recording disagree on what decides where hits go.",
    },
    example=""">>> import hyperspy.api as hs
>>> s = hs.load("scan.tpx3", navigation_shape=(256, 256))  # doctest: +SKIP
>>> s = hs.load("spots.tpx3", signal="frames", frame_time="1 ms")  # doctest: +SKIP""",
)  # fmt: skip

file_reader, available_signals, file_info = reader_functions(FORMAT, __name__)
