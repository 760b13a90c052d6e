"""Which frame and which row a line has (or a pixel pulse in its line): each run is numbered from its own marks.

A run is what lies between two marks: a burst, a pause, an edge on the other input. Runs that are whole need nothing
else. One doubtful run costs no other its mark: it is numbered from the mark that it has, or by the time at which
frames begin where they come regularly; what neither tells has no position, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from rsciio_tpx3.scan.edges import Pulses

__all__ = ["Numbered", "number_runs"]

_SAME = 0.5  # of a frame: two stretches that need less between their beginnings are of one frame
_REGULAR = 0.5  # of a period: frames that begin at times this regular tell where others begin
_ON_PLACE = 0.3  # of a period: how near a stretch must lie to the place that the time gives it


@dataclass(frozen=True)
class Numbered:
    """Frame of each pulse, its number in the frame (negative for none), and what the user has to know."""

    frame: np.ndarray
    within: np.ndarray
    messages: list


def number_runs(pulses: Pulses, run: np.ndarray, whole: int, what: str, segment: str, follow: bool = False) -> Numbered:
    """Frames and numbers in the frame.

    Parameters
    ----------
    pulses : rsciio_tpx3.scan.edges.Pulses
    run : numpy.ndarray of int64, shape (n,)
        Run of each pulse; see `rsciio_tpx3.scan.lines.whole_runs`.
    whole : int
        Pulses in a whole run.
    what, segment : str
        What a run and a pulse are, for the user: "frame" and "line", or "line" and "pulse".
    follow : bool
        The recording goes on: what comes last may be a beginning.

    Returns
    -------
    Numbered
    """
    lengths = np.bincount(run)
    end = np.cumsum(lengths)
    runs = _Runs(pulses, lengths, end - lengths, end, whole, follow)
    frame = np.empty(len(pulses), np.int64)
    within = np.full(len(pulses), -1, np.int64)
    # of the run before: the frame in which it begins, when that begins, pulses since then, frames
    before = None
    for k in range(len(lengths)):
        own, n = slice(runs.begin[k], runs.end[k]), int(lengths[k])
        first, offset = runs.place(k, before)
        if offset is None:
            frame[own] = first
            continue
        place = np.arange(n) + offset
        several = runs.frames_in(k) > 1
        frame[own] = first + (place // whole if several else 0)
        within[own] = np.where((place >= 0) & (several | (place < whole)), place % whole, -1)
        before = first, runs.time(k) - offset * pulses.period, offset + n, runs.frames_in(k)
    return Numbered(frame, within, runs.messages(frame, within, what, segment))


class _Runs:
    """Runs of pulses, and what their borders tell."""

    def __init__(
        self, pulses: Pulses, lengths: np.ndarray, begin: np.ndarray, end: np.ndarray, whole: int, follow: bool
    ) -> None:
        self.pulses, self.lengths, self.begin, self.end, self.whole = pulses, lengths, begin, end, whole
        self.lost_before = np.concatenate([[False], pulses.lost[end[:-1] - 1]])
        self.good = (~pulses.doubtful[begin] & ~self.lost_before) | pulses.marked[begin]
        self.good[0] = False
        self.lone = np.zeros(len(lengths), bool)
        if len(lengths) > 1 and whole > 2 and not follow and (lengths == whole).any():
            # one edge in front of the first frame, or behind the last, begins or ends nothing
            self.lone[[0, -1]] = lengths[[0, -1]] == 1
        self.every, self.reference = self._clock()

    def time(self, k: int) -> float:
        return float(self.pulses.ticks[self.begin[k]])

    def _clock(self) -> tuple[float, float]:
        """Time from frame to frame where it is regular, and the beginning of one; else 0."""
        is_whole = self.lengths == self.whole
        pairs = np.flatnonzero(is_whole[:-1] & is_whole[1:] & self.good[1:])
        starts = self.pulses.ticks[self.begin]
        spacing = starts[pairs + 1] - starts[pairs]
        if len(spacing) < 2 or np.ptp(spacing) > _REGULAR * self.pulses.period:
            return 0.0, 0.0
        return float(np.median(spacing)), float(starts[pairs[0]])

    def _right_is_good(self, k: int) -> bool:
        return k + 1 < len(self.lengths) and bool(self.good[k + 1])

    def frames_in(self, k: int) -> int:
        """More than one where a mark between whole frames is missing."""
        n = int(self.lengths[k])
        return n // self.whole if n % self.whole == 0 else 1

    def place(self, k: int, before: tuple[int, float, int, int] | None) -> tuple[int, int | None]:
        """Frame in which a run begins, and its first pulse's number there; None for that where nothing tells it."""
        n, whole = int(self.lengths[k]), self.whole
        if before is None:
            return 0, self.offset(k)
        number, begins, count, frames = before
        if self.lost_before[k] and not self.good[k] and not self.lone[k]:
            # the counter goes on: believed where it agrees with the next mark
            counted_on = count % whole
            if not self._right_is_good(k) or (counted_on + n) % whole == 0:
                return number + count // whole, counted_on
        offset = self.offset(k)
        if offset is None:
            return number, None
        begins += (frames - 1) * whole * self.pulses.period
        later = self.time(k) - offset * self.pulses.period - begins
        return number + frames - 1 + self.frames_between(k, later), offset

    def offset(self, k: int) -> int | None:
        """Number of the run's first pulse in its frame, by its marks; None where nothing tells it."""
        n, whole = int(self.lengths[k]), self.whole
        if self.lone[k]:
            return None
        if n % whole == 0:
            return 0
        if k == 0 and n > whole:
            by_time = self._by_time(k)
            if by_time is not None:
                return by_time
        if k == 0:
            return whole - n if len(self.lengths) == 1 or self._right_is_good(k) or n < whole else 0
        if self.good[k]:
            return 0
        by_time = self._by_time(k)
        if by_time is not None:
            return by_time
        if self._right_is_good(k):
            return whole - n
        return 0 if self.lengths[k - 1] % whole == 0 else None

    def _by_time(self, k: int) -> int | None:
        """The same by the time at which frames begin; None where they do so irregularly, or the run fits no place."""
        if not self.every:
            return None
        late = (self.time(k) - self.reference + _ON_PLACE * self.pulses.period) % self.every
        place = (late - _ON_PLACE * self.pulses.period) / self.pulses.period
        if self.lengths[k] > self.whole and place > self.whole:
            place -= self.every / self.pulses.period  # too many, and the first of them before the frame
        row = round(place)
        if abs(place - row) > _ON_PLACE or row + min(self.lengths[k], self.whole) > self.whole:
            return None
        return row

    def frames_between(self, k: int, later: float) -> int:
        """Frames from the one of the run before to this one's, which begins `later`."""
        if self.good[k]:
            return 1
        if later < _SAME * self.whole * self.pulses.period:
            return 0
        return max(1, round(later / self.every)) if self.every else 1

    def messages(self, frame: np.ndarray, within: np.ndarray, what: str, segment: str) -> list[str]:
        lengths, whole, messages = self.lengths, self.whole, []
        if len(lengths) > 1 and lengths[0] < whole and not self.lone[0]:
            n = int(lengths[0])
            messages.append(f"The recording begins inside a {what}: its first {counted(n, segment)} end {what} 0.")
        inner = np.flatnonzero((lengths[1:-1] < whole) & self.good[1:-1]) + 1
        if len(inner):
            after, which = (", ".join(str(v) for v in vs[:6]) for vs in (lengths[inner], frame[self.begin[inner]]))
            messages.append(
                f"{counted(len(inner), what)} ended early, after {after} of {whole} {segment}s: the rest of {what} "
                f"{which} is empty."
            )
        doubtful = np.flatnonzero(~self.good[1:] & (lengths[1:] % whole != 0)) + 1
        if len(doubtful):
            messages.append(
                f"At {counted(len(doubtful), 'place')} nobody knows how many {segment}s are missing: what follows is "
                f"numbered from the next mark, or by the time at which {what}s begin."
            )
        absent = int(((within < 0) & ~self.pulses.lost).sum())
        if absent:
            messages.append(
                f"{counted(absent, 'edge')} beyond the {what}s, or where no mark tells the number: excluded. "
                "(first_line=n passes over n edges before the scan.)"
            )
        return messages
