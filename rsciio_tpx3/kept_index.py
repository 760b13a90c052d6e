"""The index of a recording, from the cache where it is there and from a pass over its files otherwise."""

from dataclasses import fields

from tqdm.auto import tqdm

from rsciio_tpx3.cache import RecordingCache
from rsciio_tpx3.events.source import Edges, EventIndex

__all__ = ["cache_for", "indexing_bar", "recalled_index", "unread"]

_WORTH_BYTES = 256 * 10**6  # a recording whose pass takes about as long as a glance
_EDGES = ("ticks", "code", "counter")


def cache_for(stamps, wanted, about):
    """The cache of an acquisition, or None where none is wanted or a file is still being written.

    Parameters
    ----------
    stamps : list of rsciio_tpx3.frames.files.FileStamp
    wanted : bool or "auto"
        "auto" keeps recordings from 256 MB on.
    about : dict
        What else the index depends on; plain values.
    """
    if wanted not in (True, False, "auto"):
        raise ValueError(f'cache={wanted!r} is none of True, False, "auto".')
    if wanted == "auto":
        wanted = sum(stamp.size for stamp in stamps) >= _WORTH_BYTES
    if not wanted or any(stamp.growing for stamp in stamps):
        return None
    return RecordingCache(stamps, about)


def recalled_index(cache, make, usable=None):
    """Index, arrays and values of a recording.

    Parameters
    ----------
    cache : RecordingCache or None
    make : callable
        Gives the `EventIndex`, a dict of arrays and a dict of plain values by a pass over the files.
    usable : callable, optional
        Takes the values that were kept, and says whether they serve.

    Returns
    -------
    index : EventIndex
    arrays, values : dict
    recalled : bool
        Whether they were kept, and no pass was made.
    """
    found = None if cache is None else cache.load("index")
    if found is not None:
        arrays, values = found
        if usable is None or usable(values):
            index = EventIndex(edges=Edges(*(arrays.pop(name) for name in _EDGES)), **values.pop("index"))
            return index, arrays, values, True
    index, arrays, values = make()
    if cache is not None:
        plain = {field.name: getattr(index, field.name) for field in fields(index) if field.name != "edges"}
        edges = {name: getattr(index.edges, name) for name in _EDGES}
        cache.save("index", {**arrays, **edges}, {**values, "index": plain})
    return index, arrays, values, False


def unread(cache, stamps):
    """The files of a recording if its index is not kept, else None; see `rsciio_tpx3.waiting`.

    Parameters
    ----------
    cache : RecordingCache or None
    stamps : list of rsciio_tpx3.frames.files.FileStamp
    """
    return None if cache is not None and cache.load("index") else stamps


def indexing_bar(total, show_progressbar=None):
    """Progress of a pass over `total` bytes; by default shown when it takes longer than two seconds."""
    # tqdm shows nothing before `delay`: short files leave no trace on the screen
    return tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        desc="Indexing",
        delay=2 if show_progressbar is None else 0,
        disable=show_progressbar is False,
    )
