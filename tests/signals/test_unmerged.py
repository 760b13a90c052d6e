"""Sums of a recording take hits in no order, and give what canonical rows give; everything else takes those."""

import hyperspy.api as hs
import numpy as np
import pytest
from pyxem.utils.diffraction import center_of_mass_from_image

import hyperspy_sparse
from hyperspy_sparse import blocks
from rsciio_tpx3 import simulate
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.frames.unmerged import UnmergedFrames, merged, unmerged

NAV = (5, 7)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("unmerged") / "scan.tpx3"
    # a small beam and a high dose, so that many hits share position and pixel
    simulate.recording(path, NAV, electrons_per_position=3000, seed=8)
    return path


@pytest.fixture
def signal(path):
    return _load(path)


def _load(path, **options):
    return hs.load(path, lazy=True, navigation_shape=NAV[::-1], show_progressbar=False, **options)


@pytest.fixture
def canonical(monkeypatch):
    """Which rows were read: True for canonical ones."""
    read, noted = EventFrames.frames, []

    def note(self, start, stop, merged=True):
        noted.append(merged)
        return read(self, start, stop, merged)

    monkeypatch.setattr(EventFrames, "frames", note)
    return noted


ADDITIVE = {
    "sum pattern": lambda s: s.sum(axis=s.axes_manager.navigation_axes),
    "counts": lambda s: s.sum(axis=s.axes_manager.signal_axes),
    "all counts": lambda s: s.sum(axis=(0, 1, 2, 3)),
    "mean pattern": lambda s: s.mean(axis=s.axes_manager.navigation_axes),
    "mean counts": lambda s: s.mean(axis=s.axes_manager.signal_axes),
    "nansum": lambda s: s.nansum(axis=s.axes_manager.navigation_axes),
    "nanmean": lambda s: s.nanmean(axis=s.axes_manager.navigation_axes),
    "virtual image": lambda s: s.get_integrated_intensity(hs.roi.CircleROI(250, 260, 90, 10)),
    "virtual images": lambda s: hyperspy_sparse.virtual_images(s, [_mask(3), _mask(7)]),
    "centre of mass": lambda s: s.map(center_of_mass_from_image, inplace=False, lazy_output=True),
    "centre of mass with a mask": lambda s: s.map(
        center_of_mass_from_image, mask=_mask(3), inplace=False, lazy_output=True
    ),
}
OTHERS = {
    "maximum": lambda s: s.max(axis=s.axes_manager.navigation_axes),
    "minimum": lambda s: s.min(axis=s.axes_manager.signal_axes),
    "variance": lambda s: s.var(axis=s.axes_manager.navigation_axes),
    "centre of mass above a threshold": lambda s: s.map(
        center_of_mass_from_image, threshold=2.0, inplace=False, lazy_output=True
    ),
    "frames": lambda s: s.inav[2, 1],
}


def _mask(seed):
    return np.random.default_rng(seed).random((512, 512)) < 0.4


def _computed(result):
    return np.asarray(result.data.compute())


@pytest.mark.slow
@pytest.mark.parametrize("name", ADDITIVE)
def test_sums_of_hits_in_no_order_are_those_of_canonical_rows(signal, path, canonical, monkeypatch, name):
    found = _computed(ADDITIVE[name](signal))
    assert canonical and not any(canonical)
    canonical.clear()
    monkeypatch.setattr(blocks, "unmerged", lambda source: source)
    expected = _computed(ADDITIVE[name](_load(path)))
    assert canonical and all(canonical)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_what_looks_at_single_counts_reads_canonical_rows(signal, canonical, name):
    _computed(OTHERS[name](signal))
    assert canonical and all(canonical)


def test_rows_that_are_not_merged_hold_every_hit_once(signal):
    events = source_of(signal.data)
    canonical, loose = events.frames(7, 21), UnmergedFrames(events).frames(7, 21)
    assert len(loose.data) > len(canonical.data)  # else the tests here show nothing
    assert (loose.data == 1).all() and loose.dtype == canonical.dtype
    np.testing.assert_array_equal(np.diff(loose.indptr), events.row_events()[7:21])
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(merged(loose), name), getattr(canonical, name))


def test_rows_for_another_process_are_not_merged_either(signal):
    loose = UnmergedFrames(source_of(signal.data))
    part = loose.for_rows(7, 14)
    np.testing.assert_array_equal(part.frames(7, 14).indices, loose.frames(7, 14).indices)


def test_values_that_are_no_counts_stay_as_they_are(path):
    source = source_of(_load(path, values="tot").data)
    assert unmerged(source) is source


def test_results_together_read_each_block_once(signal, canonical):
    hyperspy_sparse.one_pass(signal, detectors={"one": _mask(3), "other": _mask(7)})
    assert canonical == [False] * len(blocks.in_blocks(signal.data, additive=True).chunks[0])


def test_a_kernel_of_ones_own_may_take_hits_in_no_order(signal, canonical):
    def brightness(image):
        return image.sum()

    hyperspy_sparse.register_kernel(brightness, lambda frames: frames.sum(axis=(1, 2)), additive=lambda **options: True)
    found = signal.map(brightness, inplace=False, lazy_output=True)
    np.testing.assert_array_equal(_computed(found), source_of(signal.data).row_events().reshape(NAV))
    assert canonical and not any(canonical)


def test_a_kernel_that_declines_leaves_canonical_frames_to_the_image_function(signal):
    def brightest(image):
        return image.max()

    def declines(frames):
        return frames.sum(axis=(1, 2)) if frames.size == 0 else NotImplemented

    hyperspy_sparse.register_kernel(brightest, declines, additive=lambda **options: True)
    found = _computed(signal.map(brightest, inplace=False, lazy_output=True))
    np.testing.assert_array_equal(found, _computed(signal.max(axis=signal.axes_manager.signal_axes)))
