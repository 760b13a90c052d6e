"""The public way to the delay between scan and detector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.reader.option_checks import check_by
from rsciio_tpx3.reader.scan import known_scan, with_known_dwell
from rsciio_tpx3.recording import open_recording
from rsciio_tpx3.scan.delay import METHODS, delay_of_scan, delay_profiles
from rsciio_tpx3.utils.checks import check_word_of, refused, time
from rsciio_tpx3.utils.units import to_ticks

if TYPE_CHECKING:
    from fractions import Fraction

    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.scan.delay import DelayProfiles, ScanDelay
    from rsciio_tpx3.scan.options import ScanOptions


__all__ = ["find_scan_delay", "scan_delay_profiles"]


def find_scan_delay(
    filename: str | os.PathLike | Sequence,
    *,
    span: Any = None,
    method: str = "auto",
    mask: np.ndarray | None = None,
    **options: Any,
) -> ScanDelay:
    """Find the time by which the beam lags behind the trigger edges, from the recording itself.

    Nothing is applied: pass the result on as ``scan_delay=found.scan_delay``.

    Parameters
    ----------
    filename : str, Path or sequence of them
        As for `hs.load`.
    span : str or quantity, optional
        How far to look to either side, such as "5 us"; a tenth of a line when omitted. With
        ``scan_delay=`` among the options, the search begins there.
    method : {"auto", "forward-backward", "retrace", "borders"}
        What the image is compared with: see the guide on repeated scans and time. By default
        "forward-backward" for serpentine scans, else the clearer of the two others.
    mask : numpy.ndarray of bool, shape (height, width), optional
        Detector pixels whose counts are compared with those of the others. By default the
        outer half of the counts.
    **options
        As for `hs.load`: ``navigation_shape``, ``pattern``, ``dwell_time``, ``sync``, ``layout`` and
        others.

    Returns
    -------
    ScanDelay
        With ``delay`` and ``error`` in seconds, the curve, ``scan_delay`` (text for the option), and
        ``plot()``.

    Raises
    ------
    ScanSyncError
        If the agreement has no clear maximum, if two signs of the delay contradict each other, or if
        the scan has no lines.

    Notes
    -----
    One pass over the recording; memory is that of an image whose columns are four times as fine as
    the scan's.

    Examples
    --------
    >>> import tempfile, pathlib, rsciio_tpx3
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "snake.tpx3"
    >>> truth = simulate.recording(file, (32, 64), pattern="serpentine", scan_delay="12 us",
    ...                            dwell_time="5 us", electrons_per_position=60)
    >>> found = rsciio_tpx3.find_scan_delay(file, navigation_shape=(64, 32), pattern="serpentine")
    >>> abs(found.delay - 12e-6) < 3 * found.error
    True
    """
    check_by(_CHECKS, {"span": span, "method": method, "mask": mask})
    return delay_of_scan(*_opened(filename, options, span), method, mask)


def scan_delay_profiles(
    filename: str | os.PathLike | Sequence, *, span: Any = None, mask: np.ndarray | None = None, **options: Any
) -> DelayProfiles:
    """The pass that `find_scan_delay` makes, kept: pictures for every delay follow without another one.

    Parameters are those of `find_scan_delay`.

    Returns
    -------
    DelayProfiles
        For `rsciio_tpx3.scan.delay.best_delay`, and with a method ``image``.
    """
    check_by(_CHECKS, {"span": span, "mask": mask})
    return delay_profiles(*_opened(filename, options, span), mask=mask)


def _opened(
    filename: str | os.PathLike | Sequence, options: dict, span: Any
) -> tuple[EventSource, ScanOptions, Fraction | None]:
    """Source and scan options of a recording, and the span in ticks."""
    source, scan_options, known = open_recording(filename, options, "find_scan_delay")
    scan_options = with_known_dwell(source.index(), scan_options, known)
    known_scan(source.index(), scan_options, known)  # refuses rows that the edges contradict
    return source, scan_options, None if span is None else to_ticks(span, "span", "5 us")


def _check_mask(name: str, value: Any) -> None:
    """Refuse what is not an image; its shape is compared with that of the detector."""
    try:
        mask = value if value is None else np.asarray(value, bool)
    except (ValueError, TypeError):  # lists of unlike lengths, and objects that are neither true nor false
        mask = np.zeros(0)
    if mask is not None and mask.ndim != 2:
        raise refused(name, value, "expected an array of bool of the shape (height, width) of the detector")


_CHECKS = {"span": time("5 us"), "method": check_word_of(*METHODS), "mask": _check_mask}
