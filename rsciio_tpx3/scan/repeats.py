"""Repeated scans: which passes over the scan field are used, one by one or added up.

Both are changes of a `Scan` alone: lines of frames that are not wanted have no positions, and lines
of frames that are added up share theirs. What decodes and counts hits needs to know nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from rsciio_tpx3.scan.scan import Scan

__all__ = ["FrameChoice", "frame_choice", "with_frames"]


@dataclass(frozen=True)
class FrameChoice:
    """Which frames of a repeated scan are wanted, and how.

    Attributes
    ----------
    summed : bool or None
        None leaves it to what else is requested: separate, unless time takes the place of the frames.
    chosen : None, int, slice or tuple of int
        Frame numbers from 0; None for all. An integer makes a scan without a frame axis.
    """

    summed: bool | None = None
    chosen: int | slice | tuple[int, ...] | None = None

    def words(self) -> Any:
        """The choice as `frame_choice` takes it, in plain text and numbers."""
        chosen: Any = self.chosen
        if isinstance(chosen, slice):
            parts = [chosen.start, chosen.stop, *([] if chosen.step is None else [chosen.step])]
            chosen = ":".join("" if part is None else str(part) for part in parts)
        if self.summed is None:
            return chosen
        word = "sum" if self.summed else "separate"
        return word if chosen is None else [word, chosen]


def frame_choice(frames: Any) -> FrameChoice:
    """The user's word for ``frames`` as a `FrameChoice`; see `rsciio_tpx3.tpx3.file_reader`."""
    if isinstance(frames, str) and frames in ("separate", "sum"):
        return FrameChoice(frames == "sum")
    if isinstance(frames, (tuple, list)) and len(frames) == 2 and isinstance(frames[0], str):
        word, chosen = frames
        if word in ("separate", "sum"):
            return FrameChoice(word == "sum", _chosen(chosen, frames))
    return FrameChoice() if frames is None else FrameChoice(None, _chosen(frames, frames))


def _chosen(value: Any, user_input: Any) -> int | slice | tuple[int, ...]:
    if isinstance(value, bool):
        raise _misread(user_input)
    if is_whole(value) and not isinstance(value, (float, np.floating)):
        return int(value)
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        if value.step == 0 or any(part is not None and not is_whole(part) for part in parts):
            raise _misread(user_input)
        return value
    if isinstance(value, str) and ":" in value:
        # as Python writes a slice: what a command line can say
        try:
            return _chosen(slice(*(int(part) if part.strip() else None for part in value.split(":"))), user_input)
        except (ValueError, TypeError):
            raise _misread(user_input) from None
    if isinstance(value, str) or not np.iterable(value):
        raise _misread(user_input)
    numbers = list(value)
    if not numbers or any(not is_whole(n) or isinstance(n, (float, np.floating)) for n in numbers):
        raise _misread(user_input)
    return tuple(int(n) for n in numbers)


def _misread(user_input: Any) -> ValueError:
    return ValueError(
        f'frames={shown(user_input)} is not valid: must be "separate", "sum", a frame number, a slice such as '
        'slice(0, 10) or "0:10", a list of numbers, or ("sum", one of these).'
    )


def with_frames(scan: Scan, choice: FrameChoice, summed: bool) -> Scan:
    """The scan with the frames of a choice.

    Parameters
    ----------
    scan : Scan
        Of shape ``(y, x)`` or ``(frames, y, x)``.
    choice : FrameChoice
    summed : bool
        Whether frames are added up where the choice leaves it open.

    Returns
    -------
    Scan
        ``report["frames_used"]`` lists the frame numbers where not all frames are a position of
        their own; ``report["frames"]`` counts those used, as do the numbers of lines expected, placed and
        excluded.

    Raises
    ------
    ScanSyncError
        If a frame does not exist, or there are no frames.
    """
    summed = summed if choice.summed is None else choice.summed
    if choice.chosen is None and not summed:
        return scan
    if len(scan.nav_shape) == 1:
        raise ScanSyncError(
            'frames= chooses among repeated scans; signal="frames" is one stack over time. Leave frames out.'
        )
    n_frames = scan.nav_shape[0] if len(scan.nav_shape) == 3 else 1
    numbers = _numbers(choice.chosen, n_frames)
    # New number of each frame, -1 for those not chosen; adding up gives all of them the same.
    place = np.full(n_frames, -1, np.int64)
    place[numbers] = 0 if summed else np.arange(len(numbers))
    n_positions = scan.nav_shape[-2] * scan.nav_shape[-1]
    frame, position = np.divmod(scan.base, n_positions)
    used = scan.base >= 0
    # base is -1 outside of the scan, whose frame number means nothing: only used lines are looked up.
    used[used] = place[frame[used]] >= 0
    base = np.full_like(scan.base, -1)
    base[used] = place[frame[used]] * n_positions + position[used]
    flat = summed or isinstance(choice.chosen, int)
    return replace(
        scan,
        nav_shape=scan.nav_shape[-2:] if flat else (len(numbers), *scan.nav_shape[-2:]),
        base=base,
        passes=len(numbers) if summed else 1,
        report={
            **scan.report,
            **_used_segments(scan, used, n_frames, len(numbers)),
            "frames": len(numbers),
            "frames_used": [int(n) for n in numbers],
            "frames_summed": len(numbers) if summed else None,
        },
    )


def _used_segments(scan: Scan, used: np.ndarray, n_frames: int, n_used: int) -> dict[str, int]:
    """The report's numbers of lines and pulses in the scan, for the frames that are used alone."""
    report, found = scan.report, {}
    for what in ("lines", "pulses"):
        if f"{what}_left_out" in report:
            found[f"{what}_left_out"] = int(np.count_nonzero(~used))
    if "lines_expected" in report:
        found["lines_expected"] = report["lines_expected"] // n_frames * n_used
        found["lines_placed"] = int(np.count_nonzero(used & (scan.stop > scan.start)))
    return found


def _numbers(chosen: int | slice | tuple[int, ...] | None, n_frames: int) -> np.ndarray:
    """Frame numbers from 0, in the order requested."""
    if chosen is None:
        return np.arange(n_frames)
    if isinstance(chosen, slice):
        numbers = np.arange(n_frames)[chosen]
        if len(numbers) == 0:
            raise ScanSyncError(f"frames={chosen} holds none of the {n_frames} frames, 0 to {n_frames - 1}.")
        return numbers
    wanted = np.atleast_1d(np.asarray(chosen, np.int64))
    outside = wanted[(wanted < -n_frames) | (wanted >= n_frames)]
    if len(outside):
        raise ScanSyncError(f"frames={chosen!r}: there is no frame {outside[0]}; the scan has 0 to {n_frames - 1}.")
    numbers = wanted % n_frames
    if len(np.unique(numbers)) != len(numbers):
        raise ScanSyncError(f"frames={chosen!r} names a frame twice; its electrons would count double.")
    return numbers
