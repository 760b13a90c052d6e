"""Whether files are pieces of one recording: each goes on with the clock of the one before.

A running number stands in the names of pieces, and of acquisitions that have nothing to do with each other. Every
acquisition begins with its clock near zero. The times at the end of a file and at the beginning of the next are
compared, each a median of several words, so that one wrong word decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.tpx3.packets import HEADER_MAGIC
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.losses import Losses
    from rsciio_tpx3.tpx3.files import Part


__all__ = ["check_pieces"]

_LOOK_WORDS = 1 << 14  # 128 kB at either end of a piece
_MEDIAN_OF = 31  # times: a few wrong ones do not move their median
_STEP = 25e-9  # s; one count of ToA at 40 MHz
_BACK = 0.002  # s; words are out of order by up to 1.6 ms
_PAUSE = 5.0  # s between two pieces
_START = 2.0  # s after the start of a clock in which a recording begins
_COUNTS, _COPIES = 4096, 8

_HITS, _EDGES, _GLOBAL, _COUNTER = "hits", "edges", "global time", "counter"
_PERIODS = {_HITS: 2**30 * _STEP, _EDGES: 2**32 * _STEP, _GLOBAL: 2**32 * _STEP}


def check_pieces(parts: list[Part], losses: Losses) -> None:
    """Refuse files with clocks of their own, where they were given as the pieces of one recording.

    Parameters
    ----------
    parts : list of rsciio_tpx3.tpx3.files.Part
    losses : rsciio_tpx3.events.losses.Losses
        With "warn" they are read one after the other all the same, as a clock that was reset between them is.

    Raises
    ------
    ConflictError
        Naming the first file whose clock begins anew.
    """
    full = [part for part in parts if part.n_words > part.skip]
    if losses.on_loss == "warn":
        return
    for before, after in zip(full[:-1], full[1:]):
        ends, begins = _times(before, last=True), _times(after, last=False)
        if _anew(ends, begins):
            clock = max((set(ends) & set(begins)) - {_COUNTER}, key=_PERIODS.get)
            raise ConflictError(
                f"{after.name!r} is not a piece of the recording that {before.name!r} is of: its clock begins anew, at "
                f"{format_seconds(begins[clock])}, where the other ends at {format_seconds(ends[clock])} ({clock}). "
                "They are two acquisitions with clocks of their own: load each by itself."
            )


def _times(part: Part, last: bool) -> dict[str, float]:
    """Median time of each clock in the first or last words of a file, in s within its period, and an edge's number."""
    n = min(_LOOK_WORDS, part.n_words)
    words = np.fromfile(part.path, "<u8", n, offset=8 * (part.n_words - n if last else 0))
    # Headers first: their upper half may look like any packet. Types and bits below as in `rsciio_tpx3.tpx3.packets`.
    words = words[(words & np.uint64(0xFFFFFFFF)) != np.uint64(HEADER_MAGIC)]
    top = words >> np.uint64(60)
    found = {
        _HITS: _hit_times(words[top == 0xB]),
        _EDGES: _bits(words[(top == 0x6) & (_bits(words, 5, 4) > 0)], 12, 32),
        _GLOBAL: _bits(words[(words >> np.uint64(56)) == 0x44], 16, 32),
    }
    times = {}
    for clock, steps in found.items():
        steps = steps[-_MEDIAN_OF:] if last else steps[:_MEDIAN_OF]
        if len(steps):
            times[clock] = _median(steps.astype(float) * _STEP, _PERIODS[clock])
    counts = _bits(words[top == 0x6], 44, 12)
    if len(counts):
        times[_COUNTER] = int(counts[-1] if last else counts[0])
    return times


def _bits(words: np.ndarray, first: int, n: int) -> np.ndarray:
    return (words >> np.uint64(first)) & np.uint64((1 << n) - 1)


def _hit_times(words: np.ndarray) -> np.ndarray:
    return (_bits(words, 0, 16) << np.uint64(14)) + _bits(words, 30, 14)


def _median(times: np.ndarray, period: float) -> float:
    """Of times on a circle, which may lie on both sides of a rollover."""
    around = (times - times[len(times) // 2] + period / 2) % period
    return float((np.median(around) + times[len(times) // 2] - period / 2) % period)


def _anew(ends: dict[str, float], begins: dict[str, float]) -> bool:
    """Whether all clocks stand at their start where a file begins, and do not go on from the end of the other."""
    known = (set(ends) & set(begins)) - {_COUNTER}
    if not known or any(begins[clock] > _START for clock in known):
        return False
    steps = [_around(begins[clock] - ends[clock], _PERIODS[clock]) for clock in known]
    if not all(-_BACK <= step <= _PAUSE for step in steps):
        return True
    # in recordings of some ms: edges that were counted already, but for copies that come late
    back = -_around(begins.get(_COUNTER, 0) - ends.get(_COUNTER, 0), _COUNTS)
    return _COUNTER in ends and _COUNTER in begins and back > _COPIES


def _around(step: float, period: float) -> float:
    """A step on a circle, the shorter way."""
    return (step + period / 2) % period - period / 2
