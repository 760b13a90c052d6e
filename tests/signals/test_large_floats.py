"""Means and variances of floats near the largest of their type, compared with NumPy."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse

AXES = [("x", "y"), ("kx", "ky"), ("x", "y", "kx", "ky")]


def signals(values):
    """The same frames in one chunk, and in several."""
    for chunks in (values.shape, (2, 3, *values.shape[2:])):
        dense = hs.signals.Signal2D(values.copy())
        for axis, name in zip(dense.axes_manager._axes, ("y", "x", "ky", "kx"), strict=True):
            axis.name = name
        lazy = dense.as_lazy()
        lazy.data = lazy.data.rechunk(chunks)
        yield hyperspy_sparse.to_sparse(lazy)


def numpys(name, values, axes):
    return np.atleast_1d(getattr(np, name)(values, axis=tuple(("y", "x", "ky", "kx").index(axis) for axis in axes)))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
@pytest.mark.parametrize("filled", [0.5, 1])
def test_variances_that_exceed_their_type_are_infinite(axes, name, filled):
    rng = np.random.default_rng(5)
    values = np.where(rng.random((3, 5, 4, 2)) < filled, rng.random((3, 5, 4, 2)) * 1e305, 0)
    with np.errstate(over="ignore"):
        expected = numpys(name, values, axes)
        found = [getattr(signal, name)(axis=axes).data.compute() for signal in signals(values)]
    assert np.isinf(expected).any()
    for variance in found:
        np.testing.assert_array_equal(variance, expected)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("name", ["mean", "nanmean"])
def test_means_of_half_floats_fit_where_their_sums_do_not(axes, name):
    values = np.zeros((6, 7, 4, 5), np.float16)
    values[:, :, 1:] = 30000
    expected = numpys("mean", values.astype(np.float64), axes).astype(np.float16)
    for signal in signals(values):
        mean = getattr(signal, name)(axis=axes).data.compute()
        assert mean.dtype == np.float16
        np.testing.assert_allclose(mean, expected, rtol=1e-3)
