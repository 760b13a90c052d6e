"""The same counts by other programs: run in environments that have them, see tests/environments."""

import numpy as np
import phase_object as po
import pytest

from hyperspy_sparse.interop import exchange
from hyperspy_sparse.phase_contrast import phase


@pytest.fixture(scope="module")
def counts():
    patterns, _ = po.patterns(nav_shape=(30, 34), n=64)
    return np.random.default_rng(0).poisson(400 * patterns).astype(np.uint16)


KERNELS = {"ssb": "ssb", "obf": "obf", "icom": "icom"}


@pytest.mark.parametrize("method", KERNELS)
def test_quantem_makes_the_same_of_the_same_images(counts, method):
    pytest.importorskip("quantem.diffractive_imaging", reason="quantem is not installed")
    signal = po.as_signal(counts)
    direct = exchange.to_quantem_direct(signal, across=13)
    direct.reconstruct(deconvolution_kernel=KERNELS[method], verbose=False)
    theirs = np.asarray(direct.obj).squeeze()
    ours = phase(signal, method, across=13, show_progressbar=False).data
    assert po.correlation(theirs, ours) > 0.99


def test_parallax_of_libertem_moves_images_the_same_way():
    flip = pytest.importorskip("libertem_parallax.udf.parallax_phase_flip", reason="libertem-parallax is not installed")
    lt = pytest.importorskip("libertem.api")
    patterns, _ = po.patterns(nav_shape=(30, 34), n=64, aberrations={"C10": -400.0})
    counts = np.rint(4000 * patterns).astype(np.uint16)
    ours = phase(po.as_signal(counts), "parallax", aberrations={"C10": "-400 angstrom"}, across=41).data
    with lt.Context.make_with("inline") as context:
        data = context.load("memory", data=counts.astype(np.float32), sig_dims=2)
        udf = flip.ParallaxPhaseFlipUDF.from_parameters(
            shape=counts.shape, scan_sampling=po.STEP, energy=po.ENERGY * 1e3, semiangle_cutoff=po.ALPHA,
            reciprocal_sampling=(1 / (64 * 0.3),) * 2, aberration_coefs={"C10": -400.0},
        )  # fmt: skip
        found = context.run_udf(dataset=data, udf=udf)
    theirs = np.asarray(found["reconstruction"].data).squeeze()
    # they move images by whole pixels and subtract the mean of each image
    assert abs(po.correlation(theirs, ours)) > 0.9
