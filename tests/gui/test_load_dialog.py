"""The dialog for loading: as an object, as widgets of Jupyter, as a window of Qt."""

import inspect
import subprocess
import sys

import hyperspy.api as hs
import numpy as np
import pytest

import rsciio_tpx3
from hyperspy_sparse.gui import Load
from rsciio_tpx3 import simulate
from rsciio_tpx3.convert import convert
from rsciio_tpx3.reader.options import OPTIONS


def test_every_option_of_a_reader_is_a_choice_with_its_documentation():
    fields = {field.name: field for field in Load.fields}
    offered = set(inspect.signature(rsciio_tpx3.file_reader).parameters) - {"filename", "kwds"}
    assert offered - set(fields) == {"show_progressbar", "progress"}
    assert all(fields[name].help == OPTIONS[name].text for name in offered & set(fields))
    assert fields["sync"].choices[0] == "auto" and "line-gate" in fields["sync"].choices
    assert fields["pattern"].choices == (None, "raster", "serpentine")


@pytest.mark.slow
def test_line_of_code_loads_the_same_signal(recording):
    load = Load(recording, navigation_shape=(32, 24))
    load.events, load.beam_energy, load.tdc = "electrons", "200 keV", "tdc1-rise"
    found = load.load()
    again = eval(load.code, {"hs": hs})
    np.testing.assert_array_equal(found.data.compute().todense(), again.data.compute().todense())
    assert found.metadata.Acquisition_instrument.TEM.beam_energy == 200
    assert "cluster=True" in load.code and "sync" not in load.code


def test_only_what_differs_from_the_default_is_written(recording):
    load = Load(recording)
    load.sync = "auto"
    assert load.chosen() == {} and load.code == f"hs.load({str(recording)!r})"


def test_preview_gives_the_counts_of_each_position(recording):
    load = Load(recording, navigation_shape=(32, 24))
    summary = load.preview()
    expected = hs.load(recording, navigation_shape=(32, 24)).data.sum(axis=(-2, -1)).compute()
    [image] = load.picture().axes[0].images
    np.testing.assert_array_equal(image.get_array(), expected)
    assert summary.placed == expected.sum() and f"{summary.total:,} hits" in load.report


def test_choices_that_cannot_be_loaded_are_said_and_nothing_is_stored(recording, caplog):
    load = Load(recording)
    load.preview()
    load.signal = "frames"
    assert load.press("preview") is None
    assert "frame_time" in load.problem and load.summary is None
    assert "report this error" not in caplog.text
    load.frame_time = "1 ms"
    assert load.press("preview").sync == "frames" and load.problem == ""


def test_file_that_is_not_there_and_unknown_options_are_refused(tmp_path, recording):
    load = Load(tmp_path / "none.tpx3")
    assert load.press("preview") is None and "none.tpx3" in load.problem
    with pytest.raises(AttributeError, match="dwell is not|'dwell' is not"):
        Load(recording, dwell="1 us")


def test_options_of_other_formats_are_hidden(recording, tmp_path):
    counts = tmp_path / "scan.toml"
    convert(recording, counts, show_progressbar=False)
    load = Load(recording)
    assert {"toa_bits", "frame_time"} <= set(load.hidden) and "dwell_time" not in load.hidden
    load.filename = str(counts)
    assert {"dwell_time", "events", "cluster"} <= set(load.hidden)
    assert load.press("preview").event == "counts" or load.summary.total
    assert load.recordings() == [str(counts)]


def test_choices_that_are_written_hold_for_every_later_load(tmp_path):
    file = tmp_path / "day.tpx3"
    simulate.recording(file, (6, 8), dwell_time="5 us", electrons_per_position=4, seed=1)
    load = Load(file, navigation_shape=(8, 3), lines_per_row=2, cluster={"window": "100 ns"}, scan_step="0.1 nm")
    expected = load.load()
    path = load.write_sidecar()
    assert path == str(tmp_path / "day.metadata.toml") and "now makes these choices" in load.report
    again = hs.load(file)
    assert again.axes_manager.navigation_shape == (8, 3) and again.axes_manager[0].scale == pytest.approx(0.1)
    np.testing.assert_array_equal(again.data.compute().todense(), expected.data.compute().todense())
    with pytest.raises(FileExistsError, match="overwrite=True"):
        load.write_sidecar()
    # the dialog begins where loading would
    later = Load(file)
    assert later.chosen() == {} and later.lines_per_row == 2 and later.events == "electrons"
    later.events = "hits"
    assert later.chosen() == {"cluster": False}
    later.write_sidecar(overwrite=True)
    assert Load(file).events == "hits" and Load(file).lines_per_row == 2
    later.positions = str(tmp_path.parent)
    with pytest.raises((ValueError, OSError)):
        later.write_sidecar(overwrite=True)


@pytest.mark.slow
def test_widgets_of_jupyter_and_the_object_follow_each_other(recording, widgets):
    load = Load(recording)
    shown = widgets(load)
    shown["navigation_shape"].value = "32, 24"
    shown["events"].value = "electrons"
    assert load.navigation_shape == (32, 24) and load.code.endswith("cluster=True)")
    load.dwell_time = "5 us"
    assert shown["dwell_time"].value == "5 us"
    shown["preview"].click()
    assert bytes(shown["picture"].value).startswith(b"\x89PNG") and "electrons" in shown["report"].value
    shown["signal"].value = "frames"
    assert shown["sync"].layout.display == "none" and shown["frame_time"].layout.display is None
    shown["preview"].click()
    assert "frame_time" in shown["problem"].value and not shown["preview"].disabled


def test_preview_follows_each_choice_where_files_are_small(recording, widgets):
    load = Load(recording, navigation_shape=(16, 24))
    shown = widgets(load)
    shown["navigation_shape"].value = "32, 24"
    assert load.summary is not None
    assert load.picture().axes[0].images[0].get_array().shape == (24, 32)


def test_window_of_qt_and_the_object_follow_each_other(recording, window):
    load = Load(recording)
    panel, ui = window(load)
    load.navigation_shape = (32, 24)
    panel.preview = True
    assert load.summary.placed and panel.has_picture
    assert panel.figure.axes[0].images[0].get_array().shape == (24, 32)
    [editor] = [e for e in ui.info.ui._editors if e.name == "navigation_shape"]
    editor.control.setText("16, 24")
    editor.update_object()
    assert load.navigation_shape == (16, 24)


@pytest.mark.slow
def test_nothing_of_a_toolkit_is_imported_before_a_dialog_is_shown():
    code = "import sys, hyperspy_sparse.gui.load; print({'ipywidgets', 'traitsui'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
