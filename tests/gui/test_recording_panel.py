"""The panel of a recording, and its trigger edges where the scan is not found."""

import numpy as np
import pytest
from hyperspy.ui_registry import TOOLKIT_REGISTRY

import hyperspy_sparse
from hyperspy_sparse.gui import Load, Recording
from hyperspy_sparse.gui.trigger_edges import describe_edges
from rsciio_tpx3 import simulate
from rsciio_tpx3.events.edge_kinds import EDGE_CODES
from rsciio_tpx3.events.source import Edges


@pytest.fixture(scope="module")
def line_starts(tmp_path_factory):
    """Short pulses at the start of each line: nothing tells how long a position is."""
    file = tmp_path_factory.mktemp("gui") / "starts.tpx3"
    simulate.recording(file, (17, 20), sync="line-start", dwell_time="5 us", electrons_per_position=5, seed=4)
    return file


def test_panel_of_a_signal_shows_its_summary():
    s = hyperspy_sparse.data.disks()
    panel = Recording(s)
    assert panel.report == str(s.recording) and panel.pictures == ["summary"] and panel.problem == ""
    assert len(panel.picture().axes) == 3


def test_edges_are_drawn_for_a_scan_that_is_not_found(line_starts):
    panel = Recording(line_starts)
    assert panel.summary is None and "navigation_shape" in panel.problem
    assert panel.pictures == ["trigger edges"] and "17 edges" in panel.report
    over_time, intervals = panel.picture().axes
    assert [label.get_text() for label in over_time.get_yticklabels()] == ["tdc1-rise"]
    assert sum(patch.get_xy()[:, 1].max() for patch in intervals.patches) == pytest.approx(16, abs=8)


def test_recording_with_a_scan_has_both_pictures(line_starts, widgets):
    panel = Recording(line_starts, navigation_shape=(20, 17), dwell_time="5 us")
    shown = widgets(panel)
    assert panel.problem == "" and "hits" in shown["report"].value
    before = bytes(shown["picture"].value)
    shown["show"].value = "trigger edges"
    assert "intervals of" in shown["report"].value and bytes(shown["picture"].value) != before


def test_preview_of_a_scan_that_is_not_found_shows_the_edges(line_starts):
    load = Load(line_starts)
    assert load.press("preview") is None
    assert "navigation_shape" in load.problem and "17 edges" in load.report
    assert load.picture().axes[0].get_title() == "The first 17 edges"


def test_intervals_of_like_length_are_listed_with_their_number():
    ticks = np.cumsum([0, *[38_400] * 5, 384_000, *[38_400] * 5, 384_000, *[38_400] * 5])
    edges = Edges(ticks, np.full(len(ticks), EDGE_CODES["tdc1-rise"], np.uint8), np.arange(len(ticks), dtype=np.uint16))
    assert "15 intervals of 10 us, one after the other" in describe_edges(edges)
    assert describe_edges(Edges.empty()) == "There are no trigger edges."


def test_panel_opens_as_a_window(line_starts, window):
    panel, _ = window(Recording(line_starts))
    assert panel.has_picture and not panel.tool.summary


def test_what_is_not_sparse_is_refused():
    from hyperspy.signals import Signal2D

    with pytest.raises(ValueError, match="sparse"):
        Recording(Signal2D(np.zeros((2, 3, 4, 5))))


def test_a_dialog_leaves_the_plots_of_hyperspy_as_they_were(recording, widgets):
    before = set(TOOLKIT_REGISTRY)
    widgets(Load(str(recording)))
    assert before == TOOLKIT_REGISTRY
