"""The position truth of every scan kind against a plain placing of decoded hits by decoded edges."""

from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain_decode import chunks_of, decode

from rsciio_tpx3 import simulate
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TDC_PERIOD

KINDS = simulate.SYNC_KINDS
MILLISECOND = 3_840_000


def place(truth, times, edges):
    """Positions of hits from what a reader knows: edges, shape, dwell time and flyback."""
    scan, (frames, ny, nx) = truth.scan, truth.nav_shape
    starts = sorted({t for _, kind, _, t in edges if kind == scan.tdc})
    ends = sorted({t for _, kind, _, t in edges if kind != scan.tdc})

    def step(t):
        if scan.sync == "shared-clock":
            frame, rest = divmod(Fraction(t - scan.start), scan.frame_pitch)
            line, rest = divmod(rest, scan.line_pitch)
            return (frame * ny + int(line), int(rest // scan.dwell)) if line < ny else (-1, 0)
        i = bisect_right(starts, t) - 1
        if i < 0:
            return -1, 0
        since = t - starts[i]
        if scan.sync == "line-gate":
            return i, since * nx // (ends[i] - starts[i])
        if scan.sync == "pixel-trigger":
            return (i // nx, i % nx) if since < scan.dwell else (-1, 0)
        if scan.sync == "frame-trigger":
            line, rest = divmod(since, scan.line_pitch)
            return (i * ny + int(line), int(rest // scan.dwell)) if line < ny else (-1, 0)
        return i, int(since // scan.dwell)

    out = []
    for t in times:
        line, column = step(t)
        inside = 0 <= column < nx and 0 <= line < frames * ny
        if inside and scan.pattern == "serpentine" and line % ny % 2:
            column = nx - 1 - column
        out.append(line * nx + column if inside else -1)
    return out


def unwrapped(wrapped, period, start):
    return start + (wrapped - start + period // 4) % period - period // 4


def check(truth):
    hits, edges, _ = decode([chunk for path in truth.paths for chunk in chunks_of(path)])
    start = truth.scan.start
    times = [unwrapped(hit[3], PIXEL_PERIOD, start) for hit in hits]
    assert times == truth.hit_time.tolist()
    edges = [(*edge[:3], unwrapped(edge[3], TDC_PERIOD, start)) for edge in edges]
    assert place(truth, times, edges) == truth.hit_position.tolist()


@pytest.mark.parametrize("tdc", ["tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"])
@pytest.mark.parametrize("sync", KINDS)
def test_truth_agrees_with_edges_for_every_kind(tmp_path, sync, tdc):
    truth = simulate.recording(
        tmp_path / "a.tpx3", (5, 7), sync=sync, tdc=tdc, dwell_time=4003, n_frames=2,
        electrons_per_position=9, flyback_electrons=True, seed=3,
    )  # fmt: skip
    assert set(truth.hit_position.tolist()) - {-1} == set(range(70))
    check(truth)


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 9)),
    sync=st.sampled_from(KINDS),
    pattern=st.sampled_from(simulate.PATTERNS),
    dwell=st.fractions(500, 40_000, max_denominator=997),
    start=st.integers(0, 3 * PIXEL_PERIOD),
    frames=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
def test_truth_agrees_for_any_shape_dwell_and_start(tmp_path, shape, sync, pattern, dwell, start, frames, seed):
    truth = simulate.recording(
        tmp_path / "a.tpx3", shape, sync=sync, pattern=pattern, dwell_time=dwell, n_frames=frames,
        start_time=start, line_flyback=5000, frame_flyback=12345, electrons_per_position=4,
        flyback_electrons=True, control_words=False, seed=seed,
    )  # fmt: skip
    check(truth)


@pytest.mark.parametrize("period", [PIXEL_PERIOD, TDC_PERIOD])
@pytest.mark.parametrize("sync", ["line-gate", "pixel-trigger"])
def test_rollover_inside_a_line(tmp_path, sync, period):
    truth = simulate.recording(
        tmp_path / "a.tpx3", (4, 9), sync=sync, dwell_time="10 us", electrons_per_position=20,
        start_time=period - 900_000, seed=1,
    )  # fmt: skip
    assert truth.hit_time.min() < period < truth.hit_time.max()
    check(truth)


def test_line_jitter_moves_lines_and_edges_together(tmp_path):
    truth = simulate.recording(
        tmp_path / "a.tpx3", (9, 5), dwell_time="10 us", line_jitter="0.1 us",
        electrons_per_position=20, flyback_electrons=True,
    )  # fmt: skip
    assert len(set(np.diff(truth.scan.line_starts[0]))) > 1
    check(truth)


def test_edge_jitter_leaves_the_truth_alone(tmp_path):
    options = {"dwell_time": "10 us", "electrons_per_position": 20, "disorder": 0}
    steady = simulate.recording(tmp_path / "a.tpx3", (9, 5), **options)
    shaky = simulate.recording(tmp_path / "b.tpx3", (9, 5), edge_jitter="0.1 us", **options)
    assert np.array_equal(steady.hit_position, shaky.hit_position)
    assert not np.array_equal(steady.edges.time, shaky.edges.time)


def test_scan_delay_puts_edges_before_the_beam(tmp_path):
    options = {"dwell_time": "10 us", "electrons_per_position": 5}
    steady = simulate.recording(tmp_path / "a.tpx3", (4, 5), **options)
    late = simulate.recording(tmp_path / "b.tpx3", (4, 5), scan_delay=777, **options)
    assert np.array_equal(steady.edges.time - 777, late.edges.time)


def test_pixel_trigger_follows_a_list_of_positions(tmp_path):
    order = np.random.default_rng(0).permutation(35)[:19]
    truth = simulate.recording(
        tmp_path / "a.tpx3", (5, 7), sync="pixel-trigger", positions=order, n_frames=2,
        electrons_per_position=12,
    )  # fmt: skip
    counts = truth.counts().reshape(2, -1)
    assert set(np.flatnonzero(counts[1])) == set(order)
    step = np.searchsorted(truth.edges.time, truth.hit_time, side="right") - 1
    assert np.array_equal(truth.hit_position, order[step % 19] + 35 * (step // 19))


def test_real_raster_burst_is_drawn(tmp_path):
    # formats: 513 line intervals of 40.02 us, 142 of 0.16 us, frame period 20.5531 ms
    scan = simulate.make_scan(
        (513, 8), sync="line-start", dwell_time="4 us", line_flyback="8.0203 us", n_frames=3,
        frame_burst=(142, "0.16 us"),
    )  # fmt: skip
    edges = simulate.make_edges(scan)
    assert len(edges) == 3 * 655
    intervals = np.diff(edges.time)[: 655 * 2].reshape(2, 655)
    assert np.all(np.abs(intervals[:, :513] / 3840 - 40.0203) < 0.001)
    assert np.all(np.abs(intervals[:, 513:] / 3840 - 0.160) < 0.01)
    assert abs((edges.time[655] - edges.time[0]) / MILLISECOND - 20.5531) < 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sync": "line"}, "must be one of line-gate"),
        ({"pattern": "spiral"}, "must be one of raster"),
        ({"dwell_time": 1e-6}, "has no unit"),
        ({"dwell_time": 3}, "shorter than the pixel clock"),
        ({"positions": [1]}, "needs sync='pixel-trigger'"),
        ({"sync": "frame-trigger", "line_jitter": 5}, "no edge of their own"),
        ({"line_jitter": "1 ms"}, "too large for the line flyback"),
        ({"start_time": 0, "scan_delay": 9}, "before time zero"),
        ({"tdc": "tdc3-rise"}, "must be one of tdc1-rise"),
        ({"missing_edges": [99]}, "numbered from 0"),
        ({"edge_chips": (7,)}, "of the chips"),
        ({"n_files": 2, "empty_files": (0, 1)}, "one file that is not empty"),
        ({"max_words": 9000}, "8191"),
        ({"lost_chunks": 2}, "share from 0 to 1"),
        ({"hits": "many"}, "must be 'exact'"),
        ({"frame_burst": (3, "1 us"), "frame_flyback": 0}, "shorter than the burst"),
    ],
)
def test_impossible_recipes_say_what_is_wrong(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        simulate.recording(tmp_path / "a.tpx3", (3, 4), **options)
