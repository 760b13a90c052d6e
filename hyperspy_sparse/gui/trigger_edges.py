"""The trigger edges of a recording in pictures and words, for a scan that is not found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from rsciio_tpx3.scan.intervals import kinds_of_intervals
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rsciio_tpx3.events.source import Edges

__all__ = ["describe_edges", "draw_edges"]

_COLOURS = {"tdc1-rise": "tab:blue", "tdc1-fall": "tab:cyan", "tdc2-rise": "tab:red", "tdc2-fall": "tab:orange"}
_DRAWN = 60  # edges of the most frequent kind: what a person can tell apart
_BINS = 120


def describe_edges(edges: Edges) -> str:
    """Number and intervals of each kind of edge.

    Parameters
    ----------
    edges : Edges

    Returns
    -------
    str
        A line for each kind of edge and of interval.
    """
    return "\n".join(_described(edges)) or "There are no trigger edges."


def _described(edges: Edges) -> Iterator[str]:
    for name, n in edges.kinds.items():
        yield f"{name}: {n:,} edges"
        for kind in kinds_of_intervals(np.diff(edges.select(name).ticks)):
            how = "one after the other" if kind.in_rows else "single ones"
            yield f"    {kind.number:,} intervals of {_seconds(kind.length)}, {how}"


def _seconds(ticks: float) -> str:
    return format_seconds(ticks / TICKS_PER_SECOND)


def draw_edges(edges: Edges, figure: Figure) -> None:
    """Draw the first edges over time, and how often each interval occurs.

    Parameters
    ----------
    edges : Edges
    figure : matplotlib.figure.Figure
        Empty.
    """
    if not len(edges):
        figure.subplots().set_axis_off()
        figure.suptitle("The recording holds no trigger edges")
        return
    over_time, intervals = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_times(edges, over_time)
    _draw_intervals(edges, intervals)


def _draw_times(edges: Edges, ax: Axes) -> None:
    """The first edges of every kind, on a row each."""
    kinds = edges.kinds
    frequent = edges.select(max(kinds, key=lambda name: kinds[name])).ticks[:_DRAWN]
    first = int(edges.ticks[0])
    shown = {name: edges.select(name).ticks for name in kinds}
    scale, unit = _unit((int(frequent[-1]) - first) / TICKS_PER_SECOND)
    for row, (name, ticks) in enumerate(shown.items()):
        near = (ticks[ticks <= frequent[-1]] - first) / TICKS_PER_SECOND / scale
        ax.vlines(near, row - 0.4, row + 0.4, color=_COLOURS[name], linewidth=1)
    ax.set_yticks(range(len(shown)), list(shown))
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set(title=f"The first {len(frequent)} edges", xlabel=f"time / {unit}")


def _draw_intervals(edges: Edges, ax: Axes) -> None:
    """How often each interval between edges of a kind occurs; intervals of like length are named."""
    lengths = {name: np.diff(edges.select(name).ticks) / TICKS_PER_SECOND for name in edges.kinds}
    lengths = {name: values[values > 0] for name, values in lengths.items()}
    every = np.concatenate([*lengths.values(), []])
    ax.set(title="Intervals", xlabel="interval", ylabel="number")
    if not len(every):
        return
    low, high = every.min() / 1.5, every.max() * 1.5
    bins = np.geomspace(low, high, _BINS)
    for name, values in lengths.items():
        ax.hist(values, bins, histtype="stepfilled", alpha=0.6, color=_COLOURS[name], label=name)
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(0.5, None))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6))
    ax.xaxis.set_major_formatter(EngFormatter("s", places=0))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(fontsize=8)


def _unit(seconds: float) -> tuple[float, str]:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return scale, unit
    return 1e-9, "ns"
