"""From a user's words about the scan to a `Scan`: here (x, y) becomes (y, x), and text with units becomes ticks."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rsciio_tpx3.exceptions import MetadataConflictError, ScanSyncError, Tpx3FormatError, UnitError, format_errors
from rsciio_tpx3.reader.option_checks import check_options
from rsciio_tpx3.reader.options import OPTIONS, names_of
from rsciio_tpx3.scan.repeats import FrameChoice, frame_choice
from rsciio_tpx3.scan.scan import refuse_many_positions
from rsciio_tpx3.scan.sync import ScanOptions, build_scan, choose_sync
from rsciio_tpx3.scan.time_bins import TimeBins
from rsciio_tpx3.utils.checks import time
from rsciio_tpx3.utils.clock import LATEST, TICKS_PER_SECOND
from rsciio_tpx3.utils.paths import has_ending, load_npy, need_file
from rsciio_tpx3.utils.text import counted
from rsciio_tpx3.utils.units import shown, to_ticks

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.scan.scan import Scan


__all__ = [
    "numpy_order",
    "scan_options",
    "with_known_dwell",
    "known_scan",
]


def numpy_order(navigation_shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """HyperSpy's (x, y[, frames]) to NumPy's ([frames,] y, x)."""
    if navigation_shape is None:
        return None
    check_options({"navigation_shape": navigation_shape})
    shape = tuple(int(n) for n in navigation_shape[::-1])
    # frames may be added up or excluded; positions of one frame may not
    refuse_many_positions(
        math.prod(shape[-2:]), f"navigation_shape={tuple(shape[::-1])}", "Take a coarser shape of one frame."
    )
    return shape


_FIELDS = {"navigation_shape": "nav_shape", "dwell_time": "dwell", "scan_delay": "delay"}
"""Options whose field of `ScanOptions` has another name."""


def scan_options(**requested: Any) -> ScanOptions:
    """The user's words about a scan as `ScanOptions`.

    Parameters
    ----------
    **requested
        Options of the group "scan" in `rsciio_tpx3.reader.options.OPTIONS`; those omitted have their default.

    Returns
    -------
    ScanOptions
    """
    signal = requested.get("signal", OPTIONS["signal"].default)
    if signal not in ("scan", "frames"):
        raise ValueError(
            f"signal={shown(signal)} is not valid: must be one of 'scan', 'frames'; see available_signals(file)."
        )
    words: dict[str, Any] = {}
    for name in names_of("scan"):
        field, value = _FIELDS.get(name, name), requested.get(name)
        if value is not None and field in ScanOptions.__dataclass_fields__:
            words[field] = _READ[name](value) if name in _READ else _plain(name, value)
    if signal == "frames":
        words["sync"] = "frames"
    return ScanOptions(**words)


def _plain(name: str, value: Any) -> Any:
    """A value as `ScanOptions` has it: times in ticks, all others as the user gave them."""
    kind = OPTIONS[name].check
    return _ticks(name, value, kind.example, kind.allow_negative) if isinstance(kind, time) else value


def _time_bins(value: Any) -> TimeBins | None:
    """``time_bins`` as the user wrote it: a number of bins inside the dwell time, or a dictionary."""
    if value is None or isinstance(value, TimeBins):
        return value
    if isinstance(value, dict) and set(value) <= {"over", "number", "width"} and "over" in value:
        return TimeBins(value["over"], value.get("number"), _ticks("time_bins width", value.get("width"), "1 s"))
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.timedelta64)):
        return TimeBins("dwell", int(value))
    raise ValueError(
        f"time_bins={shown(value)}: expected a number of bins inside the dwell time, "
        '{"over": "recording", "number": 10} or {"over": "recording", "width": "1 s"}.'
    )


def _ticks(name: str, value: Any, example: str = "0.5 us", allow_negative: bool = False) -> Fraction | None:
    if value is None:
        return None
    ticks = to_ticks(value, name, example, allow_negative)
    if abs(ticks) >= LATEST or (0 < abs(ticks) < 1 and not allow_negative):
        kind = "longer than the clock can count (9 years)" if abs(ticks) > 1 else "shorter than a tick (0.26 ns)"
        raise UnitError(f"{name}={shown(value)} is {kind} of the detector's clock. Check the times, and their units.")
    # the nearest fraction that keeps products small: off by less than 1e-12 ticks
    return ticks.limit_denominator(10**6)


def _read_positions(positions: Any) -> np.ndarray | None:
    if positions is None:
        return None
    if not isinstance(positions, (str, os.PathLike)):
        try:
            return np.asarray(positions)
        except (TypeError, ValueError):
            raise ValueError(
                f"positions={shown(positions)}: expected a list of integers, the flat position of each pulse."
            ) from None
    try:
        path = need_file(positions)
    except (FileNotFoundError, Tpx3FormatError) as error:
        raise type(error)(f"positions={shown(positions)}: expected a file of integers; {error}") from None
    with format_errors(path, "scan positions (a .npy file, or text of integers)"):
        return load_npy(path) if has_ending(path, ".npy") else np.loadtxt(path, dtype=np.int64, ndmin=1)


_READ = {
    "navigation_shape": numpy_order,
    "positions": _read_positions,
    "skip_lines": lambda value: tuple(value) if np.iterable(value) else (value,),
    "time_bins": _time_bins,
    "frames": frame_choice,
}
"""What is made of options that are neither times nor taken as they are given."""


def known_scan(index: EventIndex, options: ScanOptions, known: KnownMetadata | None = None) -> Scan:
    """The scan of a recording, where a sidecar may state what the user has not.

    Parameters
    ----------
    index : EventIndex
    options : ScanOptions
        With the shape that the sources steered to.
    known : KnownMetadata, optional

    Returns
    -------
    Scan

    Raises
    ------
    ScanSyncError
        See `rsciio_tpx3.scan.sync.build_scan`.
    MetadataConflictError
        If a sidecar's rows are not those of the recorded frames.
    """
    if known is None:
        return build_scan(index, options)
    options = with_known_dwell(index, options, known)
    try:
        scan = build_scan(index, options)
    except ScanSyncError as error:
        labels = ", ".join(f"{name} from {label}" for name, label in known.known_from.items())
        raise (ScanSyncError(f"{error} ({labels}; an option decides otherwise)") if labels else error) from None
    if "navigation_shape" in known.known_from:
        _check_known_rows(index, options, known.known_from["navigation_shape"])
    return scan


def with_known_dwell(index: EventIndex, options: ScanOptions, known: KnownMetadata) -> ScanOptions:
    """Scan options with the dwell time that a sidecar tells, where neither the user nor the edges do."""
    dwell = known.dwell_time
    if dwell is not None and options.dwell is None and options.active_fraction is None and options.sync != "frames":
        # edges that measure the dwell time are believed before any file
        if choose_sync(index, options)[0] not in ("line-gate", "pixel-trigger"):
            return replace(options, dwell=Fraction(repr(dwell)) * TICKS_PER_SECOND)
    return options


def _check_known_rows(index: EventIndex, options: ScanOptions, label: str) -> None:
    """Refuse a sidecar's shape that the edges contradict: its lines would end up in wrong rows."""
    # frames that are added up or excluded, and time bins, would hide how many frames of how many rows were recorded
    recorded = replace(options, nav_shape=None, frames=FrameChoice(), time_bins=None)
    try:
        found = build_scan(index, recorded)
    except ScanSyncError:
        return  # the edges do not tell the rows
    frames = found.nav_shape[0] if len(found.nav_shape) == 3 else 1
    known_shape = cast("tuple[int, ...]", options.nav_shape)
    rows, known_rows = found.nav_shape[-2], known_shape[-2]
    if rows != known_rows and (frames > 1 or known_rows < rows < 2 * known_rows):
        raise MetadataConflictError(
            f"{label} gives {known_rows} rows of scan positions, but the trigger edges show {counted(frames, 'frame')} "
            f"of {rows}. Decide by navigation_shape=({known_shape[-1]}, {rows}), or what the scan really was."
        )
