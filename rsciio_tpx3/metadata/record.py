"""What a signal knows besides its counts, as one piece of JSON text that any container can carry.

Formats of other projects have no place for HyperSpy's axes and metadata tree. The text holds them
under plain names, so that it can be read without this package; a reader of ours restores them.
"""

import json
import logging
import math
import os
from concurrent.futures import Future
from typing import Any

import numpy as np

from rsciio_tpx3 import __version__
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.metadata.earlier import renewed
from rsciio_tpx3.metadata.mapping import build
from rsciio_tpx3.utils.text_formats import parse_text
from rsciio_tpx3.utils.units import shown

__all__ = [
    "RECORD_VERSION",
    "at_once",
    "check_axes",
    "default_axes",
    "foreign_metadata",
    "make_record",
    "plain",
    "read_record",
    "warn_unused",
]

_logger = logging.getLogger(__name__)

RECORD_VERSION = 1

_AXIS_KEYS = ("name", "size", "navigate", "scale", "offset", "units")
# HyperSpy's own bookkeeping: it holds arrays (the navigator) that are made anew on loading
_NOT_RECORDED = ("_HyperSpy", "Markers")
_MOST_ITEMS = 10_000


def plain(value: Any) -> Any:
    """A metadata value as JSON has it: dict, list, str, bool, int, float; None where it cannot be.

    NumPy numbers become Python's, tuples and small arrays lists; absent values and large arrays
    are excluded from the dict that holds them. What is still being worked out, a `concurrent.futures.Future`, is
    waited for.
    """
    if isinstance(value, dict):
        plain_items = {str(key): plain(item) for key, item in value.items()}
        return {key: item for key, item in plain_items.items() if item is not None}
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.size <= _MOST_ITEMS and value.dtype.kind in "biufU" else None
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, Future):
        return plain(value.result())
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value)


def at_once(value: Any) -> Any:
    """A metadata value with 64 zeros, as long as a SHA-256 is, in place of what is still being worked out."""
    if isinstance(value, dict):
        return {key: at_once(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [at_once(item) for item in value]
    return "0" * 64 if isinstance(value, Future) else value


def make_record(signal: Any) -> str:
    """JSON text of a signal dictionary's axes and metadata.

    Parameters
    ----------
    signal : dict
        RosettaSciIO signal dictionary.

    Returns
    -------
    str
    """
    metadata = {k: v for k, v in (signal.get("metadata") or {}).items() if k not in _NOT_RECORDED}
    record = {
        "record_version": RECORD_VERSION,
        "written_by": f"rsciio_tpx3 {__version__}",
        "dtype": np.dtype(signal["data"].dtype).name,
        "axes": [_written_axis(axis) for axis in signal["axes"]],
        "metadata": plain(metadata),
        "original_metadata": plain(signal.get("original_metadata") or {}),
    }
    return json.dumps(record, indent=1, ensure_ascii=False)


def check_axes(axes: list[dict]) -> None:
    """Raise ValueError, before anything is written, for axes that reading would refuse.

    Parameters
    ----------
    axes : list of dict
        Of a RosettaSciIO signal dictionary.
    """
    for axis in axes:
        try:
            _sound_axis(_written_axis(axis))
        except (ValueError, TypeError, OverflowError) as error:
            raise ValueError(
                f"{error}: the file could not be read again. Correct it in s.axes_manager before saving."
            ) from None


def _written_axis(axis: dict) -> dict:
    """What is kept of an axis; a scale and an offset that are absent are HyperSpy's own."""
    found = {key: plain(axis.get(key)) for key in _AXIS_KEYS}
    for key, usual in (("scale", 1.0), ("offset", 0.0)):
        found[key] = usual if found[key] is None else found[key]
    return found


def read_record(text: str | None, n_frames: int, sig_shape: tuple[int, ...], where: str) -> dict | None:
    """A record, or None where there is none or it does not belong to these data.

    Parameters
    ----------
    text : str or None
    n_frames : int
        Frames in the container; the record's axes must describe as many.
    sig_shape : tuple of int
    where : str
        For errors: the file.

    Returns
    -------
    dict or None
        With ``axes``, ``nav_shape``, ``dtype``, ``metadata`` and ``original_metadata``.
    """
    if text is None:
        return None
    try:
        record = parse_text(text, ".json", "the record")
        axes = [_sound_axis(axis) for axis in record["axes"]]
        shape = tuple(axis["size"] for axis in axes)
        dtype = np.dtype(record["dtype"])
        for node in ("metadata", "original_metadata"):
            if not isinstance(record.get(node, {}), dict):
                raise ValueError(f"{node} is {type(record[node]).__name__}, expected keys with values")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise Tpx3FormatError(
            f"the metadata that this package wrote into {where} cannot be read ({error}). Restore the file, or "
            "delete that entry: the counts can be read without it, and so they are with navigation_shape=(x, y)."
        ) from None
    if math.prod(shape[:-2]) != n_frames or shape[-2:] != tuple(sig_shape):
        # edited by hand, or cut by another program: the container's own numbers are the truth
        return None
    return {
        "axes": axes,
        "nav_shape": shape[:-2],
        "dtype": dtype,
        "metadata": renewed(record.get("metadata", {}), where),
        "original_metadata": record.get("original_metadata", {}),
    }


def _sound_axis(axis: dict) -> dict:
    """An axis as `make_record` writes it, or an error that says what is wrong."""
    size, name, units = axis["size"], axis["name"] or "", axis["units"] or ""
    if type(size) is not int or not 0 < size < 1 << 48:
        raise ValueError(f"an axis has the size {shown(size)}")
    if not (isinstance(name, str) and isinstance(units, str)):
        raise ValueError(f"an axis has the name {shown(name)} and the units {shown(units)}")
    for key in ("scale", "offset"):
        if type(axis[key]) not in (int, float) or not math.isfinite(axis[key]) or (key == "scale" and not axis[key]):
            raise ValueError(f"axis {name[:40]!r} has the {key} {shown(axis[key])}")
    return axis


def warn_unused(text: str | None, where: str) -> None:
    """Say that options leave out a record: scales of another shape, or of binned pixels, could not be right."""
    if text is not None:
        _logger.warning(
            f"the axes and metadata that were saved in {where} belong to its own shape and are excluded. Load it "
            "without shape and offset to have them, or tell them by metadata=."
        )


def default_axes(nav_shape: tuple[int, ...]) -> list[dict]:
    """Navigation axes of data that bring none: positions, without a scale."""
    names = ("frame", "y", "x") if len(nav_shape) != 1 else ("x",)
    names = [f"axis{i}" for i in range(len(nav_shape) - 3)] + list(names[-len(nav_shape) :] if nav_shape else ())
    return [
        {"name": name, "size": int(n), "navigate": True, "scale": 1.0, "offset": 0.0, "units": ""}
        for name, n in zip(names, nav_shape)
    ]


def foreign_metadata(path: str | os.PathLike, **values: Any) -> dict:
    """Metadata of counted data from another program; `values` are keys of `mapping.LEAVES`."""
    name = os.path.basename(path)
    base = {
        "title": os.path.splitext(name)[0],
        "original_filename": name,
        "signal_type": "electron_diffraction",
        "quantity": "Counts",
    }
    return build({**base, **values})
