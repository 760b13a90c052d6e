"""One wrong time, not compared with its neighbours, decides over nothing else: hits, edges, global times, resets.

Each recording has a known truth; the campaign of random ones is `tests/campaigns/clock.py`.
"""

import os
from pathlib import Path

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import LossError, Tpx3FormatError
from rsciio_tpx3.tpx3 import Tpx3Source, packets
from rsciio_tpx3.tpx3 import index as index_module
from rsciio_tpx3.utils.clock import TDC_PERIOD, TICKS_PER_SECOND
from tests.campaigns import clock

S = TICKS_PER_SECOND
QUIET = {"show_progressbar": False, "cache": False}


def _words(seconds=150, every=0.05):
    """Hits, edges and global times in order of time: (time, word)."""
    times = (np.arange(0.02, seconds, every) * S).astype(np.int64) // 6 * 6
    edges = (np.arange(0.01, seconds, 0.1) * S).astype(np.int64)
    clocks = (np.arange(0.015, seconds, 1) * S).astype(np.int64)
    number = np.arange(len(times))
    pairs = packets.encode_global(clocks)
    rows = [(times, packets.encode_hits(number, times, np.full(len(times), 9)))]
    rows += [(edges, packets.encode_tdc(0xF, 1 + np.arange(len(edges)), edges))]
    rows += [(clocks, pairs[:, 0]), (clocks + 1, pairs[:, 1])]
    when, words = (np.concatenate(column) for column in zip(*rows))
    order = np.argsort(when, kind="stable")
    return times, words[order]


def _read(write_stream, words, size=20, **options):
    path = write_stream([(0, words[i : i + size]) for i in range(0, len(words), size)])
    source = Tpx3Source(path, show_progressbar=False, **options)
    hits = source.hits()
    order = np.argsort(hits.pixel, kind="stable")
    return hits.pixel[order], hits.toa[order], source.index()


@pytest.mark.parametrize("size", [1, 20, 300])
@pytest.mark.parametrize(
    ("top", "bits"), [(0x45, range(16, 32)), (0x44, range(40, 48)), (0x6F, range(36, 44)), (0xB, range(13, 16))]
)
def test_a_flipped_bit_moves_no_other_hit(write_stream, top, bits, size):
    times, words = _words(40)
    at = np.flatnonzero(words >> np.uint64(60 if top < 16 else 56) == top)
    for bit in bits:
        wrong = words.copy()
        wrong[at[len(at) // 2]] ^= np.uint64(1 << bit)
        pixel, toa, _ = _read(write_stream, wrong, size)
        off = np.isin(np.arange(len(times)), pixel, invert=True).sum() + (toa != times[pixel]).sum()
        assert off <= (top == 0xB), (hex(top), bit)


def test_first_and_last_global_time_may_be_the_wrong_one(write_stream):
    times, words = _words(40)
    at = np.flatnonzero(words >> np.uint64(56) == 0x45)
    for k in (0, -1):
        for change in (1, 7, 568):
            wrong = words.copy()
            wrong[at[k]] += np.uint64(change << 16)
            pixel, toa, index = _read(write_stream, wrong)
            np.testing.assert_array_equal(toa, times[pixel])
            assert index.losses.get("clock_words_out_of_time", 0) == 1
            assert len(toa) == len(times)


def test_wrong_edge_is_excluded_and_counted(write_stream):
    _, words = _words(20)
    at = np.flatnonzero(words >> np.uint64(60) == 0x6)
    wrong = words.copy()
    wrong[at[50]] ^= np.uint64(1 << 38)
    _, _, index = _read(write_stream, wrong)
    assert index.losses == {"edges_out_of_time": 1}
    assert len(index.edges.ticks) == len(at) - 1


def test_lost_edges_are_no_reset(write_stream):
    """The counter alone leaps: nothing is called older than the clock."""
    times, words = _words(60)
    words = words[words >> np.uint64(60) != 0x4]
    at = np.flatnonzero(words >> np.uint64(60) == 0x6)
    pixel, toa, index = _read(write_stream, np.delete(words, at[100:300]))
    assert index.losses == {}
    np.testing.assert_array_equal(toa, times[pixel])


def _with_stale_start():
    times, words = _words(20)
    old = 568 * TDC_PERIOD + 40 * S + np.arange(30) * (S // 1000) // 6 * 6
    stale = [
        packets.encode_tdc(0xF, 3000 + np.arange(30), old),
        packets.encode_hits(np.arange(60_000, 60_030), old, 5 + 0 * old),
    ]
    return times, np.concatenate([*stale, packets.encode_global(old[-4:]).ravel(), words])


def test_real_reset_is_found_and_what_preceded_it_can_be_read(write_stream):
    times, words = _with_stale_start()
    pixel, toa, index = _read(write_stream, words)
    np.testing.assert_array_equal(toa, times[pixel])
    assert index.losses == {"hits_before_reset": 30, "marks_before_reset": 34}
    pixel, toa, index = _read(write_stream, words, before_reset="keep")
    assert index.losses == {}
    old = pixel >= 60_000
    np.testing.assert_array_equal(toa[~old], times[pixel[~old]])
    np.testing.assert_array_equal(np.diff(toa[old]), np.diff(np.arange(30) * (S // 1000) // 6 * 6))
    assert toa[old].max() < toa[~old].min()
    with pytest.raises(ValueError, match="must be one of 'exclude', 'keep'"):
        _read(write_stream, words, before_reset="maybe")


@pytest.mark.parametrize("old", [30, 50, 65, 75])
@pytest.mark.parametrize(("n_old", "n_new"), [(50, 2000), (400, 100)])
def test_reset_shows_in_edges_that_begin_anew(write_stream, old, n_old, n_new):
    """Without global times, whichever part is longer, and whatever pause the two clocks seem to leave."""
    ends = old * S - np.arange(n_old)[::-1] * (S // 1000), S // 100 + np.arange(n_new) * (S // 20)
    counters = 3050 - np.arange(n_old)[::-1], 1 + np.arange(n_new)
    words = []
    for k, (times, counter) in enumerate(zip(ends, counters)):
        times = times // 6 * 6
        hits = packets.encode_hits(np.arange(len(times)) + 10_000 * (1 - k), times, np.full(len(times), 5))
        words.append(np.stack([hits, packets.encode_tdc(0xF, counter, times)], 1).ravel())
    pixel, toa, index = _read(write_stream, np.concatenate(words))
    assert index.losses == {"hits_before_reset": n_old, "marks_before_reset": n_old}
    np.testing.assert_array_equal(pixel, np.arange(n_new))
    np.testing.assert_array_equal(toa, ends[1] // 6 * 6)


def _hits_with_a_pause(pause, n=4000, every=S // 1000):
    """Hits alone, with a pause (s) in the middle."""
    times = S + np.arange(n) * every
    times[n // 2 :] += int(pause * S)
    return times // 6 * 6


def test_pause_that_no_clock_tells_is_said_with_its_place(write_stream, caplog):
    for pause, said in ((1, False), (2.5, False), (4, True), (11, True), (20, True)):
        caplog.clear()
        times = _hits_with_a_pause(pause)
        words = packets.encode_hits(np.arange(len(times)), times, np.full(len(times), 5))
        pixel, toa, index = _read(write_stream, words)
        np.testing.assert_array_equal(toa, times[pixel])
        assert ("pauses_uncertain" in index.statistics, index.losses) == (said, {}), pause
        assert ("nothing was recorded for" in caplog.text and "from 2.999 s on" in caplog.text) == said


def test_pause_that_edges_tell_and_sparse_hits_are_ordinary(write_stream):
    times = _hits_with_a_pause(20)
    hits = packets.encode_hits(np.arange(len(times)), times, np.full(len(times), 5))
    edges = packets.encode_tdc(0xF, 1 + np.arange(len(times)) // 10, times)[::10]
    _, toa, index = _read(write_stream, np.insert(hits, np.arange(0, len(hits), 10), edges))
    assert index.losses == {}
    np.testing.assert_array_equal(np.sort(toa), times)
    times = np.cumsum(np.random.default_rng(3).exponential(0.7 * S, 1500)).astype(np.int64) // 6 * 6
    _, toa, index = _read(write_stream, packets.encode_hits(np.arange(1500), times, np.full(1500, 5)))
    assert index.losses == {}
    np.testing.assert_array_equal(toa, times)


@pytest.mark.parametrize("bit", [13, 14, 15])
@pytest.mark.parametrize("offset", [-1, 0])
@pytest.mark.parametrize("pause", [0.5, 6, 11])
def test_damaged_hit_at_a_pause_leads_nobody(write_stream, pause, offset, bit):
    """Nothing but hits, and the doubtful one is the last before the pause or the first after it."""
    times = _hits_with_a_pause(pause)
    words = packets.encode_hits(np.arange(len(times)), times, np.full(len(times), 5))
    at = len(times) // 2 + offset
    words[at] ^= np.uint64(1 << bit)
    pixel, toa, _ = _read(write_stream, words)
    off = np.flatnonzero(toa != times[pixel])
    assert set(pixel[off]) <= {at}
    assert len(pixel) >= len(times) - 1


@pytest.mark.slow
def test_random_damage_is_never_wrong_without_a_word(tmp_path):
    found = [
        (clocks, fault, seed, clock.run(clocks, fault, seed, tmp_path)[0])
        for seed in range(2)
        for clocks in ("edges, global", "edges, global, control")
        for fault in ("torn global time", "global high bit", "edge time bit", "hit ToA bit", "control bit")
    ]
    assert [one for one in found if one[-1] == "SILENT"] == []


def test_words_of_unknown_type_are_a_loss_by_share(write_stream, tmp_path):
    """Data that cannot be understood are not passed over silently."""
    _, words = _words(20)
    path = write_stream([(0, np.append(words, np.uint64(0x3 << 60)))])
    assert rsciio_tpx3.file_info(path, **QUIET)["losses"] == {"unknown_packets": 1}
    hits = np.flatnonzero(words >> np.uint64(60) == 0xB)
    for kind in (0x0, 0x1, 0x2, 0x3, 0x8, 0x9, 0xC, 0xD, 0xE, 0xF):
        wrong = words.copy()
        wrong[hits[::2]] = wrong[hits[::2]] & np.uint64((1 << 60) - 1) | np.uint64(kind << 60)
        path = write_stream([(0, wrong)])
        with pytest.raises(LossError, match=f"200 packets of .* 0x{kind:X}"):
            Tpx3Source(path, show_progressbar=False)
        index = Tpx3Source(path, on_loss="warn", show_progressbar=False).index()
        assert index.losses["unknown_packets"] == 200


def test_edges_of_no_kind_and_odd_clock_words_are_unknown(write_stream):
    """A destroyed kind of an edge must not pass for a global time or a control word."""
    times, words = _words(20)
    at = np.flatnonzero(words >> np.uint64(60) == 0x6)
    for code in (0, 1, 2, 3, 7):
        wrong = words.copy()
        wrong[at[70]] = wrong[at[70]] & ~np.uint64(0xF << 56) | np.uint64(code << 56)
        pixel, toa, index = _read(write_stream, wrong)
        assert index.losses == {"unknown_packets": 1}
        np.testing.assert_array_equal(toa, times[pixel])
    known = [0x50 << 56, 0x51 << 56, 0x5A << 56 | 20 << 12, 0x71A0 << 48, 0x7145 << 48, 0x7200 << 48, 0x71BF << 48]
    _, _, index = _read(write_stream, np.array([*known, 0x54 << 56, 0x4F << 56], np.uint64))
    assert index.losses == {"unknown_packets": 2}


def test_file_replaced_by_one_of_the_same_size_and_time_is_noticed(tmp_path):
    path = tmp_path / "a.tpx3"
    truth = simulate.recording(path, (6, 8), electrons_per_position=20, seed=1)
    assert truth.n_hits
    content = Path(path).read_bytes()
    middle = bytearray(content)
    middle[-9] ^= 1
    state = os.stat(path)
    [found] = rsciio_tpx3.file_reader(path, navigation_shape=(8, 6), lazy=True, **QUIET)
    for replace in (True, False):
        target = tmp_path / "b.tpx3" if replace else path
        target.write_bytes(middle)
        os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
        if replace:
            os.replace(target, path)
        with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
            found["data"].compute(scheduler="sync")


def test_damaged_file_that_is_cut_while_it_is_looked_at_is_an_error(tmp_path, monkeypatch):
    """A mapped file would kill the process."""
    path = tmp_path / "a.tpx3"
    simulate.recording(path, (6, 8), electrons_per_position=200, seed=1)
    data = bytearray(path.read_bytes())
    data[4096 * 8 : 4096 * 8 + 5] = b"\0" * 5
    words = np.frombuffer(bytes(data), "<u8").copy()
    words[0] = packets.encode_header(0, int(words[0] >> np.uint64(51)) + 1)
    words.tofile(path)

    whole = index_module.likely_headers

    def cut(words, first):
        os.truncate(path, 64)
        return whole(words, first)

    monkeypatch.setattr(index_module, "likely_headers", cut)
    try:
        source = Tpx3Source(path, on_loss="warn", show_progressbar=False)
    except Tpx3FormatError:
        return
    with pytest.raises(Tpx3FormatError):
        source.hits()
