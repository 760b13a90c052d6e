"""From dense to sparse and between packages; one pass for many results; files."""

import subprocess
import sys

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
import scipy.sparse
import sparse
from hyperspy.signals import LazySignal2D
from pyxem.signals import ElectronDiffraction2D

import hyperspy_sparse
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames import dask_array
from rsciio_tpx3.frames.memory_source import MemorySource


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("signal_type", ["", "diffraction", "electron_diffraction"])
def test_any_dense_signal_has_a_sparse_twin(dense, counts, lazy, signal_type):
    signal = dense(counts, signal_type=signal_type)
    if not lazy:
        signal.compute(show_progressbar=False)
    twin = hyperspy_sparse.to_sparse(signal)
    assert type(twin).__name__ == "LazySparse" + type(signal).__name__.removeprefix("Lazy")
    np.testing.assert_array_equal(np.asarray(twin), counts)
    assert twin.axes_manager.as_dictionary() == signal.axes_manager.as_dictionary()
    assert twin.metadata.Signal.signal_type == signal.metadata.Signal.signal_type
    assert twin.original_metadata.recorded.by == "nobody"
    assert isinstance(twin.data.blocks[0].compute(), CSRFrames)


def test_signals_in_memory_become_a_source_that_kernels_read_in_blocks(dense, counts):
    signal = dense(counts)
    signal.compute(show_progressbar=False)
    assert dask_array.source_of(hyperspy_sparse.to_sparse(signal).data) is not None


def test_to_sparse_of_a_transposed_and_of_a_split_signal(counts):
    flat = hs.signals.Signal2D(counts.transpose(2, 3, 0, 1)).T
    twin = hyperspy_sparse.to_sparse(flat)
    np.testing.assert_array_equal(np.asarray(twin), counts)
    split = hs.signals.Signal2D(da.from_array(counts, chunks=(1, 2, 5, 7))).as_lazy()
    np.testing.assert_array_equal(np.asarray(hyperspy_sparse.to_sparse(split)), counts)


def test_to_sparse_refuses_what_has_no_frames(counts):
    with pytest.raises(ValueError, match="two signal axes"):
        hyperspy_sparse.to_sparse(hs.signals.Signal1D(counts))
    with pytest.raises(ValueError, match="navigation axis"):
        hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts[0, 0]))
    with pytest.raises(ValueError, match="real numbers"):
        hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts * 1j))


BACKENDS = [
    ("numpy", np.ndarray),
    ("sparse.GCXS", sparse.GCXS),
    ("sparse.COO", sparse.COO),
    ("sparse.DOK", sparse.DOK),
    ("scipy.sparse.csr_array", scipy.sparse.csr_array),
    ("scipy.sparse.csr_matrix", scipy.sparse.csr_matrix),
    ("scipy.sparse.csc_array", scipy.sparse.csc_array),
    ("scipy.sparse.csc_matrix", scipy.sparse.csc_matrix),
    ("scipy.sparse.coo_array", scipy.sparse.coo_array),
    ("scipy.sparse.coo_matrix", scipy.sparse.coo_matrix),
]


@pytest.mark.parametrize(("backend", "kind"), BACKENDS)
def test_conversion_there_and_back(counts, backend, kind):
    frames = CSRFrames.from_dense(counts)
    other = hyperspy_sparse.convert(frames, backend)
    assert type(other) is kind
    back = hyperspy_sparse.convert(other, "CSRFrames", shape=counts.shape)
    np.testing.assert_array_equal(back.todense(), counts)


def test_an_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"scipy\.sparse\.csr_array"):
        hyperspy_sparse.convert(np.zeros((1, 2, 2)), "cupy")


def test_one_pass_gives_what_the_methods_give(sparse_signal, counts):
    roi = hs.roi.CircleROI(0.0, 0.0, 0.4, 0.1)
    mask = np.zeros((16, 12), dtype=bool)
    mask[3:9, 2:11] = True
    found = hyperspy_sparse.one_pass(sparse_signal, detectors={"ring": roi, "box": mask})
    assert all(not s._lazy and type(s.data) is np.ndarray for s in found.values())
    np.testing.assert_array_equal(found["sum_pattern"].data, counts.sum(axis=(0, 1)))
    np.testing.assert_array_equal(found["total_counts"].data, counts.sum(axis=(2, 3)))
    np.testing.assert_array_equal(found["box"].data, counts[..., 3:9, 2:11].sum(axis=(2, 3)))
    image = sparse_signal.get_integrated_intensity(roi)
    np.testing.assert_array_equal(found["ring"].data, image.data.compute())
    shift = sparse_signal.get_direct_beam_position(method="center_of_mass")
    np.testing.assert_array_equal(found["center_of_mass"].data, shift.data.compute())
    assert type(found["sum_pattern"]) is ElectronDiffraction2D
    assert found["ring"].axes_manager.signal_shape == (5, 3)


def test_one_pass_reads_each_block_once(counts):
    read = []

    class Noting(MemorySource):
        def frames(self, start, stop):
            read.append((start, stop))
            return super().frames(start, stop)

    array = to_dask(Noting(CSRFrames.from_dense(counts)), chunks=1)
    signal = hyperspy_sparse.finish_loading(LazySignal2D(array))
    signal.set_signal_type("electron_diffraction")
    read.clear()
    mask = np.ones((16, 12), dtype=bool)
    hyperspy_sparse.one_pass(signal, detectors={"all": mask}, scheduler="sync")
    assert sorted(read) == sorted(set(read))
    assert sum(stop - start for start, stop in read) == 15


def test_one_pass_refuses_names_that_it_uses_itself(sparse_signal):
    with pytest.raises(ValueError, match="sum_pattern"):
        hyperspy_sparse.one_pass(sparse_signal, detectors={"sum_pattern": np.ones((16, 12))})
    with pytest.raises(ValueError, match=r"detector \(16, 12\)"):
        hyperspy_sparse.one_pass(sparse_signal, detectors={"a": np.ones((12, 16))})


def test_virtual_images_are_one_stack(sparse_signal, counts):
    masks = {"even": np.indices((16, 12)).sum(axis=0) % 2 == 0, "all": np.ones((16, 12), bool)}
    images = hyperspy_sparse.virtual_images(sparse_signal, masks)
    assert images.axes_manager.navigation_shape == (2,)
    assert images.axes_manager.signal_shape == (5, 3)
    assert list(images.metadata.Virtual_detectors.names) == ["even", "all"]
    assert images.axes_manager["x"].offset == 2.0
    expected = np.stack([(counts * m).sum(axis=(2, 3), dtype=np.uint64) for m in masks.values()])
    np.testing.assert_array_equal(images.data.compute(), expected)
    with pytest.raises(ValueError, match="0 detectors"):
        hyperspy_sparse.virtual_images(sparse_signal, [])


@pytest.mark.parametrize("nav", [(7,), (3, 5), (2, 3, 5)])
def test_virtual_images_for_any_number_of_scan_axes(nav):
    counts = np.random.default_rng(4).poisson(0.5, (*nav, 16, 12)).astype(np.uint8)
    signal = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
    images = hyperspy_sparse.virtual_images(signal, [np.ones((16, 12), bool)])
    np.testing.assert_array_equal(images.data.compute()[0], counts.sum(axis=(-2, -1)))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".hspy", ".zspy"])
def test_files_open_where_this_package_is_missing(sparse_signal, counts, tmp_path, suffix):
    path = tmp_path / f"scan{suffix}"
    sparse_signal.save(path)
    assert type(sparse_signal) is hyperspy_sparse.LazySparseElectronDiffraction2D
    # HyperSpy finds our entry points by metadata; take them away as uninstalling would.
    code = (
        "import importlib.metadata as md; old = md.entry_points\n"
        "def without(**kw):\n"
        "    ours = kw.get('group') == 'hyperspy.extensions'\n"
        "    return [e for e in old(**kw) if 'sparse' not in e.name] if ours else old(**kw)\n"
        "md.entry_points = without\n"
        "import sys\n"
        "sys.modules['hyperspy_sparse'] = sys.modules['rsciio_tpx3'] = None\n"
        "import hyperspy.api as hs, numpy as np\n"
        "s = hs.load(sys.argv[1])\n"
        "print(type(s).__name__, int(s.data.sum()), s.axes_manager.shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "ElectronDiffraction2D",
        str(counts.sum()),
        "(5,",
        "3,",
        "12,",
        "16)",
    ]


def test_simulated_disks_lie_where_they_say():
    signal = hyperspy_sparse.data.disks(electrons=3000)
    found = signal.get_direct_beam_position(method="center_of_mass").data.compute()
    centre_x = 32 / 2 - found[..., 0]
    assert np.abs(centre_x - signal.metadata.Simulation.center_x).max() < 0.7
    np.testing.assert_array_equal(signal.navigator.data, np.asarray(signal).sum(axis=(2, 3)))
    signal.data.compute().check()
