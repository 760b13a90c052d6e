"""Frame edges on the other input: where lines are marked on one input of the detector and frames on the other.

They are believed where they agree with the lines: each stands at the same distance from the line that it begins. Then
they tell where frames begin although the scan does not pause, and whatever became of the lines.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Edges
    from rsciio_tpx3.scan.edges import Pulses

__all__ = ["frame_edge_kind", "frame_edges", "marked_by_frame_edges"]

_APART = 0.1  # of a line: how far from their usual distance to a line frame edges may stand
_AGREE = 0.6  # of the frame edges must do so
_LEAST_LINES = 2  # in a frame


def frame_edge_kind(edges: Edges, tdc: str) -> str | None:
    """The edges on the input that `tdc` is not of, such as "tdc2-rise"; None where there are none."""
    kinds = [kind for kind in edges.kinds if kind[:4] != tdc[:4]]
    return next((kind for kind in kinds if kind.endswith("rise")), kinds[0] if kinds else None)


def frame_edges(edges: Edges, kind: str, pulses: Pulses, lines: int | None = None) -> tuple[np.ndarray, int]:
    """Pulses that begin a frame by the edges of another input.

    Parameters
    ----------
    edges : rsciio_tpx3.events.source.Edges
    kind : str
        Of the other input, such as "tdc2-rise".
    pulses : rsciio_tpx3.scan.edges.Pulses
        Of lines.
    lines : int, optional
        In a frame, where known.

    Returns
    -------
    begins : numpy.ndarray of int64
        Numbers of pulses, ascending; empty if the edges do not stand at the beginnings of frames.
    found : int
        Edges of that kind.
    """
    ticks, nothing = edges.select(kind).ticks, np.empty(0, np.int64)
    known = np.flatnonzero(~pulses.lost)
    if len(ticks) * _LEAST_LINES > len(known) or not np.isfinite(pulses.period):
        return nothing, len(ticks)
    starts = pulses.ticks[known]
    after = np.clip(np.searchsorted(starts, ticks), 1, len(starts) - 1)
    nearest = np.where(ticks - starts[after - 1] < starts[after] - ticks, after - 1, after)
    apart = ticks - starts[nearest]
    agree = np.abs(apart - np.median(apart)) <= _APART * pulses.period
    agree &= np.abs(apart) < 0.5 * pulses.period
    if agree.sum() < _AGREE * len(ticks):
        return nothing, len(ticks)
    begins = np.unique(known[nearest[agree]])
    if len(begins) == 1 and not _one_begins(int(begins[0]), pulses, lines):
        return nothing, len(ticks)
    lengths = np.diff(begins)
    if len(lengths):
        usual = lines or int(np.bincount(lengths).argmax())
        # some may be lost, and then frames look longer
        if 2 * (lengths % usual == 0).sum() < len(lengths) or usual < _LEAST_LINES:
            return nothing, len(ticks)
    return begins, len(ticks)


def _one_begins(begin: int, pulses: Pulses, lines: int | None) -> bool:
    """Whether one edge alone stands where a frame may begin: none is next to it to compare with."""
    if begin == 0 or pulses.run[begin] != pulses.run[begin - 1]:
        return True
    if lines is None:
        return False
    # whole frames from the first line on leave no room for a frame that begins elsewhere
    return begin % lines == 0 or (len(pulses) % lines != 0 and begin < lines and len(pulses) - begin <= lines)


def marked_by_frame_edges(
    edges: Edges, tdc: str, pulses: Pulses, lines: int | None = None
) -> tuple[Pulses, dict, list[str]]:
    """The pulses with runs that begin where the other input says, and what there is to say about it.

    Returns
    -------
    pulses : Pulses
    report : dict
        ``frame_edges``, ``frame_edges_found`` and ``frame_edges_used``; empty where the other input has no edges.
    messages : list of str
    """
    kind = frame_edge_kind(edges, tdc)
    if kind is None:
        return pulses, {}, []
    begins, found = frame_edges(edges, kind, pulses, lines)
    report = {"frame_edges": kind, "frame_edges_found": found, "frame_edges_used": len(begins)}
    messages = []
    if len(begins) < found:
        of = f"{found - len(begins)} of {counted(found, f'{kind} edge')}"
        messages.append(
            f"{of} on the other input {'does' if found == 1 else 'do'} not stand at the beginning of a frame of "
            f"{tdc} lines: not used."
        )
    if len(begins) == 0:
        return pulses, report, messages
    marked = np.zeros(len(pulses), bool)
    marked[begins] = True
    border = marked.copy()
    border[1:] |= np.diff(pulses.run) > 0
    border[0] = False
    doubtful = pulses.doubtful & ~marked
    return replace(pulses, run=np.cumsum(border), doubtful=doubtful, marked=marked), report, messages
