"""Index and blocks of a `.tpx3` recording, from the cache or by a pass: what was lost is reported either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.cache.recall import recalled_index
from rsciio_tpx3.cache.store import require
from rsciio_tpx3.tpx3.follow import grown_blocks
from rsciio_tpx3.tpx3.index import build_index, warn_of_losses
from rsciio_tpx3.tpx3.stream import BLOCK
from rsciio_tpx3.utils.clock import PIXEL_PERIOD

if TYPE_CHECKING:
    from rsciio_tpx3.cache.store import RecordingCache
    from rsciio_tpx3.events.losses import Losses
    from rsciio_tpx3.events.source import EventIndex
    from rsciio_tpx3.tpx3.files import Part


__all__ = ["recalled_blocks"]


def recalled_blocks(
    parts: list[Part],
    losses: Losses,
    cache: RecordingCache | None,
    show_progressbar: bool | None = None,
    keep_before_reset: bool = False,
) -> tuple[EventIndex, np.ndarray]:
    """Index and blocks as `build_index` makes them.

    Parameters
    ----------
    parts, losses, show_progressbar, keep_before_reset
        As in `build_index`.
    cache : RecordingCache or None
    """

    def make() -> tuple[EventIndex, dict[str, np.ndarray], dict[str, list]]:
        grown = None if keep_before_reset else grown_blocks(parts, losses)
        if grown is not None:
            warn_of_losses(grown[0], parts, losses)
            return grown[0], {"blocks": grown[1]}, {"damage": []}
        before = len(losses.found)
        index, blocks = build_index(parts, losses, show_progressbar, keep_before_reset)
        return index, {"blocks": blocks}, {"damage": losses.found[before:]}

    def usable(values: dict) -> bool:
        # where losses are refused, the pass itself says what is wrong and where
        return not (values["damage"] and losses.on_loss == "raise")

    def check(arrays: dict[str, np.ndarray], values: dict, index: dict) -> None:
        for what, amount, text in values["damage"]:
            require(isinstance(what, str) and isinstance(amount, int) and isinstance(text, str), "losses are odd")
        check_blocks(arrays["blocks"], parts, index)

    index, arrays, values, recalled = recalled_index(cache, make, usable, check)
    if recalled:
        for loss in values["damage"]:
            losses.add(*loss)
        warn_of_losses(index, parts, losses)
    return index, arrays["blocks"]


def check_blocks(blocks: np.ndarray, parts: list[Part], index: dict) -> None:
    """Raise ValueError unless blocks can be those of these files: compiled code reads where they say.

    Parameters
    ----------
    blocks : numpy.ndarray
        Of type `rsciio_tpx3.tpx3.stream.BLOCK` and in absolute time, where they are good.
    parts : list of rsciio_tpx3.tpx3.files.Part
    index : dict
        Fields of the `EventIndex` that was kept with them.
    """
    require(blocks.dtype == BLOCK and blocks.ndim == 1, "blocks of another type")
    start, n_words, n_hits = (blocks[name].astype(np.int64) for name in ("start", "n_words", "n_hits"))
    require(bool((n_words > 0).all() and (n_hits >= 0).all() and (n_hits <= n_words).all()), "blocks of odd size")
    require(bool((start[1:] >= (start + n_words)[:-1]).all()), "blocks that overlap")
    # pieces may be empty and share a first word: the last of them is the one that has data
    firsts = np.array([part.first_word for part in parts])
    ends = firsts + np.array([part.n_words for part in parts])
    owner = np.searchsorted(firsts, start, "right") - 1
    require(bool((owner >= 0).all() and (start + n_words <= ends[owner]).all()), "blocks outside of their file")
    require(bool(((blocks["chip"] >= 0) & (blocks["chip"] < 256) & (blocks["left"] >= 0)).all()), "blocks of no chip")
    full = blocks[n_hits > 0]
    low, high = full["low"], full["high"]
    require(bool(((low <= 0) & (high >= 0) & (low > -PIXEL_PERIOD) & (high < PIXEL_PERIOD)).all()), "blocks too long")
    require(bool((np.abs(full["first"]) < 1 << 62).all()), "blocks of odd times")
    require(int(n_hits.sum()) == index["n_hits"], "blocks of another number of hits")
    span = (int((full["first"] + low).min()), int((full["first"] + high).max())) if len(full) else (0, -1)
    require(span == index["hit_span"], "blocks of other times")
