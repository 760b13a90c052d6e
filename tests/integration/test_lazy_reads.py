"""Lazy reading touches the bytes of what is asked for and no others: every read is counted."""

import gc
import pickle

import numpy as np
import pytest

from hyperspy_sparse import frame_cache
from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.sliced_source import SlicedSource
from rsciio_tpx3.tpx3.stream import BLOCK_WORDS

NY, NX = 24, 17
BLOCK_BYTES = 8 * BLOCK_WORDS


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("reads") / "scan.tpx3"
    truth = simulate.recording(
        path, (NY, NX), electrons_per_position=1500, dwell_time="40 us", disorder="50 us", chunk_time="20 us", seed=1
    )
    return path, truth


def _load(path, **options):
    return file_reader(path, lazy=True, show_progressbar=False, navigation_shape=(NX, NY), **options)[0]["data"]


def _bytes(reads):
    return sum(stop - start for start, stop in reads)


def test_loading_reads_the_file_twice_and_what_is_lazy_nothing(recording, reads):
    path, _ = recording
    data = _load(path)
    size = path.stat().st_size
    # a sample of the clusters, for the noise, is of the same size for every recording
    assert size <= _bytes(reads) <= 2 * size + 2 * 2**20
    reads.clear()
    data[3:5].sum(axis=(0, 1))
    assert reads == []


@pytest.mark.parametrize("line", [0, 11, NY - 1])
def test_a_line_reads_its_own_bytes(recording, reads, line):
    path, truth = recording
    data = _load(path, chunks=1)
    share = truth.counts()[0, line].sum() * 8
    reads.clear()
    found = data[line].compute(scheduler="sync")
    np.testing.assert_array_equal(np.asarray(found).sum(axis=(1, 2)), truth.counts()[0, line])
    # and a block at either end for each chip, for what came late
    assert share <= _bytes(reads) <= 1.1 * share + 4 * BLOCK_BYTES
    assert _bytes(reads) < 0.1 * path.stat().st_size
    assert len({start for start, _ in reads}) == len(reads)


def test_a_chunk_of_lines_reads_each_byte_once(recording, reads):
    path, _ = recording
    data = _load(path, chunks=6)
    reads.clear()
    data[6:12].compute(scheduler="sync")
    ends = sorted(reads)
    assert all(first[1] <= second[0] for first, second in zip(ends, ends[1:]))
    assert _bytes(reads) < 0.25 * path.stat().st_size + 8 * BLOCK_BYTES


def test_a_task_that_travelled_reads_no_more(recording, reads):
    path, _ = recording
    data = _load(path, chunks=2)
    reads.clear()
    data.blocks[5].compute(scheduler="sync")
    own = _bytes(reads)
    travelled = pickle.loads(pickle.dumps(data))
    reads.clear()
    travelled.blocks[5].compute(scheduler="sync")
    # joined blocks are read whole
    assert own <= _bytes(reads) <= own + 4 * BLOCK_BYTES


@pytest.mark.parametrize("pattern", ["raster", "serpentine"])
def test_part_of_a_line_reads_a_part_of_it(tmp_path, reads, pattern):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (4, 60), electrons_per_position=2500, dwell_time="60 us", disorder="30 us", chunk_time="20 us",
        pattern=pattern, layout="single", seed=5,
    )  # fmt: skip
    [found] = file_reader(path, lazy=True, show_progressbar=False, navigation_shape=(60, 4), pattern=pattern)
    source = source_of(found["data"])
    whole = np.asarray(source.frames(60, 180))
    for first, last in ((60, 61), (100, 110), (119, 121), (179, 180), (60, 180)):
        reads.clear()
        np.testing.assert_array_equal(np.asarray(source.frames(first, last)), whole[first - 60 : last - 60])
        # where a part of two lines is asked for, both are read
        n = last - first if first // 60 == (last - 1) // 60 else 120
        assert _bytes(reads) <= n * truth.counts().max() * 8 + 4 * BLOCK_BYTES


def test_neighbours_of_a_picture_are_not_read_again(recording, reads, monkeypatch):
    hs = pytest.importorskip("hyperspy.api")

    path, truth = recording
    signal = hs.load(path, navigation_shape=(NX, NY), lazy=True)
    counts = truth.counts()[0]
    monkeypatch.setattr(frame_cache, "READ_ENTRIES", int(counts[5].sum()))

    def shown(y, x):
        return signal._get_cache_dask_chunk((y, x, slice(None), slice(None)))

    reads.clear()
    assert shown(5, 3).sum() == counts[5, 3]
    once = _bytes(reads)
    assert once < 2.2 * counts[5].sum() * 8 + 8 * BLOCK_BYTES
    for x in (4, 2, 16, 0):
        frame = shown(5, x)
        assert frame.sum() == counts[5, x]
        frame[:] = 0  # a picture is one's own
    assert _bytes(reads) == once
    assert shown(5, 4).sum() == counts[5, 4]
    assert shown(9, 3).sum() == counts[9, 3]
    assert _bytes(reads) > once
    # a long line is not read for one of its frames
    monkeypatch.setattr(frame_cache, "READ_ENTRIES", 1000)
    reads.clear()
    assert shown(13, 3).sum() == counts[13, 3]
    assert _bytes(reads) <= counts[13, 3] * 8 + 4 * BLOCK_BYTES


def test_cached_lines_stay_within_their_limit(recording, monkeypatch):
    hs = pytest.importorskip("hyperspy.api")

    path, truth = recording
    cache = frame_cache._Neighbours()
    monkeypatch.setattr(frame_cache, "READ_ENTRIES", int(truth.counts()[0, 5].sum()))
    sources = [source_of(hs.load(path, navigation_shape=(NX, NY), lazy=True).data) for _ in range(2)]
    one = sources[0].frames(0, NX).nbytes
    monkeypatch.setattr(frame_cache, "CACHE_BYTES", 5 * one)
    for source in sources:
        for row in range(0, NX * NY, NX):
            cache.frame(source, row)
        sizes = [sum(part.nbytes for part in lines.values()) for lines in cache._lines.values()]
        assert sum(sizes) <= 5 * one
    del source, sources
    gc.collect()
    assert len(cache._lines) == 0


def test_lines_of_very_different_doses_are_distinguished(monkeypatch):
    """The first line alone, and the first lines together, begin at the same row."""
    doses = np.array([0, 0.5, 0.5, 0.5, 9, 9])[:, None, None, None]
    counts = np.random.default_rng(2).poisson(doses, (6, 5, 3, 4)).astype(np.uint8)

    # a part of frames in memory is no source in memory: its lines are worth keeping
    source = SlicedSource(MemorySource.from_dense(counts), (slice(None),) * 4)
    monkeypatch.setattr(frame_cache, "READ_ENTRIES", int((counts[1:4] > 0).sum()))
    cache = frame_cache._Neighbours()
    for row in (0, 7, 12, 4, 19, 25, 29, 3):
        np.testing.assert_array_equal(cache.frame(source, row), counts.reshape(30, 3, 4)[row])
    assert len({start for start, _ in cache._lines[source]}) < len(cache._lines[source])
