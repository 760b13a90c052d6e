"""Pixels that never answer, and pixels that answer without an electron."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.simulate.hits import Hits
from rsciio_tpx3.utils.clock import PIXEL_TICKS, TICKS_PER_SECOND

if TYPE_CHECKING:
    from rsciio_tpx3.simulate.hits import PixelTable


__all__ = ["Defects", "with_defects"]


@dataclass(frozen=True)
class Defects:
    """Faulty pixels of the detector, as flat indices ``y * width + x``.

    Attributes
    ----------
    dead : sequence of int
        Never fire.
    hot : sequence of int
        Fire at random, besides their electrons, with a ToT of a few counts.
    hot_rate : float
        Hits a second of each hot pixel.

    Examples
    --------
    >>> from rsciio_tpx3.simulate import Defects
    >>> Defects(dead=[5], hot=[7, 9], hot_rate=20_000.0).hot
    [7, 9]
    """

    dead: object = ()
    hot: object = ()
    hot_rate: float = 10_000.0

    def check(self, table: PixelTable) -> None:
        """Refuse pixels that the detector does not have."""
        for name in ("dead", "hot"):
            pixels = np.asarray(getattr(self, name), np.int64)
            outside = (pixels < 0) | (pixels >= table.collector.size)
            outside[~outside] = table.collector[pixels[~outside]] != pixels[~outside]
            if outside.any():
                raise ValueError(
                    f"defects: {name} pixel {pixels[outside][0]} is not a pixel of the detector "
                    f"{table.sig_shape}; expected flat indices y * width + x of its pixels."
                )


def with_defects(hits: Hits, defects: Defects, start: int, stop: int, rng: np.random.Generator) -> Hits:
    """Take dead pixels out of the hits of a line, and put the hits of hot ones in.

    Parameters
    ----------
    hits : Hits
    defects : Defects
    start, stop : int
        Span of the line with its flyback, in counts of the pixel clock.
    rng : numpy.random.Generator

    Returns
    -------
    Hits
        Hits without an electron, at the end, have the number -1.
    """
    alive = ~np.isin(hits.pixel, np.asarray(defects.dead, np.int64))
    hot = np.asarray(defects.hot, np.int64)
    mean = defects.hot_rate * (stop - start) * PIXEL_TICKS / TICKS_PER_SECOND
    pixel = np.repeat(hot, rng.poisson(mean, len(hot)))
    time = rng.integers(start, stop, len(pixel)) * PIXEL_TICKS
    extra = Hits(pixel, time, rng.integers(1, 6, len(pixel)), np.full(len(pixel), -1))
    return Hits(
        *(
            np.concatenate([getattr(hits, name)[alive], getattr(extra, name)])
            for name in ("pixel", "time", "tot", "electron")
        )
    )
