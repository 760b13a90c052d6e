"""The memory rule: what becomes dense is one chunk at a time."""

import itertools
import tracemalloc

import hyperspy.api as hs
import numpy as np
import pytest
from dask.utils import format_bytes
from hyperspy.signals import LazySignal2D

from hyperspy_sparse import blocks, expansion, finish_loading, reductions, slicing
from hyperspy_sparse.blocks import CLUSTER_ENTRIES, DECODED_ENTRIES, decoded_entries
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

NAV, SIG = (24, 10), (64, 96)
CHUNK = 10 * 64 * 96  # bytes of one line of uint8 frames
WHOLE = 24 * CHUNK


@pytest.fixture(scope="module")
def big():
    counts = np.random.default_rng(2).poisson(0.01, (*NAV, *SIG)).astype(np.uint8)
    return CSRFrames.from_dense(counts)


@pytest.fixture
def signal(big):
    signal = LazySignal2D(to_dask(MemorySource(big), chunks=1))
    signal.set_signal_type("electron_diffraction")
    return finish_loading(signal)


def smooth(image):
    return image * 0.5 + 1


STEPS = {
    "plus_one": lambda s: (s + 1).sum(axis=(0, 1)),
    "map": lambda s: s.map(smooth, inplace=False).sum(axis=(0, 1)),
    "log": lambda s: np.log(s + 1).max(axis=(0, 1)),
    "median": lambda s: s.subtract_diffraction_background("median kernel", footprint=3).sum(),
    "std": lambda s: s.std(axis=(0, 1)),
    "roi": lambda s: s.get_integrated_intensity(hs.roi.CircleROI(40, 30, 20)),
    "roi_mean": lambda s: hs.roi.CircleROI(40, 30, 20)(s, axes=(2, 3)).nanmean(axis=(2, 3)),
    "template": lambda s: s.template_match_disk(disk_r=3).max(axis=(0, 1)),
    "centring": lambda s: s.center_direct_beam(method="center_of_mass", inplace=False).sum(),
    "shift": lambda s: s.shift_diffraction(1, 2, show_progressbar=False).sum(),
    "fft": lambda s: abs(s.fft()).sum(axis=(0, 1)),
}


@pytest.fixture
def messages(caplog, monkeypatch):
    """Warnings about sizes; 256 MiB are no test, so data of a hundredth count as large."""
    monkeypatch.setattr(expansion, "ALWAYS_ALLOWED", WHOLE)
    monkeypatch.setattr(expansion, "_warned", set())
    return lambda: [r.getMessage() for r in caplog.records if r.name == "hyperspy_sparse.expansion"]


PARTS = {
    "whole": lambda s: s,
    "persisted": lambda s: (s.persist(), s)[1],
    "floats": lambda s: (s.change_dtype("float64"), s)[1],
    "twice": lambda s: s * 2,
}


@pytest.mark.parametrize("name", PARTS)
def test_compute_names_both_sizes_once_before_it_multiplies_the_memory(signal, big, messages, name):
    part = PARTS[name](signal)
    itemsize = part.data.dtype.itemsize
    exact = big.nnz * (itemsize + 4) + 8 * 240
    assert expansion.sparse_bytes(part.data) == pytest.approx(exact, rel=0.01)
    part.deepcopy().compute(show_progressbar=False)
    (text,) = messages()
    assert f"24 x 10 x 64 x 96 {part.data.dtype} to {format_bytes(WHOLE * itemsize)}" in text
    assert f"about {format_bytes(expansion.sparse_bytes(part.data))}" in text
    part.compute(show_progressbar=False)
    assert len(messages()) == 1


def test_compute_says_nothing_where_the_result_stays_small_or_was_not_sparse(signal, messages, monkeypatch):
    signal.inav[:5].compute(show_progressbar=False)  # half of what counts as large
    signal.sum(axis=(0, 1)).compute(show_progressbar=False)
    monkeypatch.setattr(expansion, "LEAST_FACTOR", 100)
    signal.compute(show_progressbar=False)
    assert not messages()


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.filterwarnings("ignore")
def test_no_step_makes_more_than_a_chunk_dense(signal, monkeypatch, name):
    made = [0]
    todense = CSRFrames.todense

    def noted(self):
        made.append(self.size * self.dtype.itemsize)
        return todense(self)

    monkeypatch.setattr(CSRFrames, "todense", noted)
    STEPS[name](signal).data.compute(scheduler="sync")  # compiles what there is to compile
    assert max(made) <= 8 * CHUNK
    result = STEPS[name](signal)
    tracemalloc.start()
    result.data.compute(scheduler="sync")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A chunk in complex double is 16 chunks of bytes, and an FFT needs it twice or thrice. The
    # whole signal in doubles would be 192.
    assert peak < 64 * CHUNK + 3 * result.data.nbytes, f"{peak / CHUNK:.0f} chunks"


@pytest.mark.parametrize("suffix", [".zspy", ".hspy"])
def test_saving_goes_chunk_by_chunk(signal, tmp_path, monkeypatch, suffix):
    made = []
    todense = CSRFrames.todense
    monkeypatch.setattr(CSRFrames, "todense", lambda self: (made.append(self.size), todense(self))[1])
    signal.save(tmp_path / f"scan{suffix}")
    assert 0 < max(made) <= CHUNK


def test_kernels_take_large_blocks_and_chunks_stay_small(big, monkeypatch):
    data = to_dask(MemorySource(big), chunks=1)
    assert len(data.chunks[0]) == 24
    assert len(blocks.in_blocks(data).chunks[0]) == 1
    monkeypatch.setattr(blocks, "SMALL_BLOCK", 1000)
    monkeypatch.setattr(blocks, "CPU_COUNT", 3)
    assert blocks.in_blocks(data).chunks[0] == (4,) * 6  # as many for each of three cores
    assert blocks.in_blocks(data, bytes_per_frame=10**8).name == data.name
    assert blocks.in_blocks(data[1:]).name == data[1:].name


def test_what_looks_at_counts_alone_takes_larger_blocks_of_frames_in_memory(big, monkeypatch):
    monkeypatch.setattr(blocks, "SMALL_BLOCK", 1000)
    monkeypatch.setattr(blocks, "SMALL_LIGHT_BLOCK", 10**4)
    monkeypatch.setattr(blocks, "CPU_COUNT", 3)
    data = to_dask(MemorySource(big), chunks=1)
    n_light, n = (blocks.in_blocks(data, light=light).numblocks[0] for light in (True, False))
    assert n_light < n == 6
    cut = data[:, :, 1:]  # is made block by block
    sliced = slicing.from_source(data, (slice(None), slice(None), slice(1, None)), cut)
    assert blocks.in_blocks(sliced, light=True).chunks == blocks.in_blocks(sliced).chunks[:1] + sliced.chunks[1:]
    dense = big.todense()
    for name, axes in itertools.product(("sum", "mean", "max", "var"), ((0, 1), (2, 3), (0, 1, 2, 3))):
        made = reductions.reduced(name, data, axes)
        assert all(layer.startswith(reductions.REDUCED) for layer in made.dask.layers)  # no tasks that only take views
        np.testing.assert_allclose(made.compute(), getattr(np, name)(dense, axis=axes), rtol=1e-12)


def test_blocks_of_a_large_recording_grow_with_the_cluster_until_memory_bounds_them():
    hits = 100e9 / 8
    sizes = [decoded_entries(hits, workers) for workers in (0, 1, 8, 32, 100, 1000)]
    assert sizes[:3] == [DECODED_ENTRIES] * 3
    assert sizes[3:] == [8e6, CLUSTER_ENTRIES, hits / 2000]  # the last by what there is for each worker


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "float32"])
@pytest.mark.parametrize("axes", [(0, 1), (2, 3), (0, 1, 2, 3)])
def test_variance_of_blocks_is_the_variance_of_all(dtype, axes, monkeypatch):
    top = 255 if dtype != "int8" else 127
    counts = np.random.default_rng(0).integers(0, 3, (5, 4, 6, 7)).astype(dtype)
    counts[2, 1], counts[:, :, 3, 3] = top, top - 1
    data = to_dask(MemorySource.from_dense(counts), chunks=2)
    monkeypatch.setattr(reductions, "in_blocks", lambda data, **options: data)
    for std, function in ((False, np.var), (True, np.std)):
        expected = function(counts, axis=axes)
        ours = reductions.moments(data, axes, expected.dtype, std).compute()
        assert ours.dtype == expected.dtype
        np.testing.assert_allclose(ours, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
