import matplotlib
import pytest

from rsciio_tpx3 import simulate


@pytest.fixture(scope="session")
def recording(tmp_path_factory):
    """A recording of 24 lines with 32 positions."""
    file = tmp_path_factory.mktemp("gui") / "scan.tpx3"
    simulate.recording(file, (24, 32), dwell_time="5 us", electrons_per_position=20, seed=3)
    return file


@pytest.fixture
def widgets():
    """Widgets of a tool, as a notebook would show them: ``{name: widget}``."""
    pytest.importorskip("ipywidgets")
    return lambda tool: tool.gui(display=False, toolkit="ipywidgets")["ipywidgets"]["wdict"]


@pytest.fixture
def window(monkeypatch):
    """The open window of a tool, and its panel; closed behind the test."""
    pytest.importorskip("traitsui")
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    before = matplotlib.get_backend()
    opened = []

    def show(tool):
        try:
            panel, view = tool.gui(display=False, toolkit="traitsui")["traitsui"]
        except ImportError as error:
            pytest.skip(f"no Qt here: {error}")
        opened.append(panel.edit_traits(**view))
        return panel, opened[-1]

    yield show
    for ui in opened:
        ui.dispose()
    matplotlib.use(before)
