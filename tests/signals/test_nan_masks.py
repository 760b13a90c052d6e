"""Regions of HyperSpy that set NaN: the sums over them are those of dense data, and nothing becomes dense."""

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import nan_masks
from hyperspy_sparse.kernels.weights import Masks
from rsciio_tpx3 import CSRFrames
from rsciio_tpx3.csr import indexing
from rsciio_tpx3.frames import sliced_source

ROIS = {
    "circle": lambda: hs.roi.CircleROI(0.0, 0.0, 0.4),
    "annulus": lambda: hs.roi.CircleROI(-0.1, 0.1, 0.5, 0.2),
    "polygon": lambda: hs.roi.PolygonROI([(-0.4, -0.4), (0.4, -0.2), (0.1, 0.5)]),
}
NAV, DETECTOR = ("x", "y"), ("kx", "ky")


@pytest.fixture
def never_dense(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("a frame was made dense")

    monkeypatch.setattr(CSRFrames, "todense", never)
    monkeypatch.setattr(CSRFrames, "frame", never)


@pytest.mark.slow
@pytest.mark.parametrize("roi", ROIS)
@pytest.mark.parametrize("axes", [NAV, DETECTOR])
@pytest.mark.parametrize("name", ["nansum", "nanmean", "sum", "mean", "max", "min", "var", "std"])
def test_a_reduction_in_a_region(sparse_signal, dense_signal, never_dense, roi, axes, name):
    def of(signal):
        return getattr(ROIS[roi]()(signal, axes=DETECTOR), name)(axes)

    ours, theirs = of(sparse_signal), of(dense_signal)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ours.data.compute(), theirs.data.compute(), rtol=1e-12)
    assert ours.data.dtype == theirs.data.dtype
    assert ours.axes_manager.as_dictionary() == theirs.axes_manager.as_dictionary()


@pytest.mark.parametrize("region", ["detector", "scan"])
@pytest.mark.parametrize("name", ["nanmax", "nanmin", "nanvar", "nanstd"])
def test_a_reduction_over_axes_along_which_the_mask_is_the_same(sparse_signal, dense_signal, never_dense, region, name):
    def of(signal):
        roi = ROIS["annulus"]() if region == "detector" else hs.roi.CircleROI(3.0, 1.5, 0.6)
        part = roi(signal, axes=DETECTOR if region == "detector" else NAV)
        return getattr(part, name)(NAV if region == "detector" else DETECTOR)

    ours, theirs = of(sparse_signal), of(dense_signal)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ours.data.compute(), theirs.data.compute(), rtol=1e-12)
    assert ours.data.dtype == theirs.data.dtype and np.isnan(ours.data.compute()).any()


@pytest.mark.slow
@pytest.mark.parametrize("made", ["lines", "polygon", "circle"])
@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd"])
def test_a_region_of_the_scan_reads_its_positions_alone(sparse_signal, dense_signal, never_dense, made, name):
    rois = {
        "lines": hs.roi.CircleROI(3.0, 1.5, 1.1),
        "circle": hs.roi.CircleROI(3.0, 1.5, 0.6),
        "polygon": hs.roi.PolygonROI([(2.0, 1.0), (4.0, 1.0), (2.0, 2.0)]),
    }

    def of(signal):
        return getattr(rois[made](signal, axes=NAV), name)(NAV)

    ours, theirs = of(sparse_signal), of(dense_signal)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ours.data.compute(), theirs.data.compute(), rtol=1e-12)
    assert ours.data.dtype == theirs.data.dtype
    assert ours.axes_manager.as_dictionary() == theirs.axes_manager.as_dictionary()


def test_a_region_needs_no_cut_out_while_the_whole_is_there(sparse_signal, dense_signal, monkeypatch):
    roi, cropped = ROIS["annulus"](), []
    crop = indexing.crop
    monkeypatch.setattr(sliced_source, "crop", lambda *args: (cropped.append(1), crop(*args))[1])
    expected = roi(dense_signal, axes=DETECTOR).nansum(DETECTOR).data.compute()
    part = roi(sparse_signal, axes=DETECTOR)
    np.testing.assert_array_equal(part.nansum(DETECTOR).data.compute(), expected)
    assert not cropped
    del sparse_signal._data  # fixtures are held elsewhere
    np.testing.assert_array_equal(roi(part, axes=DETECTOR).nansum(DETECTOR).data.compute(), expected)


def test_a_region_that_moves_is_followed(sparse_signal, dense_signal, never_dense):
    roi, results = ROIS["circle"](), []
    for signal in (sparse_signal, dense_signal):
        roi.cx = 0.0
        inside = roi(signal, axes=DETECTOR)
        total = inside.nansum(DETECTOR)
        roi.cx = 0.2
        roi(signal, out=inside, axes=DETECTOR)
        inside.nansum(DETECTOR, out=total)
        results.append(total.data.compute())
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", ["nansum", "var", "std"])
def test_who_listens_to_a_result_hears_of_it_once_and_sees_the_right_values(sparse_signal, dense_signal, name):
    def of(signal, **kwargs):
        part = ROIS["circle"]()(signal, axes=DETECTOR) if name == "nansum" else signal
        return getattr(part, name)(DETECTOR, **kwargs)

    out, seen = of(sparse_signal), []
    out.events.data_changed.connect(lambda obj: seen.append(obj.data.compute()))
    of(sparse_signal, out=out)
    assert len(seen) == 1
    np.testing.assert_allclose(seen[0], of(dense_signal).data.compute(), rtol=1e-12)


def test_what_the_region_itself_holds_is_dense_on_request(sparse_signal, dense_signal):
    ours, theirs = (ROIS["circle"]()(s, axes=DETECTOR) for s in (sparse_signal, dense_signal))
    np.testing.assert_array_equal(ours.data.compute(), theirs.data.compute())
    np.testing.assert_array_equal(ours.nanmax(DETECTOR).data.compute(), theirs.nanmax(DETECTOR).data.compute())


def test_other_arrays_are_not_taken_for_a_masked_region(sparse_signal):
    data, some = sparse_signal.data, np.arange(192).reshape(16, 12) % 3 == 0
    per_frame = np.random.default_rng(0).random(data.shape) > 0.5
    per_column = np.broadcast_to(da.from_array(per_frame[:1]), data.shape)
    others = [
        np.where(per_column, np.nan, data),
        data,
        data * 2,
        np.where(some, 1.0, data),
        np.where(per_frame, np.nan, data),
        np.where(some, data, np.nan),
    ]
    assert all(nan_masks.behind(other) is None for other in others)


MADE = {
    "persisted": lambda s: (getattr(s, "persist", int)(), s)[1],
    "cut out": lambda s: s.inav[1:, 1:].isig[1:-1, 1:],
    "binned": lambda s: s.rebin(scale=(1, 1, 2, 2)),
    "multiplied": lambda s: s * 2,
    "masked": lambda s: s * hs.signals.BaseSignal(np.arange(15).reshape(3, 5) % 2).T,
}


@pytest.mark.slow
@pytest.mark.parametrize("region", ["circle", "annulus", "polygon", "scan"])
@pytest.mark.parametrize("made", MADE)
def test_frames_that_came_from_anywhere_are_summed_without_becoming_dense(
    sparse_signal, dense_signal, never_dense, made, region
):
    """Kind: a fast path depends on how the signal came into being."""

    def of(signal):
        signal = MADE[made](signal)
        am = signal.axes_manager
        axes = am.navigation_axes if region == "scan" else am.signal_axes
        middle = axes[0].axis[axes[0].size // 2], axes[1].axis[axes[1].size // 2]
        roi = hs.roi.CircleROI(*middle, 1.2 * axes[0].scale) if region == "scan" else ROIS[region]()
        part = roi(signal, axes=axes)
        return [getattr(part, name)(over) for name in ("nansum", "nanmean") for over in (NAV, DETECTOR)]

    def dense(signal):
        signal = signal.deepcopy()
        signal.compute(show_progressbar=False)
        return signal

    ours = [result.data.compute() for result in of(sparse_signal)]
    with np.errstate(all="ignore"):
        theirs = [result.data for result in of(dense(dense_signal).as_lazy())]
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found, expected.compute(), rtol=1e-12)


@pytest.mark.parametrize("name", ["nansum", "nanmean", "sum", "nanmax", "nanvar"])
def test_a_region_of_a_single_scan_position_has_all_pixels(name):
    """Its mask has one element, as that of a single pixel of the detector would have."""
    counts = np.random.default_rng(6).poisson(0.7, (5, 6, 7, 11)).astype("uint16")
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    dense = hs.signals.Signal2D(counts)
    for region in (hs.roi.CircleROI(3, 2, 0.4), hs.roi.CircleROI(3.5, 2.5, 0.9), hs.roi.CircleROI(3, 2, 0.0001)):
        for over in ("navigation_axes", "signal_axes"):
            part, whole = (region(x, axes=getattr(x.axes_manager, over)) for x in (s, dense))
            for along in ("navigation_axes", "signal_axes"):
                made = getattr(part, name)(axis=getattr(part.axes_manager, along))
                expected = getattr(whole, name)(axis=getattr(whole.axes_manager, along))
                np.testing.assert_allclose(made.data.compute(), expected.data)


def test_tables_of_another_detector_are_refused_before_compiled_loops_read_them():
    frames = CSRFrames.from_dense(np.ones((2, 3, 4), "uint8"))
    with pytest.raises(ValueError, match="has 6 pixels, the frames have 12"):
        Masks(np.ones((1, 2, 3), bool)).sums(frames, np.uint64)
