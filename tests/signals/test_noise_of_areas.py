"""The stored noise is that of an element, that of areas has its own name (kind: one key, two meanings)."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse.noise import AREA_FACTOR, MODEL
from rsciio_tpx3 import simulate


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("noise") / "scan.tpx3"
    flat = np.zeros((256, 256))
    flat[40:220, 40:220] = 1
    simulate.recording(
        path, intensity=np.broadcast_to(flat, (24, 24, 256, 256)), layout="single", dwell_time="400 us",
        electrons_per_position=300, seed=5, hits="realistic",
    )  # fmt: skip
    return path


def _factor(signal):
    model = signal.metadata.get_item(MODEL)
    return None if model is None else model.correlation_factor


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [None, True])
def test_elements_and_areas_scatter_as_their_models_say(path, cluster):
    s = hs.load(path, navigation_shape=(24, 24), cluster=cluster)
    assert _factor(s) == 1
    elements = s.isig[60:200, 60:200].data.compute().todense().reshape(-1, 140 * 140).astype(float)
    assert elements.var(axis=0).mean() == pytest.approx(elements.mean(), rel=0.05)
    area = s.metadata.get_item(AREA_FACTOR)
    roi = hs.roi.RectangularROI(60, 60, 200, 200)
    images = {
        "integrated": s.get_integrated_intensity(roi),
        "nansum": hs.roi.CircleROI(128, 128, 70)(s, axes=s.axes_manager.signal_axes).nansum((2, 3)),
        "sum": s.isig[60:200, 60:200].sum((2, 3)),
        "stack": s.get_virtual_image([roi, roi, roi]),
        "virtual_images": hyperspy_sparse.virtual_images(s, [roi]),
        "binned": s.rebin(scale=(1, 1, 16, 16)),
    }
    assert {name: _factor(image) for name, image in images.items()} == dict.fromkeys(images, area)
    image = np.asarray(images["integrated"].data.compute(), float)
    # 576 values: a standard deviation of 6 %
    assert image.var() / image.mean() == pytest.approx(area, rel=0.25)
    assert cluster is None or area == 1


def test_small_areas_and_other_numbers_have_no_model(path):
    s = hs.load(path, navigation_shape=(24, 24))
    few = hs.roi.RectangularROI(60, 60, 63, 63)
    assert _factor(s.get_integrated_intensity(few)) is None
    assert _factor(s.rebin(scale=(1, 1, 2, 2))) is None and _factor(s.rebin(scale=(2, 2, 1, 1))) == 1
    assert _factor((s * 2).sum((2, 3))) is None
    s.metadata.set_item(f"{MODEL}.gain_factor", 2.0)  # somebody's own
    assert _factor(s.sum((2, 3))) is None
