"""The RosettaSciIO reader and writer of NXevent_data files."""

import contextlib
import math
import os

import numpy as np
from dask.array import Array

from rsciio_tpx3.counted import counted_signal
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.files import FileStamp, PartialFiles, need_space, system_errors
from rsciio_tpx3.frames.write import check_layout, known_entries, write
from rsciio_tpx3.metadata.account import gather
from rsciio_tpx3.metadata.event_values import QUANTITY
from rsciio_tpx3.metadata.nexus import read_nexus, write_nexus
from rsciio_tpx3.metadata.record import foreign_metadata, make_record, read_record, warn_unused
from rsciio_tpx3.nxevent.hits import HitFrames
from rsciio_tpx3.nxevent.layout import ENTRY, EVENTS, INSTRUMENT, PARAMETERS, PROCESS, id_type, load_plugin, packing
from rsciio_tpx3.nxevent.sink import NXEventSink
from rsciio_tpx3.nxevent.source import NXEventSource
from rsciio_tpx3.reading import numpy_order, refuse_unknown

__all__ = ["file_reader", "file_writer"]

_REPEATED = "pixels repeated by count"
_HEIGHTS = "pulse_height"


def file_reader(
    filename,
    lazy=False,
    navigation_shape=None,
    signal_shape=None,
    dataset_path=None,
    values="auto",
    dtype=None,
    metadata=None,
    metadata_from=None,
    calibrate="auto",
    chunks="auto",
    **kwds,
):
    """Read an NXevent_data file as a 4D data set of sparse frames.

    Opening reads where each position begins; events are unpacked where they are asked for.

    Parameters
    ----------
    filename : str or Path
    lazy : bool
        True reads on demand. False reads now and keeps the sparse frames in memory.
    navigation_shape : tuple of int, optional
        Scan positions ``(x, y)`` or ``(x, y, frames)``; needed where another program wrote the file, whose
        pulses are then the positions in order.
    signal_shape : tuple of int, optional
        Detector ``(x, y)``; needed where another program wrote the file.
    dataset_path : str, optional
        Of the NXevent_data group, where a file has several.
    values : {"auto", "counts", "pulse_height"}
        Whether a pixel's value is its number of events or the sum of their pulse heights.
    dtype : numpy.dtype, optional
        Type of the values; for files of other programs uint16 counts by default.
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
        If there is no NXevent_data group, or its arrays do not fit each other.
    ImportError
        If the file is packed by a filter of the package hdf5plugin, which is absent.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.nxevent")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_reader, "NXevent_data files")
    account = gather(filename, metadata, metadata_from, calibrate)
    if values not in ("auto", "counts", _HEIGHTS):
        raise ValueError(f"values={values!r} is none of 'auto', 'counts', 'pulse_height'.")
    found = _look(filename, dataset_path)
    account.told += [found["told"]] if found["told"] else []
    sig_shape = _signal_shape(found, signal_shape)
    nav_shape, record = numpy_order(navigation_shape), None
    where = repr(os.path.basename(filename))
    if nav_shape is None and signal_shape is None:
        record = read_record(found["record"], found["n_positions"], sig_shape, where)
    else:
        warn_unused(found["record"], where)
    if nav_shape is None:
        nav_shape = record["nav_shape"] if record else found["nav_shape"]
    if nav_shape is None:
        raise ValueError(
            f"{os.path.basename(filename)!r} does not tell the shape of the scan. Pass navigation_shape=(x, y) for "
            f"its {found['n_positions']} positions."
        )
    if values == "auto":
        values = _HEIGHTS if found["coding"] == _HEIGHTS else "counts"
    if dtype is None:
        dtype = found["height_type"] if values == _HEIGHTS else np.uint16
        # the record has the type of what was written, not of times over threshold kept beside it
        if record and (values == _HEIGHTS) == (found["coding"] == _HEIGHTS):
            dtype = record["dtype"]
    merged = found["coding"] == _HEIGHTS
    if record and values == _HEIGHTS and not merged:
        # the record is about the counts beside which they were kept
        record["metadata"].setdefault("Signal", {})["quantity"] = QUANTITY["tot"]
    source = NXEventSource(filename, found["path"], nav_shape, sig_shape, dtype, values, merged)
    return counted_signal(
        source, record, foreign_metadata(filename), {"nxevent": {"group": found["path"]}}, lazy, chunks, account
    )


def _look(filename, dataset_path):
    """What the file says about its events, without reading them."""
    import h5py

    name = os.path.basename(filename)
    stamp = FileStamp.of(filename)
    if not h5py.is_hdf5(stamp.path):
        raise Tpx3FormatError(
            f"{name!r} is no HDF5 file, so no NXevent_data file. Check the file, or pass file_format."
        )
    load_plugin()
    with h5py.File(stamp.path, "r") as file:
        group = _group(file, dataset_path, name)
        missing = [key for key in ("event_id", "event_index") if key not in group]
        if missing:
            raise Tpx3FormatError(
                f"{group.name!r} of {name!r} has no {' and no '.join(missing)}: events cannot be assigned to positions."
            )
        if values := [
            key for key in ("event_id", "event_index") if group[key].dtype.kind not in "iu" or group[key].ndim != 1
        ]:
            raise Tpx3FormatError(f"{values[0]} in {group.name!r} of {name!r} is no list of whole numbers.")
        height = group.get("pulse_height")
        own = _parameters(group)
        return {
            "path": group.name,
            "n_positions": len(group["event_index"]),
            "nav_shape": _shape(own.get("nav_shape")),
            "sig_shape": _shape(own.get("sig_shape")),
            "coding": _text(own.get("coding", "")),
            "height_type": height.dtype.newbyteorder("=") if height is not None else np.dtype(np.float32),
            "record": _text(own.get("record")),
            "told": read_nexus(group, f"{name} (NeXus)") if own.get("record") is None else None,
        }


def _parameters(group):
    """What our writer noted about these events."""
    found = group.file.get(f"{ENTRY}/{PROCESS}/{PARAMETERS}")
    own = {name: item[()] for name, item in found.items()} if found is not None else {}
    return own if _text(own.get("events")) == group.name else {}


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _shape(stored):
    return None if stored is None else tuple(int(n) for n in stored)


def _group(file, path, name):
    import h5py

    if path is not None:
        if not isinstance(file.get(path), h5py.Group):
            raise Tpx3FormatError(f"{name!r} has no group {path!r}.")
        return file[path]
    found = []

    def visit(key, item):
        if isinstance(item, h5py.Group) and _text(item.attrs.get("NX_class", "")) == "NXevent_data":
            found.append(item)

    file.visititems(visit)
    if len(found) != 1:
        names = ", ".join(repr(group.name) for group in found)
        raise Tpx3FormatError(
            f"{name!r} has several groups of class NXevent_data; pass dataset_path, one of {names}."
            if found
            else f"{name!r} has no group of class NXevent_data. Check the file, or pass file_format for what it is."
        )
    return found[0]


def _signal_shape(found, given):
    if given is not None:
        return tuple(int(n) for n in given)[::-1]
    if found["sig_shape"] is None:
        raise ValueError(
            f"{found['path']!r} does not tell the shape of the detector. Pass signal_shape=(x, y) in pixels."
        )
    return found["sig_shape"]


def file_writer(filename, signal, values="auto", compression="blosc2", keep=(), show_progressbar=None, **kwds):
    """Write a signal as NXevent_data in one compressed HDF5 file.

    The file appears under its name when it is complete; an old one stays whole until then.

    Parameters
    ----------
    filename : str or Path
    signal : dict
        RosettaSciIO signal dictionary; its last two axes are the detector.
    values : {"auto", "counts", "pulse_height"}
        "counts" repeats a pixel by its count, as the standard has it; "pulse_height" writes each
        pixel once, with its value (summed time over threshold, weights, negative numbers). "auto" takes
        counts for unsigned integers that are no times over threshold.
    compression : {"blosc2", "gzip"}
        "blosc2" needs hdf5plugin to write and read; "gzip" needs nothing, and a third more space.
    keep : sequence of {"time", "tot"}
        For a recording that was loaded and not changed: keep of each hit the time since its position
        began (`event_time_offset`, ticks of 260.41666 ps) and the time over threshold (`pulse_height`, 25 ns).
    show_progressbar : bool, optional
        None shows a bar for work that takes longer than two seconds.
    **kwds
        Refused, with the option that was probably meant.

    Raises
    ------
    ImportError
        If hdf5plugin is absent and needed.
    OSError
        If the disk has too little room.
    ValueError
        If the signal has no two detector axes, or values that are no counts.

    Examples
    --------
    >>> s.save("scan.nxevent")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_writer, "NXevent_data files")
    import h5py

    nav_shape, sig_shape = check_layout(signal)
    repeat = _repeats(values, signal)
    data, keep = _with_hits(signal["data"], keep)
    with contextlib.ExitStack() as stack:
        stack.enter_context(system_errors(filename))
        files = stack.enter_context(PartialFiles(filename))
        entries = known_entries(data)
        if entries is not None:
            need_space(files.target, (2 + 3 * len(keep)) * entries + 8 * math.prod(nav_shape))
        # HDF5's own tables as of version 1.10 (2016) take a third of the room; a program that unpacks Blosc2 knows
        # them, and where gzip was chosen so that any program can read it, they are as of 1.8 (2008)
        libver = "v108" if compression == "gzip" else "v110"
        file = stack.enter_context(h5py.File(files.path(), "w", libver=(libver, libver)))
        entry = _entry(file, signal, sig_shape, compression)
        events = _nexus_group(entry[INSTRUMENT], EVENTS, "NXevent_data")
        own = {"coding": _REPEATED if repeat or keep else _HEIGHTS, "nav_shape": nav_shape, "sig_shape": sig_shape}
        _note(entry, {"events": events.name, **own, "record": make_record(signal)})
        sink = NXEventSink(events, sig_shape, data.dtype, repeat or bool(keep), compression, keep)
        write(data, sink, show_progressbar, description=f"Writing {os.path.basename(filename)}")
        sink.finish()
        file.close()
        files.commit()


def _with_hits(data, keep):
    """The data, or the hits behind them where something of each is to be kept."""
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    unknown = [name for name in keep if name not in ("time", "tot")]
    if unknown:
        raise ValueError(f"keep={unknown[0]!r} is none of 'time', 'tot'.")
    if not keep:
        return data, ()
    return HitFrames(source_of(data) if isinstance(data, Array) else data), keep


def _repeats(values, signal):
    dtype = np.dtype(signal["data"].dtype)
    if values == "auto":
        quantity = (signal.get("metadata") or {}).get("Signal", {}).get("quantity", "")
        return dtype.kind in "bu" and "Time over threshold" not in str(quantity)
    if values == "counts" and dtype.kind not in "biu":
        raise ValueError(f'values="counts" needs whole numbers, found {dtype}. Save with values="pulse_height".')
    if values not in ("counts", _HEIGHTS):
        raise ValueError(f"values={values!r} is none of 'auto', 'counts', 'pulse_height'.")
    return values == "counts"


def _nexus_group(parent, name, kind):
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _note(entry, own):
    """What only this package knows, where NeXus has a place for parameters of a program."""
    group = _nexus_group(entry[PROCESS], PARAMETERS, "NXparameters")
    for name, value in own.items():
        group[name] = value if isinstance(value, str) else np.asarray(value, np.int64)


def _entry(file, signal, sig_shape, compression):
    """The NXentry with title, instrument and axes."""
    from rsciio_tpx3 import __version__

    file.attrs["NX_class"] = "NXroot"
    file.attrs["default"] = ENTRY
    entry = _nexus_group(file, ENTRY, "NXentry")
    metadata = signal.get("metadata") or {}
    entry["title"] = str(metadata.get("General", {}).get("title", ""))
    process = _nexus_group(entry, PROCESS, "NXprocess")
    process["program"] = "rsciio_tpx3"
    process["version"] = __version__
    detector = _nexus_group(_nexus_group(entry, INSTRUMENT, "NXinstrument"), "detector", "NXdetector")
    write_nexus(entry, metadata, signal["axes"])
    numbers = np.arange(sig_shape[0] * sig_shape[1], dtype=id_type(sig_shape)).reshape(sig_shape)
    detector.create_dataset("detector_number", data=numbers, chunks=sig_shape, **packing(compression, numbers.itemsize))
    axes = _nexus_group(entry, "axes", "NXcollection")
    for i, axis in enumerate(signal["axes"]):
        data = np.asarray(axis.get("offset", 0.0) + np.arange(axis["size"]) * axis.get("scale", 1.0))
        values = axes.create_dataset(f"axis_{i}", data=data, chunks=data.shape, shuffle=True, compression="gzip")
        values.attrs.update(long_name=str(axis.get("name") or ""), units=str(axis.get("units") or ""))
    return entry
