"""The RosettaSciIO reader and writer of stempy files."""

import contextlib
import math
import os

import numpy as np

from rsciio_tpx3.counted import counted_signal
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.files import FileStamp, PartialFiles, need_space, system_errors
from rsciio_tpx3.frames.write import NullSink, check_layout, known_entries, write
from rsciio_tpx3.metadata.account import gather
from rsciio_tpx3.metadata.record import foreign_metadata, make_record, plain, read_record
from rsciio_tpx3.reading import refuse_unknown
from rsciio_tpx3.stempy.sink import StempySink
from rsciio_tpx3.stempy.source import FRAMES, POSITIONS, StempySource

__all__ = ["file_reader", "file_writer"]

_RECORD = "rsciio_tpx3/record"
_MOST_ROWS = 32  # rows a position that version 3 should have: every one costs 16 bytes, empty or not


def file_reader(
    filename,
    lazy=False,
    signal_shape=None,
    keep_flyback=True,
    dtype=None,
    metadata=None,
    metadata_from=None,
    calibrate="auto",
    chunks="auto",
    **kwds,
):
    """Read a stempy file as a 4D data set of sparse frames.

    Parameters
    ----------
    filename : str or Path
    lazy : bool
        True reads on demand. False reads now and keeps the sparse frames in memory.
    signal_shape : tuple of int, optional
        Detector ``(x, y)``, where an old file does not have it.
    keep_flyback : bool
        False leaves out the last column of the scan, in which the 4D Camera has the flyback.
    dtype : numpy.dtype, optional
        Unsigned type of the counts.
    metadata : dict, path, or list of these, optional
        What you know about the microscope, with units, as in `rsciio_tpx3.tpx3.file_reader`.
    metadata_from : path or signal, optional
        A file or signal whose microscope node is copied.
    calibrate : {"auto", "angle", "k", None}
        Detector axes in mrad or 1/nm, where camera length (and beam energy) are known and the axes have no scale
        yet; "auto" takes mrad.
    chunks : "auto" or int
        Scan lines in one chunk.
    **kwds
        Refused, with the option that was probably meant.

    Returns
    -------
    list of dict
        One RosettaSciIO signal dictionary whose ``data`` is a dask array of `CSRFrames`.

    Raises
    ------
    Tpx3FormatError
        If the file is no stempy file, or its rows do not fit its scan.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("counted.h5", file_format="stempy", lazy=True)  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_reader, "stempy files")
    account = gather(filename, metadata, metadata_from, calibrate)
    found = _look(filename)
    sig_shape = found["sig_shape"]
    if signal_shape is not None:
        sig_shape = tuple(int(n) for n in signal_shape)[::-1]
    if sig_shape is None:
        raise ValueError(
            f"{os.path.basename(filename)!r} does not tell the shape of the detector. Pass signal_shape=(x, y)."
        )
    n_positions, record = math.prod(found["scan_shape"]), None
    if keep_flyback and signal_shape is None:
        record = read_record(found["record"], n_positions, sig_shape, repr(os.path.basename(filename)))
    if record and dtype is None:
        dtype = record["dtype"]
    nav_shape = record["nav_shape"] if record else None
    source = StempySource(filename, found["version"], found["scan_shape"], sig_shape, dtype, keep_flyback, nav_shape)
    return counted_signal(
        source,
        record,
        foreign_metadata(filename, detector_type=None),
        {"stempy": found["metadata"]},
        lazy,
        chunks,
        account,
    )


def _look(filename):
    """What the file says about itself."""
    import h5py

    stamp = FileStamp.of(filename)
    if not h5py.is_hdf5(stamp.path):
        raise Tpx3FormatError(f"{stamp.name!r} is no HDF5 file, so no stempy file.")
    with h5py.File(stamp.path, "r") as file:
        missing = [name for name in (FRAMES, POSITIONS) if name not in file]
        if missing:
            raise Tpx3FormatError(
                f"{stamp.name!r} has no {' and no '.join(missing)}: it holds no counted data of stempy. Files with "
                "uncounted frames are read by stempy itself."
            )
        version = int(file.attrs.get("version", 1))
        if version not in (1, 2, 3):
            raise Tpx3FormatError(f"{stamp.name!r} has version {version}; versions 1, 2 and 3 are known.")
        frames, positions = file[FRAMES], file[POSITIONS]
        if h5py.check_vlen_dtype(frames.dtype) is None:
            raise Tpx3FormatError(f"{FRAMES} of {stamp.name!r} is no list of rows but {frames.dtype} {frames.shape}.")
        scan = _pair(positions.attrs)
        if scan is None:
            raise Tpx3FormatError(f"{POSITIONS} of {stamp.name!r} has no attributes Nx and Ny: the scan is not known.")
        record = file.get(_RECORD)
        return {
            "version": version,
            "scan_shape": scan[::-1],
            "sig_shape": _pair(frames.attrs),
            "metadata": _tree(file["metadata"]) if "metadata" in file else {},
            "record": record[()].decode("utf-8") if record is not None else None,
        }


def _pair(attributes):
    if "Nx" not in attributes or "Ny" not in attributes:
        return None
    return int(attributes["Nx"]), int(attributes["Ny"])


def _tree(group):
    tree = {name: plain(value) for name, value in group.attrs.items()}
    for name, item in group.items():
        tree[name] = _tree(item) if hasattr(item, "items") else plain(item[()])
    return tree


def file_writer(filename, signal, version="auto", show_progressbar=None, **kwds):
    """Write a signal as a counted file of stempy.

    Parameters
    ----------
    filename : str or Path
    signal : dict
        RosettaSciIO signal dictionary of counts; its last two axes are the detector.
    version : {"auto", 1, 2, 3}
        3 is what stempy writes now and needs one more pass over the data, for the highest count; "auto"
        takes it where no count is above 32, and else 2, in which only pixels with several counts cost
        more rows. stempy reads all.
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Raises
    ------
    ValueError
        If values are no counts, or the signal has no two detector axes.

    Examples
    --------
    >>> s.save("counted.h5", file_format="stempy")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_writer, "stempy files")
    import h5py

    if version not in ("auto", 1, 2, 3):
        raise ValueError(f"version={version!r} is none of 'auto', 1, 2, 3.")
    nav_shape, sig_shape = check_layout(signal)
    data = signal["data"]
    highest = _highest(data, show_progressbar) if version in ("auto", 3) else 1
    if version == "auto":
        version = 3 if highest <= _MOST_ROWS else 2
    with contextlib.ExitStack() as stack:
        stack.enter_context(system_errors(filename))
        files = stack.enter_context(PartialFiles(filename))
        entries = known_entries(data)
        if entries is not None:
            need_space(files.target, 4 * entries + 16 * highest * math.prod(nav_shape))
        file = stack.enter_context(h5py.File(files.path(), "w"))
        file.attrs["version"] = version
        sink = StempySink(file.create_group("electron_events"), version, highest)
        write(data, sink, show_progressbar, description=f"Writing {os.path.basename(filename)}")
        # stempy has two scan axes; the true shape is in the record
        scan_shape = (math.prod(nav_shape[:-1]), nav_shape[-1] if nav_shape else 1)
        sink.finish(scan_shape, sig_shape)
        file.create_group("metadata")
        file[_RECORD] = make_record(signal)
        file.close()
        files.commit()


class _Highest(NullSink):
    """Notes the highest count."""

    found = 1

    def prepare(self, frames):
        return int(frames.data.max()) if frames.data.size else 0

    def append(self, prepared):
        self.found = max(self.found, prepared)


def _highest(data, show_progressbar):
    if np.dtype(data.dtype).kind not in "biu":
        raise ValueError(f"stempy files hold counted electrons, not {data.dtype} values. Save them as raw_csr.")
    sink = _Highest()
    write(data, sink, show_progressbar, description="Looking for the highest count")
    return sink.found
