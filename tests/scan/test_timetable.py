"""Positions looked up in a table, against the arithmetic of `place_hits`, for every time of a stretch."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.scan.scan import Scan, place_hits
from rsciio_tpx3.scan.timetable import NOWHERE, count_entries, make_timetable, position_keys


def _scan(rng, n, den, n_columns):
    """Segments of every kind: lost, omitted, backwards, cut short, longer than their columns."""
    num = rng.integers(1, 40 * den, n) + den * rng.integers(0, 2, n)
    whole = -(-num * n_columns // den)
    length = np.where(rng.random(n) < 0.2, 0, rng.integers(0, 2 * whole + 2))
    pause = np.where(rng.random(n) < 0.4, 0, rng.integers(0, 30, n))
    start = int(rng.integers(-500, 500)) + np.concatenate([[0], np.cumsum(length + pause)[:-1]])
    base = np.where(rng.random(n) < 0.2, -1, np.arange(n) * n_columns)
    step = rng.choice([1, -1], n)
    base = np.where((base >= 0) & (step < 0), base + n_columns - 1, base)
    phase = rng.integers(0, den, n)
    return Scan((n, n_columns), start, start + length, phase, num, den, n_columns, base, step.astype(np.int8))


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 12),
    den=st.sampled_from([1, 3, 7, 1000]),
    n_columns=st.integers(1, 9),
    step=st.sampled_from([1, 6]),
    seed=st.integers(0, 10**6),
)
def test_every_time_of_a_stretch_has_the_position_that_arithmetic_gives(n, den, n_columns, step, seed):
    rng = np.random.default_rng(seed)
    scan = _scan(rng, n, den, n_columns)
    origin = int(rng.integers(scan.start[0] - 40, scan.stop[-1] + 40))
    span = int(rng.integers(1, 3000))
    table = make_timetable(scan, origin, step, span, most=span + 3 * n + 3)
    when = np.arange(span + 1, dtype=np.int32)
    expected = np.empty(span + 1, np.int64)
    place_hits(origin + step * when.astype(np.int64), *scan.columns(), expected)
    expected[span] = NOWHERE
    order = rng.permutation(span + 1)
    when, expected = when[order], expected[order]

    entries = np.zeros((len(table.position), 2), np.int64)
    count_entries(when, table.begin, table.cell, table.shift, entries)
    found = np.repeat(table.position, entries.sum(axis=1))
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))

    pixel, keys = rng.integers(0, 1 << 18, span + 1).astype(np.int32), np.empty(span + 1, np.uint64)
    n_keys = position_keys(when, pixel, table.begin, table.cell, table.shift, table.position, 18, keys)
    placed = expected >= 0
    np.testing.assert_array_equal(keys[:n_keys], (expected[placed] << 18) | pixel[placed])


def test_a_table_that_would_be_too_long_or_too_coarse_is_not_made():
    rng = np.random.default_rng(0)
    scan = _scan(rng, 5, 7, 4)
    assert make_timetable(scan, int(scan.start[0]), 1, int(scan.stop[-1] - scan.start[0]), most=3) is None
    assert make_timetable(scan, 0, 1, 2**31, most=10**6) is None
