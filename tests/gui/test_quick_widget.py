"""Figures of a notebook without a browser: what would be sent to it, and which moves of the mouse are answered."""

import io
from importlib.util import find_spec

import matplotlib
import numpy as np
import pytest
from PIL import Image

pytestmark = [
    # not importorskip: importing it changes matplotlib's backend, for all tests
    pytest.mark.skipif(find_spec("ipympl") is None, reason="could not find ipympl"),
    # ipympl 0.10 passes what traitlets does not take
    pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning"),
]


@pytest.fixture
def canvas():
    """The canvas of a figure of 120 x 80 pixels, as a notebook has it whose browser is there."""
    before = matplotlib.get_backend()
    import matplotlib.pyplot as plt

    from hyperspy_sparse import quick_widget  # importing ipympl changes the backend

    matplotlib.use("module://hyperspy_sparse.quick_widget")
    figure = plt.figure(figsize=(1.2, 0.8), dpi=100)
    canvas = figure.canvas
    assert type(canvas) is quick_widget.FigureCanvas and figure.canvas.manager.canvas is canvas
    canvas.sent = []
    canvas.send = lambda content, buffers=None: canvas.sent.append((content, buffers))
    canvas.syncing_data_url = False
    yield canvas
    plt.close(figure)
    matplotlib.use(before)


def _pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_pictures_put_over_each_other_are_the_figure(canvas):
    figure = canvas.figure
    figure.draw_without_rendering()
    shown = None
    for step, colour in enumerate(("red", "green", "blue")):
        figure.clear()
        figure.add_axes((0.2 * step, 0.1, 0.5, 0.6)).set_facecolor(colour)
        canvas.sent.clear()
        canvas.handle_event({"type": "draw"})
        [data] = [buffers[0] for _, buffers in canvas.sent if buffers]
        new = _pixels(data)
        shown = new if canvas._image_mode == "full" else np.where(new[..., 3:] > 0, new, shown)
        assert canvas._image_mode == ("diff" if step else "full")
        np.testing.assert_array_equal(shown, canvas.buffer_rgba())


def test_browser_that_begins_anew_gets_a_whole_picture(canvas):
    for _ in range(2):
        canvas.handle_event({"type": "draw"})
    assert not _pixels(canvas.sent[-1][1][0])[..., 3].any()  # nothing has changed
    canvas.handle_event({"type": "refresh"})
    canvas.handle_event({"type": "draw"})
    assert (_pixels(canvas.sent[-1][1][0])[..., 3] == 255).all()


def test_transparent_figure_is_sent_whole(canvas):
    canvas.figure.patch.set_alpha(0)
    for _ in range(2):
        canvas.handle_event({"type": "draw"})
        assert canvas._image_mode == "full"
        np.testing.assert_array_equal(_pixels(canvas.sent[-1][1][0]), canvas.buffer_rgba())


def _mouse(kind, x, y=10):
    return {"type": kind, "x": x, "y": y, "button": 0, "buttons": 1, "modifiers": []}


@pytest.fixture
def mouse(canvas, monkeypatch):
    """What a figure hears of the mouse, a clock, and whether moves are gathered."""
    from hyperspy_sparse import quick_widget

    heard, clock = [], [100.0]
    monkeypatch.setattr(quick_widget.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(quick_widget.FigureCanvas, "_worked", -1e9)
    monkeypatch.setattr(canvas._gathering, "start", lambda: heard.append("gathering"))
    for kind in ("motion_notify_event", "button_release_event"):
        canvas.mpl_connect(kind, lambda event: heard.append((event.name.split("_")[0], event.x)))
    return heard, clock


def test_move_that_comes_alone_is_answered_at_once(canvas, mouse):
    heard, clock = mouse
    for x in (10, 20):
        canvas.handle_event(_mouse("motion_notify", x))
        clock[0] += 1
    assert heard == [("motion", 10), ("motion", 20)]


def test_of_moves_that_have_queued_up_the_last_one_counts(canvas, mouse):
    heard, clock = mouse
    for x in (10, 20, 30, 40):
        canvas.handle_event(_mouse("motion_notify", x))
        clock[0] += 0.001
    assert heard == [("motion", 10), "gathering"]
    canvas._answer()  # the timer
    canvas._answer()
    assert heard == [("motion", 10), "gathering", ("motion", 40)]


def test_button_is_released_where_the_mouse_is(canvas, mouse):
    heard, _ = mouse
    for kind, x in (("motion_notify", 10), ("motion_notify", 20), ("motion_notify", 30), ("button_release", 30)):
        canvas.handle_event(_mouse(kind, x))
    assert heard == [("motion", 10), "gathering", ("motion", 30), ("button", 30)]


def test_figure_of_a_cell_is_shown_once(canvas, monkeypatch):
    from hyperspy_sparse import quick_widget

    shown = []
    monkeypatch.setattr(quick_widget, "display", shown.append)
    monkeypatch.setattr(quick_widget, "_new", [canvas])
    quick_widget.FigureManager.pyplot_show()
    quick_widget.FigureManager.pyplot_show()
    assert shown == [canvas]
