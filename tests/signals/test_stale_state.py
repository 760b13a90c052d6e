"""Kind: state that outlives its use, so that a result depends on what was computed before it."""

import random

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hyperspy.axes import DataAxis

import hyperspy_sparse
from hyperspy_sparse import calibration_cache as geometry
from hyperspy_sparse import virtual_detectors as detectors
from hyperspy_sparse.kernels import table
from hyperspy_sparse.kernels.table import find_kernel, register_kernel

pytestmark = pytest.mark.slow  # questions in every order

TURNED = np.array([[0.9, 0.3, 0.0], [-0.2, 1.1, 0.0], [0.0, 0.0, 1.0]])


def calibrated(signal, affine=None):
    signal.calibration(center=(7, 5), scale=0.1, units="k_A^-1")
    if affine is not None:
        signal.calibration.affine = affine
    return signal


QUESTIONS = {
    "profile": lambda load, dense: calibrated(load()).get_azimuthal_integral1d(npt=4),
    "turned profile": lambda load, dense: calibrated(load(), TURNED.copy()).get_azimuthal_integral1d(npt=4),
    "turned image": lambda load, dense: calibrated(load(), TURNED.copy()).get_azimuthal_integral2d(npt=4, npt_azim=5),
    "other axes": lambda load, dense: load().get_azimuthal_integral1d(npt=4),
    "circle": lambda load, dense: load().get_integrated_intensity(hs.roi.CircleROI(0.0, 0.0, 0.4)),
    "larger circle": lambda load, dense: load().get_integrated_intensity(hs.roi.CircleROI(0.0, 0.0, 0.5)),
}


@pytest.mark.parametrize("seed", range(3))
def test_answers_do_not_depend_on_the_order_of_questions(load, counts, seed):
    def answer(name):
        return np.asarray(QUESTIONS[name](lambda: load(counts), None).data)

    fresh = {}
    for name in QUESTIONS:
        for cache in (geometry._CACHE, detectors._APPLIED, detectors._LABELLED, table._PREPARED):
            cache.clear()
        fresh[name] = answer(name)
    for name in random.Random(seed).choices(list(QUESTIONS), k=12):
        np.testing.assert_array_equal(answer(name), fresh[name], err_msg=name)


def test_the_first_answer_with_an_affine_matrix_is_that_of_dense_data_and_so_are_all_others(load, dense, counts):
    s, theirs = calibrated(load(counts), TURNED.copy()), calibrated(dense(counts), TURNED.copy())
    expected = theirs.get_azimuthal_integral2d(npt=4, npt_azim=5).data.compute()
    for _ in range(3):
        np.testing.assert_allclose(np.asarray(s.get_azimuthal_integral2d(npt=4, npt_azim=5).data), expected)
    np.testing.assert_array_equal(s.calibration.affine, TURNED)


def test_an_option_that_was_changed_in_place_is_looked_at_again():
    seen = []

    def image_function(image, weights):
        return (image * weights).sum()

    def prepare(sig_shape, dtype, weights):
        seen.append(np.array(weights).sum())
        return {"weights": np.array(weights)}

    register_kernel(image_function, lambda frames, weights: np.zeros(frames.n_frames), prepare=prepare)
    base = np.ones((4, 5))
    shown = base[:]
    shown.flags.writeable = False  # and still it changes with the array that it shows
    for options in (base, shown, [1, 2, 3]):
        table._PREPARED.clear()
        before = len(seen)
        find_kernel(image_function, (4, 5), np.dtype("u1"), {"weights": options})
        changed = base if isinstance(options, np.ndarray) else options
        changed[0] = 7 + before
        find_kernel(image_function, (4, 5), np.dtype("u1"), {"weights": options})
        assert len(seen) == before + 2 and seen[-1] != seen[-2]


def test_long_axes_that_differ_in_the_middle_have_masks_of_their_own(load, counts):
    s = load(counts)
    values = np.arange(3000.0)
    moved = np.where((values > 1000) & (values < 2000), values + 0.5, values)
    described = [[{"axis": a, "navigate": False, "size": 3000, "_type": "DataAxis"}] for a in (values, moved)]
    keys = {detectors.tokenize(d) for d in described}
    assert len(keys) == 2
    assert DataAxis(axis=values).size == 3000 and s is not None


# -- the navigator -------------------------------------------------------------------------------


def own_picture():
    return hs.signals.Signal2D(np.arange(15.0).reshape(3, 5))


THINGS = {
    "plot": lambda s: s.plot(),
    "multiply": lambda s: setattr(s, "data", s.data * 2),
    "rechunk": lambda s: s.rechunk((1, 1)),
    "persist": lambda s: s.persist(),
    "sum": lambda s: s.sum().compute(show_progressbar=False),
    "type": lambda s: s.set_signal_type("diffraction"),
    "calibrate": lambda s: setattr(s.axes_manager[0], "scale", 3.0),
    "slice": lambda s: s.inav[1:3],
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", ["set", "set after plot", "with metadata of ours"])
def test_a_navigator_of_one_s_own_stays_whatever_is_done(sparse_signal, how, seed):
    if how == "set after plot":
        sparse_signal.plot()
    own = own_picture()
    if how == "with metadata of ours":
        own.metadata.set_item("Signal.quantity", "Counts")
    sparse_signal.navigator = own
    for name in random.Random(seed).sample(list(THINGS), k=len(THINGS)):
        THINGS[name](sparse_signal)
        assert sparse_signal.navigator is own, name
    sparse_signal.compute(show_progressbar=False)
    assert sparse_signal.navigator is own
    plt.close("all")


def test_a_navigator_of_one_s_own_is_saved_and_loaded(sparse_signal, tmp_path):
    sparse_signal.navigator = own_picture()
    sparse_signal.save(tmp_path / "saved.hspy")
    s = hyperspy_sparse.to_sparse(hs.load(tmp_path / "saved.hspy", lazy=True))
    np.testing.assert_array_equal(s.navigator.data, own_picture().data)
    s.data = s.data * 2
    s.plot()
    np.testing.assert_array_equal(s.navigator.data, own_picture().data)


def test_a_navigator_of_ours_is_renewed_also_on_a_copy(sparse_signal, counts):
    s = sparse_signal.deepcopy()
    s.crop("y", 1, 3)
    s.plot()
    np.testing.assert_array_equal(np.asarray(s.navigator.data).ravel(), counts[1:].sum(axis=(2, 3)).ravel())
    plt.close("all")
