"""The phase of a scan while it is being recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hyperspy_sparse.microscope import set_microscope
from hyperspy_sparse.phase_contrast.groups import make_groups
from hyperspy_sparse.phase_contrast.image import check_settings
from hyperspy_sparse.phase_contrast.lines import LineAccumulator
from hyperspy_sparse.phase_contrast.optics import Known, find_optics, turn_and_aberrations
from hyperspy_sparse.phase_contrast.tilted import disk_of

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from hyperspy_sparse.live_view import Live
    from hyperspy_sparse.phase_contrast.optics import Optics
    from rsciio_tpx3.live.line_rows import LineRows

__all__ = ["LivePhase", "PluggedLines", "wait_until"]

_PAUSE = 0.02  # s


class PluggedLines:
    """A `LineAccumulator` as live views take accumulators: frames of a scan that repeats add up.

    Parameters
    ----------
    lines : LineAccumulator
    """

    def __init__(self, lines: LineAccumulator) -> None:
        self.lines = lines

    def add(self, rows: LineRows) -> None:
        """Add the rows of a line."""
        self.lines.add(rows.frames, rows.start % self.lines.seen.size)

    def clear(self) -> None:
        """Begin anew."""
        self.lines.clear()


class LivePhase(PluggedLines):
    """The phase of what a live view has received; made by `Live.phase`."""

    def __init__(self, lines: LineAccumulator, optics: Optics, method: str, eps: float | None) -> None:
        super().__init__(lines)
        self._optics, self._method, self._eps = optics, method, eps

    def picture(self) -> np.ndarray:
        """Phase so far in rad: float64, shape (ny, nx)."""
        return self.lines.phase(self._optics, self._method, self._eps)

    @classmethod
    def of(
        cls,
        live: Live,
        method: str,
        nav_shape: tuple[int, int],
        *,
        across: int,
        eps: float | None,
        center: Any,
        radius: Any,
        aberrations: Any,
        rotation: Any,
        flip: Any,
        wait: float | None,
        microscope: dict,
    ) -> LivePhase:
        """What is known of the microscope, from the files next to the recording and from the arguments."""
        check_settings(method, 1, eps)
        signal, what = _signal(live, wait), f"live.phase(method={method!r})"
        set_microscope(signal, **microscope)
        known = Known.of(signal)
        known.require(what)
        turn_and_aberrations(known, aberrations, rotation, flip)
        disk = disk_of(signal, center, radius)
        optics = find_optics(known, disk.radius, aberrations, rotation, flip)
        lines = LineAccumulator(make_groups(disk, signal.data.shape[-2:], across), nav_shape)
        return cls(lines, optics, method, eps)


def _signal(live: Live, wait: float | None) -> BaseSignal:
    """The recording so far, once it has a line."""
    wait_until(
        lambda: live.lines_drawn > 0,
        live,
        wait,
        "nothing has come yet that shows the detector and the disk. Start the measurement first, or wait for "
        "it: wait=10 (seconds).",
    )
    return live.signal


def wait_until(is_there: Callable[[], bool], live: Live, wait: float | None, missing: str) -> None:
    """Wait for what a measurement brings; ValueError with `missing` when that ends, or `wait` seconds have passed."""
    until = None if wait is None else time.monotonic() + wait
    while not is_there():
        if live.session.finished or (until is not None and time.monotonic() > until):
            raise ValueError(missing)
        time.sleep(_PAUSE)
