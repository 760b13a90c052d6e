"""Load compiled code while nothing has come yet: doing so with the first lines would make them a second late."""

from __future__ import annotations

import functools
import os
import tempfile

import numpy as np

from rsciio_tpx3.live.following import Following
from rsciio_tpx3.tpx3.packets import EDGE_CODES, encode_header, encode_hits, encode_tdc

__all__ = ["warm_up"]

_LINE, _ACTIVE = 60_000, 48_000  # ticks


@functools.cache
def warm_up() -> None:
    """Follow a recording of three lines and some hits, once in a process."""
    starts = _LINE * np.arange(1, 4)
    edges = np.sort(np.concatenate([starts, starts + _ACTIVE]))
    codes = [EDGE_CODES["tdc1-rise"], EDGE_CODES["tdc1-fall"]] * 3
    hits = encode_hits(np.arange(40), 6_000 * np.arange(1, 41), 5)
    words = np.concatenate([hits, encode_tdc(codes, np.repeat([1, 2, 3], 2), edges)])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "warm_up.tpx3")
        np.concatenate([[encode_header(0, len(words))], words]).tofile(path)
        following = Following(path, navigation_shape=(2, 3), layout="single")
        following.add_detector(np.ones((256, 256), bool))
        following.update()
        following.update(ended=True)
