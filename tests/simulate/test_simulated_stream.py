"""What is in the files against the truth that is stored with them."""

from collections import Counter

import numpy as np
import pytest
from plain_decode import chunks_of, decode, quad_pixel, words_of

from rsciio_tpx3 import simulate
from rsciio_tpx3.utils.clock import PIXEL_PERIOD, TDC_PERIOD

SHAPE = (5, 11)
BASE = {"dwell_time": "5 us", "electrons_per_position": 30, "line_flyback": "200 us"}
OPTIONS = {
    "plain": {},
    "realistic hits": {"hits": "realistic"},
    "gap": {"gap": 4, "hits": "realistic"},
    "gap of 2": {"gap": 2},
    "copies": {"edge_chips": (0, 1, 2, 3)},
    "other chip": {"edge_chips": (2,)},
    "global time": {"global_time": "0.2 ms"},
    "chunk counts": {"chunk_counts": True},
    "lost": {"chunk_counts": True, "lost_chunks": 0.2},
    "lost by number": {"chunk_counts": True, "lost_chunks": [(0, 1), (3, 2)]},
    "swapped": {"chunk_counts": True, "swapped_chunks": 0.5},
    "stale": {"stale_start": True, "global_time": "0.5 ms"},
    "small chunks": {"max_words": 4},
    "missing": {"missing_edges": (3, -1)},
    "invalid": {"invalid_edges": (4,)},
    "files": {"n_files": 3, "global_time": "0.5 ms"},
    "empty file": {"n_files": 4, "empty_files": (1, 3)},
    "ordered": {"disorder": 0},
    "single": {"layout": "single"},
    "jittered": {"hits": simulate.HitModel.exact(jitter="2 ns")},
    "no control": {"control_words": False},
}


def simulated(folder, **options):
    return simulate.recording(folder / "a.tpx3", SHAPE, **{"seed": 5, **BASE, **options})


def chunks(truth):
    return [chunk for path in truth.paths for chunk in chunks_of(path)]


@pytest.mark.parametrize("name", OPTIONS)
def test_files_hold_what_the_truth_says(tmp_path, name):
    options = OPTIONS[name]
    truth = simulated(tmp_path, **options)
    all_chunks = chunks(truth)
    hits, edges, _ = decode(all_chunks)
    if truth.layout.name == "single":
        pixels = [y * 256 + x for _, x, y, _, _ in hits]
    else:
        pixels = [quad_pixel(*hit[:3], gap=truth.layout.gap) for hit in hits]
    assert truth.hit_pixel.tolist() == pixels
    assert (truth.hit_time % PIXEL_PERIOD).tolist() == [hit[3] for hit in hits]
    assert truth.hit_tot.tolist() == [hit[4] for hit in hits]
    assert truth.n_hits == len(hits)
    assert truth.n_packets == sum(len(words) for _, words in all_chunks)
    edges = edges[60 * truth.n_stale_hits :]
    found = Counter(edge[2] for edge in edges)
    assert [found[c % 4096] for c in truth.edges.counter] == truth.edge_copies.tolist()


def test_edges_are_recorded_with_time_kind_and_counter(tmp_path):
    truth = simulated(tmp_path, edge_chips=(1, 3), tdc="tdc2-fall")
    edges = decode(chunks(truth))[1]
    for chip in (1, 3):
        mine = [edge[1:] for edge in edges if edge[0] == chip]
        assert [m[0] for m in mine] == ["tdc2-fall", "tdc2-rise"] * SHAPE[0]
        assert [m[2] for m in mine] == (truth.edges.time % TDC_PERIOD).tolist()
        assert [m[1] for m in mine] == list(range(1, 2 * SHAPE[0] + 1))


def test_invalid_edge_repeats_the_coarse_time_before_it(tmp_path):
    truth = simulated(tmp_path, invalid_edges=(4,), disorder=0)
    words = [w for _, ws in chunks(truth) for w in ws if w >> 60 == 6]
    assert (words[4] >> 5) & 15 == 0
    assert (words[4] >> 9) & (2**35 - 1) == (words[3] >> 9) & (2**35 - 1)
    assert (words[4] >> 44) & 0xFFF == 5


def test_counter_wraps_after_4096_edges(tmp_path):
    truth = simulate.recording(
        tmp_path / "a.tpx3", (50, 83), sync="pixel-trigger", dwell_time="1 us",
        electrons_per_position=0.1, disorder=0, layout="single",
    )  # fmt: skip
    counters = [edge[2] for edge in decode(chunks(truth))[1]]
    assert counters == [(i + 1) % 4096 for i in range(4150)]


@pytest.mark.parametrize("sharing", ["exact", "realistic"])
def test_disorder_is_there_and_bounded(tmp_path, sharing):
    truth = simulated(tmp_path, disorder="0.3 ms", chunk_time="0.1 ms", hits=sharing, electrons_per_position=200)
    back = np.maximum.accumulate(truth.hit_time) - truth.hit_time
    assert 0.3 * 3_840_000 / 4 < back.max() <= 0.4 * 3_840_000
    assert np.mean(np.diff(truth.hit_time) < 0) > 0.05
    ordered = simulated(tmp_path, disorder=0, layout="single", electrons_per_position=200)
    assert np.all(np.diff(ordered.hit_time) >= 0)


def test_sparse_recording_over_many_rollovers(tmp_path):
    truth = simulated(
        tmp_path, dwell_time="40 s", line_flyback="1 s", electrons_per_position=1.5,
        global_time="5 s", chunk_counts=True, n_files=2, edge_chips=(0, 3),
    )  # fmt: skip
    assert np.ptp(truth.hit_time) > 30 * PIXEL_PERIOD
    hits, edges, rest = decode(chunks(truth))
    assert [hit[3] for hit in hits] == (truth.hit_time % PIXEL_PERIOD).tolist()
    assert np.all(truth.edge_copies == 2) and len(edges) == 20
    beats = [w for _, w in rest if w >> 56 == 0x5C]
    assert len(beats) > 4 * 2000
    high = [(w >> 16) & 0xFFFF for _, w in rest if w >> 56 == 0x45]
    assert high == sorted(high) and high[-1] > 15


def test_packets_of_chips_interleave(tmp_path):
    order = [chip for chip, _ in chunks(simulated(tmp_path))]
    assert set(order) == {0, 1, 2, 3}
    assert sum(a != b for a, b in zip(order, order[1:], strict=False)) > len(order) / 2


def test_result_depends_on_the_seed_and_not_on_the_piece_size(tmp_path):
    options = {
        "hits": "realistic", "swapped_chunks": 0.3, "lost_chunks": 0.1, "chunk_counts": True,
        "n_files": 2, "global_time": "0.3 ms", "n_frames": 3, "edge_chips": (0, 1),
    }  # fmt: skip
    whole = simulated(tmp_path, **options)
    bytes_of = [path.read_bytes() for path in whole.paths]
    for size in (1, 300):
        pieces = simulated(tmp_path, piece_hits=size, **options)
        assert [path.read_bytes() for path in pieces.paths] == bytes_of
        for name in ("hit_position", "hit_pixel", "hit_time", "hit_tot", "hit_electron"):
            assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
        assert np.array_equal(whole.edge_copies, pieces.edge_copies)
    other = simulated(tmp_path, **{**options, "seed": 6})
    assert [path.read_bytes() for path in other.paths] != bytes_of


def test_chunk_counts_tell_lost_and_swapped_chunks(tmp_path):
    def counts(**options):
        truth = simulated(tmp_path, chunk_counts=True, **options)
        found = {chip: [] for chip in range(4)}
        for chip, words in chunks(truth):
            assert words[0] >> 56 == 0x50
            found[chip].append(words[0] & (2**48 - 1))
        return truth, found

    _, plain = counts()
    assert all(numbers == list(range(len(numbers))) for numbers in plain.values())
    truth, lost = counts(lost_chunks=0.2)
    assert truth.n_lost_hits > 0
    for chip, numbers in lost.items():
        gone = [number for c, number in truth.lost_chunks if c == chip]
        assert sorted(numbers + gone) == plain[chip]
    _, swapped = counts(swapped_chunks=0.5)
    for chip, numbers in swapped.items():
        assert sorted(numbers) == plain[chip] != numbers


def test_global_time_pairs_and_acknowledgements(tmp_path):
    truth = simulated(tmp_path, global_time="0.4 ms", start_time="108 s")
    rest = decode(chunks(truth))[2]
    for chip in range(4):
        words = [w for c, w in rest if c == chip]
        low = [(w >> 16) & 0xFFFFFFFF for w in words if w >> 56 == 0x44]
        high = [(w >> 16) & 0xFFFF for w in words if w >> 56 == 0x45]
        assert len(low) == len(high) == sum(w >> 48 == 0x7145 for w in words)
        times = [(a + (b << 32)) * 96 for a, b in zip(low, high, strict=True)]
        assert np.all(np.diff(times) == 0.4 * 3_840_000)
        assert times[-1] > 108 * 3_840_000_000
        assert sum(w >> 48 == 0x7200 for w in words) == 3 * len(low)


def test_a_global_time_pair_is_split_over_two_files(tmp_path):
    truth = simulated(tmp_path, global_time="10 ms", n_files=2)
    first, second = (decode(chunks_of(path))[2] for path in truth.paths)
    for chip in range(4):
        mine = [w >> 56 for c, w in first if c == chip and w >> 56 in (0x44, 0x45)]
        assert mine.count(0x44) == mine.count(0x45) + 1
        assert [w >> 56 for c, w in second if c == chip and w >> 60 == 4][0] == 0x45


def test_split_files_continue_and_empty_ones_are_closed(tmp_path):
    truth = simulated(tmp_path, n_files=4, empty_files=(1,))
    assert [path.name for path in truth.paths] == [f"a_{i:06d}.tpx3" for i in range(4)]
    parts = [decode(chunks_of(path)) for path in truth.paths]
    assert not parts[1][0] and not parts[1][1]
    assert all(parts[i][0] for i in (0, 2, 3))
    for _, _, rest in parts:
        assert sorted(c for c, w in rest if w >> 48 == 0x71B0) == [0, 1, 2, 3]


def test_headerless_stream_has_the_same_words(tmp_path):
    stamp = 1_700_000_000_000_000_000
    bare = simulated(tmp_path, headerless=True, start_stamp=stamp)
    words = words_of(bare.paths[0])
    assert words[0] == stamp and words[0] >> 60 == 1
    chunked = simulated(tmp_path, layout="single")
    assert words[1:] == tuple(w for _, ws in chunks(chunked) for w in ws)
    assert np.array_equal(bare.hit_time, chunked.hit_time)


def test_stale_start_belongs_to_another_clock(tmp_path):
    truth = simulated(tmp_path, stale_start=True, global_time="0.3 ms")
    hits, edges, rest = decode(chunks(truth))
    assert truth.hit_position[0] == truth.hit_electron[0] == -1
    assert truth.hit_time[0] > 60_000 * 3_840_000_000
    assert edges[60][2] - edges[59][2] > 600
    high = [(w >> 16) & 0xFFFF for _, w in rest if w >> 56 == 0x45]
    assert high[:4] == [568] * 4 and set(high[4:]) == {0}
    assert len(hits) == truth.n_hits


def test_truth_in_a_folder_is_the_truth_in_memory(tmp_path):
    in_memory = simulated(tmp_path)
    stored = simulated(tmp_path, keep_truth=tmp_path / "truth")
    none = simulated(tmp_path, keep_truth=False)
    assert isinstance(stored.hit_time, np.memmap)
    for name in ("hit_position", "hit_pixel", "electron_time", "electron_x"):
        assert np.array_equal(getattr(in_memory, name), getattr(stored, name))
    assert none.n_hits == in_memory.n_hits and none.n_electrons == in_memory.n_electrons
    with pytest.raises(ValueError, match="keep_truth=True"):
        none.counts()


def test_csr_is_sorted_merged_and_complete(tmp_path):
    truth = simulated(tmp_path, n_frames=2, electrons_per_position=300)
    indptr, indices, data = truth.csr()
    dense = Counter(
        (p, q) for p, q in zip(truth.hit_position.tolist(), truth.hit_pixel.tolist(), strict=True) if p >= 0
    )
    rows = np.repeat(np.arange(truth.n_positions), np.diff(indptr))
    assert dict(zip(zip(rows.tolist(), indices.tolist(), strict=True), data.tolist(), strict=True)) == dense
    assert data.max() > 1
    assert all(np.all(np.diff(indices[a:b]) > 0) for a, b in zip(indptr, indptr[1:], strict=False))
    assert np.array_equal(np.add.reduceat(data, indptr[:-1]).reshape(truth.nav_shape), truth.counts())
    tot = truth.csr(values="tot")[2]
    assert tot.sum() == truth.hit_tot[truth.hit_position >= 0].sum()
    assert np.array_equal(truth.csr("electrons")[1], indices)  # one electron, one hit
