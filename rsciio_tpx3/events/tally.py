"""What a pass over a recording counts besides its events: hits that made no event, and why.

Each source notes a `Tally` for each part that it reads. They add up over parts, and over a chain of sources, so
that in the end every hit of a recording is accounted for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Tally"]


@dataclass
class Tally:
    """Numbers of what was found in a span of time; they add up over spans.

    Attributes
    ----------
    hits : int
        Hits in the span that were clustered.
    hits_chained : int
        Hits in clusters that last too long.
    electrons, hits_of_electrons : int
        Electrons that were kept, and their hits.
    squares : int
        Sum of their squared numbers of hits.
    too_small, too_large, tot_too_low, tot_too_high : int
        Clusters excluded.
    hits_left_out : int
        Their hits.
    sizes : numpy.ndarray of int64, shape (16,)
        Kept electrons by number of hits; the last entry holds all larger ones.
    left_out : dict
        What corrections excluded: name of the step and "hits_left_out" or "electrons_left_out", to a number. The hits
        of such electrons are counted too.
    """

    hits: int = 0
    hits_chained: int = 0
    electrons: int = 0
    hits_of_electrons: int = 0
    squares: int = 0
    too_small: int = 0
    too_large: int = 0
    tot_too_low: int = 0
    tot_too_high: int = 0
    hits_left_out: int = 0
    sizes: np.ndarray | None = None
    left_out: dict = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        sizes = other.sizes if self.sizes is None else self.sizes + (0 if other.sizes is None else other.sizes)
        mine, theirs = vars(self), vars(other)
        numbers = {name: mine[name] + theirs[name] for name in mine if name not in ("sizes", "left_out")}
        names = {**self.left_out, **other.left_out}
        excluded = {name: self.left_out.get(name, 0) + other.left_out.get(name, 0) for name in names}
        return Tally(**numbers, sizes=sizes, left_out=excluded)

    @property
    def variance_over_mean(self) -> float | None:
        """Of the number of hits, if electrons come at random: mean square over mean of the cluster size."""
        return self.squares / self.hits_of_electrons if self.hits_of_electrons else None

    def plain(self) -> dict:
        """As plain values, for the cache; `of` is the way back."""
        return {**vars(self), "sizes": None if self.sizes is None else self.sizes.tolist()}

    @classmethod
    def of(cls, values: dict) -> Tally:
        """The tally that `plain` described."""
        return cls(**{**values, "sizes": None if values["sizes"] is None else np.array(values["sizes"])})
