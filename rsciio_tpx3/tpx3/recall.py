"""The index of a recording, from the cache where it is there and from a pass over the files otherwise."""

from dataclasses import fields

from rsciio_tpx3.cache import RecordingCache
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.tpx3.index import build_index, warn_of_losses

__all__ = ["cache_for", "recalled_index"]

_WORTH_BYTES = 256 * 10**6  # a recording whose pass takes about as long as a glance
_EDGES = ("ticks", "code", "counter")


def cache_for(parts, wanted, losses):
    """The cache of an acquisition, or None where none is wanted.

    Parameters
    ----------
    parts : list of rsciio_tpx3.tpx3.files.Part
    wanted : bool or "auto"
        "auto" keeps recordings from 256 MB on.
    losses : rsciio_tpx3.tpx3.index.Losses
        What is missing already, such as pieces.
    """
    if wanted not in (True, False, "auto"):
        raise ValueError(f'cache={wanted!r} is none of True, False, "auto".')
    if wanted == "auto":
        wanted = sum(part.size for part in parts) >= _WORTH_BYTES
    if not wanted or any(part.growing for part in parts):
        return None
    return RecordingCache([part.stamp for part in parts], {"losses": dict(losses.amounts)})


def recalled_index(parts, losses, cache, show_progressbar=None):
    """Index and blocks as `build_index` makes them.

    Parameters
    ----------
    parts, losses, show_progressbar
        As in `build_index`.
    cache : RecordingCache or None
    """
    found = None if cache is None else cache.load("index")
    if found is not None:
        arrays, values = found
        # where losses are refused, the pass itself says what is wrong and where
        if not (values["damage"] and losses.on_loss == "raise"):
            return _recall(arrays, values, parts, losses)
    before = len(losses.found)
    index, blocks = build_index(parts, losses, show_progressbar)
    if cache is not None:
        arrays = {"blocks": blocks, **{name: getattr(index.edges, name) for name in _EDGES}}
        plain = {field.name: getattr(index, field.name) for field in fields(index) if field.name != "edges"}
        cache.save("index", arrays, {"index": plain, "damage": losses.found[before:]})
    return index, blocks


def _recall(arrays, values, parts, losses):
    for loss in values["damage"]:
        losses.add(*loss)
    index = EventIndex(edges=Edges(*(arrays[name] for name in _EDGES)), **values["index"])
    warn_of_losses(index, parts)
    return index, arrays["blocks"]
