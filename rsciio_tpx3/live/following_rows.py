"""Follow a raw_csr data set while it is recorded: the pictures of `Following`, of frames that were counted already."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.csr.canonical import canonical_frames
from rsciio_tpx3.exceptions import FormatError, ScanSyncError
from rsciio_tpx3.live.followed_images import FollowedImages
from rsciio_tpx3.live.line_rows import LineRows, Plugged
from rsciio_tpx3.live.sums import Sums
from rsciio_tpx3.raw_csr.description import read_description, whole_rows
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.files import FileStamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from rsciio_tpx3.csr.csr_frames import CSRFrames
    from rsciio_tpx3.live.followed_images import Mask
    from rsciio_tpx3.live.line_rows import RowAccumulator
    from rsciio_tpx3.raw_csr.description import Description

__all__ = ["FollowingRows"]

_PIECE = 1 << 22  # entries that are looked at together


class FollowingRows(FollowedImages):
    """Sums of a raw_csr data set that is still being written; `update` takes what has come since.

    Parameters
    ----------
    path : str or Path
        The TOML; it may not be there yet.
    navigation_shape : tuple of int, optional
        Scan positions (x, y) that are expected; the data set has its own.

    Attributes
    ----------
    rows : int
        Positions that have come.
    finished : bool

    Raises
    ------
    ValueError
        For other options: frames of a stream have their positions.

    Examples
    --------
    >>> from rsciio_tpx3.live.following_rows import FollowingRows
    >>> following = FollowingRows("scan.toml")  # doctest: +SKIP
    >>> following.update()  # doctest: +SKIP
    True
    """

    def __init__(
        self, path: str | os.PathLike, *, navigation_shape: tuple[int, int] | None = None, **options: Any
    ) -> None:
        if options:
            raise ValueError(
                f"{min(options)!r} has no meaning for a stream of frames, which have their positions and their "
                "detector already: leave it out."
            )
        self.path = os.path.abspath(path)
        self._expected = None if navigation_shape is None else tuple(int(n) for n in navigation_shape[::-1])
        self.sums: RowSums | None = None
        self.scan, self.reason, self.late_hits, self.withdrawn = None, "nothing has come yet", 0, 0
        self.rows, self.finished = 0, False
        self._entries = 0
        self._about: Description | None = None
        self._stamp: FileStamp | None = None
        self._shape: tuple[int, int] = (0, 0)
        self._masks: list[Mask] = []
        self._unfit: dict[int, str] = {}
        self._plugged: list[_Plugged] = []

    # -- going on --------------------------------------------------------------------------------------

    def update(self, ended: bool = False) -> bool:
        """Take what has come since; whether anything changed.

        Raises
        ------
        FormatError
            If the data set is damaged.
        ValueError
            If the scan has another shape than was expected.
        """
        if self.finished or not os.path.exists(self.path):
            return False
        about = self._description()
        stamps = whole_rows(about.stamps, about.dtypes)
        n_rows = max(stamps["indptr"].size // about.dtypes["indptr"].itemsize - 1, 0)
        n = self._known.n_positions
        if n_rows > n:
            raise FormatError(
                f"{self.path!r}: indptr describes {n_rows} frames, but nav_shape {self._shape} has {n} positions. "
                "Another data set was written into its files: record to a name of its own."
            )
        changed = n_rows > self.rows or ended
        self._go_through(self.rows, n_rows, self._known.add_rows)
        self.rows, self.reason = n_rows, "" if n_rows else self.reason
        self._hand_out(ended)
        self.finished = ended
        return changed

    def _description(self) -> Description:
        stamp = FileStamp.of(self.path)
        if self._about is None or stamp != self._stamp:
            self._about, self._stamp = read_description(self.path), stamp
            self._check(self._about)
        return self._about

    def _check(self, about: Description) -> None:
        shape, sig_shape = about.nav_shape, about.sig_shape
        if shape is None or sig_shape is None or len(shape) != 2:
            raise FormatError(f"{self.path!r}: nav_shape {shape} and sig_shape {sig_shape}: expected a scan (y, x).")
        if self._expected not in (None, shape):
            raise ValueError(
                f"the stream has a scan of {shape[1]} x {shape[0]} positions, but navigation_shape="
                f"{self._expected[::-1]} was given. Pass navigation_shape={shape[::-1]}."
            )
        if self.sums is None:
            self._shape = shape[0], shape[1]
            self.sums = RowSums((sig_shape[0], sig_shape[1]), shape[0] * shape[1])
            self._fit_detectors(self.sums)

    def _go_through(
        self, first: int, last: int, take: Callable[[np.ndarray, np.ndarray, np.ndarray, int], None]
    ) -> None:
        """Give values, pixels and ends of some rows, in pieces."""
        while first < last:
            ends = self._read("indptr", first, min(last, first + _PIECE) + 1).astype(np.int64)
            n = max(int(np.searchsorted(ends, ends[0] + _PIECE, "right")) - 1, 1)
            ends = ends[: n + 1]
            if (np.diff(ends) < 0).any():
                raise FormatError(f"{self.path!r}: indptr decreases between the frames {first} and {first + n}.")
            data, indices = (self._read(part, ends[0], ends[-1]) for part in ("data", "indices"))
            take(data, indices, ends - ends[0], first)
            first += n

    def _read(self, part: str, first: int, last: int) -> np.ndarray:
        assert self._about is not None
        dtype = self._about.dtypes[part]
        with open(self._about.stamps[part].path, "rb", buffering=0) as file:
            found = np.fromfile(file, dtype, int(last - first), offset=int(first) * dtype.itemsize)
        if len(found) < last - first:
            raise FormatError(f"{self._about.stamps[part].name!r} is shorter than it was: it was replaced or cut.")
        return found

    # -- virtual detectors and accumulators ------------------------------------------------------------

    def _draw_detector(self, number: int) -> None:
        if self.sums is not None:
            self._go_through(0, self.rows, partial(self.sums.add_rows, only=number))

    def plug(self, accumulator: RowAccumulator) -> None:
        """Hand the rows of every line to an accumulator; see `Following.plug`."""
        self._plugged.append(_Plugged(accumulator))
        if self.rows:
            self._hand_out(self.finished)

    def unplug(self, accumulator: RowAccumulator) -> None:
        """Hand no more lines to it."""
        self._plugged = [one for one in self._plugged if one.accumulator is not accumulator]

    def _hand_out(self, ended: bool) -> None:
        for one in self._plugged:
            with one.guarded():
                while one.rows < self.rows and not one.failed:
                    start = one.rows
                    one.rows = min(start - start % self._shape[1] + self._shape[1], self.rows)
                    read = partial(self._frames, start, one.rows)
                    one.accumulator.add(LineRows(start, one.rows, (1, *self._shape), read))
                if ended and not one.failed:
                    one.end()

    def _frames(self, start: int, stop: int) -> CSRFrames:
        assert self._about is not None and self.sig_shape is not None
        ends = self._read("indptr", start, stop + 1).astype(np.int64)
        data, indices = (self._read(part, ends[0], ends[-1]) for part in ("data", "indices"))
        return canonical_frames(data, indices, ends - ends[0], self.sig_shape, data.dtype, repr(self.path), start)

    # -- what can be seen ------------------------------------------------------------------------------

    @property
    def sig_shape(self) -> tuple[int, int] | None:
        sums = self.sums
        return None if sums is None else sums.sig_shape

    @property
    def nav_shape(self) -> tuple[int, ...] | None:
        return None if self.sums is None else (1, *self._shape)

    @property
    def frame(self) -> int:
        return 0

    @property
    def _known(self) -> RowSums:
        if self.sums is None:
            raise ScanSyncError(f"There is nothing to show yet: {self.reason}.")
        return self.sums

    def _positions_until(self, until: int, first: int = 0, n: int | None = None) -> np.ndarray:
        return first + np.arange(self._known.n_positions - first if n is None else n) < self.rows

    @property
    def drawn_until(self) -> int:
        return self.rows

    @property
    def final(self) -> np.ndarray:
        return self._positions_until(self.rows).reshape(self.nav_shape)

    @property
    def lines_drawn(self) -> int:
        """Lines of which all positions have come."""
        return self.rows // self._shape[1] if self.rows else 0

    @property
    def lines_final(self) -> int:
        return self.lines_drawn

    @property
    def cut(self) -> bool:
        return False

    @property
    def losses(self) -> dict:
        """Positions that did not come, once the stream has ended."""
        return {}

    @property
    def hits(self) -> dict[int, int]:
        """Counts so far, as of one chip."""
        sums = self.sums
        return {} if sums is None else {0: sums.placed}

    @property
    def disorder(self) -> dict[int, float]:
        return {}

    @property
    def notes(self) -> list[str]:
        return self._reasons() + [one.note for one in self._plugged if one.note]


class _Plugged(Plugged):
    """An accumulator, and how many rows it was handed."""

    rows = 0


class RowSums(Sums):
    """`Sums` of frames."""

    def add_rows(
        self, data: np.ndarray, indices: np.ndarray, ends: np.ndarray, first: int, only: int | None = None
    ) -> None:
        """Add frames.

        Parameters
        ----------
        data, indices, ends : numpy.ndarray
            Values, pixels, and where each frame begins and ends in them.
        first : int
            Position of the first one.
        only : int, optional
            Add to this virtual detector alone.
        """
        n_pixels = self.sig_shape[0] * self.sig_shape[1]
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n_pixels:
            raise FormatError(f"an entry lies outside of the detector of {n_pixels} pixels.")
        add_frames(
            data, indices, ends, self._table[first : first + len(ends) - 1], self.labels, self._pattern,
            self.sig_shape[1], -1 if only is None else only,
        )  # fmt: skip


@njit(nogil=True, cache=True)
def add_frames(
    data: np.ndarray,
    indices: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    labels: np.ndarray,
    pattern: np.ndarray,
    width: int,
    only: int,
) -> None:
    """Add frames to the columns of `Sums`: counts, sums of rows and columns, detectors; `only` one, or all (-1)."""
    n_detectors = table.shape[1] - 3
    for row in range(len(ends) - 1):
        counts = sum_y = sum_x = np.int64(0)
        own = table[row]
        for i in range(ends[row], ends[row + 1]):
            value, pixel = np.int64(data[i]), np.int64(indices[i])
            if only < 0:
                y = pixel // width
                counts += value
                sum_y += value * y
                sum_x += value * (pixel - y * width)
                pattern[pixel] += value
            label = np.int64(labels[pixel])
            for d in range(n_detectors):
                if only in (-1, d):
                    own[3 + d] += value * ((label >> d) & 1)
        if only < 0:
            own[0] += counts
            own[1] += sum_y
            own[2] += sum_x
