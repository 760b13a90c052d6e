"""The dialog for the delay between scan and detector: a slider, the picture, and the curve that finds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import traits.api as t

from hyperspy_sparse.gui.registry import add_gui
from hyperspy_sparse.gui.tool import Action, Field, Tool, load_line
from hyperspy_sparse.plots import plot_scan_delay
from rsciio_tpx3.scan.delay import METHODS, best_delay
from rsciio_tpx3.scan_delay import scan_delay_profiles
from rsciio_tpx3.utils.text import format_seconds, format_spread

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from rsciio_tpx3.scan.delay import ScanDelay

__all__ = ["ScanDelayTool"]


@add_gui("ScanDelay")
class ScanDelayTool(Tool):
    """Move the delay of the beam behind its trigger edges, see the picture, or let it be found.

    The recording is read once; each picture after that takes milliseconds.

    Parameters
    ----------
    filename : str or Path
        A recording.
    span : str or quantity, optional
        How far to look to either side, such as "5 us"; a tenth of a line by default.
    **options
        Of the reader, such as ``navigation_shape`` and ``pattern``.

    Attributes
    ----------
    delay : float
        Microseconds; what the picture is drawn for.
    method : {"auto", "forward-backward", "retrace", "borders"}
        For `find`, see `rsciio_tpx3.find_scan_delay`.
    found : ScanDelay or None
        What `find` found.
    scan_delay : str
        The delay as the option of the reader takes it, such as "1203.5 ns".
    code : str
        The line that loads the recording with it.

    Raises
    ------
    ScanSyncError
        If the scan is not found, or has no lines.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from rsciio_tpx3 import simulate
    >>> from hyperspy_sparse.gui import ScanDelayTool
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "snake.tpx3"
    >>> truth = simulate.recording(file, (32, 64), pattern="serpentine", scan_delay="12 us",
    ...                            dwell_time="5 us", electrons_per_position=60)
    >>> tool = ScanDelayTool(file, navigation_shape=(64, 32), pattern="serpentine")
    >>> abs(tool.find().delay - 12e-6) < 3 * tool.found.error
    True
    >>> tool.image().shape
    (32, 64)
    """

    title = "Scan delay"
    figure_size = (8.0, 3.8)
    fields = (
        Field("delay", "Delay / us", "slider", "Time by which the beam lags behind the edges.", limits="range"),
        Field("method", "Find by", "choice", "What the picture is compared with.", METHODS),
    )
    actions = (Action("find", "Find", "Find the delay for which the picture agrees with itself best."),)

    delay = t.Float()
    method = t.Enum(*METHODS)
    range = t.Tuple(t.Float(), t.Float())
    found = t.Any()

    def __init__(self, filename: str | os.PathLike, span: Any = None, **options: Any) -> None:
        super().__init__()
        self._filename, self._options = os.fspath(filename), {k: v for k, v in options.items() if k != "scan_delay"}
        self._profiles = scan_delay_profiles(filename, span=span, **options)
        self.range = tuple(seconds * 1e6 for seconds in self._profiles.span)
        self.delay = sum(self.range) / 2
        self._moved()

    @property
    def scan_delay(self) -> str:
        return f"{self.delay * 1e3:.1f} ns"

    def image(self) -> np.ndarray:
        """Counts per position for the present delay, to a quarter of a dwell time; all frames added up.

        Returns
        -------
        numpy.ndarray of int64, shape (rows, columns)
        """
        return self._profiles.image(self.delay * 1e-6)

    def find(self) -> ScanDelay:
        """Find the delay, and move to it.

        Returns
        -------
        ScanDelay

        Raises
        ------
        ScanSyncError
            If the agreement has no clear maximum.
        """
        self.found = None
        try:
            self.found = best_delay(self._profiles, self.method)
            self.delay = self.found.delay * 1e6
        finally:
            self._moved()
        return self.found

    @t.observe("delay")
    def _moved(self, event: Any = None) -> None:
        self.code = load_line(self._filename, {**self._options, "scan_delay": self.scan_delay})
        self.report = f"delay {format_seconds(self.delay * 1e-6)}"
        if self.found is not None:
            self.report += f"; found {format_spread(self.found.delay, self.found.error)}, {self.found.method}"
        self.drawn = True

    def draw(self, figure: Figure) -> None:
        """Draw the picture for the present delay, and the curve where it was found."""
        picture, curve = figure.subplots(1, 2)
        picture.imshow(self.image(), cmap="gray", aspect="auto")
        picture.set(title=f"delay {format_seconds(self.delay * 1e-6)}", xlabel="scan x", ylabel="scan y")
        if self.found is None:
            curve.set_axis_off()
            return
        plot_scan_delay(self.found, curve)
        curve.axvline(self.delay, color="black", linestyle="--", linewidth=1)
