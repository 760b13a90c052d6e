"""The classes: which one a signal has, what its metadata say, what becomes dense and when."""

import pickle
import subprocess
import sys
from pathlib import Path

import hyperspy.api as hs
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import pyxem
from pyxem.signals import ElectronDiffraction2D, LazyElectronDiffraction2D

import hyperspy_sparse
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.csr import memory_limit
from rsciio_tpx3.frames.memory_source import MemorySource


def test_a_loaded_signal_is_a_pyxem_signal_with_pyxem_type(sparse_signal):
    assert type(sparse_signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    assert isinstance(sparse_signal, ElectronDiffraction2D)
    assert isinstance(sparse_signal, pyxem.signals.Diffraction2D)
    assert sparse_signal.metadata.Signal.signal_type == "electron_diffraction"
    assert isinstance(sparse_signal.data._meta, CSRFrames)


@pytest.mark.parametrize(
    ("signal_type", "name"),
    [
        ("", "LazySparseSignal2D"),
        ("diffraction", "LazySparseDiffraction2D"),
        ("electron_diffraction", "LazySparseElectronDiffraction2D"),
        ("polar_diffraction", "LazySparsePolarDiffraction2D"),
    ],
)
def test_each_host_class_has_its_twin(load, counts, signal_type, name):
    signal = load(counts, signal_type=signal_type)
    assert type(signal).__name__ == name
    signal.set_signal_type("")
    assert type(signal).__name__ == "LazySparseSignal2D"
    signal.set_signal_type(signal_type)
    assert type(signal).__name__ == name


def test_sparse_types_convert_dense_signals_and_leave_the_host_type(dense, counts):
    signal = dense(counts)
    signal.set_signal_type("sparse_electron_diffraction")
    assert type(signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    assert signal.metadata.Signal.signal_type == "electron_diffraction"
    assert isinstance(signal.data._meta, CSRFrames)
    np.testing.assert_array_equal(np.asarray(signal), counts)


def test_sparse_types_convert_signals_in_memory_too(dense, counts):
    signal = dense(counts)
    signal.compute(show_progressbar=False)
    signal.set_signal_type("sparse_electron_diffraction")
    assert type(signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    assert signal._lazy and signal.metadata.Signal.signal_type == "electron_diffraction"
    np.testing.assert_array_equal(signal.sum().data.compute(), counts.sum(axis=(0, 1)))
    made = hyperspy_sparse.SparseDiffraction2D(counts)
    assert type(made) is hyperspy_sparse.LazySparseDiffraction2D
    assert made.axes_manager.signal_shape == (12, 16)
    np.testing.assert_array_equal(np.asarray(made), counts)
    image = hs.signals.Signal2D(counts[0, 0])
    image.set_signal_type("sparse_diffraction")
    assert type(image) is pyxem.signals.Diffraction2D
    assert image.metadata.Signal.signal_type == "diffraction"


def test_plotting_after_a_crop_makes_a_new_navigator(sparse_signal, counts):
    plt.switch_backend("agg")
    sparse_signal.crop("y", 1, 3)
    sparse_signal.plot()
    picture = sparse_signal._plot.navigator_plot.ax.images[0].get_array()
    np.testing.assert_array_equal(picture, counts[1:].sum(axis=(2, 3)))
    sparse_signal.data = sparse_signal.data * 2
    sparse_signal.plot()
    picture = sparse_signal._plot.navigator_plot.ax.images[0].get_array()
    np.testing.assert_array_equal(picture, 2 * counts[1:].sum(axis=(2, 3)))
    plt.close("all")


@pytest.mark.slow
def test_what_stays_sparse_keeps_the_class_and_the_rest_is_stock(sparse_signal):
    twin = type(sparse_signal)
    s = sparse_signal
    for stays in (s.inav[1:], s.isig[2:5, 3:], s * 2, s > 1, s.deepcopy(), s.sum(axis="y")):
        assert type(stays) is twin
    for leaves in (s + 1, s.inav[1, 1], s.sum(), s.T):
        assert type(leaves) is LazyElectronDiffraction2D


def test_the_navigator_is_there_at_once_with_the_axes(sparse_signal, counts):
    navigator = sparse_signal.navigator
    assert navigator.axes_manager.signal_shape == (5, 3)
    assert [a.name for a in navigator.axes_manager.signal_axes] == ["x", "y"]
    assert navigator.axes_manager["x"].offset == 2.0
    np.testing.assert_array_equal(navigator.data, counts.sum(axis=(2, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("nav", [(7,), (3, 5), (2, 3, 5)])
def test_plotting_works_for_any_number_of_scan_axes(nav):
    matplotlib.use("agg")

    counts = np.random.default_rng(0).poisson(1, (*nav, 16, 12)).astype(np.uint8)
    signal = hs.signals.Signal2D(to_dask(MemorySource.from_dense(counts))).as_lazy()
    signal = hyperspy_sparse.finish_loading(signal, counts.sum(axis=(-2, -1)))
    assert type(signal) is hyperspy_sparse.LazySparseSignal2D
    signal.plot()
    signal.axes_manager.indices = (1,) * len(nav)
    shown = signal._plot.signal_plot.ax.images[0].get_array()
    np.testing.assert_array_equal(shown, counts[(1,) * len(nav)])

    plt.close("all")


def test_a_navigator_of_another_shape_is_refused(sparse_signal):
    with pytest.raises(ValueError, match="NumPy order"):
        hyperspy_sparse.finish_loading(sparse_signal, np.zeros((5, 3)))


def test_compute_gives_the_stock_class_with_dense_data(sparse_signal, counts):
    sparse_signal.compute(show_progressbar=False)
    assert type(sparse_signal) is ElectronDiffraction2D
    assert type(sparse_signal.data) is np.ndarray
    np.testing.assert_array_equal(sparse_signal.data, counts)


def test_to_dense_leaves_the_signal_as_it_was(sparse_signal, counts):
    full = sparse_signal.to_dense(show_progressbar=False)
    assert type(full) is ElectronDiffraction2D
    assert type(sparse_signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    np.testing.assert_array_equal(full.data, counts)
    assert full.axes_manager["kx"].offset == -0.6


def test_persist_keeps_the_chunks_sparse(sparse_signal, counts):
    sparse_signal.persist()
    assert type(sparse_signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    chunk = sparse_signal.data.blocks[0].compute()
    assert isinstance(chunk, CSRFrames)
    np.testing.assert_array_equal(np.asarray(sparse_signal), counts)


@pytest.fixture
def small_limit():
    hyperspy_sparse.set_limit(1000)
    yield
    hyperspy_sparse.set_limit(None)


def test_above_the_limit_every_way_to_densify_is_refused(sparse_signal, small_limit):
    words = "3 x 5 x 16 x 12 uint8 to 2.81 kiB .limit 0.98 kiB."
    for step in (sparse_signal.compute, sparse_signal.to_dense, lambda: np.asarray(sparse_signal)):
        with pytest.raises(hyperspy_sparse.DenseMemoryError, match=words):
            step()
    with pytest.raises(MemoryError, match="centre of mass"):
        sparse_signal.compute()
    assert sparse_signal._lazy


def test_a_chunk_does_not_fill_the_memory_unasked(monkeypatch, small_limit):
    monkeypatch.setattr(memory_limit, "ALWAYS_ALLOWED", 0)
    frames = CSRFrames.from_dense(np.eye(60, dtype=np.uint8).reshape(3, 20, 10, 6))
    for step in (np.asarray, np.median, lambda f: f + 1, lambda f: f.ravel()):
        with pytest.raises(hyperspy_sparse.DenseMemoryError, match="3 x 20 x 10 x 6 uint8"):
            step(frames)
    assert frames.sum() == 60 and frames.todense().sum() == 60


def test_an_argument_or_the_environment_allows_more(sparse_signal, small_limit, monkeypatch):
    assert sparse_signal.to_dense(memory_limit="1 MiB", show_progressbar=False).data.nbytes == 2880
    hyperspy_sparse.set_limit(None)
    monkeypatch.setenv("HYPERSPY_SPARSE_MEMORY_LIMIT", "2 kB")
    assert hyperspy_sparse.get_limit() == 2000
    with pytest.raises(MemoryError):
        sparse_signal.compute()
    monkeypatch.setenv("HYPERSPY_SPARSE_MEMORY_LIMIT", "lots")
    with pytest.raises(ValueError, match="8 GiB"):
        hyperspy_sparse.get_limit()


def test_a_saved_limit_is_found_again(monkeypatch, tmp_path):
    monkeypatch.delenv("HYPERSPY_SPARSE_MEMORY_LIMIT", raising=False)
    monkeypatch.setattr(memory_limit, "_file", lambda: tmp_path / "limit")
    hyperspy_sparse.save_limit("3 GiB")
    assert hyperspy_sparse.get_limit() == 3 * 2**30
    hyperspy_sparse.save_limit(None)
    assert hyperspy_sparse.get_limit() != 3 * 2**30


def test_the_two_extension_files_are_the_same():
    packaged = Path(hyperspy_sparse.__file__).with_name("hyperspy_extension.yaml")
    root = packaged.parent.parent / "hyperspy_extension.yaml"
    if not root.exists():
        pytest.skip("not a source checkout")
    assert root.read_text() == packaged.read_text()


@pytest.mark.slow
def test_importing_the_package_does_not_import_hyperspy():
    code = "import sys, hyperspy_sparse; sys.exit('hyperspy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_data_of_a_signal_pickle(sparse_signal, counts):
    again = pickle.loads(pickle.dumps(sparse_signal.data))
    np.testing.assert_array_equal(np.asarray(again.compute()), counts)
