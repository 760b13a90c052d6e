"""A loaded signal in LiberTEM and py4DSTEM: the same numbers, with axes and calibration."""

import gc
import sys
import tempfile
from types import SimpleNamespace

import numpy as np
import pytest
from counted_data import lazy, signal_dict

import hyperspy_sparse
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.raw_csr import file_writer

hs = pytest.importorskip("hyperspy.api")
interop = pytest.importorskip("hyperspy_sparse.interop.arrays")


@pytest.fixture(params=["file", "memory"])
def loaded(tmp_path, dense, request):
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.toml", lazy=True)
    return (s, dense) if request.param == "file" else (s.inav[1:], dense[:, 1:])


def test_libertem_gets_csr_and_the_same_sums(loaded, libertem):
    from libertem.udf.sum import SumUDF

    s, dense = loaded
    data = interop.to_libertem(s, libertem)
    assert tuple(data.shape) == dense.shape
    assert type(data).__name__ == "RawCSRDataSet"

    class Kinds(SumUDF):
        kinds = set()

        def get_backends(self):
            return ("scipy.sparse.csr_matrix", "scipy.sparse.csr_array")

        def process_tile(self, tile):
            self.kinds.add(type(tile).__name__)

    libertem.run_udf(data, Kinds())
    assert Kinds.kinds <= {"csr_array", "csr_matrix"} and Kinds.kinds
    assert np.array_equal(libertem.run_udf(data, SumUDF())["intensity"].data, dense.sum(axis=(0, 1)))


def test_the_temporary_file_for_libertem_goes_with_the_data_set(dense, tmp_path, libertem, monkeypatch):
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.toml", lazy=True).inav[:, ::-1]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    data = interop.to_libertem(s, libertem)
    assert len(list(tmp_path.glob("hyperspy_sparse_*"))) == 1
    del data
    gc.collect()
    assert not list(tmp_path.glob("hyperspy_sparse_*"))


def test_results_of_a_udf_are_signals_with_axes(loaded, libertem):
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.sum import SumUDF
    from libertem.udf.sumsigudf import SumSigUDF

    s, dense = loaded
    image = interop.run_udf(s, SumSigUDF(), libertem)["intensity"]
    assert np.array_equal(image.data, dense.sum(axis=(2, 3)))
    assert image.axes_manager.signal_axes[0].scale == s.axes_manager.navigation_axes[0].scale
    assert image.axes_manager.signal_axes[0].offset == s.axes_manager.navigation_axes[0].offset
    pattern = interop.run_udf(s, SumUDF())["intensity"]
    assert np.array_equal(pattern.data, dense.sum(axis=(0, 1)))
    assert [a.units for a in pattern.axes_manager.signal_axes] == ["$A^{-1}$"] * 2
    weights = np.indices(dense.shape[2:]).astype(float)
    masks = ApplyMasksUDF(mask_factories=lambda: weights, mask_count=2, mask_dtype=np.float64)
    found = interop.run_udf(s, masks, libertem)["intensity"]
    assert found.axes_manager.navigation_shape == dense.shape[:2][::-1]
    assert np.array_equal(found.data, np.einsum("yxab,kab->yxk", dense.astype(float), weights))


def test_a_dense_signal_is_refused_with_the_way_out(dense, libertem):
    with pytest.raises(ValueError, match="to_sparse"):
        interop.to_libertem(hs.signals.Signal2D(dense), libertem)


def test_py4dstem_gets_data_and_calibration(loaded):
    pytest.importorskip("py4DSTEM", reason="py4DSTEM is not installed (0.14 wants numpy below 2)")
    s, dense = loaded
    with pytest.raises(ValueError, match="differ"):
        interop.to_py4dstem(s)
    for axes, scale in ((s.axes_manager.navigation_axes, 0.5), (s.axes_manager.signal_axes, 0.01)):
        for axis in axes:
            axis.scale = scale
    cube = interop.to_py4dstem(s)
    assert np.array_equal(cube.data, dense)
    assert cube.calibration.get_R_pixel_size() == 0.5 and cube.calibration.get_R_pixel_units() == "nm"
    assert cube.calibration.get_Q_pixel_size() == 0.01 and cube.calibration.get_Q_pixel_units() == "A^-1"


class _Calibration(dict):
    """What py4DSTEM's takes: it refuses other units of the detector by an assertion."""

    def __getattr__(self, name):
        return lambda value: self.update({name.removeprefix("set_"): value})

    def set_Q_pixel_units(self, unit):
        assert unit in ("pixels", "A^-1", "mrad")
        self["Q_pixel_units"] = unit


@pytest.fixture
def cubes(monkeypatch):
    def cube(data, name):
        return SimpleNamespace(data=data, calibration=_Calibration())

    monkeypatch.setitem(sys.modules, "py4DSTEM", SimpleNamespace(DataCube=cube))


def test_axes_in_reciprocal_nanometres_become_those_of_py4dstem(loaded, cubes):
    s, _ = loaded
    for axis in s.axes_manager.navigation_axes:
        axis.scale = 0.5
    for axis in s.axes_manager.signal_axes:
        axis.scale, axis.offset, axis.units = 0.25, -2.0, "nm^-1"
    found = interop.to_py4dstem(s).calibration
    assert (found["Q_pixel_size"], found["Q_pixel_units"]) == (0.025, "A^-1")
    for axis in s.axes_manager.signal_axes:
        axis.units = "rad"
    with pytest.raises(ValueError, match="these are in 'rad'"):
        interop.to_py4dstem(s)


def test_a_data_cube_above_the_memory_limit_is_refused(loaded):
    s, _ = loaded
    for axis in s.axes_manager._axes:
        axis.scale = 1
    hyperspy_sparse.set_limit(1000)
    try:
        with pytest.raises(hyperspy_sparse.DenseMemoryError):
            interop.to_py4dstem(s)
    finally:
        hyperspy_sparse.set_limit(None)


def references(dense):
    """Sum pattern, masked image and first moments as other programs should find them."""
    mask = np.zeros(dense.shape[2:])
    mask[2:8, 3:9] = 1
    y = np.arange(dense.shape[2])[:, None]
    return dense.sum(axis=(0, 1)), mask, (dense * mask).sum(axis=(2, 3)), (dense * y).sum(axis=(2, 3))


def same_scales(s):
    for axes, scale in ((s.axes_manager.navigation_axes, 0.5), (s.axes_manager.signal_axes, 0.01)):
        for axis in axes:
            axis.scale = scale


def test_py4dstem_finds_the_same_sum_masked_image_and_centre_of_mass(loaded):
    pytest.importorskip("py4DSTEM", reason="py4DSTEM is not installed (0.14 wants numpy below 2)")
    s, dense = loaded
    same_scales(s)
    cube = interop.to_py4dstem(s)
    total, mask, image, moment = references(dense)
    assert np.allclose(cube.get_dp_mean().data, total / np.prod(dense.shape[:2]))
    assert np.allclose(cube.get_virtual_image(mode="mask", geometry=mask, name="m").data, image)
    filled = dense.sum(axis=(2, 3)) > 0
    from py4DSTEM.process.utils import get_CoM

    for i, j in np.argwhere(filled)[:9]:
        assert np.isclose(get_CoM(cube.data[i, j])[0], moment[i, j] / dense[i, j].sum())


def test_quantem_gets_data_and_calibration_and_finds_the_same_images(loaded):
    pytest.importorskip("quantem.core", reason="quantem is not installed (it wants zarr above 3, pyXem below)")
    s, dense = loaded
    data = interop.to_quantem(s)
    total, mask, image, _ = references(dense)
    ordered = (*s.axes_manager.navigation_axes[::-1], *s.axes_manager.signal_axes[::-1])
    assert np.array_equal(data.array, dense)
    assert list(data.sampling) == [axis.scale for axis in ordered] and list(data.origin) == [a.offset for a in ordered]
    assert list(data.units) == ["nm", "nm", "A^-1", "A^-1"]
    assert np.allclose(data.get_dp_mean().array, total / np.prod(dense.shape[:2]))
    found = data.get_virtual_image(mask=mask).array
    assert np.allclose(found, image)
    assert interop.to_quantem(s.inav[:3, :2].isig[4:, :5]).array.shape == (2, 3, 5, s.data.shape[3] - 4)


def test_quantem_and_py4dstem_need_two_and_two_axes(tmp_path):
    file_writer(tmp_path / "x.toml", signal_dict(lazy(np.ones((3, 4, 5, 6, 7), "u1"))))
    s = hs.load(tmp_path / "x.toml", lazy=True)
    for bridge in (interop.to_quantem, interop.to_py4dstem):
        with pytest.raises(ValueError, match="two navigation and two signal axes"):
            bridge(s)


def reads(monkeypatch, s):
    """Spans of rows that the source of a signal is asked for."""
    spans, source = [], source_of(s.data)
    honest = type(source).frames

    def frames(self, start, stop):
        spans.append((start, stop))
        return honest(self, start, stop)

    monkeypatch.setattr(type(source), "frames", frames)
    return spans


def test_a_view_reads_one_frame_and_indexes_like_numpy(tmp_path, dense, monkeypatch):
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.toml", lazy=True)
    monkeypatch.setattr("hyperspy_sparse.frame_cache.READ_ENTRIES", 0)  # else lines around a picture are kept
    spans, view = reads(monkeypatch, s), interop.FrameView(s)
    one = (
        (3, 4),
        (-1, -2),
        (slice(2, 3), slice(4, 5)),
        (slice(2, 3), 4, slice(2, 9), slice(None, None, 2)),
        (2, 4, Ellipsis, 3),
        (2, 4, 5),
    )
    for key in one:
        spans.clear()
        found = view[key]
        assert len(spans) == 1 and spans[0][1] - spans[0][0] == 1
        assert type(found) is np.ndarray and found.shape == dense[key].shape and np.array_equal(found, dense[key])
    for key in (3, slice(None), (slice(1, 3), 2), (Ellipsis, 2)):
        assert np.array_equal(view[key], dense[key])
    assert np.array_equal(np.asarray(view), dense) and view.shape == dense.shape and view.dtype == dense.dtype
    with pytest.raises(IndexError):
        view[99, 0]


def test_napari_reads_the_frame_that_it_shows(tmp_path, dense, monkeypatch):
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.toml", lazy=True)
    spans, viewer = reads(monkeypatch, s), components.ViewerModel()
    layer = interop.to_napari(s, viewer, colormap="magma")
    viewer.dims.set_current_step(0, 3)
    viewer.dims.set_current_step(1, 5)
    assert spans and all(stop - start == 1 for start, stop in spans)
    shown = layer._data_view
    assert np.array_equal(shown, dense[3, 5])
    assert tuple(layer.axis_labels) == ("y", "x", "ky", "kx") and tuple(layer.scale) == (0.5, 1.5, 0.01, 0.02)
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer", "1 / angstrom", "1 / angstrom"]
    assert layer.contrast_limits[1] == dense[np.unravel_index((dense > 0).sum(axis=(2, 3)).argmax(), (5, 7))].max()
    image = s.sum(axis=(2, 3))
    image.compute(show_progressbar=False)
    layer = interop.to_napari(image.T, components.ViewerModel())
    assert np.array_equal(layer.data, dense.sum(axis=(2, 3))) and tuple(layer.scale) == (0.5, 1.5)
