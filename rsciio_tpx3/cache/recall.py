"""The index of a recording, from the cache where it is there and from a pass over its files otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.store import RecordingCache, are_whole, require
from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.utils.progress import progress_bar

if TYPE_CHECKING:
    from rsciio_tpx3.utils.files import FileStamp

__all__ = ["cache_for", "indexing_bar", "recalled_index", "unread"]

_WORTH_BYTES = 256 * 10**6  # a recording whose pass takes about as long as a glance
_LATEST = 1 << 62  # ticks; differences of times stay in 64 bits
_EDGES = ("ticks", "code", "counter")


def cache_for(stamps: list[FileStamp], wanted: bool, about: dict) -> RecordingCache | None:
    """The cache of an acquisition, or None where none is wanted or a file is still being written.

    Parameters
    ----------
    stamps : list of rsciio_tpx3.utils.files.FileStamp
    wanted : bool or "auto"
        "auto" keeps recordings from 256 MB on.
    about : dict
        What else the index depends on; plain values.
    """
    if wanted not in (True, False, "auto"):
        raise ValueError(f'cache={wanted!r} is not valid: must be one of True, False, "auto".')
    if wanted == "auto":
        wanted = sum(stamp.size for stamp in stamps) >= _WORTH_BYTES
    if not wanted or any(stamp.followed for stamp in stamps):
        return None
    return RecordingCache(stamps, about)


def recalled_index(
    cache: RecordingCache | None, make: Callable, usable: Callable | None = None, check: Callable | None = None
) -> tuple[EventIndex, dict[str, np.ndarray], dict, bool]:
    """Index, arrays and values of a recording.

    Parameters
    ----------
    cache : RecordingCache or None
    make : callable
        Gives the `EventIndex`, a dict of arrays and a dict of plain values by a pass over the files.
    usable : callable, optional
        Takes the values that were kept, and says whether they serve.
    check : callable, optional
        Takes the arrays that were kept, their values, and the index's; raises ValueError where they cannot be what
        `make` gives for these files.

    Returns
    -------
    index : EventIndex
    arrays, values : dict
    recalled : bool
        Whether they were kept, and no pass was made.
    """

    def all_fits(arrays: dict[str, np.ndarray], values: dict) -> None:
        _check_index(arrays, values["index"])
        if check is not None:
            check(arrays, values, values["index"])

    found = None if cache is None else cache.load("index", all_fits)
    if found is not None:
        arrays, values = found
        # Intact is one thing (`all_fits`, checked on loading), useful for this call another.
        if usable is None or usable(values):
            index = EventIndex(edges=Edges(*(arrays.pop(name) for name in _EDGES)), **values.pop("index"))
            return index, arrays, values, True
    index, arrays, values = make()
    if cache is not None:
        plain = {field.name: getattr(index, field.name) for field in fields(index) if field.name != "edges"}
        edges = {name: getattr(index.edges, name) for name in _EDGES}
        cache.save("index", {**arrays, **edges}, {**values, "index": plain})
    return index, arrays, values, False


def _check_index(arrays: dict[str, np.ndarray], index: dict) -> None:
    """Whether arrays and values can be those of an `EventIndex`."""
    ticks, code, counter = (arrays[name] for name in _EDGES)
    # Compiled code trusts these arrays, so a damaged entry has to be found before it is used.
    require({array.shape for array in (ticks, code, counter)} == {(len(ticks),)}, "edges of different numbers")
    types = tuple(array.dtype.str[1:] for array in (ticks, code, counter))
    require(types == ("i8", "u1", "u2"), "edges of another type")
    require(bool((ticks[1:] >= ticks[:-1]).all()), "edges out of order")
    require(bool(np.isin(code, list(EDGE_CODES.values())).all()), "edges of no input")
    require(set(index) == {field.name for field in fields(EventIndex)} - {"edges"}, "another index")
    require(are_whole([index["n_hits"], *index["losses"].values()]), "numbers of the index are odd")
    for name in ("span", "hit_span"):
        require(len(index[name]) == 2 and are_whole(index[name], -_LATEST) and max(index[name]) <= _LATEST, "odd times")
    require(are_whole(index["chips"]) and max(index["chips"], default=0) < 256, "chips are odd")
    require(isinstance(index["statistics"], dict), "the statistics are odd")


def unread(cache: RecordingCache | None, stamps: list[FileStamp]) -> list[FileStamp] | None:
    """The files of a recording if its index is not kept, else None; see `rsciio_tpx3.reader.deferred`.

    Parameters
    ----------
    cache : RecordingCache or None
    stamps : list of rsciio_tpx3.utils.files.FileStamp
    """
    return None if cache is not None and cache.load("index") else stamps


def indexing_bar(total: int, show_progressbar: bool | None = None) -> Any:
    """Progress of a pass over `total` bytes; by default shown when it takes longer than two seconds."""
    return progress_bar(show_progressbar, total=total, unit="B", unit_scale=True, desc="Indexing")
