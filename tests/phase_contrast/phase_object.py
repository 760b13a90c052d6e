"""A dense simulation of 4D STEM on a phase object, written from the optics and sharing nothing with the package.

Coordinates are (y, x) in angstrom in the laboratory, y down. A convergent wave is multiplied with the transmission
``exp(i phi)`` at every position, and the intensity in the far field is recorded. The scan is turned against the
laboratory; the detector, whose rows may run upwards, is not: LiberTEM's model of a 4D STEM experiment.
"""

import hyperspy.api as hs
import numpy as np

import hyperspy_sparse

H, M, E, C = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
STEP = (0.45, 0.4)  # angstrom, y and x: below the resolution of 2 alpha / lambda
ENERGY, ALPHA = 200.0, 20.0  # keV, mrad
BLOBS = np.array([[-1.6, -2.3, 0.10], [1.2, 0.6, 0.16], [2.1, -1.9, 0.07], [-1.1, 2.6, 0.13]])  # y, x, rad
WIDTH = 0.55


def wavelength(energy=ENERGY):
    """Angstrom."""
    volts = energy * 1e3 * E
    return H / np.sqrt(2 * M * volts * (1 + volts / (2 * M * C**2))) * 1e10


def blobs(y, x):
    """Four peaks of positive phase with no symmetry."""
    return sum(h * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * WIDTH**2)) for a, b, h in BLOBS)


def rotate(degrees):
    """Acts on (y, x); positive from x to y."""
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])


def positions(nav_shape, rotation=0.0, step=STEP):
    """Laboratory coordinates of the scan, shape nav_shape + (2,)."""
    y, x = (np.arange(n) - (n - 1) / 2 for n in nav_shape)
    scan = np.stack(np.meshgrid(y * step[0], x * step[1], indexing="ij"), axis=-1)
    return scan @ rotate(rotation).T


def aberration_phase(ky, kx, aberrations, lam):
    """Polar form; lengths in angstrom, angles in degrees from x to y."""
    a, phi = lam * np.hypot(ky, kx), np.arctan2(ky, kx)
    turned = {n: phi - np.radians(aberrations.get(f"phi{n}", 0)) for n in ("12", "21", "23")}
    value = {n: aberrations.get(f"C{n}", 0.0) for n in ("10", "12", "21", "23", "30")}
    first = a**2 / 2 * (value["10"] + value["12"] * np.cos(2 * turned["12"]))
    second = a**3 / 3 * (value["21"] * np.cos(turned["21"]) + value["23"] * np.cos(3 * turned["23"]))
    return 2 * np.pi / lam * (first + second + a**4 / 4 * value["30"])


def patterns(nav_shape=(40, 48), n=64, dx=0.3, phase=blobs, rotation=0.0, flip=False, aberrations=None, step=STEP):
    """Patterns of sum 1, shape nav_shape + (n, n), and the centre (y, x) of the beam in pixels."""
    lam = wavelength()
    k = np.fft.fftfreq(n, dx)
    ky, kx = np.meshgrid(k, k, indexing="ij")
    # aberrations are given in the coordinates of the scan
    along = np.stack([ky, kx], axis=-1) @ rotate(rotation)
    probe = (lam * np.hypot(ky, kx) <= ALPHA * 1e-3) * np.exp(
        -1j * aberration_phase(along[..., 0], along[..., 1], aberrations or {}, lam)
    )
    probe /= np.sqrt((np.abs(probe) ** 2).sum()) / n
    place = (np.arange(n) - n // 2) * dx
    transmission = np.exp(1j * phase(place[:, None], place[None, :]))
    # the middle of the scan is the middle of the box
    there = positions(nav_shape, rotation, step) + (n // 2) * dx
    out = np.empty((*nav_shape, n, n), np.float32)
    for index in np.ndindex(nav_shape):
        y, x = there[index]
        wave = np.fft.ifft2(probe * np.exp(-2j * np.pi * (ky * y + kx * x)))
        out[index] = np.fft.fftshift(np.abs(np.fft.fft2(wave * transmission)) ** 2)
    out /= n * n
    center = (n // 2, n // 2)
    return (out[..., ::-1, :], (n - 1 - n // 2, n // 2)) if flip else (out, center)


def pixel_angle(n=64, dx=0.3):
    """mrad."""
    return wavelength() / (n * dx) * 1e3


def truth(nav_shape=(40, 48), rotation=0.0, phase=blobs, step=STEP, limit=2 * ALPHA):
    """Phase at the positions, up to a frequency (mrad), without its mean."""
    there = positions(nav_shape, rotation, step)
    values = phase(there[..., 0], there[..., 1])
    ky, kx = np.meshgrid(*(np.fft.fftfreq(m, s) for m, s in zip(nav_shape, step)), indexing="ij")
    spectrum = np.fft.fft2(values) * (wavelength() * np.hypot(ky, kx) * 1e3 < limit)
    spectrum[0, 0] = 0
    return np.fft.ifft2(spectrum).real


def as_signal(counts, **metadata):
    """A sparse signal of counts with what a microscope tells."""
    signal = hs.signals.Signal2D(counts)
    for axis, name in zip(signal.axes_manager._axes, ("y", "x", "ky", "kx")):
        axis.name = name
    signal.set_signal_type("electron_diffraction")
    known = {
        "beam_energy": f"{ENERGY} keV",
        "convergence_angle": f"{ALPHA} mrad",
        "scan_step_y": f"{STEP[0]} angstrom",
        "scan_step_x": f"{STEP[1]} angstrom",
    }
    known = {name: value for name, value in {**known, **metadata}.items() if value is not None}
    return hyperspy_sparse.set_microscope(hyperspy_sparse.to_sparse(signal), calibrate=None, **known)


def scan_steps_only(signal):
    """Calibrate the scan axes alone, as reading does."""
    for axis, step in zip(signal.axes_manager.navigation_axes, STEP[::-1]):
        axis.scale, axis.units = step / 10, "nm"
    return signal


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def slope(found, true):
    """Factor between a picture and the truth."""
    found, true = found - found.mean(), true - true.mean()
    return float((found * true).sum() / (true**2).sum())
