"""The options of a reading in the reader's own words: plain text and numbers that repeat the request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np

from rsciio_tpx3.corrections.options import report_of_correction
from rsciio_tpx3.scan.sync import ScanOptions
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.fingerprints import fingerprint

__all__ = ["requested_options"]

# the user's names; all others are the same
_NAMES = {"nav_shape": "navigation_shape", "dwell": "dwell_time", "delay": "scan_delay"}


def requested_options(about: dict, options: ScanOptions, events: Any, dtype: np.dtype) -> dict:
    """Options of a reading that are not the usual ones.

    Parameters
    ----------
    about : dict
        As `EventSource.describe` gives it.
    options : ScanOptions
    events : rsciio_tpx3.reader.event_options.EventOptions
    dtype : numpy.dtype

    Returns
    -------
    dict
        Names and values as the readers take them: times as text in seconds, shapes in (x, y) order, and instead of
        files and large arrays what `rsciio_tpx3.utils.fingerprints.fingerprint` says of them.
    """
    requested = {_NAMES.get(name, name): _scan_word(name, value) for name, value in _unusual(options, ScanOptions())}
    if requested.get("sync") == "frames":
        requested["signal"] = requested.pop("sync")
    if events.cluster is not None:
        chosen = _unusual(events.cluster, type(events.cluster)())
        requested["cluster"] = {name: _cluster_word(name, value) for name, value in chosen} or True
    if events.corrections:
        corrections = events.corrections.items()
        requested["corrections"] = {name: report_of_correction(name, value) for name, value in corrections}
    if events.values != "counts":
        requested["values"] = events.values
    place = {name: about[name] for name in ("layout", "gap", "orientation")}
    return {**requested, **place, **about.get("read_with", {}), "dtype": np.dtype(dtype).name}


def _unusual(options: object, usual: object) -> Iterator[tuple]:
    """Names and values of a dataclass's fields where they are set and differ from the usual ones."""
    for name in (field.name for field in fields(options)):
        value = getattr(options, name)
        if isinstance(value, np.ndarray) or (value is not None and value != getattr(usual, name)):
            yield name, value


def _scan_word(name: str, value: Any) -> Any:
    if isinstance(value, Fraction):
        return _seconds(value)
    if isinstance(value, np.ndarray):
        return fingerprint(value)
    if name == "nav_shape":
        return list(value[::-1])
    return value.words() if name in ("frames", "time_bins") else value


def _cluster_word(name: str, value: Any) -> Any:
    return _seconds(value) if name in ("window", "max_duration") else value


def _seconds(ticks: Fraction) -> str:
    """A time as text that reads back as the same number of ticks."""
    return f"{float(ticks / TICKS_PER_SECOND)!r} s"
