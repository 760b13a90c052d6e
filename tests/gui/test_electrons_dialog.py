"""The dialog for electrons: what it shows of a sample is what the reader makes of it."""

import hyperspy.api as hs
import numpy as np
import pytest

import rsciio_tpx3
from hyperspy_sparse.gui import Electrons


def test_sample_of_a_small_recording_is_all_of_it(recording):
    tool = Electrons(recording)
    assert tool.cluster is True
    batches = list(rsciio_tpx3.read_hits(recording, cluster=True))
    assert tool.n_electrons == sum(map(len, batches))
    np.testing.assert_array_equal(tool.sizes, np.bincount(np.concatenate([b["size"] for b in batches])))
    hits, electrons = tool.patterns()
    loaded = hs.load(recording, navigation_shape=(32, 24), cluster=True)
    assert hits.sum() == tool.n_hits and electrons.sum() == tool.n_electrons
    assert electrons.shape == hits.shape == loaded.data.shape[2:]


@pytest.mark.slow
def test_choices_become_the_option_of_the_reader(recording, widgets):
    tool = Electrons(recording, navigation_shape=(32, 24))
    shown = widgets(tool)
    few = tool.n_electrons
    shown["window"].value = "1 ns"
    shown["neighbours"].value = 4
    assert tool.cluster == {"window": "1 ns", "neighbours": 4} and tool.n_electrons > few
    assert eval(tool.code, {"hs": hs}).metadata.Signal.signal_type == "electron_diffraction"
    shown["min_size"].value = "2"
    assert "too small" in shown["report"].value and tool.sizes[1] == 0
    shown["reset"].click()
    assert tool.cluster is True and tool.n_electrons == few and shown["window"].value == "200 ns"


def test_centroids_on_a_finer_detector(recording):
    tool = Electrons(recording)
    tool.upsample = 2  # needs centroids
    assert "centroid" in tool.problem
    tool.position = "centroid"
    hits, electrons = tool.patterns()
    assert tool.problem == "" and electrons.shape == (2 * hits.shape[0], 2 * hits.shape[1])
    assert len(tool.picture().axes) == 4


def test_wrong_values_are_said_and_the_last_result_stays(recording):
    tool = Electrons(recording, cluster={"min_size": 2})
    before = tool.n_electrons
    tool.window = "5"
    assert "unit" in tool.problem and tool.n_electrons == before
    with pytest.raises(TypeError, match="unknown parameter"):
        Electrons(recording, cluster={"windows": "1 ns"})


def test_counts_have_no_hits(tmp_path, recording):
    from rsciio_tpx3.convert import convert

    convert(recording, tmp_path / "scan.toml", show_progressbar=False)
    with pytest.raises(rsciio_tpx3.Tpx3FormatError, match="recordings only"):
        Electrons(tmp_path / "scan.toml")


def test_window_shows_the_same(recording, window):
    tool = Electrons(recording)
    panel, _ = window(tool)
    tool.max_size = 1
    assert panel.has_picture and "too large" in tool.report
    panel.reset = True
    assert tool.cluster is True
