"""From tilted images to the phase: every direct method as weights of (object frequency, group).

Let ``G(Q, k)`` be the Fourier series of the image of group k over the positions r, ``sum_r n(r, k) exp(-2 pi i Q.r)``,
divided by the number of positions and of electrons per position. A probe ``P(k) = A(k) exp(-i chi(k))`` that scans a
weak phase object, ``exp(i phi) = 1 + i phi``, gives

    G(Q, k) = i Phi(Q) gamma(k, Q) f(k),   gamma(k, Q) = P(k - Q) P*(k) - P*(k + Q) P(k)

for Q other than 0, with f the share of the electrons that group k has. All methods but the Wigner distribution
deconvolution are ``Phi(Q) = sum_k W(Q, k) G(Q, k)`` with

    single side band       -i gamma* / |gamma|
    optimum bright field   -i gamma* / sqrt(sum_k f |gamma|^2)
    least squares          -i gamma* / (sum_k f |gamma|^2 + eps)
    parallax               exp(-i grad chi(k).Q) sign(sin chi(Q))
    integrated centre of mass   -i k.Q / |Q|^2

The Wigner distribution deconvolution needs no weak object: for each Q the dependence on k is divided by that of the
aperture overlaps in Fourier space, and the term that is the object's spectrum times its mean is used.
``docs/guide/phase.md`` has it in pictures and words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from hyperspy_sparse.phase_contrast import loops
from rsciio_tpx3.utils.threads import spread, thread_count

if TYPE_CHECKING:
    from hyperspy_sparse.phase_contrast.groups import Groups
    from hyperspy_sparse.phase_contrast.optics import Optics


__all__ = [
    "METHODS",
    "Frequencies",
    "gathered_spectra",
    "noise_of_images",
    "normalised_spectra",
    "phase_of_images",
    "workspace",
]

METHODS = ("ssb", "obf", "ls", "wdd", "parallax", "icom")

_BATCH = 16  # images that are transformed together, and more of small ones
_BATCH_PIXELS = 2**20
_FOR_THREADS = 10**6  # weights below which threads take longer to start than the work
_WDD_BYTES = 128 * 2**20  # spectra of all groups that are held at a time
_LEAST_EPS, _MOST_EPS = 1e-4, 10.0
_ENOUGH = 100  # frequencies whose mean power is known to 10 %


@dataclass(frozen=True)
class Frequencies:
    """The half plane of frequencies of a picture, perhaps finer than the scan.

    Attributes
    ----------
    shape : (int, int)
        Of the picture, in pixels.
    y, x : numpy.ndarray of float64, shape (n,)
        As angles (wavelength times frequency) in rad.
    place : numpy.ndarray of int64, shape (n,)
        Of each in the half plane of the picture, flat.
    source : numpy.ndarray of int64, shape (n,)
        Of each in the half plane of the scan, flat: beyond the scan's own the spectrum repeats.
    mirrored : numpy.ndarray of bool, shape (n,)
        Whether the source holds the complex conjugate.
    """

    shape: tuple[int, int]
    y: np.ndarray
    x: np.ndarray
    place: np.ndarray
    source: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    @classmethod
    def of(cls, scan_shape: tuple[int, int], optics: Optics, upsampling: int, limit: float) -> Frequencies:
        """All up to `limit` (rad) for a scan, but zero and its repetitions."""
        ny, nx = scan_shape
        shape = ny * upsampling, nx * upsampling
        wide = shape[1] // 2 + 1
        rows, columns = (axis.ravel() for axis in np.mgrid[: shape[0], :wide])
        y, x = (
            optics.wavelength * axis / (n * step)
            for axis, n, step in zip((np.where(rows > (shape[0] - 1) // 2, rows - shape[0], rows), columns),
                                     (ny, nx), optics.scan_step)
        )  # fmt: skip
        # the mean of an image says nothing, neither at zero nor where the spectrum repeats
        use = (np.hypot(y, x) <= limit) & ((rows % ny > 0) | (columns % nx > 0))
        rows, columns, y, x = rows[use], columns[use], y[use], x[use]
        there, along = rows % ny, columns % nx
        # rfft2 has half of the columns: the others are the complex conjugates of the opposite frequencies.
        mirrored = along > nx // 2
        there, along = np.where(mirrored, -there % ny, there), np.where(mirrored, nx - along, along)
        return cls(shape, y, x, rows * wide + columns, there * (nx // 2 + 1) + along, mirrored)

    def picture(self, values: np.ndarray) -> np.ndarray:
        """The real picture of these coefficients of its Fourier series."""
        ny, nx = self.shape
        plane = np.zeros(ny * (nx // 2 + 1), np.complex128)
        plane[self.place] = values
        plane = plane.reshape(ny, -1)
        return scipy.fft.irfft2(plane, self.shape, workers=thread_count()) * (ny * nx)


@dataclass(frozen=True)
class Spectrum:
    """What the images of a scan say of one weighting: the sums over groups, and the power of the weights."""

    sums: np.ndarray
    power: np.ndarray


def normalised_spectra(images: np.ndarray, electrons: float) -> Iterator[tuple[int, np.ndarray]]:
    """Half planes of the Fourier series of some images at a time, shape (images, pixels of a half plane).

    Yields the number of the first image, and complex64.
    """
    n = images.shape[1] * images.shape[2]
    # Small images by the dozen, since a call takes longer than their transform.
    together = max(_BATCH, _BATCH_PIXELS // n)
    for first in range(0, len(images), together):
        batch = images[first : first + together].astype(np.float32)
        spectra = scipy.fft.rfft2(batch, workers=thread_count() if batch.size > _BATCH_PIXELS else 1)
        # Coefficients of a Fourier series, in electrons per position: the same whatever the size of the scan.
        spectra *= np.float32(1 / (n * electrons))
        yield first, spectra.reshape(len(batch), -1)


def phase_of_images(
    images: np.ndarray, groups: Groups, optics: Optics, method: str, upsampling: int = 1, eps: float | None = None
) -> tuple[np.ndarray, dict]:
    """Phase of a stack of tilted images.

    Parameters
    ----------
    images : numpy.ndarray, shape (groups, ny, nx)
    groups : Groups
    optics : Optics
    method : str
        One of `METHODS`.
    upsampling : int
        Pixels of the result in a scan step.
    eps : float, optional
        Regularisation of "ls" and "wdd": noise power over signal power; from the images where omitted.

    Returns
    -------
    phase : numpy.ndarray of float64, shape (ny * upsampling, nx * upsampling)
        rad; its mean is 0.
    used : dict
        `electrons` per position in the disk, and `eps` where it was used.
    """
    totals = images.reshape(len(images), -1).sum(axis=1, dtype=np.float64)
    electrons = totals.sum() / images[0].size
    if not electrons > 0:
        raise ValueError("there are no counts in the bright-field disk; check center and radius.")
    fraction = totals / totals.sum()
    view = _View.of(groups, optics, fraction)
    used: dict = {"electrons": float(electrons)}
    # beyond twice the aperture there is nothing but noise; two methods have no aperture in their weights
    limit = math.inf if method in ("parallax", "icom") else 2 * view.limit + view.edge
    frequencies = Frequencies.of(images.shape[1:], optics, upsampling, limit)
    if method in ("ls", "wdd") and eps is None:
        eps = _noise_over_signal(images, electrons, view, optics)
    if eps is not None:
        used["eps"] = float(eps)
    if method == "wdd":
        return _wigner(images, electrons, groups, view, frequencies, float(eps)), used
    way = {"parallax": loops.PARALLAX, "icom": loops.ICOM, "ssb": loops.SSB}.get(method, loops.WEIGHTED)
    found = _accumulated(images, electrons, view, frequencies, way)
    return frequencies.picture(_finished(found, method, view, frequencies, eps)), used


def _finished(found: Spectrum, method: str, view: _View, frequencies: Frequencies, eps: float | None) -> np.ndarray:
    sums, power = found.sums, found.power
    if method == "obf":
        return sums / np.sqrt(np.maximum(power, 1e-12))
    if method == "ls":
        return sums / (power + eps + 1e-12)
    if method == "parallax":
        # what the images have in common is sin(chi), of the even aberrations
        even = 0.5 * (_chi(frequencies.x, frequencies.y, view.c) + _chi(-frequencies.x, -frequencies.y, view.c))
        return sums * np.sign(np.sin(even))
    return sums


@dataclass(frozen=True)
class _View:
    """Groups as the loops take them: angles in the coordinates of the scan, shares, aberrations, aperture."""

    x: np.ndarray
    y: np.ndarray
    fraction: np.ndarray
    c: np.ndarray
    limit: float
    edge: float

    @classmethod
    def of(cls, groups: Groups, optics: Optics, fraction: np.ndarray, aberrations: np.ndarray | None = None) -> _View:
        y, x = optics.angles(groups.y, groups.x)
        c = optics.coefficients if aberrations is None else aberrations
        # a group is cut by the edge of the shifted aperture along its width
        edge = groups.width * optics.pixel_angle * 1e-3
        return cls(np.ascontiguousarray(x), np.ascontiguousarray(y), fraction, c, optics.semi_angle * 1e-3, edge)


def _accumulated(images: np.ndarray, electrons: float, view: _View, frequencies: Frequencies, way: int) -> Spectrum:
    sums, power = np.zeros(len(frequencies), np.complex128), np.zeros(len(frequencies))
    threads = thread_count() if len(images) * len(frequencies) > _FOR_THREADS else 1
    # threads divide the frequencies, so that sums do not depend on their number
    cuts = np.linspace(0, len(frequencies), 4 * threads + 1).astype(int)
    spans = list(zip(cuts[:-1], cuts[1:]))
    for first, spectra in normalised_spectra(images, electrons):
        here = slice(first, first + len(spectra))

        def work(span: tuple[int, int], spectra: np.ndarray = spectra, here: slice = here) -> None:
            loops.accumulate(
                spectra, view.x[here], view.y[here], view.fraction[here], frequencies.x, frequencies.y,
                frequencies.source, frequencies.mirrored, view.c, view.limit, view.edge, way, *span, sums, power,
            )  # fmt: skip

        for _ in spread(work, spans, threads):
            pass
    return Spectrum(sums, power)


def _chi(x: np.ndarray, y: np.ndarray, c: np.ndarray) -> np.ndarray:
    """`loops.chi` for arrays."""
    return loops.chi.py_func(x, y, c)


def _signal_and_noise(images: np.ndarray, electrons: float, view: _View, optics: Optics) -> tuple[float, float]:
    """Mean power of the phase per frequency inside twice the aperture, and that of its noise.

    Counts scatter alike at all frequencies. Beyond twice the aperture there is nothing else: where the scan is fine
    enough their power is measured there, so that clusters of hits need no model; else it is that of Poisson's law.
    """
    inside = Frequencies.of(images.shape[1:], optics, 1, 2 * view.limit)
    everywhere = Frequencies.of(images.shape[1:], optics, 1, math.inf)
    beyond = everywhere.source[np.hypot(everywhere.y, everywhere.x) > 2 * view.limit + view.edge]
    within, without = 0.0, 0.0
    used = view.fraction > 0
    for first, spectra in normalised_spectra(images, electrons):
        shares = view.fraction[first : first + len(spectra)]
        for spectrum, share in zip(spectra, shares):
            if share > 0:
                within += (np.abs(spectrum[inside.source]) ** 2).mean() / share
                without += (np.abs(spectrum[beyond]) ** 2).mean() / share if len(beyond) else 0.0
    noise = without if len(beyond) > _ENOUGH else used.sum() / (images.shape[1] * images.shape[2] * electrons)
    transferred = _transferred(view, inside).mean()
    return float((within - noise) / max(transferred, 1e-12)), float(noise / used.sum())


def _transferred(view: _View, frequencies: Frequencies) -> np.ndarray:
    """Sum over the groups of ``f |gamma|^2`` at each frequency."""
    power = np.zeros(len(frequencies))
    nothing = np.zeros((len(view.x), 1), np.complex64)
    place, mirrored = np.zeros(len(frequencies), np.int64), np.zeros(len(frequencies), bool)
    loops.accumulate(
        nothing, view.x, view.y, view.fraction, frequencies.x, frequencies.y, place, mirrored, view.c, view.limit,
        view.edge, loops.WEIGHTED, 0, len(frequencies), np.zeros(len(frequencies), np.complex128), power,
    )  # fmt: skip
    return power


def _noise_over_signal(images: np.ndarray, electrons: float, view: _View, optics: Optics) -> float:
    signal, noise = _signal_and_noise(images, electrons, view, optics)
    return float(np.clip(noise / signal if signal > 0 else np.inf, _LEAST_EPS, _MOST_EPS))


def noise_of_images(images: np.ndarray, electrons: float, groups: Groups, optics: Optics) -> float:
    """Variance of the Fourier coefficients of an image with all electrons; that of a group is its share of it."""
    totals = images.reshape(len(images), -1).sum(axis=1, dtype=np.float64)
    return _signal_and_noise(images, electrons, _View.of(groups, optics, totals / totals.sum()), optics)[1]


# -- Wigner distribution deconvolution -----------------------------------------------------------------


def _wigner(
    images: np.ndarray, electrons: float, groups: Groups, view: _View, frequencies: Frequencies, eps: float
) -> np.ndarray:
    """Phase of the object's wave.

    ``G(Q, k)`` is the convolution over k of the overlap of apertures with ``T(k) T*(k - Q)``, T being the spectrum of
    the object. With the overlap centred on Q/2 the term ``T(Q) T*(0)`` stands at lag 0, with the one centred on -Q/2
    the conjugate of ``T(-Q) T*(0)``; so one half plane of frequencies gives the whole spectrum.
    """
    ny, nx = frequencies.shape
    wave = np.zeros((ny, nx), np.complex128)
    grid = _Grid.of(groups)
    wave[0, 0] = grid.at_zero(view.fraction, eps)
    wide = nx // 2 + 1
    rows, columns = frequencies.place // wide, frequencies.place % wide
    # As many frequencies at once as fit: spectra of all images are needed at each.
    held = max(_WDD_BYTES // (8 * len(groups)), 1)
    for first in range(0, len(frequencies), held):
        part = slice(first, min(first + held, len(frequencies)))
        spectra = gathered_spectra(images, electrons, frequencies, part)
        minus, plus = _object_terms(spectra, grid, view, frequencies, part, eps)
        wave[rows[part], columns[part]] = minus
        # on the lines that are their own mirror image both say the same
        wave[-rows[part] % ny, -columns[part] % nx] = plus
    return np.angle(scipy.fft.ifft2(wave, workers=thread_count()))


@dataclass(frozen=True)
class _Grid:
    """The square of groups, and the table that takes it to Fourier space on twice its side: nothing wraps around."""

    row: np.ndarray
    column: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray

    @classmethod
    def of(cls, groups: Groups) -> _Grid:
        reach = int(max(np.abs(groups.row).max(), np.abs(groups.column).max())) + 1
        angle = -2 * np.pi * np.outer(np.arange(2 * reach), np.arange(4 * reach)) / (4 * reach)
        table = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        return cls(groups.row + reach, groups.column + reach, *table)

    def at_zero(self, fraction: np.ndarray, eps: float) -> float:
        """The mean of the object: what is seen there is the aperture itself."""
        side, padded = self.cosine.shape
        cells = np.zeros((padded, padded))
        cells[self.row, self.column] = fraction
        power = np.abs(np.fft.fft2(cells)) ** 2
        return float((power / (power + eps)).mean())


def gathered_spectra(images: np.ndarray, electrons: float, frequencies: Frequencies, part: slice) -> np.ndarray:
    """Spectra of all images at some frequencies, shape (frequencies, images)."""
    source, mirrored = frequencies.source[part], frequencies.mirrored[part]
    out = np.empty((len(source), len(images)), np.complex64)
    for first, spectra in normalised_spectra(images, electrons):
        out[:, first : first + len(spectra)] = spectra[:, source].T
    np.conj(out, out=out, where=mirrored[:, None])
    return out


def _object_terms(
    spectra: np.ndarray, grid: _Grid, view: _View, frequencies: Frequencies, part: slice, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """``T(Q) T*(0)`` and ``T(-Q) T*(0)`` at some frequencies."""
    qx, qy = frequencies.x[part], frequencies.y[part]
    minus, plus = np.empty((2, len(qx)), np.complex128)
    cuts = np.linspace(0, len(qx), 8 * thread_count() + 1).astype(int)

    def work(span: slice) -> None:
        loops.deconvolved(
            spectra[span], grid.row, grid.column, view.x, view.y, view.fraction, qx[span], qy[span], view.c, view.limit,
            view.edge, grid.cosine, grid.sine, np.float32(eps), minus[span], plus[span],
        )  # fmt: skip

    for _ in spread(work, [slice(i, j) for i, j in zip(cuts[:-1], cuts[1:])], thread_count()):
        pass
    return minus, plus


def workspace(n_groups: int, scan_shape: tuple[int, int], itemsize: int, upsampling: int, method: str) -> int:
    """Bytes that `phase_of_images` needs at its peak, the images included."""
    n = math.prod(scan_shape)
    fine = n * upsampling**2
    images = n_groups * n * itemsize
    batch = max(_BATCH * n, _BATCH_PIXELS) * 12  # single precision, and half a plane of complex64
    plane = fine * 60  # frequencies, sums, and the picture
    gathered = min(_WDD_BYTES, n_groups * fine * 4) if method == "wdd" else 0
    return images + batch + plane + gathered
