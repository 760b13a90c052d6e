"""Metadata in the words of other programs: LiberTEM's parameters of a 4D STEM set-up, and RO-Crate."""

import datetime
import json
import math
import os
from typing import Any
from urllib.parse import quote

from rsciio_tpx3 import __version__
from rsciio_tpx3.exceptions import ConflictError, UnitError
from rsciio_tpx3.formats import files_of
from rsciio_tpx3.metadata.calibration import (
    axis_kind,
    check_uniform,
    detector_pixels,
    in_unit,
    scan_positions,
)
from rsciio_tpx3.metadata.mapping import LEAVES, missing
from rsciio_tpx3.metadata.user_input import read_tree
from rsciio_tpx3.utils.checks import check_flag, check_one_file
from rsciio_tpx3.utils.files import write_text
from rsciio_tpx3.utils.paths import need_file
from rsciio_tpx3.utils.units import convert, shown

__all__ = [
    "data_values",
    "from_libertem",
    "known_values",
    "libertem_parameters",
    "refuse_reversed",
    "ro_crate",
    "write_ro_crate",
]

# parameter: (row, base unit of LiberTEM-schema)
_LIBERTEM = {
    "overfocus": ("overfocus", "meter"),
    "scan_pixel_pitch": ("scan_step_x", "meter"),
    "camera_length": ("camera_length", "meter"),
    "detector_pixel_pitch": ("pixel_pitch", "meter"),
    "semiconv": ("convergence_angle", "radian"),
    "cy": ("center_y", "pixel"),
    "cx": ("center_x", "pixel"),
    "scan_rotation": ("scan_rotation", "radian"),
}


def libertem_parameters(signal: Any, complete: bool = False) -> dict:
    """The parameter set of LiberTEM-schema (``Simple4DSTEMParams``).

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree
        Of data that were cropped or binned these are the parameters of what they are now.
    complete : bool
        True refuses a set with parameters missing.

    Returns
    -------
    dict
        Each quantity as ``(number, base unit)``, as the schema serialises it; ``flip_y`` is a bool. What is not
        known is absent.

    Raises
    ------
    ValueError
        If scan steps, or detector pixels, differ in x and y, since the schema has one for both; if an axis runs
        backwards, for which it has no words; or if something is missing that was requested.
    UnitError, ConflictError
        If the unit of an axis is not known, or its steps cannot be determined; see
        `rsciio_tpx3.metadata.calibration.detector_pixels`.

    Examples
    --------
    >>> from rsciio_tpx3.metadata.export import libertem_parameters
    >>> from rsciio_tpx3.metadata.mapping import build
    >>> libertem_parameters(build({"camera_length": 0.1, "convergence_angle": 20.0}))
    {'camera_length': (0.1, 'meter'), 'semiconv': (0.02, 'radian')}
    """
    check_flag("complete", complete)
    values = data_values(signal)
    refuse_reversed(signal)
    steps = [values[name] for name in ("scan_step_x", "scan_step_y") if name in values]
    if len(steps) == 2 and abs(steps[0] - steps[1]) > 1e-6 * steps[0]:
        raise ValueError(
            f"the scan steps are {steps[0]:g} nm in x and {steps[1]:g} nm in y; LiberTEM-schema has one for both. "
            "Rebin the scan to equal steps first."
        )
    found = {
        key: (convert(values[name], LEAVES[name].unit, unit), unit)
        for key, (name, unit) in _LIBERTEM.items()
        if name in values
    }
    if "flip_y" in values:
        found["flip_y"] = values["flip_y"]
    lacking = missing(values, "LiberTEM")
    if complete and lacking:
        raise ValueError(
            f"complete=True: LiberTEM's parameters lack {', '.join(lacking)}. Set them, by set_microscope for instance."
        )
    return found


def from_libertem(parameters: Any) -> dict:
    """The way back: quantities as `metadata=` and `set_microscope` take them.

    Parameters
    ----------
    parameters : dict or Simple4DSTEMParams

    Returns
    -------
    dict
        Name to ``(number, unit)``.
    """
    try:
        values = dict(parameters)
    except Exception:  # of whatever is not a mapping
        raise TypeError(f"parameters={shown(parameters)}: expected a dictionary of LiberTEM's parameters.") from None
    found = {name: values[key] for key, (name, _) in _LIBERTEM.items() if key in values}
    if "scan_pixel_pitch" in values:
        found["scan_step_y"] = values["scan_pixel_pitch"]
    return {**found, **({"flip_y": values["flip_y"]} if "flip_y" in values else {})}


def known_values(signal: Any) -> dict:
    """Quantities of a signal in any form, with what its axes tell.

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree

    Returns
    -------
    dict
        Name to plain value in the table's unit.
    """
    tree, axes = _parts(signal)
    values = read_tree(tree, "the signal", "recording").values
    for axis, name in _detector_axes(axes):
        if name not in values and _is_centred(axis):
            try:
                pixels, first = detector_pixels(axis, values, name)
            except ConflictError:
                continue  # which pixel it is cannot be determined; `data_values` says so
            if math.isfinite(first):
                values[name] = first - axis["offset"] / axis["scale"] * pixels
    for axis in axes[:-2]:
        name = f"scan_step_{axis['name']}"
        if name in ("scan_step_x", "scan_step_y"):
            _take_step(values, name, axis)
    return values


def _take_step(values: dict, name: str, axis: dict) -> None:
    """The scan step of the data: positions may have been binned since, or their distance measured."""
    check_uniform(axis, "the scan step cannot be determined")
    kind = axis_kind(axis)
    if kind == "length":
        values[name] = abs(in_unit(axis, "nm"))
    elif kind == "pixels" and name in values:
        values[name] *= abs(scan_positions(axis, values))


def _is_centred(axis: dict) -> bool:
    """Whether the zero of an axis is the undiffracted beam."""
    try:
        return axis.get("scale") is not None and axis_kind(axis) in ("angle", "k")
    except UnitError:
        return False


def _detector_axes(axes: list[dict]) -> list[tuple[dict, str]]:
    """The axes of the detector with the names of their centres; none where the signal is not a picture."""
    pair = [axis for axis in axes if not axis.get("navigate")][-2:]
    return list(zip(pair, ("center_y", "center_x"))) if len(pair) == 2 else []


def refuse_reversed(signal: Any) -> None:
    """Refuse a signal with an axis that runs backwards, for a program that has no word for it.

    ``flip_y`` is that of the detector as it was recorded.

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree

    Raises
    ------
    ConflictError
        For a negative scale.
    """
    for axis in _parts(signal)[1]:
        if axis["scale"] is not None and axis["scale"] < 0 and axis["name"] not in ("frame", "time"):
            turn = "inav" if axis.get("navigate") else "isig"
            raise ConflictError(
                f"axis {axis['name']!r} runs backwards (scale {axis['scale']:g}): the angle and the mirroring "
                f"between scan "
                f"and detector would be other ones. Turn it back first, by s.{turn} with ::-1 for this axis."
            )


def data_values(signal: Any) -> dict:
    """Quantities of the data as they are: pixel pitch and centre are those of their own pixels.

    Data may have been cropped or binned since they were recorded; `known_values` tells of the detector.

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree

    Returns
    -------
    dict
        Name to plain value in the table's unit; the centre counts pixels of the data.

    Raises
    ------
    ValueError
        If pixels are binned differently in x and y.
    """
    tree, axes = _parts(signal)
    values = known_values(signal)
    pair = _detector_axes(axes)
    if not pair:
        return values
    places = [detector_pixels(axis, values, name) for axis, name in pair]
    high, wide = (abs(pixels) for pixels, _ in places)
    if abs(high - wide) > 1e-6 * high:
        raise ValueError(f"a pixel is {wide:g} detector pixels wide and {high:g} high. Rebin to square pixels first.")
    for (axis, name), (pixels, first) in zip(pair, places):
        if _is_centred(axis):
            values[name] = -axis["offset"] / axis["scale"]
        elif name in values:
            values[name] = (values[name] - first) / pixels
    if "pixel_pitch" in values:
        values["pixel_pitch"] *= high
    return values


def _parts(signal: Any) -> tuple[dict, list[dict]]:
    """Metadata tree, and axes in NumPy order; a tree alone has none."""
    if not isinstance(signal, dict) and not _is_signal(signal):
        raise TypeError(f"signal={shown(signal)}: expected a signal, its dictionary, or a metadata tree.")
    if not isinstance(signal, dict):
        keys = ("name", "scale", "offset", "units", "size", "navigate")
        # an axis that is not uniform has no scale
        axes = [{key: getattr(axis, key, None) for key in keys} for axis in signal.axes_manager._axes]
        tree = signal.metadata.as_dictionary()
    elif "axes" in signal and "metadata" in signal:
        axes, tree = [dict(axis) for axis in signal["axes"]], signal["metadata"]
    else:
        return signal, []
    for axis in axes:
        axis["units"] = axis["units"] if isinstance(axis["units"], str) else ""
    return tree, axes


def _is_signal(found: Any) -> bool:
    try:
        return hasattr(found, "metadata") and hasattr(found, "axes_manager")
    except Exception:  # of an object that answers nothing
        return False


# -- RO-Crate ---------------------------------------------------------------------------------------


def ro_crate(signal: Any, files: dict) -> dict:
    """An RO-Crate 1.1 description of files and what their signal's metadata say.

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree
    files : dict
        Name, relative to the description, to size in bytes.

    Returns
    -------
    dict
        JSON-LD, for ``ro-crate-metadata.json``. Each known quantity is a PropertyValue with its unit.
    """
    if not isinstance(files, dict) or not all(isinstance(name, str) for name in files):
        raise TypeError(f"files={shown(files)}: expected a dictionary of names to sizes.")
    values = known_values(signal)
    properties = []
    for name, row in LEAVES.items():
        if name not in values or row.kind == "any" or row.leaf.startswith(("General.", "Signal.")):
            continue
        value = values[name]
        entry = {"@id": f"#{name}", "@type": "PropertyValue", "name": name, "description": row.meaning}
        entry["value"] = value if isinstance(value, (str, int, float, bool)) else json.dumps(value)
        properties.append({**entry, **({"unitText": row.unit} if row.unit else {})})
    when = "T".join(str(values[name]) for name in ("date", "time") if name in values) if "date" in values else None
    identifiers = {name: quote(name) for name in files}  # RO-Crate wants them as in a web address
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": values.get("title") or "4D STEM data",
        "description": values.get("notes") or "Counted 4D STEM data of an event-based detector.",
        "datePublished": datetime.date.today().isoformat(),
        "dateCreated": when,
        "license": "No licence was stated.",
        "hasPart": [{"@id": identifiers[name]} for name in files],
        "variableMeasured": [{"@id": entry["@id"]} for entry in properties],
        "author": values.get("authors"),
    }
    parts = [
        {"@id": identifiers[name], "@type": "File", "name": name, "contentSize": str(size)}
        for name, size in files.items()
    ]
    software = {"@id": "#rsciio_tpx3", "@type": "SoftwareApplication", "name": "rsciio_tpx3", "version": __version__}
    action = {"@id": "#writing", "@type": "CreateAction", "name": "Writing of this description",
              "instrument": {"@id": "#rsciio_tpx3"}, "result": {"@id": "./"}}  # fmt: skip
    about = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"},
             "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"}}  # fmt: skip
    root = {key: value for key, value in root.items() if value is not None}
    graph = [about, {**root, "mentions": {"@id": "#writing"}}, *parts, *properties, software, action]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


def write_ro_crate(signal: Any, *paths: Any, overwrite: bool = False) -> str:
    """Write ``ro-crate-metadata.json`` next to files that hold a signal.

    It appears when it is complete; an old one stays whole until then.

    Parameters
    ----------
    signal : HyperSpy signal, RosettaSciIO signal dictionary, or metadata tree
    *paths : str or Path
        The files, all in one folder; those that a raw_csr TOML names are added.
    overwrite : bool
        Replace a description that is there.

    Returns
    -------
    str
        Path of the description.

    Raises
    ------
    FileExistsError
        If there is a description already, and `overwrite` is False.
    ValueError
        If the files lie in several folders.
    """
    check_flag("overwrite", overwrite)
    for path in paths:
        check_one_file("paths", path)
        need_file(path)
    every = [os.path.abspath(part) for path in paths for part in files_of(os.fspath(path))]
    folders = {os.path.dirname(path) for path in every}
    if len(folders) != 1:
        raise ValueError(f"an RO-Crate describes files of one folder; these lie in {len(folders)}.")
    target = os.path.join(folders.pop(), "ro-crate-metadata.json")
    if os.path.exists(target) and not overwrite:
        raise FileExistsError(f"{target!r} exists. Pass overwrite=True to replace it.")
    crate = ro_crate(signal, {os.path.basename(path): os.path.getsize(path) for path in every})
    write_text(target, json.dumps(crate, indent=2, ensure_ascii=False))
    return target
