"""Hit time to position, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.scan import AFTER, BEFORE, EXCLUDED, FLYBACK, OUTSIDE_NAMES, Scan, count_positions, place_hits
from rsciio_tpx3.scan.sync import ScanOptions, build_scan


def _scan(start, stop, num, den, n_columns, base, step, nav_shape):
    def column(values, dtype=np.int64):
        return np.asarray(values, dtype)

    n = len(start)
    return Scan(
        nav_shape, column(start), column(stop), np.zeros(n, np.int64), column(num), den, n_columns,
        column(base), column(step, np.int8),
    )  # fmt: skip


def _place(scan, times):
    out = np.empty(len(times), np.int64)
    place_hits(np.asarray(times, np.int64), *scan.columns(), out)
    return out


def _reference(scan, t):
    """With fractions; what the kernel has to agree with."""
    inside = [s for s in range(len(scan.start)) if scan.start[s] <= t]
    if not inside:
        return BEFORE
    s = inside[-1]
    column = Fraction(int(t - scan.start[s]) * scan.den, int(scan.num[s])).__floor__()
    if t < scan.stop[s] and scan.base[s] < 0:
        return EXCLUDED
    if t >= scan.stop[s] or column >= scan.n_columns:
        return AFTER if s == len(scan.start) - 1 else FLYBACK
    return int(scan.base[s] + scan.step[s] * column)


def test_hit_on_dwell_border_belongs_to_next_position():
    scan = _scan([0, 100], [70, 170], [10, 10], 1, 7, [0, 7], [1, 1], (2, 7))
    assert _place(scan, [0, 9, 10, 69, 70, 99, 100, 169, 170]).tolist() == [
        0, 0, 1, 6, FLYBACK, FLYBACK, 7, 13, AFTER,
    ]  # fmt: skip


def test_line_that_is_no_multiple_of_the_columns_does_not_drift():
    # 1000 ticks over 7 columns: borders at 142.857, 285.714, ...
    scan = _scan([5], [1005], [1000], 7, 7, [0], [1], (1, 7))
    times = np.arange(5, 1005)
    expected = (times - 5) * 7 // 1000
    np.testing.assert_array_equal(_place(scan, times), expected)


def test_serpentine_runs_backwards():
    scan = _scan([0, 100], [70, 170], [10, 10], 1, 7, [0, 13], [1, -1], (2, 7))
    assert _place(scan, [0, 100, 165]).tolist() == [0, 13, 7]


@given(
    n=st.integers(1, 6),
    n_columns=st.integers(1, 9),
    den=st.integers(1, 11),
    seed=st.integers(0, 10**6),
    offset=st.sampled_from([0, 3 * 10**11]),
)
def test_any_hits_agree_with_fractions(n, n_columns, den, seed, offset):
    rng = np.random.default_rng(seed)
    start = np.cumsum(rng.integers(30, 90, n)) + offset
    stop = start + rng.integers(1, 30, n)
    num = rng.integers(1, 40, n) * rng.integers(1, den + 1)
    base = np.where(rng.random(n) < 0.2, -1, rng.permutation(n) * n_columns)
    scan = _scan(start, stop, num, den, n_columns, base, rng.choice([1, -1], n), (n, n_columns))
    times = rng.integers(offset, start[-1] + 60, 200)
    assert _place(scan, times).tolist() == [_reference(scan, t) for t in times]


def test_counts_and_reasons():
    counts, outside = np.zeros(3, np.int64), np.zeros(5, np.int64)
    count_positions(np.array([0, 2, 2, FLYBACK, BEFORE, AFTER, AFTER]), counts, outside)
    assert counts.tolist() == [1, 0, 2]
    assert outside.tolist() == [0, 1, 1, 2, 0]


def test_range_of_positions_is_found_in_time_whatever_the_order():
    order = np.random.default_rng(2).permutation(50)
    start = np.arange(50) * 100
    scan = _scan(start, start + 100, np.full(50, 100), 1, 1, order, np.ones(50), (5, 10))
    for first, last in ((0, 50), (7, 9), (49, 50)):
        for most in (3, 64):
            runs = scan.runs(first, last, most=most)
            assert len(runs) <= most
            found = np.concatenate([run.base for run in runs])
            assert set(range(first, last)) <= set(found.tolist())


def test_parts_of_a_cached_range_need_no_other_time_than_was_cached():
    rng = np.random.default_rng(1)
    n = 700
    # pauses of very different length, so that other stretches are joined for other ranges
    length, pause = rng.integers(1, 10, n), rng.integers(0, 50, n) ** 2
    start = np.concatenate([[0], np.cumsum(length + pause)[:-1]])
    scan = _scan(start, start + length, np.full(n, 10), 1, 1, rng.permutation(n), np.ones(n), (n,))
    part, spans = scan.for_rows(100, 550)
    assert part.span[1] - part.span[0] > 3 * sum(stop - start for start, stop in spans) / 2
    assert [run.span for run in part.runs(100, 550)] == [run.span for run in scan.runs(100, 550)] == spans
    for first, last in ((100, 220), (300, 450), (130, 549), (200, 201)):
        runs = part.runs(first, last)
        assert set(range(first, last)) <= set(np.concatenate([run.base for run in runs]).tolist())
        assert all(any(low <= run.span[0] and run.span[1] <= high for low, high in spans) for run in runs)


def _index(edges):
    ticks, codes = zip(*sorted(edges), strict=True)
    code = np.array(codes, np.uint8)
    made = Edges(np.array(ticks, np.int64), code, np.arange(len(code)).astype(np.uint16))
    return EventIndex(made, 10, (0, ticks[-1]), (0, ticks[-1]), (0,))


RISE, FALL, RISE2 = 0xF, 0xA, 0xE


def _gates(n, active=800, period=1000):
    return [(i * period, RISE) for i in range(n)] + [(i * period + active, FALL) for i in range(n)]


def test_gate_gives_rows_and_active_time():
    scan = build_scan(_index(_gates(6)), ScanOptions(nav_shape=(6, 4)))
    assert scan.nav_shape == (6, 4)
    assert scan.report["sync"] == "line-gate"
    assert _place(scan, [0, 199, 200, 799, 800, 1000]).tolist() == [0, 0, 1, 3, FLYBACK, 4]


def test_short_pulse_is_not_taken_for_a_gate():
    with pytest.raises(ScanSyncError, match="too short for a whole line"):
        build_scan(_index(_gates(6, active=100)), ScanOptions(nav_shape=(6, 4)))


def test_edges_on_both_inputs_need_a_choice():
    edges = [(i * 1000, RISE) for i in range(6)] + [(i * 1000 + 5, RISE2) for i in range(6)]
    with pytest.raises(ScanSyncError, match='tdc="tdc1-rise" or tdc="tdc2-rise"'):
        build_scan(_index(edges), ScanOptions())


def test_one_edge_a_line_needs_the_dwell_time():
    index = _index([(i * 1000, RISE) for i in range(6)])
    with pytest.raises(ScanSyncError, match="dwell_time"):
        build_scan(index, ScanOptions(nav_shape=(6, 4)))
    scan = build_scan(index, ScanOptions(nav_shape=(6, 4), dwell=Fraction(100)))
    assert _place(scan, [399, 400, 1000]).tolist() == [3, FLYBACK, 4]


def test_dwell_time_longer_than_the_line_is_refused():
    index = _index([(i * 1000, RISE) for i in range(6)])
    with pytest.raises(ScanSyncError, match="but a line lasts"):
        build_scan(index, ScanOptions(nav_shape=(6, 4), dwell=Fraction(300)))


def test_shape_that_does_not_fit_marked_frames_is_refused_with_advice():
    starts = np.concatenate([np.arange(9), 20 + np.arange(9), 40 + np.arange(9)]) * 1000
    index = _index([(int(t), RISE) for t in starts])
    with pytest.raises(ScanSyncError, match=r"3 frames of 9 lines.*\n.*navigation_shape=\(4, 9\).*skip_lines=\(0, 1\)"):
        build_scan(index, ScanOptions(nav_shape=(8, 4), dwell=Fraction(100)))
    scan = build_scan(index, ScanOptions(nav_shape=(8, 4), dwell=Fraction(100), skip_lines=(0, 1)))
    assert scan.nav_shape == (3, 8, 4)
    assert _place(scan, [8000, 20000]).tolist() == [EXCLUDED, 32]


def test_recording_that_begins_inside_a_frame_counts_rows_from_the_mark():
    starts = np.concatenate([np.arange(4), 20 + np.arange(9), 40 + np.arange(9), 60 + np.arange(2)]) * 1000
    scan = build_scan(_index([(int(t), RISE) for t in starts]), ScanOptions(nav_shape=(9, 4), dwell=Fraction(100)))
    assert scan.nav_shape == (4, 9, 4)
    assert _place(scan, [0, 20000, 60000]).tolist() == [5 * 4, 36, 108]


def test_frame_trigger_needs_what_no_edge_tells():
    index = _index([(i * 100_000, RISE) for i in range(3)])
    with pytest.raises(ScanSyncError, match="needs navigation_shape and dwell_time"):
        build_scan(index, ScanOptions(sync="frame-trigger"))


def test_names_of_what_is_outside_stay_since_they_are_keys_of_the_metadata():
    assert list(OUTSIDE_NAMES.values()) == [
        "before the first line",
        "in flyback",
        "after the last line",
        "in lines left out of the scan",
    ]
