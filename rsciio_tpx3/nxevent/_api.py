"""The RosettaSciIO reader and writer of NXevent_data files."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from dask.array import Array

from rsciio_tpx3 import __version__
from rsciio_tpx3.exceptions import LossError, Tpx3FormatError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.write import known_entries, write
from rsciio_tpx3.metadata.event_values import QUANTITY
from rsciio_tpx3.metadata.known import gather
from rsciio_tpx3.metadata.record import at_once, foreign_metadata, make_record, read_record, warn_unused
from rsciio_tpx3.metadata.sources.nexus import read_nexus, write_nexus
from rsciio_tpx3.nxevent.hits import HitFrames
from rsciio_tpx3.nxevent.layout import ENTRY, EVENTS, INSTRUMENT, PARAMETERS, PROCESS, id_type, load_plugin, packing
from rsciio_tpx3.nxevent.pixels import detector_numbers
from rsciio_tpx3.nxevent.sink import NXEventSink
from rsciio_tpx3.nxevent.source import EXPECTED, NXEventSource
from rsciio_tpx3.reader.counted import check_layout, counted_signal
from rsciio_tpx3.reader.option_checks import checks_arguments, checks_options, refuse_unknown
from rsciio_tpx3.reader.scan import numpy_order
from rsciio_tpx3.utils.checks import check_one_file
from rsciio_tpx3.utils.files import FileStamp, PartialFiles, need_space, system_errors
from rsciio_tpx3.utils.hdf5.contents import groups_of_class
from rsciio_tpx3.utils.hdf5.files import find, open_hdf5
from rsciio_tpx3.utils.hdf5.guard import guard_hdf5
from rsciio_tpx3.utils.hdf5.heaps import check_heaps
from rsciio_tpx3.utils.hdf5.storage import check_stored
from rsciio_tpx3.utils.hdf5.values import value, whole
from rsciio_tpx3.utils.interrupts import held_interrupt
from rsciio_tpx3.utils.threads import thread_count

if TYPE_CHECKING:
    import dask.array as da
    from numpy.typing import DTypeLike


__all__ = ["file_reader", "file_writer"]

_logger = logging.getLogger(__name__)

_SUM = "sha256"
_MOST_RECORD = 1 << 26
_REPEATED = "pixels repeated by count"
_HEIGHTS = "pulse_height"


@checks_options
def file_reader(
    filename: str | os.PathLike,
    lazy: bool = False,
    navigation_shape: tuple[int, ...] | None = None,
    signal_shape: tuple[int, ...] | None = None,
    dataset_path: str | None = None,
    values: str = "auto",
    dtype: np.dtype | None = None,
    metadata: dict | None = None,
    metadata_from: Any = None,
    calibrate: str = "auto",
    chunks: int | str | tuple = "auto",
    allow_external: bool = False,
    guard: bool | float = False,
    **kwds: Any,
) -> list[dict]:
    """Read an NXevent_data file as a 4D data set of sparse frames.

    Opening reads where each position begins; events are unpacked where they are requested.

    Parameters
    ----------
    filename : str or Path
    <lazy>
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
        If there is no NXevent_data group, its arrays do not fit each other or lie in other files, or it is damaged.
    LossError
        If a part of the arrays was never written, or is cut off.
    LimitError
        If what it describes is out of all proportion to its size.
    ImportError
        If the file is packed by a filter of the package hdf5plugin, which is absent.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> s = hs.load("scan.nxevent")  # doctest: +SKIP
    """
    check_one_file("filename", filename)
    refuse_unknown(kwds, file_reader, "NXevent_data files")
    known = gather(filename, metadata, metadata_from, calibrate)
    if values not in ("auto", "counts", _HEIGHTS):
        raise ValueError(f"values={values!r} is not valid: must be one of 'auto', 'counts', 'pulse_height'.")
    guard_hdf5(guard, filename)
    found = _look(filename, dataset_path, allow_external)
    known.sources += [found["source_values"]] if found["source_values"] else []
    where = repr(os.path.basename(filename))
    sig_shape = _signal_shape(found, signal_shape, where)
    requested, record = numpy_order(navigation_shape), None
    if requested is None and signal_shape is None:
        record = read_record(found["record"], found["n_positions"], sig_shape, where)
        _refuse_changed(found, record, where)
    else:
        warn_unused(found["record"], where)
    nav_shape = requested if requested is not None else _recorded_nav_shape(found, record, filename)
    values, dtype = _values_and_dtype(found, record, values, dtype, where)
    merged = found["coding"] == _HEIGHTS
    if record and values == _HEIGHTS and not merged:
        # the record is about the counts next to which they were kept
        record["metadata"].setdefault("Signal", {})["quantity"] = QUANTITY["tot"]
    source = NXEventSource(
        filename,
        found["path"],
        nav_shape,
        sig_shape,
        dtype,
        values,
        merged,
        found["numbers"],
        allow_external,
        shape_requested=requested is not None,
    )
    return counted_signal(
        source, record, foreign_metadata(filename), {"nxevent": {"group": found["path"]}}, lazy, chunks, known
    )


def _recorded_nav_shape(found: dict, record: dict | None, filename: str | os.PathLike) -> tuple[int, ...]:
    """The shape of the scan by our own record, or as another program has written it."""
    nav_shape = record["nav_shape"] if record else found["nav_shape"]
    if nav_shape is None:
        raise ValueError(
            f"{os.path.basename(filename)!r} does not give the shape of the scan. Pass navigation_shape=(x, y) for "
            f"its {found['n_positions']} positions."
        )
    return nav_shape


def _values_and_dtype(
    found: dict, record: dict | None, values: str, dtype: DTypeLike | None, where: str
) -> tuple[str, DTypeLike]:
    """What a pixel's value is, and its type, where the user leaves them open."""
    if values == "auto":
        values = _HEIGHTS if found["coding"] == _HEIGHTS else "counts"
    if values == _HEIGHTS and found["height_type"] is None:
        raise ValueError(f"values='pulse_height': {found['path']!r} of {where} has no pulse_height.")
    if dtype is None:
        dtype = found["height_type"] if values == _HEIGHTS else np.uint16
        # the record has the type of what was written, not of times over threshold kept next to it
        if record and (values == _HEIGHTS) == (found["coding"] == _HEIGHTS):
            dtype = record["dtype"]
    return values, dtype


def _look(filename: str | os.PathLike, dataset_path: str | None, allow_external: bool) -> dict:
    """What the file says about its events, without reading them."""
    stamp = FileStamp.of(filename)
    name = stamp.name
    load_plugin()
    check_heaps(stamp)
    with open_hdf5(stamp, EXPECTED) as file:
        path, group = _group(file, dataset_path, name, allow_external)
        arrays = {key: find(group, key, allow_external) for key in ("event_id", "event_index")}
        missing = [key for key, array in arrays.items() if array is None]
        if missing:
            raise Tpx3FormatError(
                f"{path!r} of {name!r} has no {' and no '.join(missing)}: events cannot be assigned to positions."
            )
        if odd := [key for key, array in arrays.items() if not _is_list_of_numbers(array)]:
            raise Tpx3FormatError(f"{odd[0]} in {path!r} of {name!r} is not a list of integers.")
        height = find(group, "pulse_height", allow_external)
        own = _parameters(file, path, name)
        numbers, n_detectors = (None, 0) if own else detector_numbers(file, path, allow_external)
        if n_detectors:
            _logger.warning(
                f"{name!r} has {n_detectors} detectors with numbers for their pixels, none of them around {path!r}: "
                "event_id is taken for y * width + x."
            )
        shape = find(file, numbers, allow_external).shape if numbers else None
        return {
            "path": path,
            "n_positions": _n_positions(group, arrays, bool(own), allow_external),
            "nav_shape": _shape(own.get("nav_shape")),
            "sig_shape": _shape(own.get("sig_shape")) or (shape if shape and len(shape) == 2 else None),
            "coding": own.get("coding", ""),
            "height_type": height.dtype.newbyteorder("=") if hasattr(height, "dtype") else None,
            "record": own.get("record"),
            "source_values": None if own.get("record") else read_nexus(group, f"{name} (NeXus)", False, allow_external),
            "numbers": numbers,
        }


def _is_list_of_numbers(array: h5py.Dataset) -> bool:
    # some programs write integers as floats, or as one column
    shape = getattr(array, "shape", None)
    return bool(shape) and math.prod(shape[1:]) == 1 and array.dtype.kind in "iuf"


def _n_positions(group: h5py.Group, arrays: dict[str, h5py.Dataset], own: bool, allow_external: bool) -> int:
    """Pulses of an event_index, whose list may be closed by the number of events.

    NXevent_data has the first event of each pulse; some programs add the end of the last one. Where the times of the
    pulses tell their number there is no doubt; else the number that the user gives decides, see `NXEventSource`.
    """
    index, n_events = arrays["event_index"], len(arrays["event_id"])
    times = find(group, "event_time_zero", allow_external)
    n_times = len(times) if hasattr(times, "dtype") and times.shape else None
    if own or n_times != len(index) - 1:
        return len(index)
    check_stored(index, allow_external)
    return n_times if whole(index[-1]) == n_events else len(index)


def _parameters(file: h5py.Group, path: str | os.PathLike, name: str) -> dict:
    """What our writer noted about these events."""
    try:
        found = find(file, f"{ENTRY}/{PROCESS}/{PARAMETERS}")
    except LossError:
        raise
    except Tpx3FormatError:
        return {}  # our writer puts no links there
    if not hasattr(found, "keys"):
        return {}
    own = {}
    for key in found:
        item = find(found, key)
        own[key] = value(item, _MOST_RECORD) if hasattr(item, "shape") else None
    if own.get("events") != path:
        return {}
    stored = own.pop(_SUM, None)
    # whoever took the record away, as its errors advise, changed the sum with it
    if stored is not None and "record" in own and stored != _sum_of(own):
        raise Tpx3FormatError(
            f"the parameters in {found.name} of {name!r} are not those that were written: their SHA-256 differs. The "
            "file is damaged; copy it again."
        )
    return own


def _sum_of(own: dict) -> str:
    """SHA-256 of the parameters: HDF5 has no checksum for texts and single numbers."""
    plain = {key: item if isinstance(item, str) else [int(n) for n in item] for key, item in own.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _refuse_changed(found: dict, record: dict | None, where: str) -> None:
    """Raise where our own record and the shapes next to it tell different stories."""
    if found["record"] is None or record is not None:
        return
    raise Tpx3FormatError(
        f"the record in {where} does not fit its {found['n_positions']} positions and detector {found['sig_shape']}. "
        "The file is damaged or was edited; pass navigation_shape=(x, y) and signal_shape=(x, y) to read it without."
    )


def _shape(stored: Any) -> tuple[int, ...] | None:
    numbers = [whole(n) for n in stored] if isinstance(stored, list) else [None]
    return None if None in numbers or min(numbers, default=1) < 0 else tuple(numbers)


def _group(file: h5py.Group, path: str | None, name: str, allow_external: bool) -> tuple[str, h5py.Group]:
    """Path and group of the events."""
    if path is not None:
        group = find(file, path, allow_external)
        if not hasattr(group, "keys"):
            raise Tpx3FormatError(f"dataset_path={path!r}: {name!r} has no group {path!r}.")
        return f"/{path.strip('/')}", group
    found, outside = groups_of_class(file, "NXevent_data", allow_external)
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        names = ", ".join(map(repr, sorted(found)))
        raise Tpx3FormatError(f"{name!r} has several groups of class NXevent_data; pass dataset_path, one of {names}.")
    more = (
        f" It has links to other files, which were not followed ({', '.join(outside[:3])}); pass allow_external=True "
        "if you trust where it came from."
        if outside
        else ""
    )
    raise Tpx3FormatError(
        f"{name!r} has no group of class NXevent_data. Check the file, or pass file_format for what it is.{more}"
    )


def _signal_shape(found: dict, requested: Sequence[int] | None, where: str) -> tuple[int, ...]:
    if requested is not None:
        return tuple(int(n) for n in requested)[::-1]
    if found["sig_shape"] is None:
        raise ValueError(
            f"{found['path']!r} does not give the shape of the detector. Pass signal_shape=(x, y) in pixels."
        )
    if len(found["sig_shape"]) != 2:
        raise Tpx3FormatError(
            f"{where} tells the shape {found['sig_shape']} of its detector: expected two numbers. Copy it "
            "again, or pass signal_shape=(x, y) in pixels."
        )
    return found["sig_shape"]


@checks_arguments
def file_writer(
    filename: str | os.PathLike,
    signal: dict,
    values: str = "auto",
    compression: str = "blosc2",
    keep: tuple[str, ...] = (),
    show_progressbar: bool | None = None,
    **kwds: Any,
) -> None:
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
        counts for unsigned integers that are not times over threshold.
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
        If the signal has no two detector axes, or values that are not counts.

    Examples
    --------
    >>> s.save("scan.nxevent")  # doctest: +SKIP
    """
    refuse_unknown(kwds, file_writer, "NXevent_data files")
    nav_shape, sig_shape = check_layout(signal)
    repeat = _repeats(values, signal)
    data, keep = _with_hits(signal["data"], keep)
    with contextlib.ExitStack() as stack:
        stack.enter_context(system_errors(filename))
        files = stack.enter_context(PartialFiles(filename))
        pool = stack.enter_context(ThreadPoolExecutor(thread_count()))
        entries = known_entries(data)
        if entries is not None:
            need_space(files.target, (2 + 3 * len(keep)) * entries + 8 * math.prod(nav_shape))
        # HDF5's own tables as of version 1.10 (2016) take a third of the room; a program that unpacks Blosc2 knows
        # them, and where gzip was chosen so that any program can read it, they are as of 1.8 (2008)
        libver = "v108" if compression == "gzip" else "v110"
        # the checksum of a recording may come later than its frames: what stands in for it has the same size
        early = make_record({**signal, "metadata": at_once(signal.get("metadata") or {})})
        with held_interrupt():
            file = stack.enter_context(h5py.File(files.path(), "w", libver=(libver, libver)))
            entry = _entry(file, signal, sig_shape, compression)
            events = _nexus_group(entry[INSTRUMENT], EVENTS, "NXevent_data")
            coding = _REPEATED if repeat or keep else _HEIGHTS
            own = {"events": events.name, "coding": coding, "nav_shape": nav_shape, "sig_shape": sig_shape}
            own["record"] = early
            noted = _note(entry, own)
            sink = NXEventSink(events, sig_shape, data.dtype, repeat or bool(keep), compression, pool, keep)
        with files.synced_early():
            write(data, sink, show_progressbar, description=f"Writing {os.path.basename(filename)}")
        own["record"] = make_record(signal)
        with held_interrupt():
            sink.finish()
            if own["record"] != early:
                noted["record"][()], noted[_SUM][()] = own["record"], _sum_of(own)
            file.close()
        files.commit()


def _with_hits(data: da.Array, keep: tuple[str, ...]) -> tuple:
    """The data, or the hits behind them where something of each is to be kept."""
    keep = (keep,) if isinstance(keep, str) else tuple(keep)
    unknown = [name for name in keep if name not in ("time", "tot")]
    if unknown:
        raise ValueError(f"keep={unknown[0]!r} is not valid: must be one of 'time', 'tot'.")
    if not keep:
        return data, ()
    return HitFrames(source_of(data) if isinstance(data, Array) else data), keep


def _repeats(values: str, signal: dict) -> bool:
    dtype = np.dtype(signal["data"].dtype)
    if values == "auto":
        quantity = (signal.get("metadata") or {}).get("Signal", {}).get("quantity", "")
        return dtype.kind in "bu" and "Time over threshold" not in str(quantity)
    if values == "counts" and dtype.kind not in "biu":
        raise ValueError(f'values="counts" needs integers, found {dtype}. Save with values="pulse_height".')
    if values not in ("counts", _HEIGHTS):
        raise ValueError(f"values={values!r} is not valid: must be one of 'auto', 'counts', 'pulse_height'.")
    return values == "counts"


def _nexus_group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = kind
    return group


def _note(entry: h5py.Group, own: dict) -> h5py.Group:
    """What only this package knows, where NeXus has a place for parameters of a program."""
    group = _nexus_group(entry[PROCESS], PARAMETERS, "NXparameters")
    for name, found in {**own, _SUM: _sum_of(own)}.items():
        group[name] = found if isinstance(found, str) else np.asarray(found, np.int64)
    return group


def _entry(file: h5py.Group, signal: dict, sig_shape: tuple[int, ...], compression: str) -> h5py.Group:
    """The NXentry with title, instrument and axes."""
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
    # NeXus wants a number for each pixel; ours are `y * width + x`, so that other readers place events alike.
    numbers = np.arange(sig_shape[0] * sig_shape[1], dtype=id_type(sig_shape)).reshape(sig_shape)
    detector.create_dataset("detector_number", data=numbers, **packing(compression, numbers.dtype, sig_shape))
    axes = _nexus_group(entry, "axes", "NXcollection")
    for i, axis in enumerate(signal["axes"]):
        data = np.asarray((axis.get("offset") or 0.0) + np.arange(axis["size"]) * (axis.get("scale") or 1.0))
        values = axes.create_dataset(
            f"axis_{i}", data=data, chunks=data.shape, shuffle=True, compression="gzip", fletcher32=True
        )
        values.attrs.update(long_name=str(axis.get("name") or ""), units=str(axis.get("units") or ""))
    return entry
