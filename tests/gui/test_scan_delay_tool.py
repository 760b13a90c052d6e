"""The dialog for the scan delay: its pictures are those of the reader, and the slider moves them."""

import hyperspy.api as hs
import numpy as np
import pytest

import rsciio_tpx3
from hyperspy_sparse.gui import ScanDelayTool
from rsciio_tpx3 import simulate

OPTIONS = {"navigation_shape": (64, 32), "pattern": "serpentine"}


@pytest.fixture(scope="module")
def snake(tmp_path_factory):
    file = tmp_path_factory.mktemp("gui") / "snake.tpx3"
    simulate.recording(
        file, (32, 64), pattern="serpentine", scan_delay="12 us", dwell_time="5 us", electrons_per_position=60, seed=5
    )
    return file


@pytest.mark.parametrize("quarters", [-9, 0, 3, 10])
def test_picture_of_a_delay_is_the_one_that_loading_gives(snake, quarters):
    tool = ScanDelayTool(snake, **OPTIONS)
    tool.delay = quarters * 1.25  # us: steps of the table, so that the same hits lie in each position
    loaded = hs.load(snake, scan_delay=tool.scan_delay, **OPTIONS)
    np.testing.assert_array_equal(tool.image(), loaded.sum(axis=(2, 3)).T.data.compute())


@pytest.mark.slow
def test_delay_that_is_found_is_that_of_the_function(snake, widgets):
    tool = ScanDelayTool(snake, **OPTIONS)
    shown = widgets(tool)
    assert len(tool.picture().axes) == 2
    shown["find"].click()
    expected = rsciio_tpx3.find_scan_delay(snake, **OPTIONS)
    assert (tool.found.delay, tool.found.error) == (expected.delay, expected.error)
    assert shown["delay"].value == pytest.approx(expected.delay * 1e6, abs=0.5)
    assert f"scan_delay='{expected.scan_delay}'" in tool.code and "found" in shown["report"].value
    before = bytes(shown["picture"].value)
    shown["delay"].value = -3.0
    assert tool.delay == -3.0 and bytes(shown["picture"].value) != before
    eval(tool.code, {"hs": hs})


def test_search_begins_at_the_delay_of_a_user(snake):
    tool = ScanDelayTool(snake, span="40 us", scan_delay="10 us", **OPTIONS)
    low, high = tool.range
    assert (low + high) / 2 == pytest.approx(10) and high - low >= 80 and tool.code.count("scan_delay") == 1


def test_delays_outside_and_recordings_without_lines_are_refused(snake, tmp_path):
    tool = ScanDelayTool(snake, **OPTIONS)
    tool._profiles.image(0.0)
    with pytest.raises(ValueError, match="must lie between"):
        tool._profiles.image(1.0)
    with pytest.raises(rsciio_tpx3.ScanSyncError):
        ScanDelayTool(snake, signal="frames", frame_time="1 ms")


def test_slider_of_the_window_moves_the_delay(snake, window):
    tool = ScanDelayTool(snake, **OPTIONS)
    panel, ui = window(tool)
    panel.find = True
    assert len(panel.figure.axes) == 2 and tool.found is not None
