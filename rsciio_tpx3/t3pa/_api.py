"""The RosettaSciIO reader of Advacam hit lists."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.cache.recall import unread
from rsciio_tpx3.metadata.sources.pixet import read_items
from rsciio_tpx3.reader.event_format import EventFormat, reader_functions
from rsciio_tpx3.t3pa.matrix import matrix_layout
from rsciio_tpx3.t3pa.records import open_records
from rsciio_tpx3.t3pa.sidecar import read_sidecars
from rsciio_tpx3.t3pa.source import AdvacamSource, cache_of
from rsciio_tpx3.utils.follow import stamp_of
from rsciio_tpx3.utils.paths import need_file

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.values import SourceValues
    from rsciio_tpx3.utils.files import FileStamp


__all__ = ["FORMAT", "available_signals", "file_info", "file_reader"]


def _one_file(filename: str | os.PathLike) -> str:
    """The path of a hit list: each is a measurement with a clock of its own."""
    if not isinstance(filename, (str, os.PathLike)):
        names = list(filename)
        if len(names) != 1:
            raise ValueError(
                f"{len(names)} files were given, but hit lists are not pieces of one recording: each has a clock of "
                "its own. Load each by itself."
            )
        [filename] = names
    return need_file(filename)


def _pixet_items(filename: str | os.PathLike) -> list[SourceValues] | tuple:
    """What Pixet's own sidecars tell."""
    path = os.fspath(filename)
    items = read_sidecars(path)
    return [read_items(items, f"{os.path.basename(path)}.info, .dsc (Pixet)")] if items else ()


def _unread(
    filename: str | os.PathLike, layout: Any, toa_bits: int | None, measurement: int | None, cache: bool | str, **_: Any
) -> list[FileStamp] | None:
    """The file as it is now, if its index is not in the cache; see `EventFormat`."""
    stamp = stamp_of(filename)
    open_records(stamp)  # says so where it has another format
    return unread(cache_of(stamp, toa_bits, measurement, cache, layout), [stamp])


FORMAT = EventFormat(
    name="Advacam",
    what=".t3pa and .t3p files",
    source=AdvacamSource,
    source_options=(
        "layout", "orientation", "toa_bits", "measurement", "on_loss", "cache", "follow", "show_progressbar",
    ),
    layout=lambda layout, gap, orientation: matrix_layout(layout, orientation),
    unread=_unread,
    file=_one_file,
    sidecars=_pixet_items,
    defaults={"sync": "shared-clock"},
    texts={
        "navigation_shape": (
            "tuple of int",
            "Scan positions as ``(x, y)`` or ``(x, y, frames)``.",
        ),
        "dwell_time": (
            "str or quantity",
            'Time on one position, such as "0.5 us".',
        ),
        "signal": (
            '{"scan", "frames"}',
            '"frames" makes a stack of frames of equal length over time.',
        ),
        "line_flyback": (
            "str or quantity, optional",
            "Pause after each line and frame.",
        ),
        "frame_flyback": (
            "str or quantity, optional",
            "Pause after each line and frame.",
        ),
        "scan_delay": (
            "str or quantity, optional",
            "Time from the start of the detector to that of the scan; may be negative.",
        ),
        "layout": (
            '{"single", "quad", "strip", "strip-reversed"} or sequence of dict, optional',
            '"single" and "quad" are one matrix, 256 or 512 pixels wide; found from the `.dsc` or the '
            "pixels by default. A table places the chips of a device that numbers pixels chip by chip: "
            '``[{"chip": 0, "x": 0, "y": 0}, ...]``.',
        ),
        "orientation": (
            "str",
            'Turn of the detector: "up", "left", "down", "right", and with "_mirrored"; "up" unless a '
            "sidecar says otherwise.",
        ),
        "follow": (
            "bool",
            "The file is still being written. What is there now is loaded; a row or record that is not yet "
            "whole is not damage, and the file may grow. `hyperspy_sparse.refresh` gives a new signal with "
            "what came since.",
        ),
    },
    summary="Read an Advacam hit list as a 4D STEM data set of sparse frames.",
    filename_text=(
        "str or Path",
        "A `.t3pa` or `.t3p` file. Sidecars next to it (``.info``, ``.dsc``) are read too.",
    ),
    notes="Hit lists have no trigger edges: scan unit and detector run from one clock and start together, so the "
    "position follows from the dwell time. Options that need trigger edges say so.",
    raises={
        "Tpx3FormatError": "If the file is not a hit list, is damaged, or is a `.t3r`.",
        "ScanSyncError": "If shape or dwell time are missing.",
        "UnitError": "If a time or another quantity has no unit, or a wrong one.",
        "MetadataConflictError": "If files next to the recording disagree on what decides where hits go.",
    },
    example=""">>> import hyperspy.api as hs
>>> s = hs.load("scan.t3pa", navigation_shape=(256, 256), dwell_time="6 us")  # doctest: +SKIP""",
)  # fmt: skip

file_reader, available_signals, file_info = reader_functions(FORMAT, __name__)
