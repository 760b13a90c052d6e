"""A loaded signal in LiberTEM and py4DSTEM: the same numbers, with axes and calibration."""

import numpy as np
import pytest
from counted_data import lazy, signal_dict

from rsciio_tpx3.raw_csr import file_writer

hs = pytest.importorskip("hyperspy.api")
interop = pytest.importorskip("hyperspy_sparse.interop")


@pytest.fixture(params=["file", "memory"])
def loaded(tmp_path, dense, request):
    file_writer(tmp_path / "x.toml", signal_dict(lazy(dense)))
    s = hs.load(tmp_path / "x.toml", lazy=True)
    return (s, dense) if request.param == "file" else (s.inav[1:], dense[:, 1:])


@pytest.fixture(scope="module")
def context():
    lt = pytest.importorskip("libertem.api", reason="LiberTEM is not installed")
    with lt.Context.make_with("inline") as context:
        yield context


def test_libertem_gets_csr_and_the_same_sums(loaded, context):
    from libertem.udf.sum import SumUDF

    s, dense = loaded
    data = interop.to_libertem(s, context)
    assert tuple(data.shape) == dense.shape
    assert type(data).__name__ == ("RawCSRDataSet" if len(dense[0]) == 7 else "MemoryDataSet")

    class Kinds(SumUDF):
        kinds = set()

        def get_backends(self):
            return ("scipy.sparse.csr_matrix", "scipy.sparse.csr_array")

        def process_tile(self, tile):
            self.kinds.add(type(tile).__name__)

    context.run_udf(data, Kinds())
    assert Kinds.kinds <= {"csr_array", "csr_matrix"} and Kinds.kinds


def test_results_of_a_udf_are_signals_with_axes(loaded, context):
    from libertem.udf.masks import ApplyMasksUDF
    from libertem.udf.sum import SumUDF
    from libertem.udf.sumsigudf import SumSigUDF

    s, dense = loaded
    image = interop.run_udf(s, SumSigUDF(), context)["intensity"]
    assert np.array_equal(image.data, dense.sum(axis=(2, 3)))
    assert image.axes_manager.signal_axes[0].scale == s.axes_manager.navigation_axes[0].scale
    assert image.axes_manager.signal_axes[0].offset == s.axes_manager.navigation_axes[0].offset
    pattern = interop.run_udf(s, SumUDF())["intensity"]
    assert np.array_equal(pattern.data, dense.sum(axis=(0, 1)))
    assert [a.units for a in pattern.axes_manager.signal_axes] == ["$A^{-1}$"] * 2
    weights = np.indices(dense.shape[2:]).astype(float)
    masks = ApplyMasksUDF(mask_factories=lambda: weights, mask_count=2, mask_dtype=np.float64)
    found = interop.run_udf(s, masks, context)["intensity"]
    assert found.axes_manager.navigation_shape == dense.shape[:2][::-1]
    assert np.array_equal(found.data, np.einsum("yxab,kab->yxk", dense.astype(float), weights))


def test_a_dense_signal_is_refused_with_the_way_out(dense, context):
    with pytest.raises(ValueError, match="to_sparse"):
        interop.to_libertem(hs.signals.Signal2D(dense), context)


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


def test_a_data_cube_above_the_memory_limit_is_refused(loaded):
    import hyperspy_sparse

    s, _ = loaded
    for axis in s.axes_manager._axes:
        axis.scale = 1
    hyperspy_sparse.set_limit(1000)
    try:
        with pytest.raises(hyperspy_sparse.DenseMemoryError):
            interop.to_py4dstem(s)
    finally:
        hyperspy_sparse.set_limit(None)
