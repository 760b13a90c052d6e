"""Record and follow at once: two threads that do not wait for each other, and pictures made at most so often."""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import LimitError, ScanSyncError
from rsciio_tpx3.live.csr_recorder import CsrRecorder
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.following_rows import FollowingRows
from rsciio_tpx3.live.recorder import ENDED, Recorded, Recorder
from rsciio_tpx3.live.sums import MOST_DETECTORS
from rsciio_tpx3.live.warm_up import warm_up
from rsciio_tpx3.live.worker import Worker
from rsciio_tpx3.utils.threads import give_way

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsciio_tpx3.live.followed_images import Mask
    from rsciio_tpx3.live.following import RowAccumulator

__all__ = ["Session", "View"]

_logger = logging.getLogger(__name__)

_LOOK = 0.02  # s between looks at a file that has not grown
_RATE_OVER = 0.5  # s
_SHARE = 3  # times as long as it took to make, a view waits until it is made again
_PAUSE = 9, 0.2  # times as long as it took to make what was due, and s at most, nothing is made: hits come first


class View:
    """An array that is made again and again of what has come.

    Attributes
    ----------
    array : numpy.ndarray or None
        The last one; None where nothing could be made yet.
    version : int
        Counts them.
    """

    def __init__(self, make: Callable[[Any], np.ndarray]) -> None:
        self._make = make
        self._due = 0.0
        self.array: np.ndarray | None = None
        self.version = 0

    def renew(self, following: Following | FollowingRows, now: bool = True) -> bool:
        """Make the array of what is there; one that takes long is made more seldom, unless it must be `now`.

        Returns
        -------
        bool
            False where it is to be made later.
        """
        begin = time.monotonic()
        if self._due == math.inf or (not now and begin < self._due):
            return self._due == math.inf
        try:
            self.array = self._make(following)
            self.version += 1
        except ScanSyncError:  # nothing has come that could be shown
            pass
        except Exception as error:  # of somebody else's code, which must not end what others see
            self._due = math.inf
            _logger.exception(f"a view is not made any more, since that failed: {error!r}")
            return True
        end = time.monotonic()
        self._due = end + _SHARE * (end - begin)
        return True


class Session(Worker):
    """Record a stream and follow what is recorded, or follow a file that somebody else writes.

    The recorder has its own thread and waits for nobody. Another thread follows the file, and after that makes the
    arrays of the `views`, at most every `every` seconds.

    Parameters
    ----------
    source : str or Path
        An address, see `rsciio_tpx3.live.parse_address`; or a file that grows.
    record : str or Path, optional
        Where to record to: needed with an address.
    measurements, wait, overwrite
        Of `rsciio_tpx3.live.Recorder`.
    every : float
        Seconds between two versions of a view.
    **options
        Of `Following`; of a stream or a data set of frames ``navigation_shape`` alone.

    Attributes
    ----------
    following : Following or FollowingRows
        Of the last measurement.
    of_frames : bool
        Whether frames come, and not hits.
    recorder : Recorder or None
    error : Exception or None
        Why following ended early; recording goes on.
    refused : list of str
        What was asked for while it runs and could not be done, such as a mask of a wrong shape; all else goes on.

    Notes
    -----
    `following` and the arrays of `views` belong to the thread that follows. Whatever others want of them goes through
    `view`, `add_detector`, `move_detector`, `plug` and `unplug`, from any thread: it is done between two steps, in the
    order in which it was asked for. Once no thread follows any more it is done at once, one thread after the other.

    Examples
    --------
    >>> from rsciio_tpx3.live import Session
    >>> with Session("tcp://localhost:8085", "scan.tpx3", navigation_shape=(512, 512)) as session:  # doctest: +SKIP
    ...     session.wait()
    """

    def __init__(
        self,
        source: str | os.PathLike,
        record: str | os.PathLike | None = None,
        *,
        measurements: int | None = 1,
        wait: float | None = None,
        overwrite: bool = False,
        every: float = 0.05,
        **options: Any,
    ) -> None:
        self.recorder: Recorder | None = None
        address = isinstance(source, str) and "://" in source
        if address and record is None:
            raise ValueError(f"record= is missing: name the file that {source} is to be recorded to.")
        if not address and record is not None:
            raise ValueError(
                f"record={os.fspath(record)!r} has no meaning where a file, {os.fspath(source)!r}, is followed."
            )
        if address:
            assert record is not None
            of_frames = str(source).startswith("csr:")
            make = CsrRecorder if of_frames else Recorder
            self.recorder = make(str(source), record, measurements=measurements, wait=wait, overwrite=overwrite)
        self._path = Path(source if record is None else record).absolute()
        self.of_frames = isinstance(self.recorder, CsrRecorder) or self._path.suffix.lower() == ".toml"
        if self.of_frames and self._path.suffix.lower() != ".toml":
            raise ValueError(
                f"record={os.fspath(self._path.name)!r}: frames are recorded as a raw_csr data set. Give its TOML a "
                f"name such as {self._path.with_suffix('.toml').name!r}."
            )
        self._follow: Any = FollowingRows if self.of_frames else Following
        self._options, self._every = options, every
        self.following: Following | FollowingRows = self._follow(self._path, **options)
        self._files = 0
        self.error: Exception | None = None
        self.refused: list[str] = []
        self.views: list[View] = []
        self._masks: list[Mask] = []
        self._plugged: list[RowAccumulator] = []
        self._requests: queue.Queue[Callable[[], object]] = queue.Queue()
        self._stopped, self._done = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        # Held by who changes what is wanted, or takes the next file: both must agree on what was asked for of which
        # file. Again by the same thread, since an accumulator or a mask may ask for more.
        self._lock = threading.RLock()
        self._rate_from: tuple[float, dict[int, int]] = (0.0, {})
        self.rates: dict[int, float] = {}

    # -- life ------------------------------------------------------------------------------------------

    def start(self) -> Session:
        """Begin to record and to follow."""
        if self.recorder is not None:
            self.recorder.start()
        self._thread = threading.Thread(target=self._run, name="rsciio_tpx3-following", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End recording; what was recorded is drawn to its end."""
        if self.recorder is not None:
            self.recorder.stop()
        super().stop()

    @property
    def finished(self) -> bool:
        """Whether no more will come, and all is drawn."""
        return self._done.is_set()

    # -- what is wanted --------------------------------------------------------------------------------

    def view(self, make: Callable[[Any], np.ndarray]) -> View:
        """Have an array made after each step."""
        view = View(make)

        def begin() -> None:
            # in turn: what it shows, such as a virtual detector, may have been asked for just before
            self.views.append(view)
            view.renew(self.following)

        self._do(begin)
        return view

    def add_detector(self, mask: Mask) -> int:
        """Add a virtual detector; see `Following.add_detector`."""
        with self._lock:
            if len(self._masks) == MOST_DETECTORS:
                raise LimitError(f"There are {MOST_DETECTORS} virtual detectors already, which are as many as can be.")
            number = len(self._masks)
            self._do(lambda: self._add(mask))
            self._masks.append(mask)
        return number

    def _add(self, mask: Mask) -> None:
        try:
            self.following.add_detector(mask)
        except ValueError:
            if self._running:
                self.following.add_detector(_no_pixels)  # or those after it would have other numbers than here
            raise

    def move_detector(self, number: int, mask: Mask) -> None:
        """Move a virtual detector; its image is drawn anew."""
        with self._lock:
            if not 0 <= number < len(self._masks):
                raise ValueError(f"there is no virtual detector {number}: there are {len(self._masks)}.")
            self._masks[number] = mask
            self._do(lambda: self._move(number, mask))

    def _move(self, number: int, mask: Mask) -> None:
        # one that is dragged moves more often than it can be drawn: of those that wait, the last one is drawn
        if self._masks[number] is mask:
            self.following.move_detector(number, mask)

    def plug(self, accumulator: RowAccumulator) -> None:
        """Hand every line to an accumulator; see `Following.plug`."""
        with self._lock:
            self._plugged = [*self._plugged, accumulator]
            self._do(lambda: self.following.plug(accumulator))

    def unplug(self, accumulator: RowAccumulator) -> None:
        """Hand no more lines to an accumulator."""
        with self._lock:
            self._plugged = [plugged for plugged in self._plugged if plugged is not accumulator]
            self._do(lambda: self.following.unplug(accumulator))

    @property
    def _running(self) -> bool:
        return self._thread is not None and not self._done.is_set()

    def _do(self, request: Callable[[], object]) -> None:
        """Have something done between two steps, by the thread that follows; or now, where it does not run."""
        with self._lock:
            if self._running:
                self._requests.put(request)
                return
            request()
            self._show()

    # -- what can be seen ------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Of the recorder; "following" or "finished" of a file that somebody else writes."""
        if self.recorder is not None:
            return self.recorder.state
        return "finished" if self.finished else "following"

    @property
    def rate(self) -> float:
        """Hits per second, of all chips."""
        return sum(self.rates.values())

    @property
    def path(self) -> str:
        """The file of the last measurement."""
        return self.following.path

    @property
    def recorded(self) -> list[Recorded]:
        """The files, with their states."""
        return self.recorder.files if self.recorder is not None else []

    # -- the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        give_way()  # to whoever records, here or in another program: drawing can catch up, a detector does not wait
        try:
            if self.recorder is not None and not self.of_frames:
                warm_up()
            self._follow_all()
        except Exception as error:  # a mistake here must not end the recording, which ends when this session does
            self._fail(error)
            if self.recorder is not None:
                self.recorder.wait()
        finally:
            with self._lock:
                if self._answer():
                    self._show()
                self._done.set()

    def _follow_all(self) -> None:
        shown, pause, stale = 0.0, 0.0, False
        while True:
            changed = self._answer()
            ended = self._ended()
            changed |= self._step(ended)
            now, stale = time.monotonic(), stale or changed
            if ended or (stale and now - shown >= pause):
                stale = not self._show(ended)
                shown = time.monotonic()
                times, most = _PAUSE
                pause = max(self._every - (shown - now), min(times * (shown - now), most))
            if ended and not self._next_file():
                return
            if not changed and not ended:
                time.sleep(_LOOK)

    def _answer(self) -> bool:
        """Do what was asked for meanwhile; whether there was anything."""
        answered = False
        while True:
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                return answered
            answered = True
            try:
                request()
            except Exception as error:  # of what one user asked for: what the others see goes on
                self.refused = [*self.refused, str(error) or repr(error)]
                _logger.error(f"what was asked for could not be done, all else goes on: {error}")

    def _ended(self) -> bool:
        """Whether nothing more will come into the file that is followed."""
        if self.recorder is None:
            return self._stopped.is_set()
        files = self.recorder.files
        if len(files) > self._files:
            return files[self._files].state != "receiving"
        return self.recorder.finished

    def _step(self, ended: bool) -> bool:
        if self.recorder is not None and len(self.recorder.files) <= self._files:
            return False  # a file of that name may be there, of somebody else
        if self.error is not None:
            return False
        if self.recorder is not None and os.path.abspath(self.recorder.files[self._files].path) != self.path:
            # the first one, where somebody else has made a file of its name meanwhile
            with self._lock:
                self._answer()
                self._take_up(self.recorder.files[self._files].path)
        try:
            changed = self.following.update(ended)
        except Exception as error:  # of a damaged file, or of a mistake: recording has to go on after either
            self._fail(error)
            return False
        self._note_rates()
        return changed

    def _fail(self, error: Exception) -> None:
        self.error = error
        known = isinstance(error, (ValueError, RuntimeError, OSError))  # those of ours, and of the system
        _logger.error(f"{error}\n    Nothing more is drawn; the recording goes on.", exc_info=None if known else error)

    def _show(self, now: bool = True) -> bool:
        """Renew the views; whether all of them show what is there."""
        return all([view.renew(self.following, now) for view in self.views])

    def _note_rates(self) -> None:
        now, (then, before) = time.monotonic(), self._rate_from
        if now - then >= _RATE_OVER:
            hits = self.following.hits
            if then:
                # fewer than before, where the clock was reset: hits of the time before are excluded then
                new = {chip: max(n - before.get(chip, 0), 0) for chip, n in hits.items()}
                self.rates = {chip: n / (now - then) for chip, n in new.items()}
            self._rate_from = now, hits

    def _next_file(self) -> bool:
        """Go on with the next measurement; False where there will be none."""
        if self.recorder is None:
            return False
        while len(self.recorder.files) <= self._files + 1:
            if self.recorder.finished and len(self.recorder.files) <= self._files + 1:
                return False
            if self._answer():
                self._show()
            time.sleep(_LOOK)
        with self._lock:
            self._answer()  # of the last file: what is asked for from here on is of the next one
            self._files += 1
            self._take_up(self.recorder.files[self._files].path)
        return True

    def _take_up(self, path: str) -> None:
        """Follow a file from its beginning, with all that was asked for."""
        following = self._follow(path, **self._options)
        for mask in self._masks:
            following.add_detector(mask)
        for accumulator in self._plugged:
            getattr(accumulator, "clear", _nothing)()
            following.plug(accumulator)
        self.following, self.error = following, None
        self._rate_from, self.rates = (0.0, {}), {}

    @property
    def whole(self) -> bool:
        """Whether the last file ends where the sender ended, with a whole chunk, and has no damage that was seen."""
        ended = all(one.state == ENDED for one in self.recorded[self._files : self._files + 1])
        return ended and self.error is None and not self.following.cut


def _nothing() -> None:
    pass


def _no_pixels(sig_shape: tuple[int, int]) -> np.ndarray:
    """A virtual detector that sees nothing."""
    return np.zeros(sig_shape, bool)
