"""Kind: descriptions of axes read as if all axes were uniform."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import interop
from hyperspy_sparse.interop.exchange import _new

COUNTS = np.random.default_rng(1).poisson(0.7, (3, 5, 16, 12)).astype(np.uint8)
NAMES = {"scan": ("y", "x"), "detector": ("ky", "kx")}


def signals(kind, where):
    described = []
    for name, n in zip(("y", "x", "ky", "kx"), COUNTS.shape, strict=True):
        axis = {"name": name, "navigate": name in NAMES["scan"], "units": "nm"}
        if name not in NAMES[where] or kind == "binned":
            axis |= {"size": n, "scale": 0.5, "offset": 1.0, "is_binned": name in NAMES[where]}
        elif kind == "listed":
            axis |= {"axis": 1.0 + np.arange(n) ** 2}
        else:
            along = {"scale": 1.0, "offset": 0.0, "size": n}
            axis |= {"size": n, "expression": "a*x**2+b", "a": 1.0, "b": 1.0, "x": along}
        described.append(axis)
    dense = hs.signals.Signal2D(COUNTS.copy(), axes=described)
    dense.set_signal_type("electron_diffraction")
    return hyperspy_sparse.to_sparse(dense), dense.as_lazy()


CIRCLE = hs.roi.CircleROI(3, 4, 2)
CALLS = {
    "region": lambda s: CIRCLE(s, axes=s.axes_manager.signal_axes).nansum(axis=(2, 3)),
    "virtual detector": lambda s: s.get_integrated_intensity(CIRCLE),
    "virtual images": lambda s: s.get_virtual_image([CIRCLE, hs.roi.RectangularROI(2, 2, 5, 4)]),
    "counts": lambda s: s.sum(axis=(2, 3)),
    "beam": lambda s: s.get_direct_beam_position(method="center_of_mass"),
    "binned": lambda s: s.rebin(scale=(1, 1, 2, 2)),
    "part": lambda s: s.inav[1:3].isig[2.0:5.0],
    "uniform": lambda s: s.interpolate_on_axis("uniform", "kx"),
    "uniform scan": lambda s: s.interpolate_on_axis("uniform", "x"),
    "split": lambda s: s.split("x", number_of_parts=5)[0],
}


@pytest.mark.slow
@pytest.mark.parametrize("where", NAMES)
@pytest.mark.parametrize("kind", ["listed", "computed", "binned"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_gives_the_dense_result_or_hyperspy_s_own_words(call, kind, where):
    ours, theirs = signals(kind, where)
    try:
        expected = CALLS[call](theirs)
    except Exception as error:
        with pytest.raises(type(error)) as caught:
            CALLS[call](ours)
        assert str(caught.value) == str(error)
        return
    result = CALLS[call](ours)
    np.testing.assert_allclose(np.asarray(result.data), np.asarray(expected.data))
    for one, other in zip(result.axes_manager._axes, expected.axes_manager._axes, strict=True):
        np.testing.assert_allclose(one.axis, other.axis)


@pytest.mark.slow
@pytest.mark.parametrize("where", NAMES)
@pytest.mark.parametrize("kind", ["listed", "computed"])
def test_our_own_functions_know_axes_that_are_not_uniform(kind, where):
    s, _ = signals(kind, where)
    assert set(hyperspy_sparse.one_pass(s)) == {"sum_pattern", "total_counts", "center_of_mass"}
    hyperspy_sparse.finish_loading(s, COUNTS.sum(axis=(2, 3)))
    np.testing.assert_allclose(s.navigator.axes_manager["x"].axis, s.axes_manager["x"].axis)
    images = hyperspy_sparse.virtual_images(s, [np.eye(16, 12, dtype=bool)])
    np.testing.assert_allclose(images.axes_manager["x"].axis, s.axes_manager["x"].axis)
    image = _new(s, COUNTS.sum(axis=(2, 3)), s.axes_manager.navigation_axes[::-1])
    np.testing.assert_allclose(image.axes_manager["x"].axis, s.axes_manager["x"].axis)
    if where == "detector":
        with pytest.raises(NotImplementedError, match="non-uniform axis, and ky, kx of this signal"):
            interop.to_py4dstem(s)
        with pytest.raises(NotImplementedError, match="cannot operate on a non-uniform axis"):
            hyperspy_sparse.one_pass(s, detectors={"disk": CIRCLE})
        with pytest.raises(NotImplementedError, match="non-uniform axis"):
            hyperspy_sparse.set_microscope(s, center=(3, 4))
    hyperspy_sparse.set_microscope(s, beam_energy="200 keV")
    assert s.metadata.Acquisition_instrument.TEM.beam_energy == 200
