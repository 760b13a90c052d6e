"""Kind: limits are tested after the work, or tables cost far more than what they stand for."""

import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, t3pa
from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.scan import clocked
from rsciio_tpx3.scan.edges import regular_pulses
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.sync import ScanOptions, build_scan
from rsciio_tpx3.scan.time_bins import TimeBins
from rsciio_tpx3.tpx3 import packets


def _index(first, last, edges=None):
    return EventIndex(edges or Edges.empty(), 2, (first, last), (first, last), (0,))


def _placed(scan, times):
    out = np.empty(len(times), np.int64)
    place_hits(np.asarray(times, np.int64), *scan.columns(), out)
    return out


@pytest.mark.parametrize("seed", range(12))
def test_frames_over_time_are_exact_whether_a_segment_holds_one_or_many(monkeypatch, seed):
    rng = np.random.default_rng(seed)
    first = int(rng.integers(-(10**6), 10**12))
    frame_time = Fraction(int(rng.integers(1, 10**7)), int(rng.integers(1, 10**4)))
    last = first + int(frame_time * int(rng.integers(1, 3000))) + int(rng.integers(0, 50))
    monkeypatch.setattr(clocked, "_MOST_SEGMENTS", int(rng.integers(1, 40)))
    scan = build_scan(_index(first, last), ScanOptions(sync="frames", frame_time=frame_time))
    assert scan.nav_shape == (math.ceil((last + 1 - first) / frame_time),)
    times = np.unique(np.append(rng.integers(first, last + 1, 500), [first, last]))
    borders = [first + int(n * frame_time) + k for n in rng.integers(0, scan.nav_shape[0], 50) for k in (0, 1)]
    times = np.append(times, [t for t in borders if first <= t <= last])
    assert _placed(scan, times).tolist() == [int((int(t) - first) / frame_time) for t in times]
    # outside of the recording there is no frame
    assert (_placed(scan, [first - 1, last + 2 + int(frame_time)]) < 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_clocked_lines_are_exact(seed):
    rng = np.random.default_rng(seed)

    def ticks(most):
        return Fraction(int(rng.integers(0, most)), int(rng.choice([1, 2, 3, 7, 10, 1000, 999_983])))

    ny, nx, n_frames = (int(n) for n in rng.integers(1, 9, 3))
    dwell, line_flyback, frame_flyback = ticks(10**6) + 1, ticks(10**5), ticks(10**6)
    delay = ticks(10**6) - 10**5
    options = ScanOptions(
        (n_frames, ny, nx), dwell, "shared-clock", line_flyback=line_flyback, frame_flyback=frame_flyback, delay=delay
    )
    line = nx * dwell + line_flyback
    frame = ny * line + frame_flyback
    scan = build_scan(_index(0, int(n_frames * frame + abs(delay))), options)
    times, expected = [], []
    for t in rng.integers(0, int(n_frames * frame) + 1, 800).tolist():
        since = t - delay
        n, rest = divmod(since, frame)
        y, rest = divmod(rest, line)
        x = rest // dwell
        inside = since >= 0 and n < n_frames and y < ny and x < nx
        times.append(t)
        expected.append((n * ny + y) * nx + x if inside else -1)
    assert np.maximum(_placed(scan, times), -1).tolist() == expected


@pytest.mark.parametrize(
    ("options", "span"),
    [
        (ScanOptions((6, 8), Fraction(3840), "shared-clock"), 10**13),
        (ScanOptions((30_000_000, 1), Fraction(1000), "shared-clock"), 10**6),
        (ScanOptions(sync="frames", frame_time=Fraction(3)), 10**10),
        (ScanOptions(sync="frames", frame_time=Fraction(1, 10**6)), 10**6),
        (ScanOptions((6, 8), Fraction(3840), "shared-clock", time_bins=TimeBins("dwell", 10**8)), 1000),
        (ScanOptions((6, 8), Fraction(3840), "shared-clock", time_bins=TimeBins("recording", 10**8)), 10**9),
        (ScanOptions((1, 1), Fraction(10**9), "shared-clock", time_bins=TimeBins("recording", 10**8)), 10**9),
        (
            ScanOptions(
                (7000, 7000), Fraction(10), "shared-clock", pattern="serpentine", time_bins=TimeBins("dwell", 2)
            ),
            10**8,
        ),
    ],
    ids=str,
)
def test_limits_are_checked_before_tables_are_made(options, span):
    tracemalloc.start()
    try:
        with pytest.raises(LimitError):
            build_scan(_index(0, span), options)
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def test_a_counter_that_claims_millions_of_lost_edges_is_refused():
    # every other step of the counter says 4095: 16 bytes of a file would ask for 70 kB of pulses
    step = np.tile([1, 1, 1, 4095], 1500)
    ticks = np.cumsum(np.tile([1000, 1000, 1000, 4_095_000], 1500))
    with pytest.raises(LimitError, match="edges are missing"):
        regular_pulses(ticks, np.cumsum(step) % 4096)


def test_a_scan_of_too_many_positions_is_refused_when_edges_mark_it_too(write_stream):
    # the counts of such a shape alone would take 63 GB
    n = np.arange(40)
    edges = packets.encode_tdc(packets.EDGE_CODES["tdc1-rise"], n, 10**6 + 10**7 * n)
    path = write_stream([(0, np.append(edges, packets.encode_hits(300, 10**6 + 96, 5)))])
    with pytest.raises(LimitError, match="positions"):
        file_reader(path, navigation_shape=(14_000, 14_000, 40), sync="line-start", dwell_time="100 ns", lazy=True)


def test_millions_of_frames_cost_a_few_bytes_each(tmp_path):
    rows = ["0\t300\t100\t10\t0\t0", "1\t301\t200\t10\t0\t0", f"2\t302\t{500 * 40_000_000}\t10\t0\t0"]
    path = tmp_path / "a.t3pa"
    path.write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *rows, ""]))
    [found] = t3pa.file_reader(path, signal="frames", frame_time="1 ms", lazy=True, show_progressbar=False)
    frames = source_of(found["data"])
    n = found["data"].shape[0]
    assert n == 500_000
    assert sum(column.nbytes for column in frames.scan.columns()[:6]) < 8 * n
    # a task takes its own part along, not the whole recording's
    part = frames.for_rows(1000, 1010)
    assert part.scan.span[1] - part.scan.span[0] < (frames.scan.span[1] - frames.scan.span[0]) / 1000
    assert int(found["data"][0].sum().compute()) == 2 and int(found["data"][-1].sum().compute()) == 1


@pytest.mark.parametrize("far", [0, 40_000 * 500])
def test_a_hit_far_from_all_others_is_reported_where_it_decides_the_number_of_frames(tmp_path, caplog, far):
    rows = [f"{i}\t{i}\t{40 * i}\t10\t0\t0" for i in range(2000)] + ["2000\t5\t80000\t10\t0\t0"]
    if far:
        rows[-1] = f"2000\t5\t{far}\t10\t0\t0"
    path = tmp_path / "a.t3pa"
    path.write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *rows, ""]))
    for options in ({"signal": "frames", "frame_time": "100 us"}, {"navigation_shape": (8, 6), "dwell_time": "1 us"}):
        caplog.clear()
        t3pa.file_reader(path, lazy=True, show_progressbar=False, **options)
        assert ("first tenth" in caplog.text) == bool(far)
