"""Parts of a signal that is read from a source are read from that source."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import blocks
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import MemorySource

PARTS = {
    "inav": lambda s: s.inav[1:4, :2],
    "isig": lambda s: s.isig[2:9, 3:],
    "both": lambda s: s.inav[2:].isig[2:9, 3:],
    "line": lambda s: s.inav[:, -1],
    "column": lambda s: s.inav[2],
    "frame": lambda s: s.inav[3, 1],
    "units": lambda s: s.isig[-0.3:0.2, :0.1],
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_read_from_the_source(sparse_signal, dense_signal, name):
    part, expected = PARTS[name](sparse_signal), PARTS[name](dense_signal)
    assert source_of(part.data) is not None
    np.testing.assert_array_equal(part.data.compute(), expected.data.compute())
    assert part.axes_manager.as_dictionary() == expected.axes_manager.as_dictionary()


def test_a_cropped_signal_is_read_from_the_source(sparse_signal, counts):
    sparse_signal.crop("kx", 2, 7)
    sparse_signal.crop("y", 1)
    assert source_of(sparse_signal.data) is not None
    np.testing.assert_array_equal(sparse_signal.data.compute(), counts[1:, :, :, 2:7])


@pytest.mark.parametrize("part", [lambda s: s.inav[::2], lambda s: s.isig[3, 4], lambda s: (s * 2).inav[1:]])
def test_other_parts_are_left_to_dask(sparse_signal, dense_signal, part):
    ours, theirs = part(sparse_signal), part(dense_signal)
    assert source_of(ours.data) is None
    np.testing.assert_array_equal(ours.data.compute(), theirs.data.compute())


def test_one_frame_costs_one_frame(sparse_signal, counts, monkeypatch):
    lengths = []
    frames = MemorySource.frames

    def noted(self, start, stop):
        lengths.append(stop - start)
        return frames(self, start, stop)

    monkeypatch.setattr(MemorySource, "frames", noted)
    np.testing.assert_array_equal(sparse_signal.inav[3, 2].data.compute(), counts[2, 3])
    sparse_signal.map(np.flipud, inplace=False)
    assert lengths and max(lengths) == 1


@pytest.mark.parametrize("key", [slice(2, 4, 2), slice(None, None, 3), slice(4, 2, -2)])
def test_a_slice_with_a_step_leaves_no_empty_chunk(key):
    """Kind: dask broadcasts along an axis whose chunks are (1, 0), and an array gets an element more than it has."""
    counts = np.random.default_rng(7).poisson(0.5, (5, 3, 7, 9)).astype(np.uint8)
    dense = hs.signals.Signal2D(counts)
    whole, lazy = hyperspy_sparse.to_sparse(dense), dense.as_lazy()
    for signal in (whole, whole * 2 / 2, lazy):
        signal.rechunk((3, 2))
    image = np.arange(63).reshape(7, 9)
    for part in (whole.inav[:, key], (whole * 2 / 2).inav[:, key], hyperspy_sparse.to_sparse(lazy.inav[:, key])):
        flipped = part.map(np.flipud, inplace=False)
        for made in (part * image, np.add(image, part), part * hs.signals.Signal2D(image), flipped):
            assert 0 not in {n for sizes in made.data.chunks for n in sizes}
            assert made.data.compute(scheduler="sync").shape == counts[key].shape
        np.testing.assert_array_equal(np.asarray(part * image), counts[key] * image)


def test_kernels_join_the_chunks_of_an_array_that_is_no_source(monkeypatch):
    monkeypatch.setattr(blocks, "MANY_CHUNKS", 8)
    counts = np.random.default_rng(7).poisson(0.02, (30, 3, 5, 7)).astype(np.uint8)
    data = to_dask(MemorySource.from_dense(counts), chunks=1) * 2
    joined = blocks.in_blocks(data)
    assert joined.numblocks[:2] == (1, 1) and isinstance(joined._meta, CSRFrames)
    np.testing.assert_array_equal(joined.compute(scheduler="sync"), counts * 2)
    monkeypatch.setattr(blocks, "SMALL_BLOCK", 20)
    assert 2 < blocks.in_blocks(data).numblocks[0] < 30
    assert blocks.in_blocks(data, bytes_per_frame=blocks.OUTPUT_BYTES // 6).chunks[0] == (2,) * 15
    assert blocks.in_blocks(data.astype(float)).name == data.astype(float).name
