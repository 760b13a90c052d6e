"""The RosettaSciIO reader and writer of raw_csr data sets."""

from __future__ import annotations

import contextlib
import logging
import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from rsciio_tpx3.frames.write import NullSink, known_entries, write
from rsciio_tpx3.metadata.event_values import QUANTITY
from rsciio_tpx3.metadata.known import gather
from rsciio_tpx3.metadata.record import foreign_metadata, make_record, read_record, warn_unused
from rsciio_tpx3.raw_csr.description import read_description
from rsciio_tpx3.raw_csr.sink import RawCsrSink
from rsciio_tpx3.raw_csr.source import RawCsrSource
from rsciio_tpx3.reader.counted import check_layout, counted_signal
from rsciio_tpx3.reader.option_checks import checks_arguments, checks_options, refuse_unknown
from rsciio_tpx3.reader.scan import numpy_order
from rsciio_tpx3.utils.checks import check_one_file
from rsciio_tpx3.utils.files import FileStamp, PartialFiles, need_space

if TYPE_CHECKING:
    import dask.array as da

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.raw_csr.description import Description


__all__ = ["check_file", "file_reader", "file_writer"]

_logger = logging.getLogger(__name__)

# arrays without sums of their blocks whose checksums a lazy opening compares: a twentieth to a fifth of a second
_QUICK_BYTES = 64 * 2**20

_QUANTITY = {"itot": QUANTITY["tot"], "count": "Counts"}


@checks_options
def file_reader(
    filename: str | os.PathLike,
    lazy: bool = False,
    navigation_shape: tuple[int, ...] | None = None,
    signal_shape: tuple[int, ...] | None = None,
    sync_offset: int = 0,
    dtype: DTypeLike | None = None,
    metadata: dict | None = None,
    metadata_from: Any = None,
    calibrate: str = "auto",
    chunks: int | str | tuple = "auto",
    allow_external: bool = False,
    **kwds: Any,
) -> list[dict]:
    """Read a raw_csr data set (LiberTEM, Reader4D) as a 4D data set of sparse frames.

    Opening reads the TOML and the row pointers, and the other arrays where they are small; of large ones the
    worker that needs a part reads it.

    Parameters
    ----------
    filename : str or Path
        The TOML file; the arrays lie next to it.
    <lazy>
    navigation_shape : tuple of int, optional
        Scan positions ``(x, y)`` or ``(x, y, frames)``, instead of those in the TOML. Positions
        without a frame are blank, frames without a position excluded, with a warning.
    signal_shape : tuple of int, optional
        Detector ``(x, y)`` in pixels, instead of that in the TOML; as many pixels.
    sync_offset : int
        Frames to skip at the start; where negative, blank frames to insert there.
    dtype : numpy.dtype, optional
        Type of the values; those that it cannot hold exactly are refused.
    <metadata, metadata_from, calibrate, chunks>
    allow_external : bool
        Read arrays that lie outside of the folder of the TOML, by an absolute path, ``..`` or a link. False refuses
        them: a description from elsewhere could show any file of yours as counts.
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary whose ``data`` is a dask array of `CSRFrames`.

    Raises
    ------
    Tpx3FormatError
        If the TOML is something else, or the arrays do not fit each other, their types or their checksums.
    ValueError
        If the shapes do not fit the arrays.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.toml")  # doctest: +SKIP
    >>> s = hs.load("scan.toml", navigation_shape=(64, 32), sync_offset=128)  # doctest: +SKIP
    """
    check_one_file("filename", filename)
    refuse_unknown(kwds, file_reader, "raw_csr data sets")
    known = gather(filename, metadata, metadata_from, calibrate)
    about = read_description(filename, allow_external)
    in_parts = len(about.block_sums) == len(about.stamps)  # each part is verified when it is read
    if not in_parts and (not lazy or sum(stamp.size for stamp in about.stamps.values()) <= _QUICK_BYTES):
        about.check_sums()
    if signal_shape is not None:
        signal_shape = _two_numbers(signal_shape)
    as_it_is = navigation_shape is None and signal_shape is None and sync_offset == 0
    record = _own_record(about) if as_it_is else None
    if not as_it_is:
        warn_unused(about.own.get("record"), repr(os.path.basename(about.path)))
    if record is None:
        source = RawCsrSource(about, numpy_order(navigation_shape), signal_shape, sync_offset, dtype)
    else:
        source = RawCsrSource(about, record["nav_shape"], None, 0, record["dtype"] if dtype is None else dtype)
    return counted_signal(source, record, _metadata(about), {"raw_csr": {"params": about.params}}, lazy, chunks, known)


def _two_numbers(signal_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = tuple(np.atleast_1d(signal_shape))
    if len(shape) != 2 or any(n != int(n) or n < 1 for n in shape):
        raise ValueError(f"signal_shape={signal_shape!r}: expected two positive integers, (x, y).")
    return tuple(int(n) for n in shape[::-1])


def _own_record(about: Description) -> dict | None:
    """What our writer added, while it fits the rest of the TOML."""
    text = about.own.get("record")
    if text is None or about.nav_shape is None or about.sig_shape is None:
        return None
    record = read_record(text, math.prod(about.nav_shape), about.sig_shape, repr(os.path.basename(about.path)))
    if record is None:
        _logger.warning(
            f"nav_shape or sig_shape in {about.path!r} were changed since it was written: its axes and metadata "
            "are excluded."
        )
    return record


def _metadata(about: Description) -> dict:
    dwell = about.params.get("dwell_time_ns")
    return foreign_metadata(
        about.path,
        quantity=_QUANTITY.get(about.values_role, "Counts"),
        dwell_time=dwell * 1e-9 if isinstance(dwell, (int, float)) else None,
    )


@checks_arguments
def file_writer(
    filename: str | os.PathLike, signal: dict, compact: bool = False, show_progressbar: bool | None = None, **kwds: Any
) -> None:
    """Write a signal as a raw_csr data set: a TOML file and three raw arrays next to it.

    LiberTEM (0.16) and Reader4D open it. The TOML appears last, when everything is on the disk, so
    an interrupted run never leaves a data set that opens. An old data set of the same name stays whole
    until then; its arrays are removed afterwards.

    Parameters
    ----------
    filename : str or Path
        Of the TOML file. ``scan.toml`` gets ``scan.indptr.raw``, ``scan.indices.raw`` and
        ``scan.values.raw``.
    signal : dict
        RosettaSciIO signal dictionary; its last two axes are the detector.
    compact : bool
        True keeps small types such as uint8 (5 bytes per entry, not 8): LiberTEM and this package read
        them, Reader4D does not.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Raises
    ------
    OSError
        If the disk has too little room.
    ValueError
        If the signal has no two detector axes, or a type of values that has no place in the format.

    Examples
    --------
    >>> s.save("scan.toml")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_writer, "raw_csr data sets")
    nav_shape, sig_shape = check_layout(signal)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(PartialFiles(filename))
        sink = RawCsrSink(files, sig_shape, signal["data"].dtype, compact)
        stack.callback(sink.close)
        _need_space(files.target, signal["data"], sink)
        with files.synced_early():
            write(signal["data"], sink, show_progressbar, description=f"Writing {os.path.basename(filename)}")
        sink.finish(_params(signal, nav_shape, sig_shape), make_record(signal))
        old = _arrays_of(filename)
        files.commit()
    for stamp in old:
        # another writer of this target may have been faster, and a third may have taken the name since
        with contextlib.suppress(FileNotFoundError):
            if FileStamp.of(stamp.path).identity == stamp.identity:
                os.remove(stamp.path)


def _need_space(target: str, data: da.Array | np.ndarray | CSRFrames, sink: RawCsrSink) -> None:
    entries = known_entries(data)
    if entries is not None:
        n_bytes = entries * (sink.dtypes["data"].itemsize + sink.dtypes["indices"].itemsize)
        need_space(target, n_bytes + 8 * (math.prod(data.shape[:-2]) + 1))


def _params(signal: dict, nav_shape: tuple[int, ...], sig_shape: tuple[int, ...]) -> dict:
    # Reader4D takes exactly two navigation numbers; the true shape is in the record
    rows = math.prod(nav_shape[:-1]) if len(nav_shape) > 1 else 1
    params = {
        "filetype": "raw_csr",
        "nav_shape": [rows, nav_shape[-1] if nav_shape else 1],
        "sig_shape": list(sig_shape),
        "values_role": "count",
    }
    metadata = signal.get("metadata") or {}
    if metadata.get("Signal", {}).get("quantity") == _QUANTITY["itot"]:
        params["values_role"] = "itot"
    scan = metadata.get("Acquisition_instrument", {}).get("TEM", {}).get("Scan", {})
    if isinstance(scan.get("dwell_time"), (int, float)) and scan.get("dwell_time_units", "s") == "s":
        params["dwell_time_ns"] = float(scan["dwell_time"] * 1e9)
    return params


def _arrays_of(filename: str | os.PathLike) -> list[FileStamp]:
    """Stamps of the arrays of the data set that is to be replaced, where our own writer made them for nobody else."""
    if not os.path.isfile(filename):
        return []
    try:
        about = read_description(filename)
    except (ValueError, OSError):
        return []
    stem = os.path.splitext(os.path.basename(filename))[0]
    paths = {stamp.path: stamp for stamp in about.stamps.values()}
    ours = about.own and all(
        os.path.dirname(path) == os.path.dirname(about.path) and os.path.basename(path).startswith(f"{stem}.")
        for path in paths
    )
    return [stamp for path, stamp in paths.items() if not _named_elsewhere(path, about.path)] if ours else []


def _named_elsewhere(array: str, but: str) -> bool:
    """Whether another description in the folder names an array: a renamed copy of the old one, say."""
    folder = os.path.dirname(array)
    for name in os.listdir(folder):
        other = os.path.join(folder, name)
        if not name.lower().endswith(".toml") or (os.path.exists(but) and os.path.samefile(other, but)):
            continue
        try:
            stamps = read_description(other, allow_external=True).stamps.values()
        except (ValueError, OSError):
            continue
        if any(os.path.samefile(stamp.path, array) for stamp in stamps):
            return True
    return False


@checks_options
def check_file(filename: str | os.PathLike, show_progressbar: bool | None = None, allow_external: bool = False) -> dict:
    """Read a whole data set and raise at the first thing that is wrong.

    Besides what opening checks: every pixel number and value, and the checksums of the arrays.

    Returns
    -------
    dict
        ``frames``, ``entries``, ``total`` and ``canonical`` (whether rows are sorted and free of
        repeated pixels in the file).
    """
    check_one_file("filename", filename)
    about = read_description(filename, allow_external)
    # what is wrong with a row says more than a sum: it is looked for first
    source = RawCsrSource(about, verify=False)
    found = write(source, NullSink(), show_progressbar, description=f"Checking {os.path.basename(filename)}")
    about.check_sums()
    return {**found, "canonical": found["entries"] == source.n_entries}
