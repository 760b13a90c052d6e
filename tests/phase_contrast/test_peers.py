"""The same counts by other programs: run in environments that have them, see tests/environments."""

import functools

import numpy as np
import phase_object as po
import pytest

from hyperspy_sparse.interop import exchange
from hyperspy_sparse.phase_contrast import phase, tilted_images

DISK = {"center": (32, 32), "radius": po.ALPHA / po.pixel_angle()}
DEFOCUS = {"C10": -400.0}


@functools.lru_cache
def _signal(defocused):
    patterns, _ = po.patterns(nav_shape=(30, 34), n=64, aberrations=DEFOCUS if defocused else {})
    return po.as_signal(np.rint(4e5 * patterns).astype(np.uint32))  # no noise to speak of


def _with_quantem(method, defocused, across):
    """Correlation of quantem's picture with ours, of the same tilted images."""
    pytest.importorskip("quantem.diffractive_imaging", reason="quantem is not installed")
    options = {"across": across, "aberrations": {"C10": "-400 angstrom"} if defocused else None, **DISK}
    direct = exchange.to_quantem_direct(_signal(defocused), show_progressbar=False, **options)
    direct.reconstruct(deconvolution_kernel={"parallax": "prlx"}.get(method, method), verbose=False)
    ours = phase(_signal(defocused), method, show_progressbar=False, **options).data
    return po.correlation(np.asarray(direct.obj).squeeze(), ours)


@pytest.mark.parametrize("defocused", [False, True])
@pytest.mark.parametrize("method", ["ssb", "obf", "icom", "parallax"])
def test_quantem_makes_the_same_of_one_image_for_each_pixel(method, defocused):
    if method == "parallax" and not defocused:
        pytest.skip("parallax needs defocus")
    assert _with_quantem(method, defocused, across=31) > 0.9999


# A group at the rim of the disk has few pixels. It stands where these are, here, and in the middle of its square
# there; and optimum bright field weighs it by its electrons, here, and by the aperture in that middle there.
@pytest.mark.parametrize(("method", "least"), [("ssb", 0.9999), ("obf", 0.998), ("icom", 0.9999)])
def test_quantem_makes_nearly_the_same_of_groups_of_pixels(method, least):
    assert _with_quantem(method, False, across=13) > least


def test_parallax_of_libertem_is_ours_where_images_move_by_whole_pixels():
    """They round displacements to pixels and subtract the mean over the disk at each position: so much, and no more.

    Taken without their flip of phases (0.1.2): it adds to the line below whatever moves to the left.
    """
    parallax = pytest.importorskip("libertem_parallax.udf.parallax", reason="libertem-parallax is not installed")
    lt = pytest.importorskip("libertem.api")
    shape, pixel, step = (30, 34), po.pixel_angle() * 1e-3, po.STEP[1]
    # the next pixel of the detector sees the scan moved by one step
    defocus = -step / pixel
    patterns, _ = po.patterns(nav_shape=shape, n=64, aberrations={"C10": defocus}, step=(step, step))
    counts = np.rint(4000 * patterns).astype(np.uint16)
    signal = po.as_signal(counts)
    for axis in signal.axes_manager.navigation_axes:
        axis.scale, axis.units = step / 10, "nm"
    options = {"aberrations": {"C10": f"{defocus} angstrom"}, "show_progressbar": False}
    stack = tilted_images(signal, 41, **DISK)
    stack.compute(show_progressbar=False)
    whole = phase(stack, "parallax", **options).data
    stack.data = np.broadcast_to(stack.data.mean(axis=0), stack.data.shape)
    ours = whole - phase(stack, "parallax", **options).data
    with lt.Context.make_with("inline") as context:
        data = context.load("memory", data=counts.astype(np.float32), sig_dims=2)
        udf = parallax.ParallaxUDF.from_parameters(
            shape=counts.shape, scan_sampling=(step, step), energy=po.ENERGY * 1e3, semiangle_cutoff=po.ALPHA,
            angular_sampling=(po.pixel_angle(),) * 2, aberration_coefs={"C10": defocus},
        )  # fmt: skip
        moved = np.asarray(context.run_udf(dataset=data, udf=udf)["reconstruction"].data).squeeze()
    ky, kx = np.meshgrid(*(np.fft.fftfreq(n, step) for n in shape), indexing="ij")
    flip = np.sign(np.sin(po.aberration_phase(ky, kx, {"C10": defocus}, po.wavelength())))
    theirs = np.fft.ifft2(np.fft.fft2(moved) * flip).real
    theirs *= np.std(ours) / np.std(theirs)  # counts there, shares of the electrons here
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())
