"""The RosettaSciIO reader of `.tpx3` files."""

import inspect
from dataclasses import replace
from functools import partial

from rsciio_tpx3.cache.recall import unread
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.metadata.known import first_piece, gather, steered
from rsciio_tpx3.reader.deferred import event_signal_when_needed
from rsciio_tpx3.reader.event_info import event_info, signal_offers
from rsciio_tpx3.reader.event_options import EVENT_OPTIONS, event_options
from rsciio_tpx3.reader.options import check_options, checks_options
from rsciio_tpx3.reader.signal import called_with, followed, refuse_unknown, scan_options
from rsciio_tpx3.tpx3.source import Tpx3Source, cache_of, files_of

__all__ = ["available_signals", "file_info", "file_reader", "opened"]


@checks_options
def file_reader(
    filename,
    lazy=False,
    navigation_shape=None,
    dwell_time=None,
    signal="scan",
    frame_time=None,
    sync="auto",
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
    gap=None,
    orientation=None,
    cluster=None,
    corrections=None,
    values="counts",
    all_parts=False,
    chunks="auto",
    dtype=None,
    metadata=None,
    metadata_from=None,
    calibrate="auto",
    on_loss="raise",
    before_reset="exclude",
    cache="auto",
    follow=False,
    show_progressbar=None,
    **kwds,
):
    """Read a Timepix3 event recording as a 4D STEM data set of sparse frames.

    Opening reads the file once to find the trigger edges, and once more to count the hits of each
    position; frames are decoded when they are asked for. With ``lazy=True`` both wait for the first
    computation where they are not needed for the shape of the array: give `navigation_shape` with the number
    of frames (or one frame, ``frames=0``), `layout`, and `dwell_time` or `dtype`.

    Parameters
    ----------
    filename : str, Path or sequence of them
        A sequence is one acquisition cut into pieces, in order of time.
    lazy : bool
        True decodes on demand. False decodes now and keeps the sparse frames in memory; a dense 4D
        array is never made.
    navigation_shape : tuple of int, optional
        Scan positions as ``(x, y)`` or ``(x, y, frames)``. Found from the trigger edges where they
        tell it. It may differ from what was set at the microscope: a line is sampled with as many
        columns as you like.
    dwell_time : str or quantity, optional
        Time on one position, such as "0.5 us". Follows from the edges of a line gate.
    signal : {"scan", "frames"}
        "frames" makes a stack of frames of equal length over time, without trigger edges.
    frame_time : str or quantity
        Length of a frame, for ``signal="frames"``.
    sync : {"auto", "line-gate", "line-start", "periodic-line", "pixel-trigger", "frame-trigger", \
"shared-clock"}
        What the trigger edges mean; see the guide on scan synchronisation.
    tdc : {"auto", "tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"}
        Which edges mark the scan; the start of the line for a line gate.
    pattern : {"raster", "serpentine"}
        Whether every other line runs backwards; raster unless a sidecar tells otherwise.
    positions : array of int or path, optional
        For pixel triggers: flat position ``y * nx + x`` of each pulse; a `.npy` or text file.
    active_fraction : float, optional
        Share of the line period in which the beam scans, where `dwell_time` is not known.
    line_flyback, frame_flyback : str or quantity, optional
        Pause after each line and frame, for "shared-clock" and "frame-trigger".
    lines_per_row : int
        Trigger lines added up to one row.
    first_line : int
        Lines to pass over before the scan.
    skip_lines : tuple of int
        Lines to leave out at the beginning and the end of each frame.
    scan_delay : str or quantity, optional
        Time by which the beam lags behind the edges; may be negative.
    time_bins : int or dict, optional
        Time as a further navigation axis, the last one in HyperSpy's order. A number cuts the dwell time
        into as many equal bins; ``{"over": "recording", "number": 10}`` or ``{"over": "recording",
        "width": "1 s"}`` cuts the time of the recording, with the frames of a repeated scan added up
        in each bin unless `frames` is "separate".
    frames : "separate", "sum", int, slice or list of int, or ("sum", these), optional
        Which passes of a repeated scan: each for itself, added up, some of them, or some added up. Left
        out, they are separate.
    layout : {"single", "quad", "strip", "strip-reversed"} or list of dict, optional
        Arrangement of the chips; from the chips in the file by default (a strip must be asked for).
    gap : int
        Extra pixels between the chips of a quad: 0, 2 or 4; 0 unless a sidecar tells otherwise.
    orientation : str
        Turn of the whole detector: "up", "left", "down", "right", and with "_mirrored"; "up" unless a sidecar tells
        otherwise.
    cluster : bool or dict, optional
        True makes one electron of neighbouring hits; a dictionary sets ``window`` ("200 ns"),
        ``neighbours`` (8 or 4), ``position`` ("largest", "centroid", "earliest"), ``time``
        ("earliest", "largest"), ``upsample`` (finer detector pixels, for centroids), ``min_size``,
        ``max_size``, ``min_tot``, ``max_tot``, ``max_duration``; see the guide on hits and electrons.
    corrections : dict, optional
        What to correct before electrons are found; see the guide on hits and electrons.
    values : {"counts", "tot", "energy"}
        What is added up at each pixel: events, their time over threshold in steps of 25 ns, or
        their energy in keV.
    all_parts : bool or sequence
        True takes all files whose names differ in the running number only; a sequence names them.
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
    before_reset : {"exclude", "keep"}
        Hits and edges from before the detector's clock was reset, which some recordings begin with: leave them out
        (and count them), or keep them, at times before those of the new clock.
    cache : bool or "auto"
        Keep what opening finds out (less than 1 % of the file) in the user's cache folder, so that the
        next opening takes no time. "auto" does so from 256 MB on.
    follow : bool
        The recording is still being written. What is there now is loaded; an incomplete end is no damage,
        and the file may grow. `hyperspy_sparse.refresh` gives a new signal with what came since.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary: ``data`` (dask array of `CSRFrames`), ``axes``,
        ``metadata``, ``original_metadata``, ``attributes``, ``post_process``.

    Raises
    ------
    Tpx3FormatError
        If the file is no Timepix3 stream, or is damaged and `on_loss` is "raise".
    ScanSyncError
        If there are no trigger edges, or they do not fit the scan asked for.
    UnitError
        If a time or another quantity has no unit, or a wrong one.
    MetadataConflictError
        If files beside the recording disagree on what decides where hits go.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.tpx3", navigation_shape=(256, 256))  # doctest: +SKIP
    >>> s = hs.load("spots.tpx3", signal="frames", frame_time="1 ms")  # doctest: +SKIP
    """
    asked = {name: value for name, value in locals().items() if name not in ("filename", "kwds")}
    refuse_unknown(kwds, file_reader, ".tpx3 files")
    # before the file is read: a wrong option should not cost a person the time of a pass
    account = gather(first_piece(filename, all_parts), metadata, metadata_from, calibrate)
    told = account.steer(**steered(signal, navigation_shape, pattern, layout, gap, orientation))
    options = called_with(
        scan_options, locals(), navigation_shape=told.get("navigation_shape"), pattern=told["pattern"] or "raster"
    )
    options = replace(options, follow=follow)
    events = event_options(cluster, corrections, values)
    place = told["layout"], told["gap"] or 0, told["orientation"] or "up"
    signal = event_signal_when_needed(
        partial(Tpx3Source, filename, *place, all_parts, on_loss, cache, follow, show_progressbar, before_reset),
        partial(_unread, filename, all_parts, on_loss, cache, before_reset),
        None if follow or place[0] is None else make_layout(*place),
        options,
        lazy,
        chunks=chunks,
        dtype=dtype,
        show_progressbar=show_progressbar,
        events=events,
        account=account,
    )
    return [followed(signal, filename, "TPX3", asked) if follow else signal]


def _unread(filename, all_parts, on_loss, cache, before_reset):
    """The files as they are now, if their index is not in the cache; see `event_signal_when_needed`."""
    parts, losses = files_of(filename, all_parts, on_loss)
    return unread(cache_of(parts, losses, cache, before_reset), [part.stamp for part in parts])


def available_signals(filename, **options):
    """What a recording can be loaded as.

    Parameters
    ----------
    filename : str, Path or sequence of them
    **options
        As for `file_reader`, such as ``all_parts=True`` or ``tdc="tdc2-rise"``.

    Returns
    -------
    list of dict
        Each with ``signal`` (what to pass), ``ready`` (whether it loads as it is), and either
        ``navigation_shape``, ``sync`` and ``tdc``, or ``needs``: what has to be told and why.

    Examples
    --------
    >>> import rsciio_tpx3
    >>> rsciio_tpx3.available_signals("scan.tpx3")  # doctest: +SKIP
    [{'signal': 'scan', 'ready': True, 'sync': 'line-gate', ...}, {'signal': 'frames', ...}]
    """
    source, scan, account = opened(filename, options)
    return signal_offers(source.index(), scan, account)


_ACCOUNT_OPTIONS = ("metadata", "metadata_from", "calibrate")
_SOURCE_OPTIONS = (
    "layout", "gap", "orientation", "all_parts", "on_loss", "before_reset", "cache", "follow", "show_progressbar",
)  # fmt: skip


def opened(filename, options):
    """Source, scan options and `Account` of a call that takes all options together.

    What other files tell may decide about scan and detector too.
    """
    known = {*inspect.signature(scan_options).parameters, *_SOURCE_OPTIONS, *_ACCOUNT_OPTIONS, *EVENT_OPTIONS}
    unknown = {name: value for name, value in options.items() if name not in known}
    refuse_unknown(unknown, file_reader, ".tpx3 files", known)
    check_options(options)
    options = {"cache": "auto", **options}
    event_options(**{name: options.pop(name) for name in EVENT_OPTIONS if name in options})
    about = {name: options.pop(name) for name in _ACCOUNT_OPTIONS if name in options}
    account = gather(first_piece(filename, options.get("all_parts", False)), **about)
    names = ("navigation_shape", "pattern", "layout", "gap", "orientation")
    told = account.steer(**steered(options.get("signal", "scan"), *(options.get(name) for name in names)))
    options.update({name: value for name, value in told.items() if value is not None})
    about = {name: options.pop(name) for name in _SOURCE_OPTIONS if name in options}
    options = replace(scan_options(**options), follow=about.get("follow", False))
    return Tpx3Source(filename, **about), options, account


def file_info(filename, **options):
    """What is in a recording, without decoding its hits.

    Parameters
    ----------
    filename : str, Path or sequence of them
    **options
        As for `available_signals`.

    Returns
    -------
    dict
        Plain numbers and text, ready for JSON: ``files``, ``bytes``, ``chips``, ``hits``, ``packets``,
        ``edges`` (number, period and its error of each kind, in seconds), ``first`` and ``last`` time in
        seconds, ``losses``, ``signals`` (`available_signals`).
    """
    source, scan, account = opened(filename, options)
    return event_info(source, scan, account, "TPX3")
