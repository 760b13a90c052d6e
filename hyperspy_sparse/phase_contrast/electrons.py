"""Random halves of the electrons, and what two pictures of them show of noise and resolution."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import normalize_token
from hyperspy.signals import Signal1D
from scipy.ndimage import gaussian_filter
from scipy.signal.windows import tukey

from hyperspy_sparse.arguments import need_signal
from hyperspy_sparse.phase_contrast.tilted import check_scan
from hyperspy_sparse.signals import finish_loading
from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask
from rsciio_tpx3.frames.source import FrameSource
from rsciio_tpx3.utils.compiled import njit
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.mixing import mixed
from rsciio_tpx3.utils.units import shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal


__all__ = ["HalfFrames", "error_map", "fourier_ring_correlation", "split_electrons"]


def split_electrons(signal: BaseSignal, seed: int = 0) -> tuple[BaseSignal, BaseSignal]:
    """Two signals, each electron in one of them by the toss of a coin.

    Both halves together are exactly the whole, and the noise of either is independent of the other's. What is
    computed from both, such as their phases, shows by its differences how far it is noise.

    Parameters
    ----------
    signal : one of the sparse signal classes
        Of counts. Where an electron is several hits, load it with ``cluster=True`` first: hits of one electron are
        no independent coins.
    seed : int
        Another one tosses anew. The same one gives the same halves, whatever the chunks and in every process.

    Returns
    -------
    two signals of the same class
        Lazy.

    Raises
    ------
    ValueError
        If the values are not unsigned counts, or the seed is not an integer from 0 to 2**63 - 1.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> one, other = hyperspy_sparse.split_electrons(s)
    >>> bool((one.data + other.data == s.data).all())
    True
    """
    check_scan(signal, "split_electrons")
    if signal.data.dtype.kind not in "bu":
        raise ValueError(
            f"split_electrons: values of type {signal.data.dtype} are not counts of electrons; expected "
            'unsigned integers. Use signal.change_dtype("uint32") where that is what they are.'
        )
    if not is_whole(seed, 0, 2**63 - 1):
        raise ValueError(f"seed={shown(seed)}: expected an integer from 0 to 2**63 - 1.")
    return _half(signal, int(seed), 0), _half(signal, int(seed), 1)


def _half(signal: BaseSignal, seed: int, which: int) -> BaseSignal:
    source = source_of(signal.data)
    if source is not None:
        data = to_dask(HalfFrames(source, seed, which), chunks=signal.data.chunks[:-2])
    else:
        n = signal.data.ndim - 2
        data = signal.data.rechunk({n: -1, n + 1: -1})
        shape = data.shape[:n]
        data = data.map_blocks(_half_of_chunk, seed, which, shape, dtype=data.dtype, meta=data._meta)
    new = signal._deepcopy_with_new_data(data)
    new.metadata.General.title = f"{signal.metadata.General.title} (half {which + 1})".lstrip()
    return finish_loading(new)


class HalfFrames(FrameSource):
    """A `FrameSource` with one half of the electrons of another.

    Parameters
    ----------
    source : FrameSource
        Of counts.
    seed, which : int
        Of the coins, and 0 or 1.
    """

    def __init__(self, source: FrameSource, seed: int, which: int) -> None:
        self.source, self.seed, self.which = source, seed, which
        self.nav_shape, self.sig_shape, self.dtype = source.nav_shape, source.sig_shape, source.dtype

    def __dask_tokenize__(self) -> Any:
        return "hyperspy_sparse.HalfFrames", self.seed, self.which, normalize_token(self.source)

    def row_events(self) -> np.ndarray | None:
        """At most as many entries as the whole has; see `FrameSource`."""
        return self.source.row_events()

    def frames(self, start: int, stop: int) -> CSRFrames:
        """Rows of the flat range ``start`` to ``stop``; see `FrameSource`."""
        return _drawn(self.source.frames(start, stop), np.arange(start, stop), self.seed, self.which)

    def shared_parts(self) -> tuple:
        """What all rows need; see `FrameSource`."""
        return self.source.shared_parts()

    def for_rows(self, start: int, stop: int) -> FrameSource:
        """The same for these rows alone; see `FrameSource`."""
        return HalfFrames(self.source.for_rows(start, stop), self.seed, self.which)


def _half_of_chunk(chunk: Any, seed: int, which: int, shape: tuple[int, ...], block_info: Any = None) -> CSRFrames:
    frames = as_frames(chunk)
    if not block_info:
        return frames
    spans = block_info[0]["array-location"][: len(shape)]
    rows = np.arange(int(np.prod(shape))).reshape(shape)[tuple(slice(*span) for span in spans)].ravel()
    flat = frames.reshape((len(rows), *frames.shape[-2:]))
    return _drawn(flat, rows, seed, which).reshape(frames.shape)


def _drawn(frames: CSRFrames, rows: np.ndarray, seed: int, which: int) -> CSRFrames:
    data = frames.data.view(np.uint8) if frames.data.dtype == np.bool_ else frames.data
    drawn = np.empty(len(data), data.dtype)
    indptr = np.zeros(len(rows) + 1, np.int64)
    _toss(data, frames.indices, frames.indptr, rows, np.uint64(seed), which, drawn, indptr)
    # Rows hold no zeros: a pixel whose electrons all went to the other half is not an entry.
    used = drawn > 0
    return CSRFrames._make(drawn[used].astype(frames.dtype), frames.indices[used], indptr, frames.shape)


_ONES = tuple(bin(byte).count("1") for byte in range(256))


@njit(nogil=True, cache=True)
def _toss(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    rows: np.ndarray,
    seed: np.uint64,
    which: int,
    drawn: np.ndarray,
    out_indptr: np.ndarray,
) -> None:
    """How many of the counts of each entry fall to one half: a coin for each, by position and pixel alone."""
    step = np.uint64(0x9E3779B97F4A7C15)
    start = mixed(seed + step)
    for row in range(rows.size):
        of_row = mixed(start + np.uint64(rows[row]) * step)
        n = 0
        for entry in range(indptr[row], indptr[row + 1]):
            # By position and pixel alone, so chunks and threads make no difference, and both halves add up.
            state = of_row + np.uint64(indices[entry]) * step
            left, heads = np.int64(data[entry]), 0
            while left > 0:
                state = mixed(state + step)
                # 64 coins at a time; of the last ones only as many as there are electrons.
                bits = state
                if left < 64:
                    bits &= (np.uint64(1) << np.uint64(left)) - np.uint64(1)
                while bits:
                    heads += _ONES[bits & np.uint64(255)]
                    bits >>= np.uint64(8)
                left -= 64
            count = heads if which == 0 else np.int64(data[entry]) - heads
            drawn[entry] = count
            n += count > 0
        out_indptr[row + 1] = out_indptr[row] + n


def fourier_ring_correlation(one: BaseSignal, other: BaseSignal) -> BaseSignal:
    """How much two pictures agree, by spatial frequency.

    Parameters
    ----------
    one, other : hyperspy.signals.Signal2D
        Pictures of the same size without navigation axes, such as the phases of two halves of the electrons.

    Returns
    -------
    hyperspy.signals.Signal1D
        Correlation from -1 to 1 over the frequency; its unit is the inverse of that of the pictures. 1 is signal, 0
        noise. For halves, the whole has an equal share of both where it is 1/3.

    Raises
    ------
    TypeError
        If one of them is not a signal.
    ValueError
        If the pictures differ in shape or have navigation axes.

    Notes
    -----
    Pictures fade to their mean at the borders, whose jumps are alike in both.

    References
    ----------
    .. [1] W. O. Saxton, W. Baumeister, J. Microsc. 127, 127 (1982).

    Examples
    --------
    >>> import hyperspy_sparse
    >>> halves = hyperspy_sparse.split_electrons(hyperspy_sparse.data.phase_object())
    >>> hyperspy_sparse.fourier_ring_correlation(*(hyperspy_sparse.phase(half) for half in halves))
    <Signal1D, title: Fourier ring correlation, dimensions: (|19)>
    """
    a, b = _pictures(one, other)
    window = np.multiply.outer(*(tukey(n, 0.25) for n in a.shape))
    a, b = (np.fft.fft2((picture - picture.mean()) * window) for picture in (a, b))
    axes = one.axes_manager.signal_axes[::-1]
    y, x = (np.fft.fftfreq(axis.size, abs(axis.scale)) for axis in axes)
    ring_width = max(y[1], x[1])
    ring = np.rint(np.hypot(y[:, None], x) / ring_width).astype(int).ravel()
    n = int(min(np.abs(y).max(), np.abs(x).max()) / ring_width) + 1
    sums = [
        np.bincount(ring, values.ravel(), n)[:n] for values in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    ]
    values = sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], 1e-300))
    unit = axes[1].units if isinstance(axes[1].units, str) else ""
    axis = {"name": "frequency", "size": n, "scale": ring_width, "offset": 0.0, "units": f"1/{unit}" if unit else ""}
    curve = Signal1D(values, axes=[{**axis, "navigate": False}])
    curve.metadata.General.title = "Fourier ring correlation"
    return curve


def error_map(one: BaseSignal, other: BaseSignal, width: float = 4.0) -> BaseSignal:
    """Standard deviation of a picture of all electrons, from those of two halves.

    Parameters
    ----------
    one, other : hyperspy.signals.Signal2D
        Pictures of the halves, each what the whole would be with half of the electrons.
    width : float
        Pixels over which the squared differences are averaged (standard deviation of a Gaussian).

    Returns
    -------
    hyperspy.signals.Signal2D
        In the unit of the pictures.

    Examples
    --------
    >>> import hyperspy_sparse
    >>> halves = hyperspy_sparse.split_electrons(hyperspy_sparse.data.phase_object())
    >>> hyperspy_sparse.error_map(*(hyperspy_sparse.phase(half) for half in halves))
    <Signal2D, title: Error of Phase (single side band), dimensions: (|44, 36)>
    """
    a, b = _pictures(one, other)
    if isinstance(width, bool) or not isinstance(width, (int, float, np.number)) or not 0 < width < np.inf:
        raise ValueError(f"width={shown(width)}: expected a positive number of pixels.")
    # half of the difference scatters as the mean of both does
    spread = np.sqrt(gaussian_filter((a - b) ** 2 / 4, float(width), mode="reflect"))
    result = one._deepcopy_with_new_data(spread)
    result.metadata.General.title = f"Error of {one.metadata.General.title}"
    return result


def _pictures(one: BaseSignal, other: BaseSignal) -> tuple[np.ndarray, np.ndarray]:
    for name, picture in (("one", one), ("other", other)):
        need_signal(picture, name)
        if len(picture.data.shape) != 2 or min(picture.data.shape) < 4:
            raise ValueError(f"{name}={shown(picture)}: expected a signal with a picture, such as `phase` gives it.")
    if one.data.shape != other.data.shape:
        raise ValueError(
            f"one and other have the shapes {one.data.shape} and {other.data.shape}: expected pictures of "
            "the same shape, halves of one scan; see split_electrons."
        )
    a, b = (np.asarray(signal.data, np.float64) for signal in (one, other))
    return a, b
