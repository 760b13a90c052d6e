"""The RosettaSciIO reader of Advacam hit lists."""

import inspect
import os
from dataclasses import replace
from functools import partial

from rsciio_tpx3.cache.recall import unread
from rsciio_tpx3.metadata.known import gather, steered
from rsciio_tpx3.metadata.sources.pixet import read_items
from rsciio_tpx3.reader.deferred import event_signal_when_needed
from rsciio_tpx3.reader.event_info import event_info, signal_offers
from rsciio_tpx3.reader.event_options import EVENT_OPTIONS, event_options
from rsciio_tpx3.reader.options import check_options, checks_options
from rsciio_tpx3.reader.signal import called_with, followed, refuse_unknown, scan_options
from rsciio_tpx3.t3pa.matrix import matrix_layout
from rsciio_tpx3.t3pa.records import open_records
from rsciio_tpx3.t3pa.sidecar import read_sidecars
from rsciio_tpx3.t3pa.source import AdvacamSource, cache_of
from rsciio_tpx3.utils.follow import stamp_of
from rsciio_tpx3.utils.paths import need_file

__all__ = ["available_signals", "file_info", "file_reader", "opened"]

_WHAT = ".t3pa and .t3p files"
_ACCOUNT_OPTIONS = ("metadata", "metadata_from", "calibrate")
_SOURCE_OPTIONS = ("layout", "orientation", "toa_bits", "measurement", "cache", "follow", "show_progressbar", "on_loss")


@checks_options
def file_reader(
    filename,
    lazy=False,
    navigation_shape=None,
    dwell_time=None,
    signal="scan",
    frame_time=None,
    sync="shared-clock",
    tdc="auto",
    pattern=None,
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
    orientation=None,
    cluster=None,
    corrections=None,
    values="counts",
    toa_bits=None,
    measurement=None,
    chunks="auto",
    dtype=None,
    metadata=None,
    metadata_from=None,
    calibrate="auto",
    on_loss="raise",
    cache="auto",
    follow=False,
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
    layout : {"single", "quad", "strip", "strip-reversed"} or sequence of dict, optional
        "single" and "quad" are one matrix, 256 or 512 pixels wide; found from the `.dsc` or the pixels by default. A
        table places the chips of a device that numbers pixels chip by chip: ``[{"chip": 0, "x": 0, "y": 0}, ...]``.
    orientation : str
        Turn of the detector: "up", "left", "down", "right", and with "_mirrored"; "up" unless a sidecar tells
        otherwise.
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
    metadata : dict, path, or list of these, optional
        What you know about the microscope, with units: ``{"beam_energy": "200 keV", "camera_length": "100 mm",
        "scan_step": "0.05 nm"}``, or a JSON, YAML or TOML file of such keys. Files beside the recording are found by
        their name. See the guide on metadata.
    metadata_from : path or signal, optional
        A file or signal whose microscope node is copied, such as an image recorded beside it.
    calibrate : {"auto", "angle", "k", None}
        Detector axes in mrad or 1/nm, where camera length (and beam energy) are known; "auto" takes mrad.
    on_loss : {"raise", "warn"}
        For damaged files: refuse, or read what can be read and count the rest.
    cache : bool or "auto"
        Keep what opening finds out (less than 1 % of the file) in the user's cache folder, so that the
        next opening takes no time. "auto" does so from 256 MB on.
    follow : bool
        The file is still being written. What is there now is loaded; a row or record that is not yet whole is no
        damage, and the file may grow. `hyperspy_sparse.refresh` gives a new signal with what came since.
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
        If a time or another quantity has no unit, or a wrong one.
    MetadataConflictError
        If files beside the recording disagree on what decides where hits go.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.t3pa", navigation_shape=(256, 256), dwell_time="6 us")  # doctest: +SKIP
    """
    asked = {name: value for name, value in locals().items() if name not in ("filename", "kwds")}
    refuse_unknown(kwds, file_reader, _WHAT)
    filename = _one_file(filename)
    account = _account(filename, metadata, metadata_from, calibrate)
    told = account.steer(**steered(signal, navigation_shape, pattern, layout, 0, orientation))
    options = called_with(
        scan_options, locals(), navigation_shape=told.get("navigation_shape"), pattern=told["pattern"] or "raster"
    )
    options = replace(options, follow=follow)
    events = event_options(cluster, corrections, values)
    place = told["layout"], told["orientation"] or "up"
    signal = event_signal_when_needed(
        partial(AdvacamSource, filename, *place, toa_bits, measurement, cache, follow, show_progressbar, on_loss),
        partial(_unread, filename, place[0], toa_bits, measurement, cache),
        None if follow or place[0] is None else matrix_layout(*place),
        options,
        lazy,
        chunks=chunks,
        dtype=dtype,
        show_progressbar=show_progressbar,
        events=events,
        account=account,
    )
    return [followed(signal, filename, "Advacam", asked) if follow else signal]


def _unread(filename, layout, toa_bits, measurement, cache):
    """The file as it is now, if its index is not in the cache; see `event_signal_when_needed`."""
    stamp = stamp_of(filename)
    open_records(stamp)  # says so where it is none of these formats
    return unread(cache_of(stamp, toa_bits, measurement, cache, layout), [stamp])


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
    source, scan, account = opened(filename, options)
    return signal_offers(source.index(), scan, account)


def opened(filename, options):
    """Source, scan options and `Account` of a call that takes all options together.

    What other files tell may decide about scan and detector too.
    """
    known = {*inspect.signature(scan_options).parameters, *_SOURCE_OPTIONS, *_ACCOUNT_OPTIONS, *EVENT_OPTIONS}
    unknown = {name: value for name, value in options.items() if name not in known}
    refuse_unknown(unknown, file_reader, _WHAT, known)
    check_options(options)
    options = {"cache": "auto", **options}
    filename = _one_file(filename)
    event_options(**{name: options.pop(name) for name in EVENT_OPTIONS if name in options})
    account = _account(filename, **{name: options.pop(name) for name in _ACCOUNT_OPTIONS if name in options})
    given = [options.get(name) for name in ("navigation_shape", "pattern", "layout")]
    told = account.steer(**steered(options.get("signal", "scan"), *given, 0, options.get("orientation")))
    options.update({name: value for name, value in told.items() if value is not None and name != "gap"})
    about = {name: options.pop(name) for name in _SOURCE_OPTIONS if name in options}
    options = replace(scan_options(**options), follow=about.get("follow", False))
    return AdvacamSource(filename, **about), options, account


def file_info(filename, **options):
    """What is in a hit list, without decoding its hits.

    Parameters
    ----------
    filename : str or Path
    **options
        As for `available_signals`.

    Returns
    -------
    dict
        See `rsciio_tpx3.file_info`.
    """
    return event_info(*opened(filename, options), "Advacam")


def _one_file(filename):
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


def _account(filename, metadata=None, metadata_from=None, calibrate="auto"):
    """What the user and other files tell, Pixet's sidecars among them."""
    path = os.fspath(filename)
    items = read_sidecars(path)
    more = [read_items(items, f"{os.path.basename(path)}.info, .dsc (Pixet)")] if items else ()
    return gather(path, metadata, metadata_from, calibrate, more)
