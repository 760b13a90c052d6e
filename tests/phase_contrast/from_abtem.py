"""Multislice simulations by abTEM of graphene, through the simulator of recordings, and back as a signal."""

import numpy as np

ENERGY, STEP = 200.0, 0.4  # keV, angstrom
SIDE = 25.0  # angstrom: a window of the layer that no probe leaves


def layer():
    """A potential of graphene, larger than the scan, and its middle in angstrom."""
    import abtem
    from ase.build import graphene

    atoms = graphene(size=(1, 1, 1), vacuum=1.5)
    atoms = abtem.orthogonalize_cell(atoms)
    atoms *= (round(SIDE / atoms.cell[0, 0]), round(SIDE / atoms.cell[1, 1]), 1)
    # no mirror images: the scan shows which way is which
    positions = atoms.get_positions()
    middle = positions.mean(axis=0)[:2]
    y, x = positions[:, 1] - middle[1], positions[:, 0] - middle[0]
    missing = [
        np.hypot(x - 1.5, y + 2.0).argmin(),
        np.hypot(x + 2.5, y - 0.5).argmin(),
        np.hypot(x + 1.2, y + 2.4).argmin(),
    ]
    del atoms[missing]
    return abtem.Potential(atoms, sampling=0.2, slice_thickness=1.0), middle


def positions(nav_shape, middle, rotation=0.0):
    """Places (x, y) of a scan around the middle that is turned by degrees from x to y, shape (ny * nx, 2)."""
    y, x = ((np.arange(n) - (n - 1) / 2) * STEP for n in nav_shape)
    y, x = (axis.ravel() for axis in np.meshgrid(y, x, indexing="ij"))
    cosine, sine = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    return np.column_stack([cosine * x - sine * y, sine * x + cosine * y]) + middle


def simulated(nav_shape=(24, 28), semi_angle=20.0, overfocus=0.0, rotation=0.0):
    """Patterns ``[y, x, ky, kx]`` of sum 1, mrad per pixel, and the true phase at the positions.

    `overfocus` in nm. The phase is the projected potential times the interaction constant, up to twice the aperture.
    """
    import abtem
    from abtem.core.energy import energy2sigma
    from scipy.ndimage import map_coordinates

    potential, middle = layer()
    probe = abtem.Probe(energy=ENERGY * 1e3, semiangle_cutoff=semi_angle, defocus=-10 * overfocus)
    places = positions(nav_shape, middle, rotation)
    detector = abtem.PixelatedDetector(max_angle=1.6 * semi_angle, resample="uniform")
    measured = probe.scan(potential, scan=abtem.CustomScan(places), detectors=detector).compute(progress_bar=False)
    patterns = np.asarray(measured.array).reshape(*nav_shape, *measured.array.shape[-2:]).swapaxes(-1, -2)
    projected = potential.build().project().compute(progress_bar=False)
    phase = np.asarray(projected.array) * energy2sigma(ENERGY * 1e3)
    wave = abtem.core.energy.energy2wavelength(ENERGY * 1e3)
    kx, ky = (np.fft.fftfreq(n, d) for n, d in zip(phase.shape, projected.sampling))
    inside = wave * np.hypot(kx[:, None], ky) < 2e-3 * semi_angle
    smooth = np.fft.ifft2(np.fft.fft2(phase) * inside).real
    true = map_coordinates(smooth, (places / projected.sampling).T, order=3, mode="wrap").reshape(nav_shape)
    return patterns / patterns.sum(axis=(2, 3)).mean(), measured.angular_sampling[0], true - true.mean()


def recorded(path, patterns, pixel_angle, electrons, semi_angle=20.0, overfocus=0.0, rotation=0.0, seed=0):
    """The signal of a recording of these patterns with so many electrons at each position."""
    import hyperspy.api as hs

    import hyperspy_sparse
    from rsciio_tpx3 import simulate

    simulate.recording(
        path, intensity=patterns, electrons_per_position=electrons, dwell_time="5 us", layout="single", seed=seed
    )
    ny, nx = patterns.shape[:2]
    signal = hs.load(path, navigation_shape=(nx, ny), lazy=True)
    for axis in signal.axes_manager.navigation_axes:
        axis.scale, axis.units = STEP / 10, "nm"
    known = {"beam_energy": f"{ENERGY} keV", "convergence_angle": f"{semi_angle} mrad", "overfocus": f"{overfocus} nm"}
    known["scan_rotation"] = f"{rotation} deg"
    signal = hyperspy_sparse.set_microscope(signal, calibrate=None, **known)
    # the disk in pixels, as a measurement of an empty scan would tell it
    middle = [(n - m) // 2 + m // 2 for n, m in zip((256, 256), patterns.shape[-2:])]
    return signal, {"center": (middle[1], middle[0]), "radius": semi_angle / pixel_angle}


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])
