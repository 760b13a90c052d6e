"""The RosettaSciIO reader of Advacam hit lists."""

import inspect

from rsciio_tpx3.events.event_options import EVENT_OPTIONS, event_options
from rsciio_tpx3.reading import event_signal, refuse_unknown, scan_options, signal_offers
from rsciio_tpx3.t3pa.source import AdvacamSource

__all__ = ["available_signals", "file_reader", "opened"]

_WHAT = ".t3pa and .t3p files"
_SOURCE_OPTIONS = ("layout", "orientation", "toa_bits", "measurement")


def file_reader(
    filename,
    lazy=False,
    navigation_shape=None,
    dwell_time=None,
    signal="scan",
    frame_time=None,
    sync="shared-clock",
    tdc="auto",
    pattern="raster",
    positions=None,
    active_fraction=None,
    line_flyback=None,
    frame_flyback=None,
    lines_per_row=1,
    first_line=0,
    skip_lines=(0, 0),
    scan_delay=None,
    time_bins=None,
    frames=None,
    layout=None,
    orientation="up",
    cluster=None,
    corrections=None,
    values="counts",
    toa_bits=None,
    measurement=None,
    chunks="auto",
    dtype=None,
    show_progressbar=None,
    **kwds,
):
    """Read an Advacam hit list as a 4D STEM data set of sparse frames.

    Hit lists have no trigger edges: scan unit and detector run from one clock and start together, so
    the position follows from the dwell time.

    Parameters
    ----------
    filename : str or Path
        A `.t3pa` or `.t3p` file. Sidecars beside it (``.info``, ``.dsc``) are read too.
    lazy : bool
        True decodes on demand. False decodes now and keeps the sparse frames in memory; a dense 4D
        array is never made.
    navigation_shape : tuple of int
        Scan positions as ``(x, y)`` or ``(x, y, frames)``.
    dwell_time : str or quantity
        Time on one position, such as "0.5 us".
    signal : {"scan", "frames"}
        "frames" makes a stack of frames of equal length over time.
    frame_time : str or quantity
        Length of a frame, for ``signal="frames"``.
    line_flyback, frame_flyback : str or quantity, optional
        Pause after each line and frame.
    scan_delay : str or quantity, optional
        Time from the start of the detector to that of the scan; may be negative.
    sync, tdc, pattern, positions, active_fraction, lines_per_row, first_line, skip_lines, time_bins, frames
        As in `rsciio_tpx3.tpx3.file_reader`; those that need trigger edges say so.
    layout : {"single", "quad"}, optional
        256 or 512 pixels wide; found from the `.dsc` or the pixels by default.
    orientation : str
        Turn of the detector: "up", "left", "down", "right", and with "_mirrored".
    cluster, corrections, values
        As in `rsciio_tpx3.tpx3.file_reader`.
    toa_bits : {28, 30, 64}, optional
        Bits of the device's clock: AdvaPIX quad, AdvaPIX, MiniPIX. By default the fewest that hold every
        time in the file.
    measurement : int, optional
        Which of several measurements appended to one file, from 0.
    chunks : "auto" or int
        Scan lines in one chunk.
    dtype : numpy.dtype, optional
        Unsigned type of the counts; by default the smallest that a pixel cannot overflow.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary whose ``data`` is a dask array of `CSRFrames`.

    Raises
    ------
    Tpx3FormatError
        If the file is no hit list, is damaged, or is a `.t3r`.
    ScanSyncError
        If shape or dwell time are missing.
    UnitError
        If a time has no unit.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.t3pa", navigation_shape=(256, 256), dwell_time="6 us")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_reader, _WHAT)
    options = scan_options(
        navigation_shape=navigation_shape,
        dwell_time=dwell_time,
        signal=signal,
        frame_time=frame_time,
        sync=sync,
        tdc=tdc,
        pattern=pattern,
        positions=positions,
        active_fraction=active_fraction,
        line_flyback=line_flyback,
        frame_flyback=frame_flyback,
        lines_per_row=lines_per_row,
        first_line=first_line,
        skip_lines=skip_lines,
        scan_delay=scan_delay,
        time_bins=time_bins,
        frames=frames,
    )
    events = event_options(cluster, corrections, values)
    source = AdvacamSource(filename, layout, orientation, toa_bits, measurement)
    return [event_signal(source, options, lazy, chunks, dtype, show_progressbar, events)]


def available_signals(filename, **options):
    """What a hit list can be loaded as.

    Parameters
    ----------
    filename : str or Path
    **options
        As for `file_reader`.

    Returns
    -------
    list of dict
        See `rsciio_tpx3.tpx3.available_signals`.

    Examples
    --------
    >>> from rsciio_tpx3 import t3pa
    >>> t3pa.available_signals("scan.t3pa")  # doctest: +SKIP
    [{'signal': 'frames', 'ready': False, 'needs': 'frame_time, ...', 'duration': 1.5}]
    """
    source, scan = opened(filename, options)
    return signal_offers(source.index(), scan)


def opened(filename, options):
    """The source and the scan options of a call that takes both together."""
    known = set(inspect.signature(scan_options).parameters)
    unknown = {
        name: value for name, value in options.items() if name not in known.union(_SOURCE_OPTIONS, EVENT_OPTIONS)
    }
    refuse_unknown(unknown, file_reader, _WHAT)
    event_options(**{name: value for name, value in options.items() if name in EVENT_OPTIONS})
    scan = scan_options(**{name: value for name, value in options.items() if name in known})
    return AdvacamSource(filename, **{name: options[name] for name in _SOURCE_OPTIONS if name in options}), scan
