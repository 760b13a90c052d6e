"""The dialog for virtual detectors: several regions, an image of each, moved by numbers or by the mouse."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse.gui import VirtualDetectors


@pytest.fixture
def s():
    return hyperspy_sparse.data.disks()


def _expected(s, roi):
    image = s.get_integrated_intensity(roi)
    image.compute(show_progressbar=False)
    return image.data


def test_images_are_those_of_the_regions(s):
    regions = {"disc": hs.roi.CircleROI(0, 0, 0.2), "ring": hs.roi.CircleROI(0.1, -0.1, 0.5, 0.3)}
    tool = VirtualDetectors(s, regions)
    for image, roi in zip(tool.images().data, regions.values()):
        np.testing.assert_array_equal(image, _expected(s, roi))
    made = eval(tool.code, {"hs": hs, "s": s, "hyperspy_sparse": hyperspy_sparse})
    np.testing.assert_array_equal(made.data.compute(), tool.images().data)


def test_numbers_move_the_selected_region(s, widgets):
    tool = VirtualDetectors(s)
    shown = widgets(tool)
    shown["selected"].value = "dark field"
    before, other = tool.images().data[1].copy(), tool.images().data[0].copy()
    assert shown["radius"].value == pytest.approx(tool.regions["dark field"].r)
    shown["inner"].value = 0.0
    assert tool.regions["dark field"].r_inner in (0, 0.0) and tool.images().data[1].sum() > before.sum()
    np.testing.assert_array_equal(tool.images().data[0], other)
    shown["inner"].value = shown["radius"].value
    assert "must be smaller" in shown["problem"].value


@pytest.mark.slow
def test_regions_are_added_and_removed(s, widgets):
    tool = VirtualDetectors(s)
    shown = widgets(tool)
    shown["add"].click()
    assert tool.selected == "region 3" and len(tool.images().data) == 3
    assert [label for label, _ in shown["selected"].options] == tool.names
    for _ in range(3):
        shown["remove"].click()
    assert len(tool.regions) == 1 and "last region stays" in shown["problem"].value


def test_region_that_is_moved_from_outside_is_followed(s):
    tool = VirtualDetectors(s, {"disc": hs.roi.CircleROI(0, 0, 0.2)})
    before = tool.images().data.copy()
    tool.regions["disc"].cx = 0.3  # as the mouse does it on a plot
    assert tool.x == pytest.approx(0.3) and not np.array_equal(tool.images().data, before)
    np.testing.assert_array_equal(tool.images().data[0], _expected(s, tool.regions["disc"]))


def test_regions_lie_on_a_plot(s):
    tool = VirtualDetectors(s)
    tool.drag()
    assert s._plot.is_active and all(region.widgets for region in tool.regions.values())
    s._plot.close()


def test_axes_of_different_lengths_and_scales():
    data = np.random.default_rng(2).poisson(0.3, (5, 6, 12, 20)).astype("u1")
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(data))
    tool = VirtualDetectors(s, {"a": hs.roi.CircleROI(12, 5, 4)})
    assert tool.range_x == (0, 19) and tool.range_y == (0, 11)
    y, x = np.indices((12, 20))
    inside = (x - 12) ** 2 + (y - 5) ** 2 < 16
    assert abs(int(tool.images().data.sum()) - int(data[..., inside].sum())) <= data[..., ~inside].sum()
    figure = tool.picture()
    assert figure.subfigs[0].axes[0].get_title().startswith("Sum of all")


def test_one_scan_axis_is_refused(s):
    with pytest.raises(ValueError, match="two scan axes"):
        VirtualDetectors(s.inav[:, 0])


def test_window_shows_the_same(s, window):
    tool = VirtualDetectors(s)
    panel, _ = window(tool)
    panel.add = True
    assert tool.selected == "region 3" and panel.range_x_low == tool.range_x[0]
