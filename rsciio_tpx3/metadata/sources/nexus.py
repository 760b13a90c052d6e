"""Metadata as fields of NeXus, next to the record in our own words that restores everything.

Fields follow NXem's base classes (NXebeam_column, NXem_optical_system, NXscan_controller) and NXdetector as in the
NeXus definitions of 2026.01; which row has which field is in `rsciio_tpx3.metadata.mapping`. What has no field there is
in the record only. An NXinstrument has no place for an electron column (an NXem_instrument has, but stands in NXem's
own tree), so column and optics lie in a collection of the instrument. They are read from an NXem instrument too, and
under the names of earlier definitions.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.metadata.axis_history import detector_pixels
from rsciio_tpx3.metadata.mapping import LEAVES
from rsciio_tpx3.metadata.user_input import add_moment, read_tree
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.utils.hdf5.contents import nexus_class
from rsciio_tpx3.utils.hdf5.files import find
from rsciio_tpx3.utils.hdf5.values import attribute, value
from rsciio_tpx3.utils.units import convert

if TYPE_CHECKING:
    import h5py

    from rsciio_tpx3.metadata.mapping import Leaf


__all__ = ["nexus_fields", "read_nexus", "write_nexus"]

_logger = logging.getLogger(__name__)

_MICROSCOPE = "microscope/"
_CLASSES = {
    "microscope": "NXcollection",
    "ebeam_column": "NXebeam_column",
    "electron_source": "NXsource",
    "optics": "NXem_optical_system",
    "scan_controller": "NXscan_controller",
    "detector": "NXdetector",
}
# field: its places in earlier definitions
_EARLIER = {
    "microscope/ebeam_column/scan_controller/dwell_time": ("scan_controller/dwell_time", "scan_controller/pixel_time"),
    "microscope/ebeam_column/scan_controller/scan_schema": ("scan_controller/scan_schema",),
    "microscope/optics/probe_current": ("optics/beam_current",),
}
# the one unit that has the same number under another name: an electron's energy and its voltage
_SAME = {("keV", "kV")}


def nexus_fields(metadata: dict, axes: Sequence[dict] = ()) -> dict:
    """Fields of an NXem instrument, from a metadata tree.

    Parameters
    ----------
    metadata : dict
        HyperSpy's tree.
    axes : list of dict, optional
        RosettaSciIO axes in NumPy order: the size of a pixel is that of the data, which may be binned.

    Returns
    -------
    dict
        Path below the instrument to ``(value, unit)``; the unit is empty for text and plain numbers.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.mapping import build
    >>> from rsciio_tpx3.metadata.sources.nexus import nexus_fields
    >>> nexus_fields(build({"beam_energy": 200.0}))
    {'microscope/ebeam_column/electron_source/voltage': (200.0, 'kV')}
    """
    values = read_tree(metadata, "the signal", "recording").values
    fields = {}
    for name, row in LEAVES.items():
        if row.nexus is None or name not in values:
            continue
        path, unit = row.nexus
        value = values[name]
        if row.unit is not None and unit != row.unit and (row.unit, unit) not in _SAME:
            value = convert(value, row.unit, unit)
        fields[path] = value, unit
        if path == "detector/x_pixel_size":
            del fields[path]
            if (pixels := _pixels(axes, values)) is not None:
                fields[path] = value * pixels[1], unit
                fields["detector/y_pixel_size"] = value * pixels[0], unit
    return fields


def _pixels(axes: list[dict], values: dict) -> Sequence[float] | None:
    """Detector pixels in a pixel of the data, (y, x); None, with a warning, where they cannot be determined."""
    plain = [{**axis, "units": axis.get("units") or ""} for axis in axes[-2:]] if len(axes) > 1 else []
    names = ("center_y", "center_x")
    try:
        return [abs(detector_pixels(axis, values, name)[0]) for axis, name in zip(plain, names)] or (1, 1)
    except (ConflictError, UnitError) as problem:
        # the data are written all the same, without a size that might be wrong
        _logger.warning(f"x_pixel_size and y_pixel_size are excluded: {problem}")
        return None


def write_nexus(entry: h5py.Group, metadata: dict, axes: list[dict]) -> None:
    """Write the fields, and the start, into an NXentry that has an ``instrument``."""
    for path, (number, unit) in nexus_fields(metadata, axes).items():
        *nodes, last = path.split("/")
        group = entry["instrument"]
        for node in nodes:
            if node not in group:
                group.create_group(node).attrs["NX_class"] = _CLASSES[node]
            group = group[node]
        group[last] = number
        if unit or not isinstance(number, str):  # NeXus wants it written that a number has no unit
            group[last].attrs["units"] = unit
    general = metadata.get("General") or {}
    if general.get("date") and general.get("time"):
        zone = {"UTC": "+00:00"}.get(general.get("time_zone"), general.get("time_zone") or "")
        entry["start_time"] = f"{general['date']}T{general['time']}{zone if zone[:1] in ('+', '-') else ''}"


def read_nexus(group: h5py.Group, label: str, strict: bool = False, allow_external: bool = False) -> SourceValues:
    """Quantities from the fields of the NXentry around a group, by whatever program it was written.

    Parameters
    ----------
    group : h5py.Group
    label, strict
        See `SourceValues`.
    allow_external : bool
        Whether fields may lie in other files.

    Returns
    -------
    SourceValues
        Fields that cannot be read are excluded, with a warning: they must not keep anybody from the events.
    """
    source_values = SourceValues("nexus", label, strict)
    entry = group
    while nexus_class(entry) != "NXentry" and entry.name not in ("/", None):
        entry = entry.parent
    for name, row in LEAVES.items():
        path, field = _place(entry, row, allow_external, label)
        if field is None or field.shape not in ((), (1,)):
            continue
        found = _value(field, label)
        unit = attribute(field, "units") or None
        if found is not None:
            known = row.unit is None or not isinstance(unit, str)
            source_values.add(name, found if known else (found, unit), key=path)
    for name in ("title", "start_time"):
        field = _field(entry, name, allow_external, label)
        found = None if field is None else _value(field, label)
        if not found or not isinstance(found, str):
            continue
        if name == "title":
            source_values.add(name, found, key=name)
        else:
            add_moment(source_values, found, name)
    return source_values


def _place(entry: Any, row: Leaf, allow_external: bool, label: str) -> tuple[str | None, Any]:
    """Path and field of a row in an instrument; None twice where it has not."""
    if row.nexus is None:
        return None, None
    own = row.nexus[0]
    for path in (own, own.removeprefix(_MICROSCOPE), *_EARLIER.get(own, ())):
        field = _field(entry, f"instrument/{path}", allow_external, label)
        if field is not None:
            return path, field
    return None, None


def _field(entry: Any, path: str, allow_external: bool, label: str) -> Any:
    try:
        found = find(entry, path, allow_external)
    except Exception as error:  # damage, or a link to another file
        _logger.warning(f"{label}: {path} is excluded: {error}")
        return None
    return found if hasattr(found, "dtype") and found.shape is not None else None


def _value(field: Any, label: str) -> Any:
    try:
        found = value(field)
    except Exception as error:
        _logger.warning(f"{label}: {field.name} is excluded: {error}")
        return None
    return found[0] if isinstance(found, list) and len(found) == 1 else found
