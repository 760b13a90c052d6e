"""Hits of one electron in pairs: their differences in time hold time walk and delays of columns, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.electrons.clusters import ClusteredSource, ClusterOptions, sample_spans

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource

__all__ = ["ClusterPairs", "cluster_pairs"]


@dataclass(frozen=True)
class ClusterPairs:
    """A hit, and the hit of the largest ToT in its cluster; arrays of shape (n,).

    Attributes
    ----------
    delay : numpy.ndarray of int64
        Time of the hit less the time of the hit of the largest ToT, ticks.
    tot, tot_largest : numpy.ndarray of int64
        Of the hit, and of that hit.
    pixel, pixel_largest : numpy.ndarray of int32
        Detector pixels of both.
    """

    delay: np.ndarray
    tot: np.ndarray
    tot_largest: np.ndarray
    pixel: np.ndarray
    pixel_largest: np.ndarray

    def __len__(self) -> int:
        return len(self.delay)


_TYPES = (np.int64, np.int64, np.int64, np.int32, np.int32)


def cluster_pairs(source: EventSource, n_hits: int = 1 << 20) -> ClusterPairs:
    """Pairs of hits in clusters, from spans spread evenly over a recording.

    Parameters
    ----------
    source : EventSource
        Hits.
    n_hits : int
        About how many hits to look at, and half of the most pairs that are taken where hits come in bursts.

    Returns
    -------
    ClusterPairs
    """
    options = ClusterOptions()
    clustered = ClusteredSource(source, options)
    columns = [[np.empty(0, kind)] for kind in _TYPES]
    pieces = sample_spans(source.index(), n_hits)
    for piece in pieces:
        room = 2 * n_hits // len(pieces)  # a burst: most of a recording may lie in one span
        for hits, label, found in clustered.labelled(*piece):
            largest = found.largest[label]
            usable = (np.arange(len(label)) != largest) & (found.duration[label] <= options.max_duration)
            own = np.flatnonzero(usable)[:room]
            of = largest[own]
            values = hits.toa[own] - hits.toa[of], hits.tot[own], hits.tot[of], hits.pixel[own], hits.pixel[of]
            for column, part, kind in zip(columns, values, _TYPES):
                column.append(part.astype(kind))
            room -= len(own)
            if not room:
                break
    return ClusterPairs(*(np.concatenate(column) for column in columns))
