"""How many of the electrons that really were there clustering finds, and how well it knows their places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.electrons.clusters import label_hits, place_electrons
from rsciio_tpx3.utils.sorting import time_order

if TYPE_CHECKING:
    from rsciio_tpx3.electrons.clusters import ClusteredSource
    from rsciio_tpx3.simulate.truth import Truth


__all__ = ["Matching", "match_electrons"]


@dataclass(frozen=True)
class Matching:
    """Clusters compared with the truth. An exact cluster holds all hits of one electron and no other hit.

    Attributes
    ----------
    electrons : int
        Electrons that made at least one hit.
    clusters, exact : int
    errors : numpy.ndarray of float64, shape (exact, 2)
        Place of each exact cluster less the electron's, ``(y, x)`` in pixels of the detector.
    """

    electrons: int
    clusters: int
    exact: int
    errors: np.ndarray = field(repr=False)

    @property
    def efficiency(self) -> float:
        """Share of the electrons that are an exact cluster."""
        return self.exact / self.electrons

    @property
    def purity(self) -> float:
        """Share of the clusters that are exact."""
        return self.exact / self.clusters

    @property
    def error(self) -> float:
        """Root mean square of the errors along one axis, in pixels."""
        return float(np.sqrt(np.mean(self.errors**2)))


def match_electrons(truth: Truth, source: ClusteredSource) -> Matching:
    """Compare the clusters of a simulated recording with its truth.

    Parameters
    ----------
    truth : Truth
        With its columns kept, and no hit lost.
    source : rsciio_tpx3.electrons.clusters.ClusteredSource
        Of that recording; times may be corrected, but no pixels masked. Filters by size and ToT are not applied.

    Returns
    -------
    Matching

    Raises
    ------
    ValueError
        If the hits are not those of the truth.
    """
    hits, options = source.source.hits(), source.options
    if not np.array_equal(hits.pixel, truth.hit_pixel):
        raise ValueError("These are not the hits of the truth: another file, another layout, or excluded pixels.")
    electron = truth.hit_electron[time_order(hits.toa, hits.pixel, hits.tot)]
    hits, label, found = label_hits(hits, source.grid, options)
    lowest = np.full(len(found.size), np.iinfo(np.int64).max)
    highest = np.full(len(found.size), -1)
    np.minimum.at(lowest, label, electron)
    np.maximum.at(highest, label, electron)
    n_hits = np.bincount(electron[electron >= 0], minlength=truth.n_electrons)
    one = (lowest == highest) & (lowest >= 0)
    exact = np.flatnonzero(one & (found.size == np.where(one, n_hits[np.maximum(lowest, 0)], 0)))
    pixel, width = place_electrons(found, exact, hits, options)
    fine = width // truth.sig_shape[1]
    place = (np.stack(np.divmod(pixel, width), axis=1) + 0.5) / fine
    true = np.stack([truth.electron_y, truth.electron_x], axis=1)[lowest[exact]]
    return Matching(int(np.count_nonzero(n_hits)), len(found.size), len(exact), place - true)
