"""What the log says of hits and electrons that are at no scan position; the metadata have the same numbers."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.electrons.clusters import ClusterOptions
from rsciio_tpx3.scan.scan import AFTER, BEFORE, FLYBACK, OUTSIDE_NAMES
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.text import counted, format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.tally import Tally


__all__ = ["report_losses"]

_logger = logging.getLogger(__name__)

_NOTICED = 0.01  # share of the hits whose loss changes a result
_OF_A_FRAME = 0.1  # of the hits of a frame: so many at an end of the recording may be lines whose edge was lost
_ENDS = (OUTSIDE_NAMES[BEFORE], OUTSIDE_NAMES[AFTER])


def report_losses(
    cluster: ClusterOptions | None,
    tally: Tally,
    counts: np.ndarray,
    outside: dict,
    chosen: bool,
    frames: int = 1,
    lines: int = 1,
) -> None:
    """Log what is not in the frames: once for each way to be lost.

    Parameters
    ----------
    cluster : rsciio_tpx3.electrons.clusters.ClusterOptions or None
    tally : rsciio_tpx3.events.tally.Tally
        Of the counting pass.
    counts : numpy.ndarray
        Events at each position.
    outside : dict
        Events without a position, by reason.
    chosen : bool
        Whether frames were chosen, so that the hits of others are expected to be excluded.
    frames : int
        Frames of the scan that were recorded.
    lines : int
        Lines of it.
    """
    _report_corrections(tally)
    if cluster is not None:
        _report_clusters(cluster, tally)
    _report_outside("hits" if cluster is None else "electrons", counts, outside, chosen, frames, lines)


def _report_corrections(tally: Tally) -> None:
    for (name, what), number in tally.left_out.items():
        if number and what == "hits_left_out":
            electrons = tally.left_out.get((name, "electrons_left_out"))
            of = "" if electrons is None else f" of {counted(electrons, 'electron')}"
            _logger.info(f"The correction {name.lower()} excluded {counted(number, 'hit')}{of}.")


def _report_clusters(options: ClusterOptions, tally: Tally) -> None:
    if not tally.hits_chained + tally.hits_left_out:
        return
    window, longest = (format_seconds(ticks_to_seconds(n)) for n in (options.window, options.max_duration))
    names = {"too_small": "min_size", "too_large": "max_size", "tot_too_low": "min_tot", "tot_too_high": "max_tot"}
    failed = [(getattr(tally, name), name, limit) for name, limit in names.items()]
    parts = [f"{counted(n, 'cluster')} {name.replace('_', ' ')} ({limit})" for n, name, limit in failed if n]
    if parts:
        parts = [f"{tally.hits_left_out:,} in {', '.join(parts)}"]
    if tally.hits_chained:
        parts.insert(0, f"{tally.hits_chained:,} in chains that last longer than max_duration={longest!r}")
    message = f"Clustering excluded {tally.hits_chained + tally.hits_left_out:,} of {counted(tally.hits, 'hit')}: "
    message += "; ".join(parts) + "."
    # who sets a limit knows of it; a default that takes hits away is news
    surprising = options.max_duration == ClusterOptions.max_duration and tally.hits_chained > _NOTICED * tally.hits
    if surprising:
        message += (
            f" Such chains are many electrons joined by hits between them: a window shorter than {window!r} joins "
            "fewer, a longer max_duration counts each as one electron."
        )
    (_logger.warning if surprising else _logger.info)(message)


def _report_outside(
    what: str, counts: np.ndarray, outside: dict[str, int], chosen: bool, frames: int, lines: int
) -> None:
    lost = sum(outside.values())
    total = int(counts.sum()) + lost
    if lost:
        parts = ", ".join(f"{n} {name}" for name, n in outside.items() if n)
        # flyback is what a scan has; more than half the hits elsewhere is a scan misread, or frames not requested
        log = _logger.warning if lost > 0.5 * total and not chosen else _logger.info
        log(f"{lost} of {total} {what} have no scan position: {parts}.")
    many = _OF_A_FRAME * (total - lost) / max(frames, 1)
    # the end of the last line is not a flyback: few hits there, by chance some more, are not a line
    back = outside.get(OUTSIDE_NAMES[FLYBACK], 0) / max(lines - 1, 1)
    spare = {OUTSIDE_NAMES[AFTER]: back + 3 * math.sqrt(back)}
    ends = {name: n for name, n in outside.items() if name in _ENDS and n > many + spare.get(name, 0)}
    if ends and lost <= 0.5 * total and not chosen:
        parts = " and ".join(f"{n} {name}" for name, n in ends.items())
        _logger.warning(
            f"{parts}: {what} without a position, more than {_OF_A_FRAME:.0%} of what a frame has. If the beam was "
            "scanned then, a trigger edge is missing at that end of the recording."
        )
