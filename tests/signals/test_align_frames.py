"""Frames of a drifting specimen: found drift against the truth, and every event accounted for."""

import dask
import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import Drift, align_frames, find_drift
from rsciio_tpx3 import simulate
from rsciio_tpx3.frames import moved_rows

FRAMES, NY, NX = 5, 40, 48
# where each frame looks; its picture is displaced by the opposite, which is what find_drift gives as HyperSpy does
VIEW = np.array([(0, 0), (1.4, -0.8), (2.1, -2.6), (0.7, -4.2), (-1.6, -3.1)])
DRIFT = 0.0 - VIEW
OPTIONS = {"navigation_shape": (NX, NY, FRAMES)}


@pytest.fixture(scope="module", params=["raster", "serpentine"])
def drifting(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "scan.tpx3"
    truth = simulate.recording(
        path, (NY, NX), n_frames=FRAMES, drift=VIEW, pattern=request.param, dwell_time="3.3 us",
        frame_flyback="0.5 ms", electrons_per_position=40, layout="single", seed=4,
    )  # fmt: skip
    return truth, str(path), {**OPTIONS, "pattern": request.param}


def _note(signal):
    return signal.metadata.Acquisition_instrument.TEM.Scan.Drift


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["mean", "first", "previous"])
def test_found_drift_is_the_true_one_within_its_error(drifting, reference):
    _, path, options = drifting
    drift = find_drift(hs.load(path, **options), reference=reference)
    true = DRIFT - (DRIFT.mean(axis=0) if reference == "mean" else DRIFT[0])
    assert drift.reference == reference and drift.shifts.shape == drift.errors.shape == (FRAMES, 2)
    away = np.abs(drift.shifts - true)
    # errors from four values each scatter themselves
    assert (away <= 4.5 * drift.errors).all()
    assert np.sqrt((away**2).mean()) < (0.2 if reference == "mean" else 0.5)


def test_the_detector_of_a_user_is_used(drifting):
    _, path, options = drifting
    s = hs.load(path, **options)
    mask = np.ones((256, 256), bool)
    mask[96:160, 96:160] = False
    drift = find_drift(s, detector=mask, reference="first")
    assert (np.abs(drift.shifts - DRIFT) < 0.6).all()
    with pytest.raises(ValueError, match="the detector"):
        find_drift(s, detector=mask[:9])


def _expected_whole(truth, added, upsampling, first, shape):
    """Every hit at the cell of the middle of its position: plain NumPy."""
    inside = truth.hit_position >= 0
    frame, rest = np.divmod(truth.hit_position[inside], NY * NX)
    y, x = np.divmod(rest, NX)
    cy = np.floor((y + 0.5 + added[frame, 0]) * upsampling).astype(int) - first[0]
    cx = np.floor((x + 0.5 + added[frame, 1]) * upsampling).astype(int) - first[1]
    in_field = (cy >= 0) & (cy < shape[0]) & (cx >= 0) & (cx < shape[1])
    cells = np.ravel_multi_index((cy[in_field], cx[in_field]), shape)
    return cells, truth.hit_pixel[inside][in_field]


def _expected_events(truth, added, upsampling, first, shape):
    """Every hit at the cell of its own time."""
    inside = truth.hit_position >= 0
    frame, rest = np.divmod(truth.hit_position[inside], NY * NX)
    y, x = np.divmod(rest, NX)
    column = np.where(y % 2, NX - 1 - x, x) if truth.scan.pattern == "serpentine" else x
    since = (truth.hit_time[inside] - truth.scan.line_starts[frame, y]) / float(truth.scan.dwell)
    assert (np.floor(since + 1e-9) == column).all()
    along = np.where(y % 2, NX - since, since) if truth.scan.pattern == "serpentine" else since
    cy = np.floor((y + 0.5 + added[frame, 0]) * upsampling).astype(int) - first[0]
    cx = np.floor((along + added[frame, 1]) * upsampling + 1e-9).astype(int) - first[1]
    in_field = (cy >= 0) & (cy < shape[0]) & (cx >= 0) & (cx < shape[1])
    return np.ravel_multi_index((cy[in_field], cx[in_field]), shape), truth.hit_pixel[inside][in_field]


def _entries(signal, scheduler="sync"):
    frames = signal.data.compute(scheduler=scheduler)
    frames.check()
    return frames


def _same(frames, cells, pixels):
    key, counts = np.unique(cells * frames.n_pixels + pixels.astype(np.int64), return_counts=True)
    np.testing.assert_array_equal(frames.rows() * frames.n_pixels + frames.indices, key)
    np.testing.assert_array_equal(frames.data, counts)


def _first(added, upsampling):
    return [int(np.floor((0.5 + added[:, i].max()) * upsampling)) for i in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("upsampling", [1, 3])
@pytest.mark.parametrize("field", ["common", "scan"])
@pytest.mark.parametrize("chunks", [1, 7, NY])
def test_frames_in_memory_are_moved_by_whole_cells(drifting, upsampling, field, chunks):
    truth, path, options = drifting
    s = hs.load(path, chunks=chunks, **options)
    aligned = align_frames(s, DRIFT, upsampling=upsampling, field=field)
    shape = aligned.data.shape[:2]
    first = _first(VIEW, upsampling) if field == "common" else [0, 0]
    cells, pixels = _expected_whole(truth, VIEW, upsampling, first, shape)
    _same(_entries(aligned), cells, pixels)
    note = _note(aligned)
    assert note.events_kept == len(cells)
    assert note.events_kept + note.events_lost == (truth.hit_position >= 0).sum()
    assert int(aligned.navigator.data.sum()) == len(cells)
    np.testing.assert_array_equal(note.displacement_x, DRIFT[:, 1])
    assert type(aligned) is type(s)
    if field == "scan":
        assert shape == (NY * upsampling, NX * upsampling)
    elif upsampling == 1:
        assert note.visits == [FRAMES, FRAMES]


@pytest.mark.parametrize("upsampling", [1, 4])
@pytest.mark.parametrize("field", ["common", "scan"])
def test_lazy_frames_are_placed_again_by_the_time_of_each_event(drifting, upsampling, field):
    truth, path, options = drifting
    s = hs.load(path, lazy=True, chunks=7, **options)
    aligned = align_frames(s, DRIFT, upsampling=upsampling, field=field)
    shape = aligned.data.shape[:2]
    first = _first(VIEW, upsampling) if field == "common" else [0, 0]
    cells, pixels = _expected_events(truth, VIEW, upsampling, first, shape)
    frames = _entries(aligned)
    # a time on the border of two cells may round differently in floating point
    counted = np.bincount(cells, minlength=np.prod(shape))
    assert np.abs(frames.sum(axis=(-2, -1)).astype(np.int64) - counted.reshape(shape)).sum() <= 4
    assert _note(aligned).events_kept == int(frames.data.sum()) == aligned.navigator.data.sum()
    assert _note(aligned).events_kept + _note(aligned).events_lost == (truth.hit_position >= 0).sum()
    assert abs(int(frames.data.sum()) - len(cells)) <= 4
    np.testing.assert_array_equal(
        np.asarray(frames.sum(axis=(0, 1))).ravel().astype(int) > 0, np.bincount(pixels, minlength=256**2) > 0
    )


def test_whole_shifts_are_the_same_from_events_and_from_memory(drifting):
    _, path, options = drifting
    shifts = np.rint(DRIFT)
    lazy = align_frames(hs.load(path, lazy=True, **options), shifts)
    memory = align_frames(hs.load(path, lazy=False, **options), shifts)
    a, b = _entries(lazy), _entries(memory)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    plain = hs.load(path, frames="sum", **options)
    none = align_frames(hs.load(path, **options), np.zeros((FRAMES, 2)))
    np.testing.assert_array_equal(_entries(none).data, plain.data.compute().data)


@pytest.mark.slow
def test_threads_and_processes_give_the_same(drifting):
    _, path, options = drifting
    ways = [(True, "threads"), (False, "threads")]
    if options["pattern"] == "raster":
        ways.append((False, "processes"))
    for lazy, scheduler in ways:
        aligned = align_frames(hs.load(path, lazy=lazy, chunks=NY, **options), DRIFT, upsampling=2)
        expected = _entries(aligned)
        with dask.config.set(num_workers=2):
            found = _entries(aligned, scheduler)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.data, expected.data)


def test_sums_are_made_of_few_chunks_at_a_time(drifting, monkeypatch):
    _, path, options = drifting
    monkeypatch.setattr(moved_rows, "READ_ENTRIES", 20_000)
    held = []
    add = moved_rows.add_rows
    monkeypatch.setattr(moved_rows, "add_rows", lambda chunks, *a: held.append(len(chunks)) or add(chunks, *a))
    aligned = align_frames(hs.load(path, chunks=1, **options), DRIFT)
    assert len(aligned.data.chunks[0]) > 4
    _entries(aligned)
    assert max(held) <= 8
    assert max(aligned.navigator.data[a:b].sum() for a, b in _spans(aligned)) <= 20_000


def _spans(signal):
    ends = np.cumsum((0, *signal.data.chunks[0]))
    return zip(ends[:-1], ends[1:])


def test_axes_stay_calibrated(drifting):
    _, path, options = drifting
    s = hs.load(path, **options)
    s.axes_manager["x"].scale, s.axes_manager["x"].offset, s.axes_manager["x"].units = 0.5, 10.0, "nm"
    fine = align_frames(s, DRIFT, upsampling=2, field="scan")
    axis = fine.axes_manager["x"]
    assert (axis.scale, axis.offset, axis.units) == (0.25, 9.875, "nm")
    common = align_frames(s, DRIFT)
    assert common.axes_manager["y"].offset == 2.0 and common.axes_manager["x"].size == NX - 4
    assert [a.name for a in common.axes_manager.navigation_axes] == ["x", "y"]


def test_alignment_sharpens_what_a_plain_sum_blurs(drifting):
    _, path, options = drifting
    s = hs.load(path, **options)
    aligned = align_frames(s)
    assert _note(aligned).reference == "mean" and len(_note(aligned).displacement_x_errors) == FRAMES
    roi = hs.roi.CircleROI(128, 128, 120, 40)

    def contrast(signal, nav):
        image = signal.get_integrated_intensity(roi).data.compute()[nav].astype(float)
        return (np.diff(image, axis=0) ** 2).sum() / image.sum()

    plain = hs.load(path, frames="sum", **options)
    ny, nx = aligned.data.shape[:2]
    middle = (slice(3, 3 + ny - 6), slice(5, 5 + nx - 6))
    assert contrast(aligned, middle) > contrast(plain, middle)


def test_counts_of_floats_and_changed_data_are_moved_too(drifting):
    truth, path, options = drifting
    s = hs.load(path, **options) * 0.5
    aligned = align_frames(s, DRIFT)
    cells, _ = _expected_whole(truth, VIEW, 1, _first(VIEW, 1), aligned.data.shape[:2])
    assert aligned.data.dtype.kind == "f"
    assert float(aligned.data.sum().compute()) == len(cells) / 2 == _note(aligned).events_kept


def test_drift_is_drawn():
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    ax = Drift(DRIFT, np.full_like(DRIFT, 0.1), "first").plot()
    assert ax.get_ylabel() == "shift / positions"
    plt.close("all")


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((), {"reference": "last"}, "must be one of 'mean'"),
        ((), {"upsample_factor": 0}, "from 1 to 1000"),
        ((), {"smoothing": -1}, "from 0 to"),
        ((np.zeros((3, 2)),), {}, r"\(3, 2\); expected \(5, 2\)"),
        ((np.full((FRAMES, 2), np.nan),), {}, "expected .* finite ones"),
        ((np.arange(2 * FRAMES).reshape(FRAMES, 2) * 30.0,), {}, "no common field"),
        ((DRIFT,), {"upsampling": 0.5}, "expected a positive integer"),
        ((DRIFT,), {"field": "all"}, "must be one of 'common'"),
        ((DRIFT,), {"upsampling": 1000}, "upsampling=1000 makes 42,801 x 35,301 positions, more than 200,000,000"),
        ((DRIFT,), {"upsampling": 1000, "field": "scan"}, "makes 48,000 x 40,000 positions"),
    ],
)
def test_what_makes_no_sense_is_refused(drifting, arguments, options, words):
    _, path, load = drifting
    s = hs.load(path, lazy=True, **load)
    with pytest.raises(ValueError, match=words):
        align_frames(s, *arguments, **options)


def test_signals_without_frames_are_refused(drifting):
    _, path, options = drifting
    s = hs.load(path, lazy=True, **options)
    with pytest.raises(ValueError, match=r"\(x, y, frame\)"):
        align_frames(s.inav[..., 0])
    with pytest.raises(ValueError, match="no sparse frames"):
        find_drift(hs.signals.Signal2D(np.zeros((2, 3, 4, 5, 6))))
    with pytest.raises(ValueError, match="too small"):
        find_drift(s.inav[:7, :7])
    with pytest.raises(ValueError, match="no counts under the detector"):
        find_drift(s, detector=np.zeros((256, 256), bool))
    with pytest.raises(TypeError, match="which was passed"):
        align_frames(s, DRIFT, reference="first")


BINS = [
    {"frames": "sum", "time_bins": 4},
    {"time_bins": {"over": "recording", "number": 3}},
]


@pytest.mark.slow
@pytest.mark.parametrize("bins", BINS)
@pytest.mark.parametrize("lazy", [True, False])
def test_time_bins_are_not_taken_for_frames(drifting, tmp_path, bins, lazy):
    _, path, options = drifting
    s = hs.load(path, lazy=lazy, **{**options, "navigation_shape": (NX, NY), **bins})
    for signal in (s, s.inav[:20, 5:], s * 2):
        with pytest.raises(ValueError, match="'time in .*', is a time: .* without time_bins"):
            align_frames(signal, np.zeros((s.data.shape[0], 2)))
    # what the recording knows holds whatever the axis is called; so does a saved name
    s.save(tmp_path / "bins.toml")
    saved = hs.load(tmp_path / "bins.toml", lazy=True)
    with pytest.raises(ValueError, match="is a time"):
        find_drift(saved)
    if lazy:
        s.axes_manager[2].name, s.axes_manager[2].units = "frame", ""
        with pytest.raises(ValueError, match="'frame', is a time: .* without time_bins.$"):
            find_drift(s)
    saved.axes_manager[2].name = "frame"
    assert len(find_drift(saved).shifts) == s.data.shape[0]


@pytest.mark.slow
def test_the_axis_of_the_frames_may_have_any_name_and_scale(drifting):
    _, path, options = drifting
    s = hs.load(path, lazy=True, **options)
    expected = _entries(align_frames(s, DRIFT))
    s.axes_manager[2].name, s.axes_manager[2].units, s.axes_manager[2].scale = "time", "s", 0.1
    np.testing.assert_array_equal(_entries(align_frames(s, DRIFT)).data, expected.data)
    changed = s * 1
    changed.axes_manager[2].name = "tilt"
    changed.axes_manager[2].units = "deg"
    assert len(find_drift(changed).shifts) == FRAMES
    changed.axes_manager[2].units = "ms"
    with pytest.raises(ValueError, match="call the axis 'frame'"):
        find_drift(changed)
    changed.axes_manager[2].name = "frame"
    assert len(find_drift(changed).shifts) == FRAMES


@pytest.mark.slow
@pytest.mark.parametrize("order", [["frame", "x", "y"], ["y", "x", "frame"], ["x", "frame", "y"]])
def test_axes_in_another_order_are_named_with_the_way_back(drifting, order):
    _, path, options = drifting
    s = hs.load(path, lazy=True, **options)
    moved = s.transpose(navigation_axes=order)
    with pytest.raises(ValueError, match=r"navigation_axes=\['x', 'y', 'frame'\]"):
        align_frames(moved, DRIFT)
    back = moved.transpose(navigation_axes=["x", "y", "frame"])
    whole = align_frames(hs.load(path, lazy=False, **options), DRIFT)
    np.testing.assert_array_equal(_entries(align_frames(back, DRIFT)).data, _entries(whole).data)


def test_they_are_public():
    assert hyperspy_sparse.align_frames is align_frames and "find_drift" in dir(hyperspy_sparse)


def test_shifts_have_the_sign_of_hyperspy_and_are_taken_from_either(drifting):
    """Kind: a convention of another package is promised and not kept."""
    _, path, options = drifting
    s = hs.load(path, **options)
    mask = np.ones((256, 256), bool)
    mask[96:160, 96:160] = False
    own = find_drift(s, detector=mask, reference="first").shifts
    images = hyperspy_sparse.virtual_images(s, [mask]).data[0].compute().astype(float)
    theirs = hs.signals.Signal2D(images).estimate_shift2D(reference="current", show_progressbar=False)
    # theirs are whole positions, and nearer to zero where counts are few; what matters is the direction
    assert (own * theirs).sum() > 0.5 * np.linalg.norm(own) * np.linalg.norm(theirs) > 2
    by_own, by_theirs = (align_frames(s, np.rint(shifts)) for shifts in (own, theirs))
    assert np.abs(np.subtract(by_own.data.shape[:2], by_theirs.data.shape[:2])).max() <= 3
