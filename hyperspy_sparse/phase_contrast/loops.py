"""The loops of phase contrast, compiled by Numba; plain arrays in, results written to the last arguments.

Scattering vectors are angles here (wavelength times spatial frequency, rad), so that aberrations need no other unit
than that of the lengths. An aberration function is eight Cartesian coefficients, see `optics.cartesian`.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = [
    "ICOM",
    "PARALLAX",
    "SSB",
    "WEIGHTED",
    "accumulate",
    "aperture",
    "chi",
    "deconvolved",
    "log_likelihood",
    "moments",
    "slope",
    "tilted_sums",
]

_jit = njit(nogil=True, cache=True, error_model="numpy")
_fast = njit(nogil=True, cache=True, error_model="numpy", fastmath=True)  # sums of single precision in any order
_inline = njit(nogil=True, cache=True, error_model="numpy", inline="always")

SSB, WEIGHTED, PARALLAX, ICOM = 0, 1, 2, 3
"""Which weights `accumulate` gives a tilted image."""

_NO_WEIGHT = 1e-6  # of |gamma|: below it the two sidebands cancel, and their phase is rounding


@_jit
def tilted_sums(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, labels: np.ndarray, out: np.ndarray) -> None:
    """Add each entry to ``out[label of its pixel, row]``; pixels of no group have the last label.

    The row runs fastest: neighbouring positions share a cache line of each image, so that all images together
    need no more than the first cache.
    """
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            out[labels[np.uint64(indices[entry])], row] += data[entry]


@_inline
def chi(x: float, y: float, c: np.ndarray) -> float:
    """Aberration phase in rad at the angles (x, y); `c` as in `optics.cartesian`."""
    # Polynomials in x and y instead of powers of an angle: no arctangent for each frequency of each image.
    xx, yy, xy = x * x, y * y, x * y
    square = xx + yy
    first = 0.5 * (c[0] * square + c[1] * (xx - yy) + 2 * c[2] * xy)
    second = (square * (c[3] * x + c[4] * y) + c[5] * x * (xx - 3 * yy) + c[6] * y * (3 * xx - yy)) / 3
    return first + second + 0.25 * c[7] * square * square


@_inline
def slope(x: float, y: float, c: np.ndarray) -> tuple[float, float]:
    """Derivatives of `chi` along x and y."""
    xx, yy, xy = x * x, y * y, x * y
    square, coma = xx + yy, c[3] * x + c[4] * y
    along_x = c[0] * x + c[1] * x + c[2] * y + (2 * x * coma + square * c[3]) / 3
    along_y = c[0] * y - c[1] * y + c[2] * x + (2 * y * coma + square * c[4]) / 3
    along_x += c[5] * (xx - yy) + 2 * c[6] * xy + c[7] * square * x
    along_y += c[6] * (xx - yy) - 2 * c[5] * xy + c[7] * square * y
    return along_x, along_y


@_inline
def aperture(x: float, y: float, limit: float, edge: float) -> float:
    """1 inside the aperture, 0 outside, linear across an edge of this width (0 for a sharp one)."""
    radius = np.sqrt(x * x + y * y)
    if edge == 0.0:
        return 1.0 if radius <= limit else 0.0
    return min(max((limit - radius) / edge + 0.5, 0.0), 1.0)


@_inline
def _gamma(
    x: float, y: float, qx: float, qy: float, here: float, c: np.ndarray, sharp: bool, limit: float, edge: float
) -> complex:
    """Transfer of an object frequency into the tilted image of (x, y): ``P(k-Q) P*(k) - P*(k+Q) P(k)``.

    `here` is the aberration phase at k; `sharp` says that there are no aberrations.
    """
    minus = aperture(x - qx, y - qy, limit, edge)
    plus = aperture(x + qx, y + qy, limit, edge)
    # Without aberrations both terms are real, and no cosine is needed.
    if sharp:
        return complex(minus - plus, 0.0)
    real, imaginary = 0.0, 0.0
    if minus > 0.0:
        phase = here - chi(x - qx, y - qy, c)
        real += minus * np.cos(phase)
        imaginary += minus * np.sin(phase)
    if plus > 0.0:
        phase = chi(x + qx, y + qy, c) - here
        real -= plus * np.cos(phase)
        imaginary -= plus * np.sin(phase)
    return complex(real, imaginary)


@_jit
def accumulate(
    spectra: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    fraction: np.ndarray,
    qx: np.ndarray,
    qy: np.ndarray,
    place: np.ndarray,
    mirrored: np.ndarray,
    c: np.ndarray,
    limit: float,
    edge: float,
    way: int,
    first: int,
    last: int,
    sums: np.ndarray,
    power: np.ndarray,
) -> None:
    """Add the weighted spectra of some tilted images to the spectrum of the phase.

    Parameters
    ----------
    spectra : numpy.ndarray of complex64, shape (images, pixels of the half plane)
    x, y, fraction : numpy.ndarray of float64, shape (images,)
        Angle of each image, and its share of the electrons.
    qx, qy : numpy.ndarray of float64, shape (frequencies,)
    place, mirrored : numpy.ndarray, shape (frequencies,)
        Where the spectra have a frequency, and whether it is the complex conjugate there.
    c, limit, edge
        See `chi` and `aperture`.
    way : int
        `SSB`, `WEIGHTED` (optimum bright field and least squares), `PARALLAX` or `ICOM`.
    first, last : int
        Range of frequencies.
    sums, power : numpy.ndarray of complex128 and float64, shape (frequencies,)
    """
    sharp = not np.any(c)
    for image in range(x.size):
        ax, ay, share, spectrum = x[image], y[image], fraction[image], spectra[image]
        here = chi(ax, ay, c)
        along_x, along_y = slope(ax, ay, c)
        for i in range(first, last):
            if way == PARALLAX:
                # Each image is moved back by the slope of the aberrations at its angle.
                turn = along_x * qx[i] + along_y * qy[i]
                weight = complex(np.cos(turn), -np.sin(turn))
            elif way == ICOM:
                # The angle is the gradient of the phase: a division by the frequency integrates it.
                weight = complex(0.0, -(ax * qx[i] + ay * qy[i]) / (qx[i] * qx[i] + qy[i] * qy[i]))
            else:
                gamma = _gamma(ax, ay, qx[i], qy[i], here, c, sharp, limit, edge)
                square = gamma.real * gamma.real + gamma.imag * gamma.imag
                # The image does not transfer this frequency: it would add noise only.
                if square < _NO_WEIGHT * _NO_WEIGHT:
                    continue
                power[i] += share * square
                # -i times the complex conjugate
                weight = complex(-gamma.imag, -gamma.real)
                if way == SSB:
                    weight /= np.sqrt(square)
            # Spectra are of real images and have half a plane: the other half is the complex conjugate.
            value = spectrum[place[i]]
            if mirrored[i]:
                value = np.conj(value)
            sums[i] += weight * value


@_jit
def _lens(
    i: int,
    sign: float,
    row: np.ndarray,
    column: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    here: np.ndarray,
    fraction: np.ndarray,
    qx: np.ndarray,
    qy: np.ndarray,
    c: np.ndarray,
    sharp: bool,
    limit: float,
    edge: float,
    real: np.ndarray,
    imaginary: np.ndarray,
) -> None:
    """An overlap of the aperture with itself, weighted by the share of the electrons, on the grid of the groups.

    ``P(k-Q) P*(k)`` for sign -1 and ``P*(k+Q) P(k)`` for sign 1; `here` is the aberration phase at each k.
    """
    real[:] = 0
    imaginary[:] = 0
    for image in range(x.size):
        ax, ay = x[image] + sign * qx[i], y[image] + sign * qy[i]
        part = aperture(ax, ay, limit, edge) * fraction[image]
        # Groups without overlap stay zero, which `_transform` passes over.
        if part > 0.0:
            if sharp:
                real[row[image], column[image]] = part
            else:
                phase = sign * (chi(ax, ay, c) - here[image])
                real[row[image], column[image]] = part * np.cos(phase)
                imaginary[row[image], column[image]] = part * np.sin(phase)


@_fast
def _transform(
    real: np.ndarray,
    imaginary: np.ndarray,
    cosine: np.ndarray,
    sine: np.ndarray,
    half: np.ndarray,
    out_real: np.ndarray,
    out_imaginary: np.ndarray,
) -> None:
    """Fourier transform of a small square that is padded to twice its side, as sums of rows of a table.

    The padding is not multiplied, and rows of 32 numbers fit the registers: a third of the time of a transform of
    the padded square. `cosine` and `sine`, shape (side, padded), are of ``exp(-2 pi i j k / padded)``; `half`, shape
    (2, side, padded), is to work in.
    """
    # A transform in two dimensions is one along the rows, then one along the columns of what that gives.
    half_real, half_imaginary = half[0], half[1]
    half_real[:] = 0
    half_imaginary[:] = 0
    side, padded = cosine.shape
    for row in range(side):
        for k in range(side):
            # An overlap fills a part of the square only, at high frequencies a small one.
            a, b = real[row, k], imaginary[row, k]
            if a != 0 or b != 0:
                for j in range(padded):
                    half_real[row, j] += a * cosine[k, j] - b * sine[k, j]
                    half_imaginary[row, j] += a * sine[k, j] + b * cosine[k, j]
    out_real[:] = 0
    out_imaginary[:] = 0
    for i in range(padded):
        for row in range(side):
            a, b = cosine[row, i], sine[row, i]
            for j in range(padded):
                out_real[i, j] += a * half_real[row, j] - b * half_imaginary[row, j]
                out_imaginary[i, j] += a * half_imaginary[row, j] + b * half_real[row, j]


@_fast
def _filtered(
    seen_real: np.ndarray,
    seen_imaginary: np.ndarray,
    known_real: np.ndarray,
    known_imaginary: np.ndarray,
    eps: np.float32,
) -> tuple[float, float]:
    """Mean of ``seen * conj(known) / (|known|^2 + eps)``: Wiener's filter at lag 0."""
    real, imaginary = np.float32(0), np.float32(0)
    for i in range(seen_real.shape[0]):
        for j in range(seen_real.shape[1]):
            a, b = known_real[i, j], known_imaginary[i, j]
            weight = np.float32(1) / (a * a + b * b + eps)
            real += (seen_real[i, j] * a + seen_imaginary[i, j] * b) * weight
            imaginary += (seen_imaginary[i, j] * a - seen_real[i, j] * b) * weight
    return real / seen_real.size, imaginary / seen_real.size


@_jit
def deconvolved(
    spectra: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    fraction: np.ndarray,
    qx: np.ndarray,
    qy: np.ndarray,
    c: np.ndarray,
    limit: float,
    edge: float,
    cosine: np.ndarray,
    sine: np.ndarray,
    eps: np.float32,
    minus: np.ndarray,
    plus: np.ndarray,
) -> None:
    """Wigner distribution deconvolution: the object's terms at some frequencies and at their opposites.

    Parameters
    ----------
    spectra : numpy.ndarray of complex64, shape (frequencies, images)
    row, column : numpy.ndarray of int64, shape (images,)
        Place of each image in the square grid of groups.
    x, y, fraction, qx, qy, c, limit, edge
        See `accumulate`.
    cosine, sine : numpy.ndarray of float32, shape (side, padded)
        See `_transform`.
    eps : float32
    minus, plus : numpy.ndarray of complex128, shape (frequencies,)
        ``T(Q) T*(0)`` and ``T(-Q) T*(0)``.
    """
    side, padded = cosine.shape
    sharp = not np.any(c)
    here = np.empty(x.size)
    for image in range(x.size):
        here[image] = chi(x[image], y[image], c)
    # Space that all frequencies share; float32, since it is what the spectra have.
    real, imaginary = np.empty((side, side), np.float32), np.empty((side, side), np.float32)
    half = np.empty((2, side, padded), np.float32)
    seen_real, seen_imaginary = np.empty((padded, padded), np.float32), np.empty((padded, padded), np.float32)
    known_real, known_imaginary = np.empty((padded, padded), np.float32), np.empty((padded, padded), np.float32)
    for i in range(qx.size):
        # What was seen at this frequency, by angle, and its transform.
        real[:] = 0
        imaginary[:] = 0
        for image in range(x.size):
            real[row[image], column[image]] = spectra[i, image].real
            imaginary[row[image], column[image]] = spectra[i, image].imag
        _transform(real, imaginary, cosine, sine, half, seen_real, seen_imaginary)
        # What the lens alone would give for one of the two terms: it is divided out.
        _lens(i, -1.0, row, column, x, y, here, fraction, qx, qy, c, sharp, limit, edge, real, imaginary)
        _transform(real, imaginary, cosine, sine, half, known_real, known_imaginary)
        a, b = _filtered(seen_real, seen_imaginary, known_real, known_imaginary, eps)
        minus[i] = complex(a, b)
        # The same for the opposite frequency, whose term is found as its complex conjugate.
        _lens(i, 1.0, row, column, x, y, here, fraction, qx, qy, c, sharp, limit, edge, real, imaginary)
        _transform(real, imaginary, cosine, sine, half, known_real, known_imaginary)
        a, b = _filtered(seen_real, seen_imaginary, known_real, known_imaginary, eps)
        plus[i] = complex(a, -b)


@_jit
def log_likelihood(
    spectra: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    fraction: np.ndarray,
    qx: np.ndarray,
    qy: np.ndarray,
    c: np.ndarray,
    limit: float,
    edge: float,
    eps: np.ndarray,
    out: np.ndarray,
) -> None:
    """Logarithm of the likelihood of aberrations for a weak phase object of known power, at each frequency.

    `spectra` has the frequency first, shape (frequencies, images), in units in which the noise of all electrons
    together has variance 1; `eps` is noise power over signal power. The object itself is integrated out: were the
    best one taken at each frequency instead, those that hold noise alone would speak as loudly as the others.
    """
    sharp = not np.any(c)
    here = np.empty(x.size)
    for image in range(x.size):
        here[image] = chi(x[image], y[image], c)
    for i in range(qx.size):
        # The best object at this frequency is (real, imaginary) / (power + eps): a Gaussian prior of that variance.
        real, imaginary, power = 0.0, 0.0, 0.0
        for image in range(x.size):
            gamma = _gamma(x[image], y[image], qx[i], qy[i], here[image], c, sharp, limit, edge)
            power += fraction[image] * (gamma.real * gamma.real + gamma.imag * gamma.imag)
            value = spectra[i, image]
            real += gamma.real * value.real + gamma.imag * value.imag
            imaginary += gamma.real * value.imag - gamma.imag * value.real
        # First the power that it explains, then what the prior takes for integrating over all objects.
        out[i] = (real * real + imaginary * imaginary) / (power + eps[i]) - np.log1p(power / eps[i])


@_jit
def moments(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, width: int, out: np.ndarray) -> None:
    """Add counts, and counts times row and column of their pixel, to ``out[:, row]``."""
    for row in range(indptr.size - 1):
        total, down, right = np.int64(0), np.int64(0), np.int64(0)
        for entry in range(indptr[row], indptr[row + 1]):
            # int64: a coordinate times a count of 32 bits may leave 32 bits.
            y, value = indices[entry] // width, np.int64(data[entry])
            total += value
            down += value * y
            right += value * (indices[entry] - y * width)
        out[0, row] += total
        out[1, row] += down
        out[2, row] += right
