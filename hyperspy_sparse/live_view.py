"""A recording while it is being sent, as signals whose plots follow it.

What is recorded and what is added up is `rsciio_tpx3.live`; here are the signals, and the loop that keeps the pictures
up to date in the thread of the windows.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import hyperspy.api as hs
import numpy as np
from hyperspy.roi import BaseROI
from hyperspy.signals import Signal2D

from hyperspy_sparse.live_phase import LivePhase, PluggedLines, wait_until
from hyperspy_sparse.phase_contrast.lines import LineAccumulator
from hyperspy_sparse.phase_contrast.optics import read_rotation
from hyperspy_sparse.virtual_detectors import mask_of
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.live import Session
from rsciio_tpx3.live.serval import Serval
from rsciio_tpx3.reader.event_options import EventOptions
from rsciio_tpx3.reader.recording import detector_axes
from rsciio_tpx3.reader.signal import axis
from rsciio_tpx3.utils.checks import check_flag

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.live.following import Following, RowAccumulator
    from rsciio_tpx3.live.recorder import Recorded
    from rsciio_tpx3.live.session import View

__all__ = ["Live", "live"]

FRAMES = ("latest", "running", "complete", "sum")
_LAST_BYTES = 5.0  # s for what is on its way when Serval has stopped
_PAUSE = 0.02  # s between looks at what is new
_OF_LIVE = ("disorder", "only_counts")  # options that loading does not have


def live(
    source: str | os.PathLike,
    record: str | os.PathLike | None = None,
    *,
    navigation_shape: tuple[int, int],
    **options: Any,
) -> Live:
    """Record a stream, and see it as signals while it comes.

    Parameters
    ----------
    source : str or Path
        ``tcp://host:port`` of a detector's server that listens (Serval's destination ``tcp://listen@host:port``), or
        ``tcp://connect@host:port`` where we listen and the server connects. ``csr://host:port`` of a sender of
        counted frames, such as Accos. Or a ``.tpx3`` file that somebody else writes.
    record : str or Path
        The file to record to; needed with an address. A second measurement gets ``name_1``. Frames go to a raw_csr
        data set, of which this is the TOML; each scan is a measurement.
    navigation_shape : tuple of int
        Scan positions (x, y) of one frame.
    measurements : int or None
        Connections to record, one after the other; None goes on until `stop`. One by default.
    wait : float or None
        Seconds to wait for the sender; for ever by default.
    overwrite : bool
        Replace files that are there.
    every : float
        Seconds between two pictures, 0.1 by default.
    only_counts : bool
        Add up counts per position and nothing else, for streams that are too fast for all sums: then `Live.counts` is
        the one picture.
    serval : str or rsciio_tpx3.live.serval.Serval, optional
        Address of Serval, such as "http://localhost:8080": its raw destination is set to `source`, its measurement
        started, and stopped in the end; and what it knows is written next to the recording, where loading finds it.
    disorder : str
        How late hits are expected at least, "1 ms" by default.
    **options
        Of the reader of ``.tpx3`` files, those about scan and detector, such as ``dwell_time="1 us"`` or
        ``layout="quad"``.

    Returns
    -------
    Live
        Use it as a context: recording begins when it is entered, and is ended when it is left.

    Raises
    ------
    ValueError
        For options that are not known, or not possible while a recording runs.
    OSError
        If the file is there already, or the port is taken.

    Notes
    -----
    Recording waits for nothing: a thread of its own receives and writes, whatever the display does. Its memory is
    128 MiB at most; the sums take 24 bytes for each scan position of all frames, and 8 more for each virtual detector.

    Examples
    --------
    >>> import hyperspy.api as hs
    >>> import hyperspy_sparse
    >>> with hyperspy_sparse.live(
    ...     "tcp://localhost:8085", record="scan.tpx3", navigation_shape=(512, 512)
    ... ) as live:  # doctest: +SKIP
    ...     image = live.virtual_image(hs.roi.CircleROI(256, 256, 40))
    ...     image.plot()
    ...     live.run()
    >>> s = live.signal  # doctest: +SKIP
    """
    return Live(source, record, navigation_shape=navigation_shape, **options)


class Live:
    """Signals of a recording that comes in; made by `live`.

    Attributes
    ----------
    session : rsciio_tpx3.live.Session
        The threads that record and follow.
    """

    def __init__(
        self,
        source: str | os.PathLike,
        record: str | os.PathLike | None = None,
        *,
        navigation_shape: tuple[int, int],
        measurements: int | None = 1,
        wait: float | None = None,
        overwrite: bool = False,
        every: float = 0.1,
        serval: str | Serval | None = None,
        **options: Any,
    ) -> None:
        if options.get("signal", "scan") != "scan":
            raise ValueError(
                'a live view shows scans. For frames over time: hs.load(file, follow=True, signal="frames").'
            )
        options["navigation_shape"] = navigation_shape
        self.session = Session(
            source, record, measurements=measurements, wait=wait, overwrite=overwrite, every=every / 2, **options
        )
        self._load_options = {name: value for name, value in options.items() if name not in _OF_LIVE}
        self._only_counts = bool(options.get("only_counts", False))
        self._shape = int(navigation_shape[1]), int(navigation_shape[0])
        self._shown: list[_Shown] = []
        self._every, self._pause, self._drawn_at = every, every, 0.0
        self._serval = Serval(serval) if isinstance(serval, str) else serval
        if self._serval is not None and (self.session.recorder is None or self.session.of_frames):
            raise ValueError(
                "serval= has no meaning where a file is followed, or frames are received: give an address "
                "(tcp://) to record from."
            )

    # -- life ------------------------------------------------------------------------------------------

    def __enter__(self) -> Live:
        self.session.start()
        if self._serval is not None:
            try:
                self._start(self._serval)
            except Exception:
                self.session.stop()
                raise
        return self

    def _start(self, serval: Serval) -> None:
        recorder = self.session.recorder
        assert recorder is not None
        address, who = recorder.address, "connect" if recorder.address.listen else "listen"
        serval.set_destination([f"tcp://{who}@{address.host}:{address.port}"])
        serval.start()

    def __exit__(self, *error: Any) -> None:
        self.stop()

    def stop(self) -> None:
        """End the recording, draw what came, and bring the signals up to date."""
        serval, self._serval = self._serval, None
        try:
            if serval is not None:
                serval.stop()
                self.session.wait(_LAST_BYTES)
                if self.session.recorded:
                    serval.write_metadata(self.session.path)
        finally:
            self.session.stop()
        self.refresh()

    def run(self, timeout: float | None = None) -> None:
        """Keep the plots up to date until the measurement has ended, or until Ctrl+C.

        Parameters
        ----------
        timeout : float, optional
            Seconds after which to return although it goes on.
        """
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while not self.session.finished and (until is None or time.monotonic() < until):
                self._refresh_in_time()
                _give_way()
        except KeyboardInterrupt:
            # the user has seen enough; what was recorded stays, and that is not an error
            self.stop()
        self.refresh()

    def __await__(self) -> Generator:
        """As `run`, without blocking a notebook: ``await live``, or ``asyncio.ensure_future(live)``."""
        return self.follow().__await__()

    async def follow(self) -> None:
        """As `run`, for ``await live.follow()`` or a task of asyncio."""
        while not self.session.finished:
            self._refresh_in_time()
            await asyncio.sleep(_PAUSE)
        self.refresh()

    def refresh(self) -> None:
        """Bring all signals up to date, and redraw their plots; `run` and ``await`` do it all the time."""
        begin = time.monotonic()
        for shown in self._shown:
            shown.refresh()
        self._drawn_at = time.monotonic()
        # half of the time is for the mouse, and for the cells of a notebook
        self._pause = max(self._every, self._drawn_at - begin)

    def _refresh_in_time(self) -> None:
        """The same, where the last time is long enough ago: drawing takes longer than adding up."""
        if time.monotonic() - self._drawn_at >= self._pause:
            self.refresh()

    # -- pictures --------------------------------------------------------------------------------------

    def counts(self, frame: str = "latest") -> Signal2D:
        """Hits at each scan position, as a signal that is kept up to date.

        Parameters
        ----------
        frame : {"latest", "running", "complete", "sum"}
            Of a scan that repeats: the running frame, where it has not come yet the one before; the running frame
            alone; the last complete frame; or all frames added up.

        Returns
        -------
        hyperspy.api.signals.Signal2D
        """
        return self._image("counts", frame, lambda following: following.counts(frame))

    def virtual_image(self, detector: Any, frame: str = "latest") -> Signal2D:
        """Hits in a virtual detector at each scan position, as a signal that is kept up to date.

        Parameters
        ----------
        detector : hyperspy ROI or numpy.ndarray of bool
            A region on the detector in pixels, such as ``hs.roi.CircleROI(256, 256, 40)``, or a mask of shape
            (height, width). A region that is moved, in a plot of `sum_pattern` for example, moves the detector: its
            image is drawn anew, from the beginning of the recording.
        frame : str
            See `counts`.

        Returns
        -------
        hyperspy.api.signals.Signal2D
        """
        self._refuse_more("virtual_image")
        number = self.session.add_detector(self._mask(detector))
        if isinstance(detector, BaseROI):
            detector.events.changed.connect(lambda: self.session.move_detector(number, self._mask(detector)), [])
        return self._image("virtual image", frame, lambda following: following.virtual_image(number, frame))

    def center_of_mass(self, frame: str = "latest") -> Signal2D:
        """Centre of mass of the hits at each scan position, x and y as two images that are kept up to date.

        Parameters
        ----------
        frame : str
            See `counts`; not "sum".

        Returns
        -------
        hyperspy.api.signals.Signal2D
            Navigation axis "component" (x, y); values in detector pixels, NaN where nothing came.
        """
        if frame == "sum":
            raise ValueError('frame="sum": centres of mass do not add up. Choose "latest", "running" or "complete".')
        self._refuse_more("center_of_mass")

        def make(following: Following) -> np.ndarray:
            return np.moveaxis(following.center_of_mass(frame), -1, 0)

        return self._image("centre of mass", frame, make, components=2)

    def sum_pattern(self, wait: float | None = None) -> Signal2D:
        """Hits of all scan positions in each detector pixel, as a signal that is kept up to date.

        Parameters
        ----------
        wait : float, optional
            Seconds to wait for the first data, which show the detector; not needed with `layout`.

        Returns
        -------
        hyperspy.api.signals.Signal2D
        """
        self._refuse_more("sum_pattern")
        shape = self._sig_shape(wait)
        axes = detector_axes(shape, EventOptions())
        return self._signal("sum pattern", np.zeros(shape, np.int64), axes, lambda following: following.sum_pattern())

    def integrated_center_of_mass(
        self, frame: str = "latest", rotation: str | None = None, flip: bool = False
    ) -> Signal2D:
        """The surface whose slope is the centre of mass, as a signal that is kept up to date.

        Parameters
        ----------
        frame : str
            See `counts`.
        rotation : quantity, optional
            Turn of the scan against the detector, such as "-12.5 deg"; positive from x to y. None by default.
        flip : bool
            Whether the detector is mirrored top to bottom before it is turned.

        Returns
        -------
        hyperspy.api.signals.Signal2D
            Detector pixels times scan steps, mean 0; positions that have not come have the mean slope.
        """
        check_flag("flip", flip)
        self._refuse_more("integrated_center_of_mass")
        angle = read_rotation(rotation) or 0.0
        return self._image(
            "integrated centre of mass",
            frame,
            lambda following: following.integrated_center_of_mass(frame, angle, flip),
            np.float64,
        )

    def phase(
        self,
        method: str = "icom",
        *,
        aberrations: dict | None = None,
        rotation: str | None = None,
        flip: bool | None = None,
        across: int = 16,
        eps: float | None = None,
        center: tuple[float, float] | None = None,
        radius: float | None = None,
        wait: float | None = None,
        **microscope: Any,
    ) -> Signal2D:
        """Phase of a thin specimen, as a signal that is kept up to date; all frames are added up.

        It is made anew when it took less than a quarter of the time since, and at the end.

        Parameters
        ----------
        method, aberrations, rotation, flip, across, eps, center, radius
            Of `hyperspy_sparse.phase`.
        wait : float, optional
            Seconds to wait for the first line, which shows the detector.
        **microscope
            Of `hyperspy_sparse.set_microscope`: ``beam_energy="200 keV"``, ``scan_step="0.05 nm"``,
            ``convergence_angle="20 mrad"``, as far as no file next to the recording contains it.

        Returns
        -------
        hyperspy.api.signals.Signal2D
            rad, mean 0. Its tilted images grow as lines become complete; positions to come have the mean of the others.

        Raises
        ------
        ValueError
            If something is missing (the message says what), or nothing has come yet.
        """
        found = LivePhase.of(
            self, method, self._shape, across=across, eps=eps, center=center, radius=radius, aberrations=aberrations,
            rotation=rotation, flip=flip, wait=wait, microscope=microscope,
        )  # fmt: skip
        self.session.plug(found)
        axes = [axis(name, size, False) for name, size in zip(("y", "x"), self._shape)]
        return self._signal(f"phase ({method})", np.zeros(self._shape), axes, lambda _: found.picture())

    def plug(self, accumulator: RowAccumulator | LineAccumulator) -> None:
        """Hand the patterns of every line to an accumulator, such as a reconstruction of the phase.

        Parameters
        ----------
        accumulator : LineAccumulator or object
            A `hyperspy_sparse.LineAccumulator` of the shape of the scan. Or an object whose method ``add(rows)`` is
            called with `rsciio_tpx3.live.following.LineRows`, once for each line, in the order of time, from the
            thread that follows; it gets all lines from the first one on whenever it is plugged in.
        """
        if isinstance(accumulator, LineAccumulator):
            if accumulator.seen.shape != self._shape:
                raise ValueError(
                    f"the accumulator has positions of shape {accumulator.seen.shape} (y, x), the scan {self._shape}."
                )
            accumulator = PluggedLines(accumulator)
        self.session.plug(accumulator)

    def _image(
        self,
        title: str,
        frame: str,
        make: Callable[[Following], np.ndarray],
        dtype: type = np.int64,
        components: int | None = None,
    ) -> Signal2D:
        """A picture of one frame."""
        if frame not in FRAMES:
            raise ValueError(f"frame={frame!r} is not valid: must be one of {', '.join(map(repr, FRAMES))}.")
        axes = [axis(name, size, False) for name, size in zip(("y", "x"), self._shape)]
        data = np.zeros(self._shape, dtype)
        if components is not None:
            axes = [axis("component", components, True), *axes]
            data = np.full((components, *self._shape), np.nan)
        return self._signal(title, data, axes, make)

    def _signal(
        self, title: str, data: np.ndarray, axes: list[dict], make: Callable[[Following], np.ndarray]
    ) -> Signal2D:
        signal = Signal2D(data, axes=axes, metadata={"General": {"title": title}})
        shown = _Shown(signal, self.session.view(make))
        self._shown.append(shown)
        shown.refresh()
        return signal

    def _refuse_more(self, what: str) -> None:
        if self._only_counts:
            raise ValueError(
                f"live.{what}() has nothing to show: with only_counts=True counts per position are added up and "
                "nothing else. Leave only_counts out."
            )

    def _mask(self, detector: Any) -> Callable[[tuple[int, int]], np.ndarray]:
        # A region belongs to the thread of the windows and changes while it is dragged: the thread that follows gets
        # what it is now. Where the detector is known, a mask of a wrong shape is refused here.
        detector, known = _as_it_is(detector), self._known_shape
        now = None if known is None else _mask_on(known, detector)

        def mask(sig_shape: tuple[int, int]) -> np.ndarray:
            return now if now is not None and sig_shape == known else _mask_on(sig_shape, detector)

        return mask

    @property
    def _known_shape(self) -> tuple[int, int] | None:
        known = self.session.following.sig_shape
        if known is not None or self.session.of_frames:
            return known
        options = self._load_options
        if options.get("layout") is None:
            return None
        return make_layout(options["layout"], options.get("gap") or 0, options.get("orientation") or "up").sig_shape

    def _sig_shape(self, wait: float | None) -> tuple[int, int]:
        wait_until(
            lambda: self._known_shape is not None,
            self,
            wait,
            "nothing has come yet that shows the detector. Start the measurement first, or pass its layout: "
            'layout="quad" or layout="single".',
        )
        return self._known_shape

    # -- what is known ---------------------------------------------------------------------------------

    @property
    def signal(self) -> BaseSignal:
        """The recording so far as the usual lazy sparse signal; after the end, what `hyperspy.api.load` gives."""
        if self.session.of_frames:
            return hs.load(self.session.path, lazy=True)
        options = dict(self._load_options, lazy=True)
        if not self.session.finished:
            options["follow"] = True
        elif not self.session.whole:
            options["on_loss"] = "warn"  # a file that was cut is known to be so
        return hs.load(self.session.path, **options)

    @property
    def files(self) -> list[Recorded]:
        """Files that were recorded, with the state of each."""
        return self.session.recorded

    @property
    def state(self) -> str:
        """ "waiting", "receiving", "ended", "connection lost", "not written" (a full disk), "stopped" or "failed"."""
        return self.session.state

    @property
    def rate(self) -> float:
        """Hits per second."""
        return self.session.rate

    @property
    def rates(self) -> dict[int, float]:
        """Hits per second of each chip."""
        return self.session.rates

    @property
    def losses(self) -> dict:
        """What was lost so far, by name; see `rsciio_tpx3.live.Following.losses`."""
        return self.session.following.losses

    @property
    def notes(self) -> list[str]:
        """What there is to say: missing edges, silent chips, what could not be done, why nothing is drawn any more."""
        error = self.session.error
        return ([str(error)] if error is not None else []) + self.session.refused + self.session.following.notes

    @property
    def lines_drawn(self) -> int:
        """Scan lines that are in the pictures."""
        return self.session.following.lines_drawn

    @property
    def lines_final(self) -> int:
        """Scan lines that can no longer change: they are those of the finished file."""
        return self.session.following.lines_final

    def __repr__(self) -> str:
        return (
            f"<Live: {self.state}, {self.lines_drawn} lines, {self.rate / 1e6:.2f} million hits per second, "
            f"{self.session.path!r}>"
        )


def _as_it_is(detector: Any) -> Any:
    """A copy of a region, or of a mask, that nobody changes."""
    if isinstance(detector, BaseROI):
        # a region that somebody else wrote may be made in another way
        with contextlib.suppress(TypeError):
            return type(detector)(**detector.parameters)
    return detector.copy() if isinstance(detector, np.ndarray) else detector


def _mask_on(sig_shape: tuple[int, int], detector: Any) -> np.ndarray:
    pattern = Signal2D(np.zeros(sig_shape, np.int64), axes=detector_axes(sig_shape, EventOptions()))
    return mask_of(pattern, detector)[0]


class _Shown:
    """A signal, and the view that it shows."""

    def __init__(self, signal: BaseSignal, view: View) -> None:
        self.signal, self._view, self._version = signal, view, 0

    def refresh(self) -> None:
        version, array = self._view.version, self._view.array
        if array is None or version == self._version or array.shape != self.signal.data.shape:
            return
        self._version = version
        self.signal.data[...] = array
        self.signal.events.data_changed.trigger(obj=self.signal)


def _give_way() -> None:
    """Let windows answer to the mouse and redraw; without windows, let time pass."""
    plt = sys.modules.get("matplotlib.pyplot")
    if plt is not None:
        for number in plt.get_fignums():
            plt.figure(number).canvas.flush_events()
    time.sleep(_PAUSE)
