"""As a user meets us: a fresh process, HyperSpy alone imported."""

import json
import subprocess
import sys
from pathlib import Path

import hyperspy.api as hs
import matplotlib
import pytest
from rsciio import IO_PLUGINS

import hyperspy_sparse
from rsciio_tpx3 import simulate


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("load") / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), electrons_per_position=40, seed=1)
    return path, truth


def _fresh(code, **kwds):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **kwds)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [True, False])
def test_hyperspy_alone_finds_the_reader_and_the_class(recording, lazy):
    path, truth = recording
    out = _fresh(
        "import hyperspy.api as hs\n"
        f"s = hs.load({str(path)!r}, navigation_shape=(7, 5), lazy={lazy})\n"
        "import json, pyxem\n"
        "print(json.dumps([type(s).__name__, isinstance(s, pyxem.signals.ElectronDiffraction2D), repr(s),\n"
        "                  s.metadata.Signal.signal_type, int(s.data.sum().compute()),\n"
        "                  int(s.navigator.data.sum()), s.navigator.data.shape]))\n"
    )
    name, is_pyxem, text, signal_type, total, navigator, shape = json.loads(out.strip().splitlines()[-1])
    assert name == "LazySparseElectronDiffraction2D"
    assert is_pyxem
    assert "dimensions: (7, 5|512, 512)" in text
    assert signal_type == "electron_diffraction"
    assert total == navigator == truth.counts().sum()
    assert shape == [5, 7]


@pytest.mark.slow
def test_reader_needs_no_hyperspy(recording):
    path, _ = recording
    out = _fresh(
        "import sys, rsciio_tpx3\n"
        f"d = rsciio_tpx3.file_reader({str(path)!r}, navigation_shape=(7, 5), lazy=True)[0]\n"
        "print(sorted(d), d['data'].shape, [m for m in ('hyperspy', 'pyxem', 'matplotlib') if m in sys.modules])\n"
    )
    assert out.strip() == (
        "['attributes', 'axes', 'data', 'metadata', 'original_metadata', 'post_process'] (5, 7, 512, 512) []"
    )


@pytest.mark.slow
def test_registering_costs_no_import_of_readers():
    out = _fresh(
        "import sys, hyperspy_sparse\n"
        "print([m for m in ('hyperspy', 'numba', 'dask', 'sparse', 'pyxem') if m in sys.modules])\n"
    )
    assert out.strip() == "[]"


@pytest.mark.slow
def test_reader_is_registered_once_and_in_the_open_dialogs_list():
    out = _fresh(
        "import hyperspy.api as hs, rsciio, rsciio_tpx3\n"
        "rsciio_tpx3.register()\n"
        "print([p['name'] for p in rsciio.IO_PLUGINS if 'tpx3' in p['file_extensions']])\n"
    )
    assert out.strip() == "['TPX3']"


def test_no_other_reader_claims_our_extensions():
    ours = [plugin for plugin in IO_PLUGINS if plugin["api"].startswith("rsciio_tpx3.")]
    others = [e.lower() for p in IO_PLUGINS if p not in ours for e in set(map(str.lower, p["file_extensions"]))]
    for plugin in ours:
        for ending in map(str.lower, plugin["file_extensions"]):
            # a third reader takes nobody's place: HyperSpy asks already, and ours has to be among its answers
            assert others.count(ending) == 0 or (others.count(ending) > 1 and not plugin["writes"]), plugin["name"]


def test_file_format_names_the_reader_for_any_ending(recording, tmp_path):
    path, truth = recording
    other = tmp_path / "scan.bin"
    other.write_bytes(Path(path).read_bytes())
    signal = hs.load(str(other), file_format="TPX3", navigation_shape=(7, 5), lazy=True)
    assert int(signal.data.sum().compute()) == truth.counts().sum()


def test_pieces_are_one_acquisition_through_hyperspy(tmp_path):
    truth = simulate.recording(tmp_path / "run.tpx3", (5, 7), n_files=3, electrons_per_position=40, seed=1)
    for parts in (True, [str(p) for p in truth.paths]):
        signal = hs.load(str(truth.paths[0]), all_parts=parts, navigation_shape=(7, 5), lazy=True)
        assert int(signal.data.sum().compute()) == truth.counts().sum()


def test_axes_and_metadata_of_a_loaded_signal(recording):
    path, truth = recording
    signal = hs.load(str(path), navigation_shape=(7, 5), lazy=True)
    assert [a.name for a in signal.axes_manager._axes] == ["y", "x", "ky", "kx"]
    assert signal.metadata.General.title == "scan"
    scan = signal.metadata.Acquisition_instrument.TEM.Scan
    assert scan.dwell_time == pytest.approx(10e-6)
    assert scan.dwell_time_units == "s"
    assert (scan.lines_found, scan.lines_expected) == (5, 5)
    assert scan.hits_placed == truth.counts().sum()


def test_extension_file_at_the_root_is_the_packaged_one():
    root = Path(__file__).parents[2] / "hyperspy_extension.yaml"
    packaged = Path(hyperspy_sparse.__file__).parent / "hyperspy_extension.yaml"
    assert root.read_text() == packaged.read_text()


def test_plot_shows_the_navigator_at_once(recording):
    matplotlib.use("Agg")
    path, truth = recording
    signal = hs.load(str(path), navigation_shape=(7, 5), lazy=True)
    signal.plot()
    shown = signal._plot.navigator_plot._current_data
    assert int(shown.sum()) == truth.counts().sum()
    signal.axes_manager.indices = (3, 2)
    frame = signal._plot.signal_plot._current_data
    assert int(frame.sum()) == truth.counts()[0, 2, 3]
