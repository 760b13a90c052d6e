"""What is read from simulated recordings equals what was simulated, entry by entry."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.tpx3 import packets
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND

QUIET = {"lazy": True, "show_progressbar": False}


def _read(path, **options):
    return file_reader(path, **{**QUIET, **options})[0]


def _assert_equal(signal, truth):
    """CSR of the whole signal against the CSR of the truth, exactly."""
    frames = signal["data"].compute(scheduler="sync")
    indptr, indices, data = truth.csr()
    np.testing.assert_array_equal(frames.indptr, indptr)
    np.testing.assert_array_equal(frames.indices, indices)
    np.testing.assert_array_equal(frames.data, data)
    assert signal["data"].shape[-2:] == truth.sig_shape
    navigator = signal["post_process"][0].keywords.get("navigator")
    if navigator is not None:  # a signal that waits has none before it is read
        np.testing.assert_array_equal(navigator.ravel(), truth.counts().ravel())


def _users_shape(truth):
    frames, y, x = truth.nav_shape
    return (x, y) if frames == 1 else (x, y, frames)


# what the reader requires for each convention, and what follows from the edges
STATED = {
    "line-gate": {"nav": True, "dwell": False, "sync": "auto"},
    "line-start": {"nav": True, "dwell": True, "sync": "auto"},
    "periodic-line": {"nav": True, "dwell": True, "sync": "periodic-line"},
    "pixel-trigger": {"nav": True, "dwell": False, "sync": "pixel-trigger"},
    "shared-clock": {"nav": True, "dwell": True, "sync": "shared-clock"},
    "frame-trigger": {"nav": True, "dwell": True, "sync": "frame-trigger"},
}


def _options(truth, sync, flyback=None):
    known = STATED[sync]
    options = {"sync": known["sync"], "navigation_shape": _users_shape(truth)}
    if known["dwell"]:
        options["dwell_time"] = truth.scan.dwell
    if sync in ("shared-clock", "frame-trigger"):
        options["line_flyback"] = truth.scan.line_pitch - truth.scan.active
        lines = truth.scan.n_lines * truth.scan.line_pitch
        options["frame_flyback"] = truth.scan.frame_pitch - lines
    return options


@pytest.mark.slow
@pytest.mark.parametrize("n_frames", [1, 3])
@pytest.mark.parametrize("pattern", ["raster", "serpentine"])
@pytest.mark.parametrize("sync", sorted(STATED))
def test_every_convention_gives_back_the_truth(tmp_path, sync, pattern, n_frames):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (7, 11), sync=sync, pattern=pattern, n_frames=n_frames, dwell_time="3.3 us",
        electrons_per_position=30, flyback_electrons=True, seed=5, gap=2,
    )  # fmt: skip
    signal = _read(path, pattern=pattern, gap=2, **_options(truth, sync))
    _assert_equal(signal, truth)
    outside = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"].get("Hits_outside", {})
    assert sum(outside.values()) == (truth.hit_position < 0).sum()


@pytest.mark.parametrize("edge", ["tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"])
def test_all_four_edges_can_mark_a_line(tmp_path, edge):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), tdc=edge, electrons_per_position=20, seed=1)
    signal = _read(path, navigation_shape=(7, 5), tdc=edge)
    _assert_equal(signal, truth)
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]["tdc"] == edge


@pytest.mark.parametrize("start_time", ["26.8435 s", "107.374 s", "134 s"])
@pytest.mark.parametrize("global_time", [None, "1 ms"])
def test_rollover_inside_the_scan(tmp_path, start_time, global_time):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (13, 9), start_time=start_time, global_time=global_time, dwell_time="7 us",
        electrons_per_position=25, edge_chips=(0, 2, 3), control_words=global_time is None, seed=2,
    )  # fmt: skip
    _assert_equal(_read(path, navigation_shape=(9, 13)), truth)


@pytest.mark.parametrize("layout", ["single", "quad", "strip", "strip-reversed"])
@pytest.mark.parametrize("orientation", ["up", "left", "right_mirrored"])
def test_every_layout_and_orientation(tmp_path, layout, orientation):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (3, 5), layout=layout, orientation=orientation, electrons_per_position=200, seed=3)
    _assert_equal(_read(path, navigation_shape=(5, 3), layout=layout, orientation=orientation), truth)


@pytest.mark.parametrize("gap", [0, 2, 4])
def test_gap_between_the_chips(tmp_path, gap):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (3, 5), gap=gap, electrons_per_position=100, seed=3)
    signal = _read(path, navigation_shape=(5, 3), gap=gap)
    assert signal["data"].shape == (3, 5, 512 + gap, 512 + gap)
    _assert_equal(signal, truth)


def test_missing_line_edges_are_put_back_and_counted(tmp_path, caplog):
    path = tmp_path / "scan.tpx3"
    # edges 8 and 17 in time order are a start and an end of a gate
    truth = simulate.recording(
        path, (15, 7), missing_edges=(8, 17), dwell_time="3 us", electrons_per_position=40, seed=4
    )
    signal = _read(path, navigation_shape=(7, 15))
    _assert_equal(signal, truth)
    scan = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert (scan["lines_found"], scan["lines_repaired"], scan["line_ends_repaired"]) == (14, 1, 1)
    assert "1 missing line edge put back" in caplog.text


def test_edges_with_fine_time_zero_count_as_missing(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (15, 7), sync="line-start", invalid_edges=(6, 7), dwell_time="3 us",
        electrons_per_position=40, edge_chips=(0, 1), seed=4,
    )  # fmt: skip
    signal = _read(path, navigation_shape=(7, 15), dwell_time="3 us")
    _assert_equal(signal, truth)
    scan = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert scan["lines_repaired"] == 2
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"] == {"edges_without_time": 2}


@pytest.mark.slow
def test_counter_that_turns_over_between_frames(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (700, 3), n_frames=4, dwell_time="1 us", frame_flyback="90 us", electrons_per_position=1, seed=9
    )
    signal = _read(path)
    assert signal["data"].shape[:3] == (4, 700, 700)  # as many columns as rows: a line can be sampled freely
    signal = _read(path, navigation_shape=(3, 700))
    _assert_equal(signal, truth)


# 160 ns is a 250th of the shorter line, as in the real raster, and less than the longer one may be out of step
@pytest.mark.parametrize("dwell_time", ["3 us", "20 us"])
def test_burst_of_edges_in_the_frame_flyback_marks_frames(tmp_path, dwell_time):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (17, 11), sync="line-start", n_frames=4, frame_burst=(142, "160 ns"), dwell_time=dwell_time,
        electrons_per_position=40, flyback_electrons=True, seed=6,
    )  # fmt: skip
    signal = _read(path, navigation_shape=(11, 17), dwell_time=dwell_time)
    _assert_equal(signal, truth)
    scan = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    # the first edge of each burst ends a line, the last one begins the next frame
    assert scan["edges_in_bursts"] >= 3 * 142
    assert scan["frames"] == 4
    assert scan.get("edges_spurious", 0) == 0


def test_pixel_pulses_with_flyback_tell_the_shape(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (7, 11), sync="pixel-trigger", n_frames=2, line_flyback="20 us", frame_flyback="200 us",
        dwell_time="4 us", electrons_per_position=20, seed=7,
    )  # fmt: skip
    signal = _read(path, sync="pixel-trigger")
    assert signal["data"].shape[:3] == (2, 7, 11)
    _assert_equal(signal, truth)


def test_pixel_pulses_follow_a_list_of_positions(tmp_path):
    path = tmp_path / "scan.tpx3"
    order = np.random.default_rng(0).permutation(77)[:60]
    truth = simulate.recording(
        path, (7, 11), sync="pixel-trigger", positions=order, n_frames=2, dwell_time="4 us",
        electrons_per_position=20, seed=8,
    )  # fmt: skip
    np.save(tmp_path / "order.npy", order)
    signal = _read(path, navigation_shape=(11, 7), positions=tmp_path / "order.npy")
    _assert_equal(signal, truth)


def test_disorder_swapped_chunks_and_pieces_change_nothing(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (9, 7), disorder="1.6 ms", chunk_counts=True, swapped_chunks=0.3, n_files=5, empty_files=(2,),
        global_time="0.1 ms", electrons_per_position=60, edge_chips=(1, 3), seed=10,
    )  # fmt: skip
    signal = _read(truth.paths[3], all_parts=True, navigation_shape=(7, 9))
    _assert_equal(signal, truth)
    assert len(signal["metadata"]["General"]["original_files"]) == 5


def test_stale_start_is_excluded_and_counted(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), stale_start=True, global_time="0.2 ms", electrons_per_position=30, seed=11)
    signal = _read(path, navigation_shape=(7, 5))
    _assert_equal(signal, truth)
    losses = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"]
    assert losses["hits_before_reset"] == truth.n_stale_hits


def test_lost_chunks_are_counted(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (9, 7), chunk_counts=True, lost_chunks=((1, 3), (2, 5), (2, 6)), electrons_per_position=60, seed=12
    )
    signal = _read(path, navigation_shape=(7, 9))
    _assert_equal(signal, truth)
    losses = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"]
    assert losses["chunks_lost"] == 3


def test_stream_without_headers(tmp_path):
    path = tmp_path / "plain.tpx3"
    for stamp in (None, 1_700_000_000_000_000_000):
        truth = simulate.recording(path, (5, 7), headerless=True, start_stamp=stamp, electrons_per_position=30, seed=13)
        _assert_equal(_read(path, navigation_shape=(7, 5)), truth)


def test_several_hits_of_a_pixel_in_one_dwell_time_add_up(tmp_path):
    path = tmp_path / "scan.tpx3"
    pattern = np.zeros((3, 5, 2, 2))
    pattern[..., 0, 1] = 400  # far above 255 in one pixel
    truth = simulate.recording(path, (3, 5), intensity=pattern, dwell_time="900 us", seed=14)
    signal = _read(path, navigation_shape=(5, 3))
    assert signal["data"].dtype == np.uint16
    _assert_equal(signal, truth)


def test_too_small_a_count_type_is_an_error_not_a_wrong_count(tmp_path):
    path = tmp_path / "scan.tpx3"
    pattern = np.zeros((3, 5, 2, 2))
    pattern[..., 0, 1] = 400
    simulate.recording(path, (3, 5), intensity=pattern, dwell_time="900 us", seed=14)
    with pytest.raises(OverflowError, match='Load with dtype="uint16"'):
        _read(path, navigation_shape=(5, 3), dtype="uint8")["data"].compute(scheduler="sync")


def test_the_same_recording_on_another_grid(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (6, 8), dwell_time="6 us", electrons_per_position=50, seed=15)
    fine = truth.counts()[0]
    coarse = _read(path, navigation_shape=(4, 6))
    navigator = coarse["post_process"][0].keywords["navigator"]
    np.testing.assert_array_equal(navigator, fine.reshape(6, 4, 2).sum(2))
    rows = _read(path, navigation_shape=(8, 3), lines_per_row=2)
    navigator = rows["post_process"][0].keywords["navigator"]
    np.testing.assert_array_equal(navigator, fine.reshape(3, 2, 8).sum(1))


def test_incomplete_last_frame_is_read_and_said(tmp_path, caplog):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (12, 5), n_frames=2, frame_flyback=None, electrons_per_position=20, seed=16)
    signal = _read(path, navigation_shape=(5, 9))  # 24 lines are two frames of nine and six lines more
    assert signal["data"].shape[:3] == (3, 9, 5)
    navigator = signal["post_process"][0].keywords["navigator"].reshape(27, 5)
    np.testing.assert_array_equal(navigator[:24], truth.counts().reshape(24, 5))
    assert navigator[24:].sum() == 0
    assert "24 of 27 lines were recorded" in caplog.text


def test_frames_over_time_without_edges(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (4, 5), sync="shared-clock", dwell_time="50 us", electrons_per_position=30, seed=17
    )
    signal = _read(path, signal="frames", frame_time="0.1 ms")
    frames = signal["data"].compute(scheduler="sync")
    number = (truth.hit_time - truth.hit_time.min()) // 384_000
    expected = np.zeros((number.max() + 1, 512 * 512), np.int64)
    np.add.at(expected, (number, truth.hit_pixel), 1)
    np.testing.assert_array_equal(frames.todense().reshape(expected.shape), expected)
    time = signal["axes"][0]
    assert (time["name"], time["units"], time["scale"]) == ("time", "s", 1e-4)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sync=st.sampled_from(sorted(STATED)),
    ny=st.integers(2, 9),
    nx=st.integers(2, 12),
    n_frames=st.integers(1, 3),
    layout=st.sampled_from(["single", "quad", "strip"]),
    dwell=st.sampled_from(["1 us", "3.3 us", "7.77 us", "0.45 us"]),
    start=st.sampled_from(["1 ms", "26.8435 s", "107.374 s"]),
    seed=st.integers(0, 10**6),
    chunks=st.sampled_from(["auto", 1, 2]),
)
def test_any_simulated_recording_is_read_as_it_was(
    tmp_path, sync, ny, nx, n_frames, layout, dwell, start, seed, chunks
):
    path = tmp_path / "any.tpx3"
    timing = {} if sync == "shared-clock" else {"start_time": start}
    truth = simulate.recording(
        path, (ny, nx), sync=sync, n_frames=n_frames, layout=layout, dwell_time=dwell, electrons_per_position=7,
        flyback_electrons=True, seed=seed, **timing,
    )  # fmt: skip
    signal = _read(path, layout=layout, chunks=chunks, **_options(truth, sync))
    _assert_equal(signal, truth)


@pytest.mark.slow
def test_graph_pickles_holds_no_handle_and_runs_elsewhere(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (6, 8), electrons_per_position=50, seed=15)
    data = _read(path, navigation_shape=(8, 6), chunks=2)["data"]
    again = pickle.loads(pickle.dumps(data))
    total = again.sum(axis=(0, 1)).compute(scheduler="processes", num_workers=2)
    expected = np.zeros(512 * 512, np.int64)
    np.add.at(expected, truth.hit_pixel[truth.hit_position >= 0], 1)
    np.testing.assert_array_equal(np.asarray(total).ravel(), expected)


def test_reset_of_the_clock_shows_in_the_edge_counter_alone(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (50, 7), stale_start=True, electrons_per_position=30, seed=11)
    signal = _read(path, navigation_shape=(7, 50))
    # the old clock's last millisecond is the new one's first, so its one hit may pass as early; it has no position
    _assert_equal(signal, truth)
    losses = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"]
    assert losses["marks_before_reset"] >= 60


def test_periodic_line_takes_the_active_time_from_both_edges(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (9, 7), sync="periodic-line", both_edges=True, electrons_per_position=30, seed=11)
    _assert_equal(_read(path, navigation_shape=(7, 9), sync="periodic-line"), truth)


@pytest.mark.parametrize("n_frames", [2, 3])
def test_missing_end_of_the_last_line_of_a_frame_moves_nothing(tmp_path, n_frames):
    path = tmp_path / "scan.tpx3"
    # twenty edges a frame; number 19 is the end of the last line of the first one
    truth = simulate.recording(
        path, (10, 7), n_frames=n_frames, frame_flyback="60 us", dwell_time="3 us", missing_edges=[19],
        electrons_per_position=10, seed=21,
    )  # fmt: skip
    _assert_equal(_read(path, navigation_shape=_users_shape(truth)), truth)


def test_line_lost_between_two_frames_leaves_a_gap_and_moves_nothing(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (10, 7), sync="line-start", n_frames=3, frame_flyback="60 us", dwell_time="3 us", missing_edges=[20],
        electrons_per_position=10, seed=21,
    )  # fmt: skip
    signal = _read(path, navigation_shape=(7, 10), dwell_time="3 us")
    navigator = signal["post_process"][0].keywords["navigator"]
    expected = truth.counts().copy()
    expected[2, 0] = 0  # the edge that begins the last frame: known from the counter, its time is not
    np.testing.assert_array_equal(navigator, expected)


def test_missing_pulse_of_a_burst_is_no_lost_line(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (17, 11), sync="line-start", n_frames=3, frame_burst=(142, "160 ns"), missing_edges=[60],
        dwell_time="3 us", electrons_per_position=10, seed=6,
    )  # fmt: skip
    _assert_equal(_read(path, navigation_shape=(11, 17), dwell_time="3 us"), truth)


def test_long_pause_between_frames_invents_no_lines(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (64, 7), n_frames=3, frame_flyback="0.3 s", dwell_time="10 us", electrons_per_position=5, seed=6
    )
    _assert_equal(_read(path, navigation_shape=(7, 64)), truth)


# the pixel clock turns over after 27 s, the one of the edges after 107 s
@pytest.mark.slow
@pytest.mark.parametrize("pause", ["5 ms", "1 s", "30 s", "100 s"])
@pytest.mark.parametrize("sync", ["line-gate", "line-start", "periodic-line", "pixel-trigger"])
def test_a_series_with_long_pauses_between_frames(tmp_path, sync, pause):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (9, 7), sync=sync, n_frames=4, frame_flyback=pause, dwell_time="10 us", electrons_per_position=5,
        start_time="26.8 s", layout="single", chunk_time="1 ms", seed=5,
    )  # fmt: skip
    options = {**_options(truth, sync), "sync": sync if sync == "periodic-line" else "auto"}
    for shape in ((7, 9, 4), (7, 9)):
        signal = _read(path, **{**options, "navigation_shape": shape, "tdc": "tdc1-rise"})
        _assert_equal(signal, truth)
        scan = signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
        assert (scan.get("edges_in_bursts", 0), scan["edges_spurious"], scan["frames"]) == (0, 0, 4)


def test_hits_far_apart_keep_their_time_where_edges_go_on(tmp_path):
    path = tmp_path / "slow.tpx3"
    ticks = np.arange(200) * (TICKS_PER_SECOND // 5)
    edges = packets.encode_tdc(packets.EDGE_CODES["tdc1-rise"], np.arange(200), ticks)
    words = [np.atleast_1d(edge) for edge in edges]
    for line in (5, 140):  # 1 s and 28 s: more than a turn of the pixel clock apart
        words[line] = np.append(words[line], packets.encode_hits(np.arange(10), ticks[line] + 600 * np.arange(10), 9))
    payload = np.concatenate(words)
    path.write_bytes(packets.encode_header(0, len(payload)).tobytes() + payload.tobytes())
    signal = _read(path, navigation_shape=(4, 200), active_fraction=0.9)
    navigator = signal["post_process"][0].keywords["navigator"]
    assert np.flatnonzero(navigator.sum(axis=1)).tolist() == [5, 140]


def test_serpentine_turns_with_the_trigger_lines(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (8, 7), pattern="serpentine", electrons_per_position=20, seed=4)
    counts = truth.counts()[0]
    paired = _read(path, navigation_shape=(7, 4), pattern="serpentine", lines_per_row=2)
    np.testing.assert_array_equal(paired["post_process"][0].keywords["navigator"], counts.reshape(4, 2, 7).sum(axis=1))
    rest = _read(path, navigation_shape=(7, 7), pattern="serpentine", skip_lines=(1, 0))
    np.testing.assert_array_equal(rest["post_process"][0].keywords["navigator"], counts[1:])


def test_frames_cut_short_by_the_next_pulse_count_no_hit_twice(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (6, 7), sync="frame-trigger", n_frames=3, dwell_time="5 us", electrons_per_position=20, seed=4
    )
    options = _options(truth, "frame-trigger")
    for chunks in (1, "auto"):
        signal = _read(path, chunks=chunks, **options)
        assert int(signal["data"].sum().compute()) == truth.counts().sum()


@pytest.mark.parametrize("dwell", [(10 / 3, "us"), "3.3333333333333333333 us"])
def test_endless_decimals_of_a_time_do_no_harm(tmp_path, dwell):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (3, 1024), sync="line-start", dwell_time="10 us", electrons_per_position=1, seed=4)
    signal = _read(path, navigation_shape=(1024, 3), dwell_time=dwell)
    navigator = signal["post_process"][0].keywords["navigator"]
    assert int(signal["data"].sum().compute()) == navigator.sum()


def test_file_that_changed_after_loading_is_refused(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (5, 7), electrons_per_position=20, seed=1)
    data = _read(path, navigation_shape=(7, 5))["data"]
    simulate.recording(path, (5, 7), electrons_per_position=60, seed=2)
    with pytest.raises(ValueError, match="changed since it was opened"):
        data.compute(scheduler="sync")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"skip_lines": 3}, "two for skip_lines"),
        ({"skip_lines": (5, 5)}, "leave no row"),
        ({"lines_per_row": 20}, "leave no row"),
        ({"lines_per_row": 1.5}, "expected an integer"),
        ({"line_flyback": "-1 us", "sync": "shared-clock"}, "cannot be negative"),
        ({"positions": [1, 2], "sync": "line-start"}, "means nothing"),
        ({"active_fraction": 0.5}, "is not used where"),
        ({"signal": "frames", "frame_time": "1 ps"}, "Check the times"),
        ({"scan_delay": "10 s"}, "scan_delay=10 s moves the whole scan out of the recording, which lasts .* us"),
        ({"scan_delay": "-3 s"}, "scan_delay=-3 s moves the whole scan out"),
        (
            {"sync": "shared-clock", "scan_delay": "10 s", "navigation_shape": (7, 8), "dwell_time": "1 us"},
            "scan_delay=10 s",
        ),
    ],
)
def test_options_that_make_no_sense_together(tmp_path, options, words):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (8, 7), electrons_per_position=5, seed=1)
    with pytest.raises(ValueError, match=words):
        _read(path, **options)


def test_the_same_file_twice_is_refused(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (5, 7), electrons_per_position=20, seed=1)
    with pytest.raises(ValueError, match="named twice"):
        _read([path, path], navigation_shape=(7, 5))


def test_start_of_the_very_first_line_is_put_back_from_its_end(tmp_path, caplog):
    path = tmp_path / "scan.tpx3"
    # the shutter opens 1 ms before the scan: the line was recorded as a whole, but for its first edge
    truth = simulate.recording(path, (9, 7), missing_edges=[0], electrons_per_position=20, seed=4)
    signal = _read(path, navigation_shape=(7, 9))
    _assert_equal(signal, truth)
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]["lines_repaired"] == 1
    # where nothing was recorded before, nobody can tell that there was a whole line
    simulate.recording(
        path, (9, 7), missing_edges=[0], electrons_per_position=20, seed=4, control_words=False, start_time="10 us"
    )
    _read(path, navigation_shape=(7, 9))
    assert "begins inside a line" in caplog.text


def test_first_start_is_put_back_although_a_later_end_is_missing_too(tmp_path):
    path = tmp_path / "scan.tpx3"
    # the first start, and the end of the second line: the length of a line is that of the others
    truth = simulate.recording(path, (9, 7), missing_edges=[0, 3], electrons_per_position=20, seed=4)
    _assert_equal(_read(path, navigation_shape=(7, 9)), truth)
