"""Rigid drift between the frames of a repeated scan, found from virtual images."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as moved
from skimage.registration import phase_cross_correlation

from hyperspy_sparse.arguments import need_signal
from hyperspy_sparse.deferred import read_recording
from hyperspy_sparse.plots import new_axes
from hyperspy_sparse.twins import has_sparse_chunks
from hyperspy_sparse.virtual_detectors import mask_of, masked_sums
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.scan.line_profiles import half_mask
from rsciio_tpx3.utils.integers import is_whole
from rsciio_tpx3.utils.units import is_time, shown

if TYPE_CHECKING:
    from hyperspy.signal import BaseSignal
    from matplotlib.axes import Axes


__all__ = ["Drift", "REFERENCES", "find_drift"]

_logger = logging.getLogger(__name__)

REFERENCES = ("mean", "first", "previous")
_PLACES = {"x": 0, "y": 1, "frame": 2}  # of the axes as the readers call them
_SUBSETS = 4  # parts of the detector whose images are independent
_BLOCK = 4  # pixels: an electron lights up fewer, so that it belongs to one part


@dataclass(frozen=True)
class Drift:
    """Where the pictures of the frames of a repeated scan lie.

    .. versionchanged:: 0.2
        The shifts have the opposite sign: that of HyperSpy. Before, they were what had to be added.

    Attributes
    ----------
    shifts, errors : numpy.ndarray of float, shape (frames, 2)
        In scan positions as ``(y, x)``, with the sign of HyperSpy's `estimate_shift2D`: how far the
        picture of a frame lies from the reference, down and right. `align_frames` and HyperSpy's
        `align2D` take them away. Errors are one standard deviation, from the scatter among four
        independent parts of the detector and the step of the search.
    reference : str
        One of `REFERENCES`.
    """

    shifts: np.ndarray
    errors: np.ndarray
    reference: str = "given"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the shifts over the frames.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional

        Returns
        -------
        matplotlib.axes.Axes
        """
        ax = new_axes() if ax is None else ax
        frames = np.arange(len(self.shifts))
        for i, name in ((1, "x"), (0, "y")):
            ax.errorbar(frames, self.shifts[:, i], self.errors[:, i], fmt=".-", label=name, capsize=2, linewidth=0.8)
        ax.set(xlabel="frame", ylabel="shift / positions")
        ax.legend()
        return ax


_FINEST = 1000  # the search in fractions of a position takes (1.5 of these)^2 numbers, and finds no more than noise


def find_drift(
    signal: BaseSignal, detector: Any = None, reference: str = "mean", upsample_factor: int = 20, smoothing: float = 1.0
) -> Drift:
    """Find the drift between the frames of a repeated scan.

    A virtual image of each frame is compared with a reference by cross-correlation
    (`skimage.registration.phase_cross_correlation`), cut to the field that both show. The shifts have
    the sign of HyperSpy's `estimate_shift2D`, so that either may be used for the other.

    Parameters
    ----------
    signal : one of the sparse signal classes
        With navigation axes ``(x, y, frame)``.
    detector : HyperSpy ROI or array of bool, optional
        The virtual detector, one with contrast. By default the pixels beyond the radius that holds
        half of the counts of the first frame: a dark field.
    reference : {"mean", "first", "previous"}
        What a frame is compared with: the mean of all others, aligned (zero is then the mean
        place); the first frame; or the frame before, shifts being added up. The mean has the
        least noise; the frame before is for specimens that change, and its errors add up too.
    upsample_factor : int
        Shifts are found to a fraction of a position of this size.
    smoothing : float
        Standard deviation, in positions, of the Gaussian that the images are smoothed with before they
        are compared; the noise of few counts is finer than a specimen. 0 for none.

    Returns
    -------
    Drift

    Raises
    ------
    ValueError
        If there is no frame axis, axes are in another order, or a frame is too small to be compared.

    Notes
    -----
    The data are read once. In memory are four numbers for each position of each frame.

    References
    ----------
    .. [1] M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Opt. Lett. 33, 156 (2008).

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, hyperspy.api as hs, hyperspy_sparse
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> view = np.array([(0, 0), (1, -2), (2, -3)])  # where each frame looks; pictures move the other way
    >>> truth = simulate.recording(file, (40, 48), n_frames=3, drift=view, layout="single",
    ...                            frame_flyback="1 ms", dwell_time="5 us", electrons_per_position=60)
    >>> s = hs.load(file, navigation_shape=(48, 40, 3))
    >>> drift = hyperspy_sparse.find_drift(s, reference="first")
    >>> bool((abs(drift.shifts + view) <= 4 * drift.errors).all())
    True
    """
    check_frames(signal)
    if not isinstance(reference, str) or reference not in REFERENCES:
        raise ValueError(
            f"reference={shown(reference)} is not valid: must be one of {', '.join(map(repr, REFERENCES))}."
        )
    if not is_whole(upsample_factor, 1, _FINEST):
        raise ValueError(f"upsample_factor={shown(upsample_factor)}: expected an integer from 1 to {_FINEST}.")
    upsample_factor = int(upsample_factor)
    number = isinstance(smoothing, (float, np.floating)) or is_whole(smoothing)
    if not number or not 0 <= smoothing <= max(signal.axes_manager.navigation_shape[:2]):
        raise ValueError(f"smoothing={shown(smoothing)}: expected a number of positions from 0 to the frame's size.")
    (x, nx), (y, ny) = ((axis.name, axis.size) for axis in signal.axes_manager.navigation_axes[:2])
    if min(ny, nx) < 8:
        raise ValueError(
            f"Frames of {nx} x {ny} positions ({x}, {y}) are too small to find a shift: expected at least 8 "
            "along each axis."
        )
    mask = _dark_field(signal) if detector is None else mask_of(signal, detector)[0]
    # Blocks of the detector go to the subsets in turn, so that each sees all directions; their shifts scatter by
    # shot noise alone.
    parts = np.add.outer(np.arange(mask.shape[0]) // _BLOCK * 2, np.arange(mask.shape[1]) // _BLOCK) % _SUBSETS
    kind = np.uint32 if signal.data.dtype.kind in "bu" else np.float64
    images = masked_sums(signal.data, [mask & (parts == i) for i in range(_SUBSETS)], kind)
    images = np.moveaxis(images.compute(), -1, 0)
    whole = images.sum(axis=0, dtype=np.float64)
    if not whole.any(axis=(1, 2)).all():
        empty = int(np.argmin(whole.any(axis=(1, 2))))
        raise ValueError(f"Frame {empty} has no counts under the detector: choose another one, or other frames.")
    register = partial(_REGISTER[reference], shift_of=partial(_shift, upsample=upsample_factor, smoothing=smoothing))
    shifts = register(whole)
    # The scatter of the subsets is the error of one of them; their sum has all of the electrons.
    separate = np.stack([register(part.astype(np.float64), guess=shifts) for part in images])
    variance = separate.var(axis=0, ddof=1) / _SUBSETS
    if reference != "previous":
        # four values say little of one frame: half of the weight is that of all
        variance = (variance + variance.mean(axis=0)) / 2
    # Shifts lie on a grid of 1 / upsample_factor: an even distribution over a step has a twelfth of its square.
    errors = np.sqrt(variance + 1 / (12 * upsample_factor**2))
    if reference != "mean":
        errors[0] = 0.0  # zero by definition
    _warn(errors)
    # the search works with what has to be added; 0 - x, since -x makes -0.0 of the reference
    return Drift(0.0 - shifts, errors, reference)


def check_frames(signal: BaseSignal) -> None:
    """Refuse signals that are not a repeated scan of sparse frames."""
    need_signal(signal)
    if not has_sparse_chunks(signal):
        raise ValueError(f"{signal} has no sparse frames; hyperspy_sparse.to_sparse(signal) makes them.")
    read_recording(signal)
    axes = signal.axes_manager.navigation_axes
    if len(axes) != 3:
        raise ValueError(
            f"{signal} has navigation axes {tuple(axis.size for axis in axes)}; a repeated scan has (x, y, frame). "
            "Load it with all its frames, without time_bins."
        )
    names = [str(axis.name) for axis in axes]
    if any(_PLACES.get(name, place) != place for place, name in enumerate(names)):
        others = [name for name in names if name not in _PLACES]
        wanted = [name if name in names else others.pop(0) for name in _PLACES]
        raise ValueError(
            f"The navigation axes of {signal} are {names}; frames are looked for along the last one. Bring them "
            f"in order first: s.transpose(navigation_axes={wanted})."
        )
    _refuse_time(signal, axes[2])


def _refuse_time(signal: BaseSignal, axis: Any) -> None:
    """Time bins have the shape of frames, but each is a part of one scan."""
    name = str(axis.name)
    scan = getattr(source_of(signal.data), "scan", None)
    if scan is not None:  # the recording knows, whatever the axis is called
        found, otherwise = scan.time_axis is not None, ""
    else:
        found = name != "frame" and (name.lower().startswith("time") or is_time(axis.units))
        otherwise = " If these are frames, call the axis 'frame'."
    if found:
        raise ValueError(
            f"The third navigation axis of {signal}, {name!r}, is a time: time bins of one scan are not a repeated "
            f"scan. Load it with all its frames, without time_bins.{otherwise}"
        )


def _dark_field(signal: BaseSignal) -> np.ndarray:
    pattern = np.asarray(signal.data[0].sum(axis=(0, 1)).compute(), dtype=np.float64)
    mask = half_mask(pattern)
    return mask if mask.any() else np.ones(pattern.shape, bool)


def _warn(errors: np.ndarray) -> None:
    uncertain = np.flatnonzero((errors > 0.5).any(axis=1))
    if len(uncertain):
        named = ", ".join(map(str, uncertain[:8])) + (", ..." if len(uncertain) > 8 else "")
        _logger.warning(
            f"The shift of {len(uncertain)} of {len(errors)} frames is uncertain by more than half a position (frames "
            f"{named}). A detector with more contrast, or frames=... without them, may help."
        )


def _to_first(images: np.ndarray, shift_of: Callable, guess: np.ndarray | None = None) -> np.ndarray:
    first = images[0]
    guess = np.zeros((len(images), 2)) if guess is None else guess - guess[0]
    rest = [shift_of(first, image, near) for image, near in zip(images[1:], guess[1:])]
    return np.array([[0.0, 0.0], *rest])


def _to_previous(images: np.ndarray, shift_of: Callable, guess: np.ndarray | None = None) -> np.ndarray:
    steps = np.zeros((len(images), 2)) if guess is None else np.diff(guess, axis=0, prepend=guess[:1])
    found = [shift_of(a, b, near) for a, b, near in zip(images[:-1], images[1:], steps[1:])]
    return np.cumsum([[0.0, 0.0], *found], axis=0)


def _to_mean(images: np.ndarray, shift_of: Callable, guess: np.ndarray | None = None) -> np.ndarray:
    shifts = _to_first(images, shift_of) if guess is None else guess
    for _ in range(2 if guess is None else 1):
        # The mean of all frames stays where it is, else the reference would wander with every round.
        shifts = shifts - shifts.mean(axis=0)
        total, seen = _added(images, shifts)
        new = []
        for image, shift in zip(images, shifts):
            # without the frame itself, whose noise would hold it where it is
            own, own_seen = _moved(image, shift)
            others = (total - own) / np.maximum(seen - own_seen, 1e-9)
            others = np.where(seen - own_seen > 0.5, others, image.mean())
            new.append(shift_of(others, image, shift))
        shifts = np.array(new)
    return shifts - shifts.mean(axis=0)


_REGISTER = {"first": _to_first, "previous": _to_previous, "mean": _to_mean}


def _added(images: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All images at their places, and how much of an image lies at each position."""
    total, seen = 0.0, 0.0
    for image, shift in zip(images, shifts):
        moved, there = _moved(image, shift)
        total, seen = total + moved, seen + there
    return total, seen


def _moved(image: np.ndarray, shift: np.ndarray) -> tuple:
    return moved(image, shift, order=1, cval=0.0), moved(np.ones_like(image), shift, order=1, cval=0.0)


def _shift(reference: np.ndarray, moving: np.ndarray, near: np.ndarray, upsample: int, smoothing: float) -> np.ndarray:
    """What to add to positions in `moving` to find them in `reference`; `near` is where to begin."""
    shape, shift = np.array(reference.shape), np.asarray(near, float)
    for _ in range(4):
        whole = np.rint(shift).astype(int)
        if (np.abs(whole) > 0.75 * shape).any():
            return shift  # hardly anything left to compare
        # The part that both show, at the whole shift found so far: beyond it there is nothing to compare.
        a = reference[tuple(slice(max(w, 0), n + min(w, 0)) for w, n in zip(whole, shape))]
        b = moving[tuple(slice(max(-w, 0), n - max(w, 0)) for w, n in zip(whole, shape))]
        a, b = (gaussian_filter(_windowed(image), smoothing) for image in (a, b))
        rest = phase_cross_correlation(a, b, upsample_factor=upsample, normalization=None)[0]
        shift = whole + rest
        if (np.rint(shift) == whole).all():
            break
    return shift


def _windowed(image: np.ndarray) -> np.ndarray:
    """Without its mean, and fading at the borders, which would else look like a common feature."""
    image = image - image.mean()
    for axis, n in enumerate(image.shape):
        # a flat top: what counts are the borders, not the middle
        edge = np.clip(np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / (0.15 * n), 0, 1)
        image = image * np.expand_dims(np.sin(0.5 * np.pi * edge) ** 2, 1 - axis)
    return image
