"""Frames of repeated scans and time as an axis, against the truth of simulated recordings."""

import pickle

import dask
import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.scan.scan import Scan, place_hits
from rsciio_tpx3.scan.time_bins import TimeBins, with_time_bins

FRAMES, NY, NX = 4, 6, 7
HEIGHT, WIDTH = 5, 9  # of the patterns, in the middle of the detector
TOP, LEFT = (256 - HEIGHT) // 2, (256 - WIDTH) // 2


def _read(path, **options):
    return file_reader(path, **{"lazy": True, "show_progressbar": False, **options})[0]


def _dense(signal, scheduler="sync"):
    """All frames, cut out where the electrons are, so that they fit into memory as an array."""
    frames = signal["data"].compute(scheduler=scheduler)
    frames.check()
    inner = frames[..., TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH].todense()
    assert inner.sum() == frames.data.sum()
    return inner


def _pattern():
    return np.random.default_rng(1).random((NY, NX, HEIGHT, WIDTH))


def _inner_pixel(pixel):
    y, x = np.divmod(pixel, 256)
    return (y - TOP) * WIDTH + x - LEFT


def _scan(signal):
    return signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]


@pytest.fixture(scope="module", params=["raster", "serpentine"])
def repeated(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "scan.tpx3"
    truth = simulate.recording(
        path, intensity=_pattern(), n_frames=FRAMES, pattern=request.param, dwell_time="3.3 us",
        electrons_per_position=30, flyback_electrons=True, frame_flyback="50 us", layout="single", seed=5,
    )  # fmt: skip
    return truth, str(path), {"navigation_shape": (NX, NY, FRAMES), "pattern": request.param}


@pytest.fixture(scope="module")
def whole(repeated):
    _, path, options = repeated
    return _dense(_read(path, **options))


@pytest.mark.parametrize("chunks", [1, 4, NY, "auto"])
def test_sum_of_frames_is_the_sum_over_the_frame_axis(repeated, whole, chunks):
    _, path, options = repeated
    signal = _read(path, frames="sum", chunks=chunks, **options)
    assert signal["data"].shape == (NY, NX, 256, 256)
    np.testing.assert_array_equal(_dense(signal), whole.sum(axis=0))
    np.testing.assert_array_equal(signal["post_process"][0].keywords["navigator"], whole.sum(axis=(0, 3, 4)))
    scan = _scan(signal)
    assert (scan["frames"], scan["frames_summed"], scan["frames_used"]) == (FRAMES, FRAMES, [0, 1, 2, 3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("frames", "numbers", "first_step"),
    [([2, 0], [2, 0], (2, -2)), (slice(1, None, 2), [1, 3], (1, 2)), ("0:3", [0, 1, 2], (0, 1)), ([-1], [3], (3, 1)),
     ([0, 1, 3], [0, 1, 3], (0, 1))],
)  # fmt: skip
def test_a_subset_is_those_frames_in_that_order(repeated, whole, frames, numbers, first_step):
    truth, path, options = repeated
    signal = _read(path, frames=frames, **options)
    np.testing.assert_array_equal(_dense(signal), whole[numbers])
    axis = signal["axes"][0]
    assert (axis["name"], axis["offset"], axis["scale"]) == ("frame", *first_step)
    outside = _scan(signal)["Hits_outside"]
    assert _scan(signal)["hits_placed"] + sum(outside.values()) == truth.n_hits


def test_one_frame_has_no_frame_axis(repeated, whole, caplog):
    _, path, options = repeated
    _read(path, frames=2, **options)
    # the hits of other frames are no sign of a scan misread
    assert "have no scan position" not in caplog.text
    signal = _read(path, frames=2, **options)
    assert [axis["name"] for axis in signal["axes"]] == ["y", "x", "ky", "kx"]
    np.testing.assert_array_equal(_dense(signal), whole[2])


def test_some_frames_are_added_up(repeated, whole):
    _, path, options = repeated
    np.testing.assert_array_equal(_dense(_read(path, frames=("sum", [3, 1]), **options)), whole[[1, 3]].sum(axis=0))
    separate = _read(path, frames=("separate", slice(2)), **options)
    np.testing.assert_array_equal(_dense(separate), whole[:2])


@pytest.mark.parametrize(
    ("frames", "words"),
    [("all", "is not valid: must be"), ([0, 0], "names a frame twice"), ([4], "no frame 4"),
     (slice(9, 12), "none of the 4 frames"), (1.5, "is not valid: must be"),
     ("x:y", "is not valid: must be"), ([], "is not valid: must be"), (True, "is not valid: must be")],
)  # fmt: skip
def test_frames_that_do_not_exist_are_refused(repeated, frames, words):
    _, path, options = repeated
    with pytest.raises(ValueError, match=words):
        _read(path, frames=frames, **options)


@pytest.mark.parametrize("chunks", [1, 4, NY])
@pytest.mark.parametrize("frames", [None, "sum", [0, 2, 3]])
def test_bins_of_the_dwell_time_add_up_to_all_hits_and_hold_their_own(repeated, whole, chunks, frames):
    truth, path, options = repeated
    n = 5
    signal = _read(path, time_bins=n, frames=frames, chunks=chunks, **options)
    data = _dense(signal)
    numbers = [0, 2, 3] if isinstance(frames, list) else list(range(FRAMES))
    # the plain way: the time since the start of the line, from the truth's own recipe
    inside = np.flatnonzero(truth.hit_position >= 0)
    frame, rest = np.divmod(truth.hit_position[inside], NY * NX)
    column = rest % NX
    row = rest // NX
    if options["pattern"] == "serpentine":
        column = np.where(row % 2, NX - 1 - column, column)
    start = truth.scan.line_starts[frame, row]
    dwell = truth.scan.dwell
    since = (truth.hit_time[inside] - start) * dwell.denominator - column * dwell.numerator
    bins = since * n // dwell.numerator
    expected = np.zeros((n, FRAMES, NY * NX, HEIGHT * WIDTH), np.int64)
    np.add.at(expected, (bins, frame, rest, _inner_pixel(truth.hit_pixel[inside])), 1)
    expected = expected[:, numbers].reshape(n, len(numbers), NY, NX, HEIGHT, WIDTH)
    if frames == "sum":
        expected = expected.sum(axis=1)
    np.testing.assert_array_equal(data, expected)
    unbinned = whole[numbers].sum(axis=0) if frames == "sum" else whole[numbers]
    np.testing.assert_array_equal(data.sum(axis=0), unbinned)
    navigator = signal["post_process"][0].keywords["navigator"]
    np.testing.assert_array_equal(navigator, expected.sum(axis=(-2, -1)))
    axis = signal["axes"][0]
    assert (axis["name"], axis["units"], axis["offset"], axis["size"]) == ("time in dwell", "s", 0.0, n)
    assert axis["scale"] == pytest.approx(float(dwell) / 3.84e9 / n)


@pytest.mark.slow
@pytest.mark.parametrize("bins", [{"number": 3}, {"number": 11}, {"width": "0.1 ms"}])
@pytest.mark.parametrize("frames", [None, "separate", ("separate", [0, 2])])
def test_bins_over_the_recording_add_up_to_all_hits_and_hold_their_own(repeated, whole, bins, frames):
    truth, path, options = repeated
    signal = _read(path, time_bins={"over": "recording", **bins}, frames=frames, chunks=2, **options)
    data = _dense(signal)
    axis = signal["axes"][0]
    assert (axis["name"], axis["units"], axis["size"]) == ("time in recording", "s", len(data))
    numbers = [0, 2] if isinstance(frames, tuple) else list(range(FRAMES))
    inside = (truth.hit_position >= 0) & np.isin(truth.hit_position // (NY * NX), numbers)
    first = round(axis["offset"] * 3.84e9)
    starts = truth.scan.line_starts
    assert first == starts[numbers[0], 0]
    end = min(starts[numbers[-1], -1] + int(truth.scan.active), truth.hit_time.max() + 1)
    if "number" in bins:
        number = (truth.hit_time[inside] - first) * bins["number"] // (end - first)
    else:
        number = (truth.hit_time[inside] - first) // 384_000
        assert axis["scale"] == pytest.approx(1e-4)
    frame, rest = np.divmod(truth.hit_position[inside], NY * NX)
    expected = np.zeros((len(data), FRAMES, NY * NX, HEIGHT * WIDTH), np.int64)
    np.add.at(expected, (number, frame, rest, _inner_pixel(truth.hit_pixel[inside])), 1)
    expected = expected[:, numbers].reshape(len(data), len(numbers), NY, NX, HEIGHT, WIDTH)
    if frames is None:
        expected = expected.sum(axis=1)
    np.testing.assert_array_equal(data, expected)


def test_any_line_cut_short_or_bent_keeps_each_hit_in_one_bin():
    rng = np.random.default_rng(3)
    for _ in range(40):
        n, columns, den, bins = (int(v) for v in rng.integers((1, 1, 1, 1), (6, 9, 11, 8)))
        start = np.cumsum(rng.integers(30, 90, n))
        scan = Scan(
            nav_shape=(n, columns), start=start, stop=start + rng.integers(8, 30, n) * rng.integers(0, 2, n),
            phase=rng.integers(0, den, n), num=rng.integers(1, 40, n) * rng.integers(1, den + 1), den=den,
            n_columns=columns, base=np.zeros(n, np.int64), step=rng.choice([1, -1], n).astype(np.int8),
            report={"dwell_time": 1.0},
        )  # fmt: skip
        base = rng.permutation(n) * columns + np.where(scan.step < 0, columns - 1, 0)
        scan.base[:] = np.where(rng.random(n) < 0.2, -1, base)
        times = np.arange(start[0] - 5, start[-1] + 60)
        plain = _placed(scan, times)
        dwell = _placed(with_time_bins(scan, TimeBins("dwell", bins), (0, 1000)), times)
        np.testing.assert_array_equal(np.where(dwell >= 0, dwell // bins, -1), np.maximum(plain, -1))
        over = _placed(with_time_bins(scan, TimeBins("recording", bins), (0, 1000)), times)
        np.testing.assert_array_equal(np.where(over >= 0, over % scan.n_positions, -1), np.maximum(plain, -1))
        assert (np.diff(over[over >= 0] // scan.n_positions) >= 0).all()


def _placed(scan, times):
    out = np.empty(len(times), np.int64)
    place_hits(times, *scan.columns(), out)
    return out


@pytest.mark.slow
def test_threads_and_processes_give_the_same(repeated, whole):
    _, path, options = repeated
    signal = _read(path, chunks=2, frames="sum", time_bins=3, **options)
    assert len(pickle.dumps(signal["data"])) < 200_000
    total = signal["data"].sum(axis=0)
    schedulers = ["threads"] if options["pattern"] == "raster" else ["threads", "processes"]
    for scheduler in schedulers:
        with dask.config.set(num_workers=2):
            np.testing.assert_array_equal(_dense({"data": total}, scheduler), whole.sum(axis=0))


@pytest.fixture
def reads(monkeypatch):
    """Ranges of positions that were read, in order."""
    made, read = [], EventFrames.frames

    def counted(frames, start, stop):
        n_bins = frames.scan.time_axis.number if frames.scan.time_axis else 1
        made.append((start // n_bins, stop // n_bins))
        return read(frames, start, stop)

    monkeypatch.setattr(EventFrames, "frames", counted)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("extra", "number"), [({"time_bins": 5}, FRAMES * NY), ({"frames": "sum"}, 1)])
def test_every_position_is_read_once_for_all_bins_and_chunks(repeated, reads, extra, number):
    _, path, options = repeated
    _read(path, chunks=1, **extra, **options)["data"].compute(scheduler="sync")
    assert len(reads) == number
    assert sum(b - a for a, b in reads) == NY * NX * (FRAMES if "time_bins" in extra else 1)


def test_reads_of_added_frames_are_bounded(repeated, reads, monkeypatch):
    _, path, options = repeated
    monkeypatch.setattr("rsciio_tpx3.frames.shared_reads.READ_ENTRIES", 2500)
    signal = _read(path, chunks=1, frames="sum", **options)
    signal["data"].compute(scheduler="sync")
    counts = signal["post_process"][0].keywords["navigator"].ravel()
    assert len(reads) > 1
    assert max(counts[a:b].sum() for a, b in reads) <= 2500


@pytest.mark.parametrize("frames", ["separate", "sum"])
def test_reads_of_time_bins_are_bounded(repeated, reads, monkeypatch, frames):
    _, path, options = repeated
    monkeypatch.setattr("rsciio_tpx3.frames.dask_array.CHUNK_ENTRIES", 4000)
    monkeypatch.setattr("rsciio_tpx3.frames.shared_reads.READ_ENTRIES", 4000)
    signal = _read(path, time_bins=5, frames=frames, **options)
    signal["data"].compute(scheduler="sync")
    counts = signal["post_process"][0].keywords["navigator"].sum(axis=0).ravel()
    assert len(reads) > 1
    assert max(counts[a:b].sum() for a, b in reads) <= 4000


def test_pixel_pulses_have_time_bins_too(tmp_path):
    path, positions = tmp_path / "scan.tpx3", np.random.default_rng(0).permutation(NY * NX)
    simulate.recording(
        path, intensity=_pattern(), sync="pixel-trigger", positions=positions, n_frames=2, dwell_time="4 us",
        electrons_per_position=20, layout="single", seed=8,
    )  # fmt: skip
    options = {"navigation_shape": (NX, NY), "positions": positions}
    whole = _dense(_read(path, **options))
    binned = _dense(_read(path, time_bins=3, **options))
    np.testing.assert_array_equal(binned.sum(axis=0), whole)
    assert (binned.sum(axis=(1, 2, 3, 4, 5)) > 0.2 * whole.sum()).all()
    np.testing.assert_array_equal(_dense(_read(path, frames="sum", **options)), whole.sum(axis=0))


def test_a_stack_over_time_has_no_frames_to_choose_but_bins(repeated):
    _, path, _ = repeated
    stack = _read(path, signal="frames", frame_time="0.2 ms")
    binned = _read(path, signal="frames", frame_time="0.2 ms", time_bins=4)
    assert [axis["name"] for axis in binned["axes"]][:2] == ["time in dwell", "time"]
    np.testing.assert_array_equal(_dense(binned).sum(axis=0), _dense(stack))
    with pytest.raises(ValueError, match="one stack over time"):
        _read(path, signal="frames", frame_time="0.2 ms", frames="sum")


@pytest.mark.parametrize(
    ("bins", "words"),
    [(0, "bins from 1 on"), (2.5, "number of bins inside"), ({"over": "line", "number": 2}, "must be one of 'dwell'"),
     ({"over": "dwell", "width": "1 us"}, "given by their number"), ({"over": "recording"}, "either"),
     ({"over": "recording", "width": 5}, "no unit"), ({"over": "recording", "width": "1 ps"}, "shorter than"),
     (10**9, "more than"), ({"number": 3}, "expected a number of bins")],
)  # fmt: skip
def test_time_bins_that_make_no_sense_are_refused(repeated, bins, words):
    _, path, options = repeated
    with pytest.raises(ValueError, match=words):
        _read(path, time_bins=bins, **options)


def test_hyperspy_shows_time_as_the_last_axis(repeated):
    hs = pytest.importorskip("hyperspy.api")
    _, path, options = repeated
    for lazy in (True, False):
        s = hs.load(path, time_bins=5, lazy=lazy, **options)
        axes = s.axes_manager.navigation_axes
        assert [(a.name, a.size) for a in axes] == [("x", NX), ("y", NY), ("frame", FRAMES), ("time in dwell", 5)]
        total = s.sum(axis="time in dwell")
        plain = hs.load(path, lazy=lazy, **options)
        np.testing.assert_array_equal(_dense({"data": total.data}), _dense({"data": plain.data}))
        assert int(s.inav[2, 1, 0, 3].data.sum()) == int(s.navigator.data[3, 0, 1, 2])
