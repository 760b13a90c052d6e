"""Frames of chosen positions compared with NumPy's boolean index."""

import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hyperspy_sparse
from hyperspy_sparse import select
from rsciio_tpx3 import CSRFrames

NAV = (3, 5)


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.booleans(), min_size=15, max_size=15).filter(any))
def test_frames_are_those_of_numpy(sparse_signal, counts, chosen):
    mask = np.reshape(chosen, NAV)
    part = select(sparse_signal, mask)
    assert type(part) is type(sparse_signal)
    assert [axis.name for axis in part.axes_manager.navigation_axes] == ["position"]
    assert part.axes_manager.signal_axes[0].scale == sparse_signal.axes_manager.signal_axes[0].scale
    np.testing.assert_array_equal(np.asarray(part), counts[mask])
    np.testing.assert_array_equal(part.sum(axis="position").data.compute(), counts[mask].sum(axis=0))
    np.testing.assert_array_equal(part.max(axis="position").data.compute(), counts[mask].max(axis=0))
    np.testing.assert_array_equal(part.isig[2:5, 1:].sum(axis=("kx", "ky")).data, counts[mask][:, 1:, 2:5].sum((1, 2)))


@pytest.mark.parametrize("made", ["persisted", "multiplied", "one axis"])
def test_signals_of_any_origin(sparse_signal, counts, made):
    mask, signal = counts.sum(axis=(2, 3)) % 2 == 0, sparse_signal
    if made == "persisted":
        signal.persist()
    elif made == "multiplied":
        signal, counts = signal * 2, counts * 2
    else:
        signal, counts, mask = signal.inav[:, 1], counts[1], mask[1]
    np.testing.assert_array_equal(np.asarray(select(signal, mask)), counts[mask])


def test_images_of_the_scan_choose_and_nothing_becomes_dense(sparse_signal, counts, monkeypatch):
    image = sparse_signal.get_integrated_intensity(hs.roi.CircleROI(0, 0, 0.3))
    image.compute(show_progressbar=False)
    monkeypatch.setattr(CSRFrames, "todense", None)
    part = hyperspy_sparse.select(sparse_signal, image > 3)
    np.testing.assert_array_equal(part.sum(axis="position").data.compute(), counts[image.data > 3].sum(axis=0))


def test_masks_that_do_not_fit_are_refused(sparse_signal):
    for mask in (np.ones((5, 3), bool), np.ones(NAV), [True, False]):
        with pytest.raises(ValueError, match="array of bool of the shape of the scan"):
            select(sparse_signal, mask)
    with pytest.raises(ValueError, match="chooses none"):
        select(sparse_signal, np.zeros(NAV, bool))


def test_a_mask_with_masked_values_is_refused(sparse_signal):
    mask = np.ma.array(np.ones(sparse_signal.data.shape[:-2], bool), mask=False)
    assert select(sparse_signal, mask).axes_manager.navigation_size == mask.size
    mask[0, 1] = np.ma.masked
    with pytest.raises(ValueError, match="some values are masked"):
        select(sparse_signal, mask)


def test_arrays_of_numbers_between_the_brackets_are_refused_as_masks(sparse_signal):
    for dtype in (int, float, object):
        with pytest.raises(ValueError, match="expected an array of bool"):
            sparse_signal.inav[np.ones(sparse_signal.data.shape[:-2], dtype)]


def test_images_in_memory_are_selected_and_spectra_are_refused(sparse_signal, counts):
    mask = counts.sum(axis=(2, 3)) > np.median(counts.sum(axis=(2, 3)))
    np.testing.assert_array_equal(select(sparse_signal.to_dense(), mask).data, counts[mask])
    with pytest.raises(ValueError, match="expected a scan of images"):
        select(hs.signals.Signal1D(np.ones((3, 4, 5))), np.ones((3, 4), bool))


def test_frames_of_a_loaded_signal_that_was_computed(tmp_path, sparse_signal, counts):
    sparse_signal.save(tmp_path / "a.toml")
    signal = hs.load(tmp_path / "a.toml", lazy=True)
    signal.compute(show_progressbar=False)
    mask = counts.sum(axis=(2, 3)) % 2 == 0
    np.testing.assert_array_equal(np.asarray(select(signal, mask).data), counts[mask])
