"""to_dask: how a source becomes chunks, and that dask's answers on them are NumPy's."""

import pickle
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
from dask.sizeof import sizeof

from rsciio_tpx3 import CSRFrames, FrameSource, to_dask
from rsciio_tpx3.frames import dask_array
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.rows import Rows


@pytest.fixture(scope="module")
def dense():
    return np.random.default_rng(3).poisson(0.2, (3, 5, 16, 12)).astype(np.uint8)


@pytest.fixture(scope="module")
def array(dense):
    return to_dask(MemorySource.from_dense(dense), chunks=(2, 5))


class CountingSource(MemorySource):
    """Notes which rows were read."""

    read = []

    def frames(self, start, stop):
        self.read.append((start, stop))
        return super().frames(start, stop)


def test_a_memory_source_is_a_frame_source(dense):
    assert isinstance(MemorySource.from_dense(dense), FrameSource)


def test_nothing_is_read_before_it_is_needed(dense):
    source = CountingSource(CSRFrames.from_dense(dense))
    array = to_dask(source, chunks=(1, 5))
    source.read.clear()
    total = array[1:2].sum()
    assert source.read == []
    assert total.compute(scheduler="sync") == dense[1:2].sum()
    assert source.read == [(5, 10)]


def test_the_graph_holds_the_source_once(dense):
    def bytes_of(n_lines):
        source = MemorySource.from_dense(dense[:, :, :8, :8].repeat(20, axis=0))
        return len(pickle.dumps(to_dask(source, chunks=(n_lines, 5)).dask))

    assert bytes_of(1) < bytes_of(60) + 60 * 1000


def test_equal_sources_make_equal_names(dense):
    names = {to_dask(MemorySource.from_dense(dense)).name for _ in range(2)}
    assert len(names) == 1
    assert to_dask(MemorySource.from_dense(dense + 1)).name not in names


@pytest.mark.slow
def test_a_pickled_graph_runs_in_a_fresh_process(array, dense, tmp_path):
    path = tmp_path / "array.pickle"
    path.write_bytes(pickle.dumps(array))
    code = (
        "import pickle, sys; a = pickle.load(open(sys.argv[1], 'rb'));"
        "from dask.sizeof import sizeof;"
        "c = a.blocks[0].compute(); assert sizeof(c) > c.nbytes;"
        "print(int(a.sum().compute()))"
    )
    out = subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True)
    assert int(out.stdout) == dense.sum()


def test_the_meta_tells_what_chunks_are(array):
    assert isinstance(array._meta, CSRFrames)
    assert array._meta.shape == (0, 0, 0, 0)
    assert type(array.sum(axis=(0, 1))._meta) is np.ndarray
    assert type(array[0, 0]._meta) is np.ndarray


def test_dask_knows_how_big_a_chunk_is(array):
    chunk = array.blocks[0].compute()
    assert chunk.nbytes < sizeof(chunk) < chunk.nbytes + 1000


def test_source_of_finds_the_source_only_where_nothing_was_done(array):
    assert isinstance(dask_array.source_of(array), MemorySource)
    assert dask_array.source_of(array[1:]) is None
    assert dask_array.source_of(array + 1) is None
    assert dask_array.source_of(da.zeros((2, 2))) is None


class Described:
    """A source that is only looked at, never read."""

    sig_shape, dtype = (512, 512), np.dtype(np.uint8)

    def __init__(self, nav_shape, entries=None):
        self.nav_shape, self.entries = nav_shape, entries

    def row_events(self):
        return self.entries

    def frames(self, start, stop):
        raise AssertionError("nothing should be read")


def test_auto_chunks_are_whole_lines_within_the_dense_bound():
    array = to_dask(Described((256, 256)))
    assert array.chunks[1:] == ((256,), (512,), (512,))
    assert array.chunks[0] == (2,) * 128


def test_a_million_positions_do_not_drown_in_tasks():
    assert to_dask(Described((1024, 1024))).npartitions <= 2048


def test_a_line_longer_than_the_bound_is_still_one_chunk():
    assert to_dask(Described((3, 4096))).chunks[0] == (1, 1, 1)


def test_auto_chunks_mind_the_entries_too():
    entries = np.full(8 * 16, 10**6)
    array = to_dask(Described((8, 16), entries))
    assert array.chunks[0] == (1,) * 8


def test_short_scans_share_a_chunk():
    array = to_dask(Described((10, 4, 8)))
    assert array.chunks[:3] == ((10,), (4,), (8,))
    assert to_dask(Described((100, 4, 8))).chunks[0][0] == 16


@pytest.mark.parametrize("nav", [(), (7,), (3, 5), (2, 3, 5), (2, 1, 3, 2), (0,), (0, 3)])
def test_any_number_of_navigation_axes(nav):
    dense = np.random.default_rng(1).poisson(0.3, (*nav, 16, 12)).astype(np.uint16)
    array = to_dask(MemorySource.from_dense(dense))
    assert array.shape == dense.shape and array.dtype == dense.dtype
    np.testing.assert_array_equal(np.asarray(array.compute()), dense)


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ((3, 2), "last navigation axis"),
        ((2,), "does not cover"),
        (((1, 1), (5,)), "does not cover"),
        ((2, 5, 8, 12), "splits the detector"),
        ((0, 5), "not positive"),
    ],
)
def test_chunks_that_do_not_fit_are_refused(dense, chunks, words):
    with pytest.raises(ValueError, match=words):
        to_dask(MemorySource.from_dense(dense), chunks=chunks)


def test_a_split_axis_needs_ones_before_it():
    with pytest.raises(ValueError, match="single runs"):
        to_dask(Described((4, 6, 8)), chunks=(2, 3, 8))
    assert to_dask(Described((4, 6, 8)), chunks=2).chunks[:2] == ((1,) * 4, (2, 2, 2))


EXPRESSIONS = [
    lambda a: a.sum(),
    lambda a: a.sum(axis=(0, 1)),
    lambda a: a.sum(axis=(2, 3)),
    lambda a: a.sum(axis=0),
    lambda a: a.sum(axis=3),
    lambda a: a.mean(axis=0),
    lambda a: a.mean(axis=(0, 1)),
    lambda a: a.std(axis=(2, 3)),
    lambda a: a.var(axis=0),
    lambda a: a.max(axis=(0, 1)),
    lambda a: a.min(),
    lambda a: a.argmax(axis=3),
    lambda a: a.argmax(),
    lambda a: a.any(axis=(2, 3)),
    lambda a: da.nanmean(a),
    lambda a: da.count_nonzero(a),
    lambda a: da.median(a, axis=(2, 3)),
    lambda a: a[1, 2],
    lambda a: a[1:, ::2, 3:9],
    lambda a: a[..., 3],
    lambda a: a[:, [0, 3]],
    lambda a: a[::-1],
    lambda a: a * 2 + a,
    lambda a: a + 1,
    lambda a: a > 1,
    lambda a: a * np.eye(16, 12),
    lambda a: a / (a.sum(axis=(2, 3), keepdims=True) + 1),
    lambda a: a - a.mean(axis=(0, 1)),
    lambda a: da.where(a > 1, a, 0),
    lambda a: da.where(np.eye(16, 12, dtype=bool), np.nan, a),
    lambda a: a.astype(float) ** 2,
    lambda a: a.reshape(15, 16, 12),
    lambda a: a.reshape(15, 192),
    lambda a: a.ravel(),
    lambda a: a.transpose(1, 0, 2, 3),
    lambda a: a.T,
    lambda a: da.concatenate([a, a], axis=0),
    lambda a: da.concatenate([a, a], axis=3),
    lambda a: da.stack([a, a]),
    lambda a: a.rechunk((1, 2, 5, 7)),
    lambda a: a.rechunk((1, 2, 5, 7)).rechunk((3, 5, 16, 12)),
    lambda a: a.map_blocks(lambda c: np.asarray(c) * 2, dtype=a.dtype),
    lambda a: da.tensordot(a, np.ones((16, 12)), axes=((2, 3), (0, 1))),
    lambda a: da.einsum("ijkl,kl->ij", a, np.ones((16, 12))),
    lambda a: da.fft.fft2(a.astype(float)),
    lambda a: da.histogram(a, bins=5, range=(0, 5))[0],
    lambda a: da.coarsen(np.sum, a[:2, :4], {0: 2, 1: 2, 2: 4, 3: 3}),
    lambda a: da.percentile(a.ravel(), 50) * 0,
    lambda a: da.pad(a, 1),
    lambda a: da.roll(a, 1, axis=3),
    lambda a: da.flip(a, 0),
    lambda a: da.unique(a.ravel()),
    lambda a: da.topk(a, 2, axis=-1),
    lambda a: a.cumsum(axis=0),
    lambda a: da.diff(a.astype(int), axis=0),
    lambda a: da.zeros_like(a),
    lambda a: a.map_overlap(np.negative, depth={0: 1}, boundary="none", dtype=a.dtype),
]


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=range(len(EXPRESSIONS)))
def test_an_expression_on_frames_equals_the_dense_one(array, dense, expression):
    ours = expression(array)
    theirs = expression(da.from_array(dense, chunks=(2, 5, 16, 12)))
    assert ours.shape == theirs.shape or np.isnan(ours.shape).any()
    assert ours.dtype == theirs.dtype
    with np.errstate(all="ignore"):
        got, expected = np.asarray(ours.compute(scheduler="sync")), theirs.compute(scheduler="sync")
    if expected.dtype.kind in "fc":
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    else:
        np.testing.assert_array_equal(got, expected)


def test_assignment_on_the_dask_array(array, dense):
    changed, expected = array.copy(), dense.copy()
    changed[changed > 1] = 1
    expected[expected > 1] = 1
    np.testing.assert_array_equal(np.asarray(changed.compute()), expected)


def test_several_results_read_each_chunk_once(dense):
    source = CountingSource(CSRFrames.from_dense(dense))
    array = to_dask(source, chunks=(1, 5))
    source.read.clear()
    dask.compute(array.sum(axis=(0, 1)), array.sum(axis=(2, 3)), array.max(), scheduler="sync")
    assert sorted(source.read) == [(0, 5), (5, 10), (10, 15)]


def test_rows_that_travelled_travel_on(dense):
    """A worker hands a task to another one: it has what its rows need, and no source to ask for more."""

    class WithParts(MemorySource):
        table = np.arange(7)

        def shared_parts(self):
            return (self.table,)

    source = WithParts.from_dense(dense)
    rows = Rows(source, 2, 5, source)
    once = pickle.loads(pickle.dumps(rows))
    twice = pickle.loads(pickle.dumps(once))
    for found in (once, twice):
        np.testing.assert_array_equal(np.asarray(found.read(source.shared_parts())), np.asarray(source.frames(2, 5)))
