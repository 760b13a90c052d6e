"""What another file or signal tells about the microscope: an image from DM, Velox, TIA or Swift, a signal.

RosettaSciIO puts plain numbers into HyperSpy's tree. For most leaves its readers agree on the unit; for those
where they do not, the unit of each reader was read off its source (RosettaSciIO 0.15), and a number of another
reader counts only if its unit stands next to it.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

import rsciio

import rsciio_tpx3
from rsciio_tpx3.exceptions import format_errors
from rsciio_tpx3.metadata.sources.nion import read_swift
from rsciio_tpx3.metadata.user_input import read_tree

if TYPE_CHECKING:
    from rsciio_tpx3.metadata.values import SourceValues


__all__ = ["find_reader", "read_survey"]

_MM = {"stage_x": "mm", "stage_y": "mm", "stage_z": "mm"}
_M = {"stage_x": "m", "stage_y": "m", "stage_z": "m"}
_BY_READER = {
    "DigitalMicrograph": {"camera_length": "mm", "beam_current": "nA", **_MM},
    "EMD": {"camera_length": "mm", **_M},  # Velox: the stage in metres, as the file has it
    "TIA": {"camera_length": "mm"},
    "Blockfile": {"camera_length": "m"},
    "MSA": {"beam_current": "nA"},
}


def read_survey(source: Any, strict: bool = True) -> SourceValues:
    """Quantities of the microscope node of a file or signal.

    Parameters
    ----------
    source : str, Path or HyperSpy signal
        A file that RosettaSciIO or this package can read, or a data item of Swift.
    strict : bool
        See `SourceValues`.

    Returns
    -------
    SourceValues

    Raises
    ------
    ValueError
        If no reader takes the file, or nothing in it tells about a microscope.
    """
    if hasattr(source, "metadata") and hasattr(source, "axes_manager"):
        tree = source.metadata.as_dictionary()
        title = tree.get("General", {}).get("title") or type(source).__name__
        return _source_values(tree, f"signal {title!r}", {}, strict)
    path = os.fspath(source)
    if not os.path.exists(path):
        raise FileNotFoundError(f"metadata_from={path!r} does not exist.")
    if path.lower().endswith((".ndata1", ".ndata")):
        return read_swift(path, strict)
    plugin, trees = _trees(path)
    tree = next((tree for tree in trees if tree.get("Acquisition_instrument")), {})
    return _source_values(tree, f"{os.path.basename(path)} ({plugin})", _BY_READER.get(plugin, {}), strict)


def _source_values(tree: dict, label: str, bare: dict, strict: bool) -> SourceValues:
    instrument = dict(tree.get("Acquisition_instrument") or {})
    # readers of scanning microscopes may call it SEM, as pyXem takes for granted too
    if "TEM" not in instrument and "SEM" in instrument:
        instrument["TEM"] = instrument.pop("SEM")
    if not instrument.get("TEM"):
        raise ValueError(
            f"metadata_from: {label} says nothing about a microscope (Acquisition_instrument.TEM is absent). Pass "
            "what you know in metadata=, such as {'camera_length': '100 mm'}."
        )
    copied = {"Acquisition_instrument": instrument, "Sample": tree.get("Sample") or {}}
    source_values = read_tree(copied, label, "survey", False, bare)
    source_values.original = instrument
    return source_values


def _trees(path: str | os.PathLike) -> tuple[str, list[dict]]:
    """Name of the reader, and the metadata of all signals in a file."""
    plugin = find_reader(path, "metadata_from=")
    reader = importlib.import_module(plugin["api"]).file_reader
    with format_errors(os.path.basename(path), f"a file of {plugin['name']}"):
        return plugin["name"], [signal.get("metadata") or {} for signal in reader(path, lazy=True)]


def find_reader(path: str | os.PathLike, option: str) -> dict:
    """RosettaSciIO's specification of the one reader that takes a file by its ending.

    Raises
    ------
    ValueError
        Where none or several do; `option` begins the message.
    """
    rsciio_tpx3.register()
    ending = os.path.splitext(path)[1][1:].lower()
    found = [p for p in rsciio.IO_PLUGINS if ending and ending in (e.lower() for e in p["file_extensions"])]
    if len(found) != 1:
        raise ValueError(
            f"{option}{path!r}: {'several readers take' if found else 'no reader takes'} files that end in "
            f"{ending!r}. Load it in Python instead; metadata_from takes a signal too: metadata_from=hs.load(...)."
        )
    return found[0]
