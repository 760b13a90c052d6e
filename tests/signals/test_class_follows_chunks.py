"""Kind: the rule "sparse frames in a sparse class, dense data in a stock class" broken by a way of changing a signal.

HyperSpy changes data, axes, type and laziness of a signal by some hundred ways. Each way here is
taken by a sparse and by a dense signal, also several one after the other; then the rule holds, and
both can be computed and saved, and are equal.
"""

import pathlib
import pickle
import random
import subprocess
import sys

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
import pyxem
import scipy.sparse
import sparse
import yaml
from hyperspy.axes import UniformDataAxis
from pyxem.signals import LazyDiffraction2D
from pyxem.signals.insitu_diffraction2d import LazyInSituDiffraction2D

import hyperspy_sparse
from hyperspy_sparse import assigned_data, twins
from hyperspy_sparse.mixin import SparseFramesMixin
from hyperspy_sparse.twins import has_sparse_chunks
from rsciio_tpx3 import CSRFrames

pytestmark = pytest.mark.slow  # random steps, and a fresh process

COUNTS = np.random.default_rng(3).poisson(0.7, (2, 3, 5, 16, 12)).astype(np.uint16)


def pair(n_nav=2):
    """A sparse and a lazy dense signal of the same counts."""
    counts = COUNTS[(0,) * (3 - n_nav)]
    dense = hs.signals.Signal2D(counts.copy())
    dense.set_signal_type("electron_diffraction")
    for axis, name in zip(dense.axes_manager._axes, ("t", "y", "x", "ky", "kx")[3 - n_nav :], strict=True):
        axis.name = name
    return hyperspy_sparse.to_sparse(dense), dense.as_lazy()


def assert_rule(signal):
    data = signal._data
    frames = isinstance(data, da.Array) and isinstance(data._meta, CSRFrames)
    assert isinstance(signal, SparseFramesMixin) == frames, f"{type(signal).__name__} with {data!r}"
    if isinstance(data, da.Array) and not frames:
        chunk = data.blocks[(0,) * data.ndim].compute(scheduler="sync")
        assert not isinstance(chunk, CSRFrames), type(signal)


def assert_same(ours, theirs, tmp_path=None):
    assert_rule(ours)
    assert type(ours).__name__.replace("Sparse", "") == type(theirs).__name__
    for signal in (ours, theirs):
        if tmp_path is not None:
            signal.save(tmp_path / "saved.hspy", overwrite=True)
        if signal._lazy:
            signal.compute(show_progressbar=False)
    assert type(ours) is type(theirs) and type(ours.data) is np.ndarray
    assert ours.data.dtype == theirs.data.dtype
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-6)
    if tmp_path is not None:
        np.testing.assert_allclose(hs.load(tmp_path / "saved.hspy").data, theirs.data, rtol=1e-6)


def then(do):
    """A change in place as a function that gives the signal."""

    def changed(s):
        do(s)
        return s

    return changed


def _unfolded(s):
    with s.unfolded():
        pass


WAYS = {
    "square root": np.sqrt,
    "one more": lambda s: np.add(s, 1),
    "masked": lambda s: np.multiply(s, np.eye(16, 12)),
    "spectra": lambda s: s.as_signal1D(-1),
    "spectra and back": lambda s: s.as_signal1D(-1).transpose(signal_axes=2),
    "three signal axes": lambda s: s.transpose(signal_axes=3),
    "scan as signal": lambda s: s.T,
    "scan as signal and back": lambda s: s.T.T,
    "as lazy": lambda s: s.as_lazy(),
    "complex": then(lambda s: s.change_dtype("complex64")),
    "bool": then(lambda s: s.change_dtype(bool)),
    "stock class": lambda s: LazyDiffraction2D(s.data),
    "class in memory": lambda s: hs.signals.Signal2D(s.data).as_lazy(),
    "base class": lambda s: hs.signals.BaseSignal(s.data).as_lazy(),
    "spectrum class": lambda s: hs.signals.Signal1D(s.data).as_lazy(),
    "interpolated": lambda s: s.interpolate_on_axis(UniformDataAxis(size=6, scale=1.5, offset=1), "kx"),
    "stacked": lambda s: hs.stack([s, s]),
    "stacked on one axis": lambda s: hs.stack([s, s], axis="x"),
    "stacked with dense": lambda s: hs.stack([s, pair(s.axes_manager.navigation_dimension)[1]]),
    "first part": lambda s: s.split("x", step_sizes=[2, 3])[0],
    "binned": lambda s: s.rebin(scale=[1] * (s.data.ndim - 2) + [2, 2]),
    "copy": lambda s: s.copy(),
    "deepcopy": lambda s: s.deepcopy(),
    "element set": then(lambda s: s.inav.__setitem__(1, 4)),
    "detector part set": then(lambda s: s.isig.__setitem__((slice(0, 3), slice(2, 5)), 7)),
    "data with a new axis": lambda s: LazyDiffraction2D(s.data[None]),
    "data reshaped": lambda s: LazyDiffraction2D(s.data.reshape(-1, *s.data.shape[-2:])),
    "swapped": lambda s: s.swap_axes("x", "kx"),
    "rolled": lambda s: s.rollaxis("kx", "x"),
    "scan unfolded and folded": then(lambda s: (s.unfold_navigation_space(), s.fold())),
    "detector unfolded and folded": then(lambda s: (s.unfold_signal_space(), s.fold())),
    "unfolded for a moment": then(_unfolded),
    "one column": lambda s: s.isig[:1].squeeze(),
    "fourier": lambda s: s.fft(),
    "decomposed": then(lambda s: (s.change_dtype(float), s.decomposition(output_dimension=2, print_info=False))),
    "dense data": then(lambda s: setattr(s, "data", COUNTS[(0,) * (5 - s.data.ndim)] * 2)),
    "dense dask data": then(lambda s: setattr(s, "data", da.from_array(COUNTS[(0,) * (5 - s.data.ndim)] * 2))),
    "maximum of a row": lambda s: s.max("x"),
}


@pytest.mark.parametrize("n_nav", [2, 3])
@pytest.mark.parametrize("way", WAYS)
def test_class_and_chunks_go_together_after(way, n_nav, tmp_path):
    ours, theirs = pair(n_nav)
    assert_same(WAYS[way](ours), WAYS[way](theirs), tmp_path if n_nav == 2 else None)
    assert_rule(ours)


# These lead from one 4D signal of real numbers to another, so any may follow any.
STEPS = {
    "type": lambda s, r: s.set_signal_type(r.choice(["", "diffraction", "insitu_diffraction", "dpc", "power"])),
    "multiplied": lambda s, r: setattr(s, "data", s.data * 3),
    "made dense": lambda s, r: setattr(s, "data", s.data + 1),
    "new data": lambda s, r: setattr(s, "data", (COUNTS[0] + r.randint(0, 5))),
    "scan folded": lambda s, r: (s.unfold_navigation_space(), s.fold()),
    "all folded": lambda s, r: _unfolded(s),
    "floats": lambda s, r: s.change_dtype(r.choice(["float32", "float64"])),
    "cut anew": lambda s, r: s.rechunk((r.randint(1, 3), r.randint(1, 5))),
    "copied": lambda s, r: s.deepcopy(),
    "root": lambda s, r: np.sqrt(s),
    "there and back": lambda s, r: s.transpose(signal_axes=r.choice([1, 3])).transpose(signal_axes=2),
    "turned twice": lambda s, r: s.T.T,
}


@pytest.mark.parametrize("seed", range(12))
def test_class_and_chunks_go_together_after_any_steps(seed):
    ours, theirs = pair()
    draw = random.Random(seed)
    for name in draw.choices(list(STEPS), k=6):
        number = draw.random()
        results = [STEPS[name](s, random.Random(number)) for s in (ours, theirs)]
        if isinstance(results[0], hs.signals.BaseSignal):
            ours, theirs = results
        if isinstance(theirs.data, np.ndarray):  # as NumPy's functions leave it in HyperSpy's lazy signals
            theirs.data = da.from_array(theirs.data)
        assert_rule(ours)
        assert type(ours).__name__.replace("Sparse", "") == type(theirs).__name__, name
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "COO", "GCXS", "CSRFrames", "dask of COO", "dask"])
def test_sparse_data_of_any_kind_keep_the_sparse_class(kind):
    counts, rows = COUNTS[0], COUNTS[0].reshape(15, -1)
    s, _ = pair()
    s.data = {
        "csr_array": lambda: scipy.sparse.csr_array(rows),
        "csc_matrix": lambda: scipy.sparse.csc_matrix(rows),
        "COO": lambda: sparse.COO(counts),
        "GCXS": lambda: sparse.GCXS.from_numpy(counts),
        "CSRFrames": lambda: s.data.compute(),
        "dask of COO": lambda: da.from_array(counts, chunks=(1, 5, 16, 12)).map_blocks(sparse.COO),
        "dask": lambda: s.data * 1,
    }[kind]()
    assert has_sparse_chunks(s) and isinstance(s, hyperspy_sparse.LazySparseElectronDiffraction2D)
    np.testing.assert_array_equal(np.asarray(s), counts)


def test_a_matrix_that_does_not_fit_is_refused_and_changes_nothing():
    s, _ = pair()
    with pytest.raises(ValueError, match="a row per position and a column per pixel, \\(15, 192\\)"):
        s.data = scipy.sparse.csr_array(COUNTS[0].reshape(-1, 12))
    np.testing.assert_array_equal(np.asarray(s), COUNTS[0])


def test_every_lazy_class_of_images_in_pyxem_has_a_registered_twin():
    theirs = yaml.safe_load((pathlib.Path(pyxem.__file__).parent / "hyperspy_extension.yaml").read_text())["signals"]
    file = pathlib.Path(hyperspy_sparse.__file__).with_name("hyperspy_extension.yaml")
    ours = yaml.safe_load(file.read_text())["signals"]
    for name, about in theirs.items():
        if about["lazy"] and about["signal_dimension"] == 2 and about["dtype"] == "real":
            twin = name.replace("Lazy", "LazySparse")
            assert ours[twin]["signal_type"] == f"sparse_{about['signal_type']}"
            assert getattr(hyperspy_sparse, twin).__mro__[1] is SparseFramesMixin
            assert ours[twin.removeprefix("Lazy")]["signal_type"] == f"sparse_{about['signal_type']}"
            assert hasattr(hyperspy_sparse, twin.removeprefix("Lazy"))


def test_series_keep_their_kernels_and_types():
    s, dense = pair(3)
    for signal in (s, dense):
        signal.set_signal_type("insitu_diffraction")
    assert isinstance(s, LazyInSituDiffraction2D) and has_sparse_chunks(s)
    found, expected = (x.get_direct_beam_position(method="center_of_mass") for x in (s, dense))
    assert any("answer" in name for name in found.data.dask.layers)  # of the kernel
    assert_same(found, expected)
    in_memory = hs.signals.Signal2D(COUNTS)
    in_memory.set_signal_type("sparse_insitu_diffraction")
    assert type(in_memory) is type(s)
    assert in_memory.metadata.Signal.signal_type == "insitu_diffraction"


def test_a_class_of_somebody_else_gets_a_twin():
    class LazyMine(LazyDiffraction2D):
        def mine(self):
            return 5

    s = LazyMine(pair()[0].data)
    assert has_sparse_chunks(s) and isinstance(s, SparseFramesMixin) and s.mine() == 5
    s.compute(show_progressbar=False)


def test_a_twin_pickles_into_another_process(tmp_path):
    s, _ = pair(3)
    s.set_signal_type("insitu_diffraction")
    name = tmp_path / "signal.pickle"
    name.write_bytes(pickle.dumps(type(s)))
    code = f"import pickle; print(pickle.load(open({str(name)!r}, 'rb')).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "LazySparseInSituDiffraction2D"


# -- functions of NumPy --------------------------------------------------------------------------

UFUNCS = {
    "sqrt": np.sqrt,
    "log1p": np.log1p,
    "add": lambda s: np.add(s, 1),
    "add turned": lambda s: np.add(1, s),
    "mask": lambda s: np.multiply(s, np.eye(16, 12)),
    "exp": np.exp,
    "power": lambda s: np.power(s, 2),
    "itself": lambda s: np.hypot(s, s),
    "other type": lambda s: np.sqrt(s, dtype="f4"),
}


@pytest.mark.parametrize("name", UFUNCS)
def test_numpy_s_functions_stay_lazy(name, tmp_path):
    ours, theirs = pair()
    result = UFUNCS[name](ours)
    assert isinstance(result.data, da.Array)
    expected = UFUNCS[name](theirs)
    assert result.metadata.General.title == expected.metadata.General.title
    assert_same(result, expected, tmp_path)


def test_numpy_s_functions_stay_sparse_where_zero_stays_zero():
    s, _ = pair()
    assert has_sparse_chunks(np.sqrt(s)) and has_sparse_chunks(np.multiply(s, np.eye(16, 12)))
    assert not isinstance(np.exp(s), SparseFramesMixin)


def test_no_function_of_numpy_asks_for_the_whole_signal():
    frames = LazyDiffraction2D(pair()[0].data)
    before = hyperspy_sparse.get_limit()
    hyperspy_sparse.set_limit(1000)
    try:
        for name in UFUNCS:
            assert isinstance(UFUNCS[name](frames).data, da.Array)
    finally:
        hyperspy_sparse.set_limit(before)


def test_a_function_of_numpy_can_write_into_a_signal_or_an_array():
    s, _ = pair()
    assert np.multiply(s, 2, out=s) is s
    np.testing.assert_array_equal(np.asarray(s), COUNTS[0] * 2)
    out = np.zeros(COUNTS[0].shape)
    assert np.sqrt(s, out=out) is out
    np.testing.assert_allclose(out, np.sqrt(COUNTS[0] * 2))
    with pytest.raises(TypeError, match="cannot be put into out of uint16"):
        np.sqrt(s, out=s)
    with pytest.raises(ValueError, match="out has shape"):
        np.sqrt(s, out=np.zeros(3))


def test_elements_that_are_not_requested_stay():
    s, _ = pair()
    where = COUNTS[0] > 1
    np.multiply(s, 10, out=s, where=where)
    np.testing.assert_array_equal(np.asarray(s), np.where(where, COUNTS[0] * 10, COUNTS[0]))


def test_reductions_of_numpy_s_functions_are_arrays():
    s, _ = pair()
    np.testing.assert_array_equal(np.add.reduce(s, axis=(0, 1)), COUNTS[0].sum(axis=(0, 1)))
    np.testing.assert_array_equal(np.maximum.reduce(s), COUNTS[0].max(axis=0))
    quotient, rest = np.divmod(s, 2)
    np.testing.assert_array_equal(np.asarray(quotient.data.compute()) * 2 + rest.data.compute(), COUNTS[0])
    with pytest.raises(TypeError, match="cannot be changed"):
        np.add.at(s, 0, 1)


MIXED = {  # what dask calls dense from empty arrays, and whose chunks may be frames all the same
    "array equals": lambda s, ones: ones[0, 0] == s,
    "array modulo": lambda s, ones: ones % s,
    "arctan2": lambda s, ones: np.arctan2(s, hs.signals.Signal2D(ones).as_lazy()),
    "assigned": lambda s, ones: assigned(s, np.arctan2(s.data, da.from_array(ones))),
    "assigned, persisted": lambda s, ones: assigned(s, np.arctan2(s.data.persist(), da.from_array(ones))),
    "assigned to a dense signal": lambda s, ones: assigned(
        hs.signals.Signal2D(ones).as_lazy(), da.maximum(s.data, da.from_array(-ones))
    ),
    "joined and reversed": lambda s, ones: assigned(s, da.concatenate([da.from_array(ones[:1]), s.data[1:]])[::-1]),
}


def assigned(signal, data):
    signal = signal.deepcopy()
    signal.data = data
    return signal


@pytest.mark.parametrize("way", MIXED)
def test_no_frames_hide_in_an_array_that_dask_calls_dense(way):
    ones = np.ones(COUNTS[0].shape)
    ours, theirs = pair()
    made, expected = (MIXED[way](signal, ones) for signal in (ours, theirs))
    assert_rule(made)
    expected = expected.data if isinstance(expected, hs.signals.BaseSignal) else expected
    np.testing.assert_array_equal(np.asarray(made.data), np.asarray(expected))


@pytest.mark.parametrize("part", [lambda s: s.inav, lambda s: s.isig])
def test_elements_that_are_set_in_a_deep_copy_stay_there(part):
    ours, _ = pair()
    for change in (lambda s: s.deepcopy(), lambda s: s.inav[:2].deepcopy(), lambda s: np.sqrt(s).deepcopy()):
        first = ours if change(ours).data.shape == ours.data.shape else ours.inav[:2]
        before, copy = np.asarray(first).copy(), change(ours)
        part(copy)[1:2] = 7
        assert (np.asarray(part(copy)[1:2]) == 7).all()
        np.testing.assert_array_equal(np.asarray(first), before)


def test_masked_arrays_that_are_assigned_stay_masked():
    ours, _ = pair()
    ours.data = da.ma.masked_greater(da.from_array(COUNTS[0]), 1)
    assert np.ma.count_masked(ours.data.compute(scheduler="sync")) == np.count_nonzero(COUNTS[0] > 1)


def test_frames_made_of_dense_chunks_are_found_by_what_follows():
    frames = twins.sparsified(da.zeros((3, 5, 16, 12), dtype=np.uint8))
    assert assigned_data._may_hold_frames(frames) and not assigned_data._may_hold_frames(twins.densified(frames))
