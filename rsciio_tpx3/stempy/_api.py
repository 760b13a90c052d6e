"""The RosettaSciIO reader and writer of stempy files."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
from typing import Any

import h5py
import numpy as np

from rsciio_tpx3.exceptions import LossError, Tpx3FormatError
from rsciio_tpx3.frames.write import known_entries, write
from rsciio_tpx3.metadata.known import gather
from rsciio_tpx3.metadata.record import foreign_metadata, make_record, plain, read_record
from rsciio_tpx3.reader.counted import check_layout, counted_signal
from rsciio_tpx3.reader.option_checks import checks_arguments, checks_options, refuse_unknown
from rsciio_tpx3.stempy.sink import StempySink
from rsciio_tpx3.stempy.source import EXPECTED, FRAMES, POSITIONS, StempySource
from rsciio_tpx3.utils.checks import check_one_file
from rsciio_tpx3.utils.files import FileStamp, PartialFiles, need_space, system_errors
from rsciio_tpx3.utils.hdf5.contents import tree
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5
from rsciio_tpx3.utils.hdf5.guard import guard_hdf5
from rsciio_tpx3.utils.hdf5.heaps import check_heaps
from rsciio_tpx3.utils.hdf5.values import attribute, value, whole
from rsciio_tpx3.utils.interrupts import held_interrupt

__all__ = ["file_reader", "file_writer"]

_logger = logging.getLogger(__name__)

_RECORD = "rsciio_tpx3/record"
_RECORD_SUM = "rsciio_tpx3/sha256"
_MOST_RECORD = 1 << 26
_MOST_NUMBER = 1 << 31  # of pixels or positions along one side


@checks_options
def file_reader(
    filename: str | os.PathLike,
    lazy: bool = False,
    signal_shape: tuple[int, ...] | None = None,
    keep_flyback: bool = True,
    dtype: np.dtype | None = None,
    metadata: dict | None = None,
    metadata_from: Any = None,
    calibrate: str = "auto",
    chunks: int | str | tuple = "auto",
    allow_external: bool = False,
    guard: bool | float = False,
    **kwds: Any,
) -> list[dict]:
    """Read a stempy file as a 4D data set of sparse frames.

    Parameters
    ----------
    filename : str or Path
    <lazy>
    signal_shape : tuple of int, optional
        Detector ``(x, y)``, where an old file does not have it.
    keep_flyback : bool
        False leaves out the last column of the scan, in which the 4D Camera has the flyback.
    dtype : numpy.dtype, optional
        Unsigned type of the counts.
    <metadata, metadata_from, calibrate, chunks, allow_external, guard>
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary whose ``data`` is a dask array of `CSRFrames`.

    Raises
    ------
    Tpx3FormatError
        If the file is not a stempy file, its rows do not fit its scan or lie in other files, or it is damaged.
    LossError
        If a part of the rows was never written, or is cut off.
    LimitError
        If what it describes is out of all proportion to its size.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("counted.h5", file_format="stempy", lazy=True)  # doctest: +SKIP
    """
    check_one_file("filename", filename)
    refuse_unknown(kwds, file_reader, "stempy files")
    known = gather(filename, metadata, metadata_from, calibrate)
    guard_hdf5(guard, filename)
    found = _look(filename, allow_external)
    sig_shape = found["sig_shape"]
    if signal_shape is not None:
        sig_shape = tuple(int(n) for n in signal_shape)[::-1]
    if sig_shape is None:
        raise ValueError(
            f"{os.path.basename(filename)!r} does not give the shape of the detector. Pass signal_shape=(x, y)."
        )
    n_positions, record = math.prod(found["scan_shape"]), None
    if keep_flyback and signal_shape is None:
        where = repr(os.path.basename(filename))
        record = read_record(found["record"], n_positions, sig_shape, where)
        if found["record"] is not None and record is None:
            raise Tpx3FormatError(
                f"the record in {where} does not fit the {n_positions} positions and the detector {sig_shape} that "
                "attributes Nx and Ny tell. The file is damaged or was edited; pass signal_shape=(x, y) to read it "
                "without."
            )
    if record and dtype is None:
        dtype = record["dtype"]
    nav_shape = record["nav_shape"] if record else None
    source = StempySource(
        filename, found["version"], found["scan_shape"], sig_shape, dtype, keep_flyback, nav_shape, allow_external
    )
    return counted_signal(
        source,
        record,
        foreign_metadata(filename, detector_type=None),
        {"stempy": found["metadata"]},
        lazy,
        chunks,
        known,
    )


def _look(filename: str | os.PathLike, allow_external: bool) -> dict:
    """What the file says about itself."""
    stamp = FileStamp.of(filename)
    check_heaps(stamp)
    with open_hdf5(stamp, EXPECTED) as file:
        frames, positions = (find(file, name, allow_external) for name in (FRAMES, POSITIONS))
        missing = [n for n, item in ((FRAMES, frames), (POSITIONS, positions)) if not hasattr(item, "dtype")]
        if missing:
            raise Tpx3FormatError(
                f"{stamp.name!r} has no {' and no '.join(missing)}: it is not counted data of stempy. Files with "
                "uncounted frames are read by stempy itself."
            )
        version = whole(attribute(file, "version")) if "version" in file.attrs else 1
        if version not in (1, 2, 3):
            raise Tpx3FormatError(f"{stamp.name!r} has version {version}; versions 1, 2 and 3 are known.")
        if h5py.check_vlen_dtype(frames.dtype) is None:
            raise Tpx3FormatError(
                f"{FRAMES} of {stamp.name!r} is not a list of rows but {frames.dtype} {frames.shape}."
            )
        if frames.ndim != 1:
            raise Tpx3FormatError(f"{FRAMES} of {stamp.name!r} has shape {frames.shape}; expected a list of rows.")
        scan = _pair(positions, stamp.name)
        if scan is None:
            raise Tpx3FormatError(f"{POSITIONS} of {stamp.name!r} has no attributes Nx and Ny: the scan is not known.")
        metadata = _metadata(file, allow_external)
        return {
            "version": version,
            "scan_shape": scan[::-1],
            "sig_shape": _pair(frames, stamp.name),
            "metadata": metadata if isinstance(metadata, dict) else {"metadata": metadata},
            "record": _record(file, stamp.name),
        }


def _pair(item: h5py.Dataset, name: str) -> tuple[int, ...] | None:
    """Attributes Nx and Ny, also where they are lists of one number or text; None where there are none."""
    if "Nx" not in item.attrs or "Ny" not in item.attrs:
        return None
    found = tuple(whole(attribute(item, key)) for key in ("Nx", "Ny"))
    if any(n is None or not 0 <= n < _MOST_NUMBER for n in found):
        raise Tpx3FormatError(
            f"attributes Nx and Ny of {item.name} in {name!r} are {attribute(item, 'Nx')!r:.80} and "
            f"{attribute(item, 'Ny')!r:.80}; expected integers. The file is damaged."
        )
    return found


def _metadata(file: h5py.Group, allow_external: bool) -> dict[str, dict[str, int]]:
    """The metadata of the microscope, as far as they can be understood; they never keep anybody from the counts."""
    try:
        item = find(file, "metadata", allow_external)
        return {} if item is None else plain(tree(item, allow_external))
    except Exception as error:
        _logger.warning(f"metadata of {os.path.basename(file.filename)!r} are excluded: {error}")
        return {}


def _record(file: h5py.Group, name: str) -> str | None:
    """What our writer noted, or None; refused where it is not what was written."""
    try:
        record, stored = (find(file, path) for path in (_RECORD, _RECORD_SUM))
    except LossError:
        raise
    except Tpx3FormatError:
        return None  # our writer puts no links there
    if not hasattr(record, "dtype"):
        return None
    record = value(record, _MOST_RECORD)
    if hasattr(stored, "dtype") and value(stored) != _sum_of(record):
        raise Tpx3FormatError(f"{_RECORD} of {name!r} is not what was written: its SHA-256 differs. Copy it again.")
    return record


def _sum_of(record: str) -> str:
    return hashlib.sha256(str(record).encode()).hexdigest()


@checks_arguments
def file_writer(
    filename: str | os.PathLike,
    signal: dict,
    version: int | str = "auto",
    show_progressbar: bool | None = None,
    **kwds: Any,
) -> None:
    """Write a signal as a counted file of stempy.

    Parameters
    ----------
    filename : str or Path
    signal : dict
        RosettaSciIO signal dictionary of counts; its last two axes are the detector.
    version : {"auto", 1, 2, 3}
        3 is what stempy writes now; "auto" takes it where no count is above 32, and else 2, in which only pixels
        with several counts cost more rows. stempy reads all.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Raises
    ------
    ValueError
        If values are not counts, or the signal has no two detector axes.

    Examples
    --------
    >>> s.save("counted.h5", file_format="stempy")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_writer, "stempy files")
    if version not in ("auto", 1, 2, 3):
        raise ValueError(f"version={version!r} is not valid: must be one of 'auto', 1, 2, 3.")
    nav_shape, sig_shape = check_layout(signal)
    data = signal["data"]
    if (kind := np.dtype(data.dtype)).kind not in "biu":
        raise ValueError(f"stempy files hold counted electrons, not {kind} values. Save them as raw_csr.")
    with contextlib.ExitStack() as stack:
        stack.enter_context(system_errors(filename))
        files = stack.enter_context(PartialFiles(filename))
        entries = known_entries(data)
        if entries is not None:
            need_space(files.target, 4 * entries + 16 * math.prod(nav_shape))
        # tables of HDF5 1.8 (2008) have checksums of their own, those before had none
        with held_interrupt():
            file = stack.enter_context(h5py.File(files.path(), "w", libver=("v108", "v108")))
            sink = StempySink(file.create_group("electron_events"), version)
        with files.synced_early():
            write(data, sink, show_progressbar, description=f"Writing {os.path.basename(filename)}")
        # stempy has two scan axes; the true shape is in the record
        scan_shape = (math.prod(nav_shape[:-1]), nav_shape[-1] if nav_shape else 1)
        record = make_record(signal)  # which may wait for the checksum of a recording
        with held_interrupt():
            sink.finish(scan_shape, sig_shape)
            file.attrs["version"] = sink.version
            file.create_group("metadata")
            file[_RECORD] = record
            file[_RECORD_SUM] = _sum_of(record)
            file.close()
        files.commit()
