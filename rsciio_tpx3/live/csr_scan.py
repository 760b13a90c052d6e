"""A scan of LiberTEM's stream that is being received, as a raw_csr data set that can be loaded all the while."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.live.csr_stream import (
    AcquisitionEnd,
    AcquisitionStart,
    ArrayChunk,
    ScanEnd,
    ScanStart,
    received_frames,
)
from rsciio_tpx3.metadata.record import default_axes, make_record
from rsciio_tpx3.raw_csr.sink import RawCsrSink
from rsciio_tpx3.reader.signal import axis
from rsciio_tpx3.utils.files import PARTIAL, PartialFiles, made_new
from rsciio_tpx3.utils.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["ReceivedScan", "ReceivedScans"]

_logger = logging.getLogger(__name__)


class ReceivedScans:
    """The scans of a stream, each a data set of its own.

    Parameters
    ----------
    path_of : callable
        Gives the path of the TOML of the scan with this number.
    look : callable, optional
        Is given every chunk of frames, and the number of the first of them in its scan.
    begun : callable, optional
        Is given each `ReceivedScan` when its first frames have come.

    Attributes
    ----------
    scan : ReceivedScan or None
        The one that is being received.
    finished : list of str
    """

    def __init__(
        self,
        path_of: Callable[[int], Path],
        look: Callable[[CSRFrames, int], object] | None = None,
        begun: Callable[[ReceivedScan], object] | None = None,
    ) -> None:
        self._path_of, self._look, self._begun = path_of, look, begun
        self._start: AcquisitionStart | None = None
        self.scan: ReceivedScan | None = None
        self.finished: list[str] = []

    def take(self, header: object, content: object) -> None:
        """Take the next header of a stream and what belongs to it, as `read_stream` gives them."""
        if isinstance(header, AcquisitionStart):
            self.finish()  # a sender that began anew
            self._start = header
        elif isinstance(header, ScanStart):
            self.finish()
            assert self._start is not None and isinstance(content, dict)
            self.scan = ReceivedScan(self._path_of(len(self.finished)), self._start, content)
        elif isinstance(header, ArrayChunk) and self.scan is not None:
            assert self._start is not None and isinstance(content, bytes)
            frames = received_frames(header, content, self._start)
            if self._look is not None:
                self._look(frames, self.scan.n_rows)
            first = self.scan.n_rows == 0
            self.scan.append(frames)
            if first and self._begun is not None:
                self._begun(self.scan)
        elif isinstance(header, (ScanEnd, AcquisitionEnd)):
            self.finish()

    def finish(self) -> None:
        """Finish the running scan, if there is one."""
        scan, self.scan = self.scan, None
        if scan is not None:
            scan.finish()
            if scan.n_rows == 0 and self._begun is not None:
                self._begun(scan)
            self.finished.append(str(scan.path))


class ReceivedScan:
    """One scan.

    Parameters
    ----------
    path : Path
        Of the TOML. It is written with the first frames, and says that the data set is unfinished until it is.
    start : AcquisitionStart
    metadata : dict
        Of the sender.

    Attributes
    ----------
    n_rows, n_bytes : int
        Written so far.
    """

    def __init__(self, path: Path, start: AcquisitionStart, metadata: dict) -> None:
        self.path, self._start, self._metadata = path, start, metadata
        self.n_rows = self.n_bytes = 0
        self._sink: RawCsrSink | None = None
        self._files: _Files | None = None
        self._value_type = np.dtype(np.uint32)

    @property
    def _most(self) -> int:
        return self._start.nav_y * self._start.nav_x

    def append(self, frames: CSRFrames) -> None:
        """Take the next frames; those beyond the scan are excluded."""
        if self._sink is None:
            self._sink = self._begin(frames.dtype)
        n = min(len(frames), self._most - self.n_rows)
        if n < len(frames):
            _logger.warning(
                f"{counted(len(frames) - n, 'frame')} beyond the scan of {self._most:,} positions: excluded."
            )
            frames = frames[:n]
        if n:
            wider = frames.dtype.itemsize > self._value_type.itemsize
            if wider and frames.data.max(initial=0) > np.iinfo(self._value_type).max:
                raise ValueError(f"values do not fit the type of the first chunk, {self._value_type}.")
            arrays = self._sink.prepare(frames)
            self._sink.append(arrays)
            self.n_rows += n
            self.n_bytes += sum(array.nbytes for array in arrays)

    def _begin(self, dtype: np.dtype) -> RawCsrSink:
        self._value_type = np.dtype(dtype)
        self._files = _Files(str(self.path))
        sink = RawCsrSink(self._files, (self._start.sig_y, self._start.sig_x), self._value_type, True)
        sink.describe(*self._about)
        self._files.commit()
        return sink

    @property
    def _about(self) -> tuple[dict, str]:
        """Parameters and record of the TOML."""
        start = self._start
        nav, sig = (start.nav_y, start.nav_x), (start.sig_y, start.sig_x)
        axes = [*default_axes(nav), *(axis(name, size, False, units="px") for name, size in zip(("ky", "kx"), sig))]
        signal = {
            "data": np.empty(0, self._value_type),
            "axes": axes,
            "metadata": {"General": {"title": self.path.stem}},
            "original_metadata": {"csr_stream": {"metadata": self._metadata, "sequence": start.sequence}},
        }
        params = {
            "filetype": "raw_csr",
            "nav_shape": list(nav),
            "sig_shape": list(sig),
            "values_role": "itot" if start.format == 1 else "count",
        }
        return params, make_record(signal)

    def finish(self) -> None:
        """Write what did not come as empty frames, and the TOML with its checksums."""
        missing = self._most - self.n_rows
        if self._sink is None:
            self._sink = self._begin(self._value_type)
        if missing:
            _logger.warning(
                f"{self.path.name!r}: {self.n_rows:,} of {self._most:,} positions came; the others are empty."
            )
            empty = np.empty(0, self._sink.dtypes["data"]), np.empty(0, self._sink.dtypes["indices"])
            self._sink.append((*empty, np.zeros(missing, np.int64)))
        self._sink.finish(*self._about)
        if self._files is not None:
            self._files.commit()


class _Files(PartialFiles):
    """Arrays under their own names from the beginning, since others read them while they grow; and their TOML."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._arrays: list[str] = []
        self._requested = 0

    def path(self, final: str | os.PathLike | None = None) -> str:
        """Where to write the next array, or the TOML."""
        if final is None:
            return self.target + PARTIAL
        self._requested += 1
        return self._arrays[self._requested - 1]

    def reserve(self, names: Iterable[list[str]]) -> None:
        """Take names of arrays that nobody has, before any is written."""
        self._arrays = next(wanted for wanted in names if made_new(wanted))

    def claim(self, names: Iterable[list[str]]) -> list[str]:
        """The names of the arrays."""
        return self._arrays

    def commit(self) -> None:
        """Give the TOML its name."""
        os.replace(self.target + PARTIAL, self.target)
