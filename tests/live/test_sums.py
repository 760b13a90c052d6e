"""Sums of hits: the same integers as by NumPy, however many detectors, and whatever is taken back."""

import numpy as np
import pytest

from rsciio_tpx3.events.source import CompactHits, Hits
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.live import sums as module
from rsciio_tpx3.live.sums import Sums
from rsciio_tpx3.scan.scan import Scan

SIG, NAV = (13, 17), (5, 7)
N = NAV[0] * NAV[1]


def _scan(dwell=100):
    start = np.arange(NAV[0]) * (NAV[1] * dwell + 90) + 600
    whole, none = np.full(NAV[0], dwell), np.zeros(NAV[0], np.int64)
    base = np.arange(NAV[0]) * NAV[1]
    return Scan(NAV, start, start + NAV[1] * dwell, none, whole, 1, NAV[1], base, np.ones(NAV[0], np.int8))


@pytest.fixture(params=["compact", "plain"])
def hits(request):
    rng = np.random.default_rng(3)
    when = rng.integers(0, 800, 4000).astype(np.int32)
    pixel = rng.integers(0, SIG[0] * SIG[1], len(when)).astype(np.int32)
    compact = CompactHits(540, 6, 790, np.minimum(when, 790), pixel, SIG[1])
    if request.param == "compact":
        return compact
    return Hits(*compact.toa_and_pixel()[::-1], np.zeros(0, np.uint16), SIG[1])


def _expected(hits, masks, scan):
    toa, pixel = hits.toa_and_pixel()
    line = np.searchsorted(scan.start, toa, "right") - 1
    column = np.where(line >= 0, (toa - scan.start[line]) // scan.num[0], -1)
    inside = (line >= 0) & (column >= 0) & (column < NAV[1])
    position, pixel = (line * NAV[1] + column)[inside], pixel[inside]
    y, x = np.divmod(pixel, SIG[1])
    columns = [np.ones_like(y), y, x, *(mask[y, x] for mask in masks)]
    of_positions = [np.bincount(position, column, N).astype(np.int64) for column in columns]
    return np.stack(of_positions, axis=1), np.bincount(pixel, minlength=SIG[0] * SIG[1]), int((~inside).sum())


def _found(sums):
    """What is held by itself, with what is held of older frames before it."""
    of_detectors = [sums.detector(d) for d in range(sums.n_detectors)]
    both = [np.concatenate([one.older, one.held]) for one in (sums.counts, sums.moments, *of_detectors)]
    return np.concatenate([column.reshape(len(column), -1) for column in both], axis=1)


@pytest.mark.parametrize("n_detectors", [0, 1, 2, 3, 4, 32])
def test_sums_are_those_of_numpy(hits, n_detectors):
    masks = np.random.default_rng(1).random((n_detectors, *SIG)) < 0.4
    sums, scan = Sums(SIG, N), _scan()
    for mask in masks:
        sums.add_detector(mask)
    for times in (1, 2):
        sums.add(hits, scan)
        table, pattern, outside = _expected(hits, masks, scan)
        np.testing.assert_array_equal(_found(sums), times * table)
        np.testing.assert_array_equal(sums.pattern, times * pattern)
        assert sums.outside == times * outside > 0
    other = _scan(dwell=77)
    sums.add(hits, scan, -1)
    sums.add(hits, scan, -1)
    assert not _found(sums).any() and not sums.pattern.any() and sums.outside == 0
    sums.add(hits, other)
    np.testing.assert_array_equal(_found(sums), _expected(hits, masks, other)[0])


def test_a_detector_that_is_moved_is_added_alone(hits):
    sums, scan = Sums(SIG), _scan()
    masks = np.random.default_rng(1).random((2, *SIG)) < 0.4
    sums.add_detector(masks[0])
    sums.add_detector(masks[0])
    sums.resize(N)
    sums.add(hits, scan)
    before = _found(sums)[:, :4].copy()
    sums.move_detector(1, masks[1])
    sums.add(hits, scan, only=1)
    np.testing.assert_array_equal(_found(sums)[:, :4], before)
    np.testing.assert_array_equal(_found(sums), _expected(hits, masks, scan)[0])
    np.testing.assert_array_equal(sums.pattern, _expected(hits, masks, scan)[1])


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_counts_that_are_full_are_moved_in_time(hits, monkeypatch, bits):
    monkeypatch.setattr(module, "_NARROW", (np.uint16, bits))
    monkeypatch.setattr(module, "_NARROW_DETECTORS", 2)
    masks = np.random.default_rng(1).random((3, *SIG)) < 0.4
    sums, scan = Sums(SIG, N), _scan()
    sums.add_detector(masks[0])
    for times in range(5):
        if times == 3:
            sums.add_detector(masks[1])
        sums.add_all([[hits], [hits, hits]], scan)
    np.testing.assert_array_equal(sums.pattern, 15 * _expected(hits, [], scan)[1])
    np.testing.assert_array_equal(_found(sums)[:, :4], 15 * _expected(hits, masks[:1], scan)[0])
    np.testing.assert_array_equal(sums.detector(1).held, 6 * _expected(hits, masks[1:2], scan)[0][:, 3])
    sums.add_detector(masks[2])  # needs wider words
    sums.add(hits, scan, -1)
    np.testing.assert_array_equal(sums.pattern, 14 * _expected(hits, [], scan)[1])
    np.testing.assert_array_equal(sums.labels, masks[0].ravel() + 2 * masks[1].ravel() + 4 * masks[2].ravel())


@pytest.mark.parametrize("n_detectors", [1, 9])
def test_parts_are_added_by_threads(hits, n_detectors):
    masks = np.random.default_rng(1).random((n_detectors, *SIG)) < 0.4
    sums, scan = Sums(SIG, N), _scan()
    for mask in masks[:-1]:
        sums.add_detector(mask)
    sums.add(hits, scan)
    sums.add_detector(masks[-1])  # the ninth needs wider words
    sums.add(hits, scan, only=n_detectors - 1)
    sums.add_all([[hits, hits], [hits], [hits]], scan)
    table, pattern, outside = _expected(hits, masks, scan)
    np.testing.assert_array_equal(_found(sums), 5 * table)
    np.testing.assert_array_equal(sums.pattern, 5 * pattern)
    sums.add_all([[hits], [hits]], scan, -1)
    np.testing.assert_array_equal(sums.pattern, 3 * pattern)
    assert sums.outside == 3 * outside


def test_positions_that_are_added_keep_what_is_there(hits):
    sums, scan = Sums(SIG, N), _scan()
    sums.add(hits, scan)
    before = sums.counts.held.copy()
    sums.resize(2 * N)
    np.testing.assert_array_equal(sums.counts.held, np.concatenate([before, np.zeros(N, int)]))
    sums.clear()
    assert sums.placed == sums.outside == 0


@pytest.mark.parametrize("only_counts", [False, True])
def test_older_frames_are_held_as_their_sum(hits, only_counts):
    """Five positions are a frame here: what is added, taken back or moved later finds its place there as well."""
    masks = np.random.default_rng(1).random((0 if only_counts else 3, *SIG)) < 0.4
    sums, scan = Sums(SIG, N, only_counts), _scan()
    for mask in masks[:2]:
        sums.add_detector(mask)

    def check(times, stop):
        table, pattern, outside = _expected(hits, masks[: sums.n_detectors], scan)
        columns = slice(0, 1 if only_counts else None)
        older = table[:stop].reshape(-1, 5, table.shape[1]).sum(axis=0)[: 5 if stop else 0]
        np.testing.assert_array_equal(_counts_or_all(sums), times * np.concatenate([older, table[stop:]])[:, columns])
        assert (sums.first, sums.n_positions, sums.outside) == (stop, N, times * outside)
        assert sums.placed == times * table[:, 0].sum()
        if not only_counts:
            np.testing.assert_array_equal(sums.pattern, times * pattern)

    sums.add(hits, scan)
    for times, stop in ((2, 5), (3, 20), (4, 20), (5, 30)):
        sums.add_up_frames(5, stop)
        sums.add_all([[hits], [hits], [hits]], scan)
        sums.add_all([[hits], [hits]], scan, -1)
        check(times, stop)
    assert sums.single_bytes(N) == sums.counts.held.strides[0] * 5
    if not only_counts:
        sums.add_detector(masks[2])
        for number, times in ((2, 5), (0, 5)):
            sums.move_detector(number, masks[number])
            for _ in range(times):
                sums.add(hits, scan, only=number)
        check(5, 30)
    sums.add_up_frames(5, 15)  # they are, already
    check(5, 30)
    sums.add_up_frames(5, 45)  # more than there are
    assert sums.n_positions == 45 and len(sums.counts.held) == 0
    sums.clear()
    sums.resize(N)
    sums.add(hits, scan)
    check(1, 0)


def _counts_or_all(sums):
    if not sums.only_counts:
        return _found(sums)
    return np.concatenate([sums.counts.older, sums.counts.held])[:, None]


def test_what_takes_too_much_memory_is_refused_before():
    with pytest.raises(LimitError, match="fewer detectors"):
        Sums(SIG, 10**8)
    sums = Sums(SIG, N)
    with pytest.raises(ValueError, match=r"bool of shape \(13, 17\)"):
        sums.add_detector(np.ones((17, 13), bool))
    for _ in range(module.MOST_DETECTORS):
        sums.add_detector(np.ones(SIG, bool))
    with pytest.raises(LimitError, match="32 virtual detectors already"):
        sums.add_detector(np.ones(SIG, bool))


def test_counts_alone(hits):
    sums, scan = Sums(SIG, N, only_counts=True), _scan()
    for times in (1, 2):
        sums.add_all([[hits], [hits]], scan)
        table, _, outside = _expected(hits, [], scan)
        np.testing.assert_array_equal(sums.counts.held, 2 * times * table[:, 0])
        assert (sums.placed, sums.outside) == (2 * times * table[:, 0].sum(), 2 * times * outside)
    sums.add_all([[hits], [hits], [hits], [hits]], scan, -1)
    assert not sums.counts.held.any() and sums.outside == 0
    for ask in (lambda: sums.pattern, lambda: sums.moments, lambda: sums.add_detector(np.ones(SIG, bool))):
        with pytest.raises(ValueError, match="only_counts=True"):
            ask()
