"""The dialogs in a real browser, and how long figures of a notebook take: ``python -m tests.gui.browser FOLDER``.

Not part of the default test run. It needs JupyterLab, ipympl and selenium (``pip install jupyterlab ipympl selenium``),
and Chromium with its driver (``apt-get install chromium chromium-driver``). It starts a server on this machine, opens a
notebook with each dialog, takes screenshots into the folder, drags a ring, and moves the navigator (with shift and a
click: a pointer of one pixel is hard to grasp) over 256 x 256 positions. The time from each action of the mouse to
the next picture in the other figure is printed.
"""

import argparse
import contextlib
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

MOST_MILLISECONDS = 150
"""What a move of a ring or a navigator may take."""

_DIALOGS = {
    "load": 'load = gui.Load("starts.tpx3", navigation_shape=(20, 17), dwell_time="5 us")\n'
    'load.gui(toolkit="ipywidgets"); load.press("preview");',
    "not_found": 'found = gui.Load("starts.tpx3"); found.gui(toolkit="ipywidgets"); found.press("preview");',
    "recording": 'panel = gui.Recording("starts.tpx3"); panel.gui(toolkit="ipywidgets")',
    "scan_delay": 'tool = gui.ScanDelayTool("snake.tpx3", navigation_shape=(64, 32), pattern="serpentine")\n'
    'tool.gui(toolkit="ipywidgets"); found = tool.find()',
    "electrons": 'electrons = gui.Electrons("snake.tpx3"); electrons.gui(toolkit="ipywidgets")',
    "virtual_detectors": "detectors = gui.VirtualDetectors(hyperspy_sparse.data.disks()); detectors.add()\n"
    'detectors.gui(toolkit="ipywidgets")',
    "preferences": 'preferences = gui.Preferences(); preferences.gui(toolkit="ipywidgets")',
    "representation": "hs.load('snake.tpx3', navigation_shape=(64, 32), pattern='serpentine')",
}
_NEAREST = '\nimport matplotlib.pyplot as plt\nplt.rcParams["image.interpolation"] = "nearest"'
_QUICK = "module://hyperspy_sparse.quick_widget"  # by its name where the package is installed: quick_widget
_BACKENDS = {"widget": "widget", "widget_nearest": f"widget{_NEAREST}", "quick_widget": _QUICK,
             "quick_widget_nearest": f"{_QUICK}{_NEAREST}",
             "quick_widget_nearest_without_bar": f"{_QUICK}{_NEAREST}"}  # fmt: skip
"""Notebooks of figures: their names, and what stands behind ``%matplotlib``."""
_START = """%matplotlib widget
import hyperspy.api as hs, hyperspy_sparse
from hyperspy_sparse import gui
from rsciio_tpx3 import simulate
hs.preferences.General.show_progressbar = False
simulate.recording("starts.tpx3", (17, 20), sync="line-start", dwell_time="5 us", electrons_per_position=5, seed=1)
simulate.recording("snake.tpx3", (32, 64), pattern="serpentine", scan_delay="12 us", dwell_time="5 us",
                   electrons_per_position=60, seed=2);"""
_PLOT = """import numpy as np
simulate.recording("large.tpx3", (256, 256), dwell_time="2 us", electrons_per_position=20, seed=3)
s = hs.load("large.tpx3", navigation_shape=(256, 256))
s.axes_manager.indices = (128, 128)
s.plot()
ring = hs.roi.CircleROI(256, 256, 60, 30)
s.plot_integrated_intensity(ring)"""
_PLACES = """import json
def place(plot, x, y):
    share = plot.ax.transData.transform((x, y)) / plot.figure.bbox.size
    return [float(share[0]), float(1 - share[1])]
print("places", json.dumps([place(s._plot.navigator_plot, 128, 128), place(s._plot.signal_plot, 314, 256)]))"""

_WATCH = """
window.draws = []; window.moves = [];
const before = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function(...options) {
    const all = [...document.querySelectorAll('.jupyter-matplotlib-canvas-container')];
    window.draws.push([performance.now(), all.findIndex(one => one.contains(this.canvas))]);
    return before.apply(this, options);
};
for (const kind of ["mousemove", "mousedown"])
    document.addEventListener(kind, () => window.moves.push(performance.now()), true);
"""


@contextlib.contextmanager
def server(folder):
    """A JupyterLab of its own, for the loopback address alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}",
               "--ServerApp.ip=127.0.0.1",
               "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True", "--allow-root",
               "--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={folder}"]  # fmt: skip
    with open(folder / "server.log", "w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env={**os.environ, "MPLBACKEND": ""})
    try:
        _wait(lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/api").status == 200, 120, "the server")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:  # a kernel that is busy
            running.kill()


def notebook(folder, name, cells):
    made = [{"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None, "id": f"c{i}"}
            for i, cell in enumerate(cells)]  # fmt: skip
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    text = json.dumps({"cells": made, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5})
    (folder / f"{name}.ipynb").write_text(text)


def browser():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1400,1100"):
        options.add_argument(word)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))


def _wait(condition, seconds, what):
    end = time.time() + seconds
    while time.time() < end:
        with contextlib.suppress(Exception):
            if condition():
                return
        time.sleep(0.3)
    raise TimeoutError(f"{what} did not come within {seconds} s")


def run(page, address, name):
    """Open a notebook and run all of its cells."""
    page.get(f"{address}/lab/workspaces/{name}/tree/{name}.ipynb?reset")
    ready = "return !!(window.jupyterapp && window.jupyterapp.shell.currentWidget && " \
            "window.jupyterapp.shell.currentWidget.sessionContext && " \
            "window.jupyterapp.shell.currentWidget.sessionContext.session)"  # fmt: skip
    _wait(lambda: page.execute_script(ready), 120, "the notebook")
    page.execute_script(
        "window.jupyterapp.commands.execute('application:toggle-left-area');"
        "window.finished = null; window.jupyterapp.commands.execute('notebook:run-all-cells')"
        ".then(() => {window.finished = true;});"
    )
    _wait(lambda: page.execute_script("return window.finished"), 500, f"{name}: the last cell")
    time.sleep(3)
    errors = page.execute_script(
        'return [...document.querySelectorAll(\'[data-mime-type="application/vnd.jupyter.error"],'
        '[data-mime-type="application/vnd.jupyter.stderr"]\')].map(e => e.innerText)'
    )
    for text in errors:
        print(f"{name}: {text[-600:]}")


def delays(page, name, shown, moved, start, step, move, steps=12):
    """Milliseconds from each action of the mouse in one figure to the next picture in another.

    Parameters
    ----------
    shown, moved : str
        A word of the titles of the two figures.
    start : tuple of float
        Where the mouse begins: shares of width and height of the figure.
    step : tuple of int
        CSS pixels from one action to the next.
    move : callable
        ``move(page, step)``, the action. The mouse waits for the picture before it goes on.
    """
    from selenium.webdriver.common.action_chains import ActionChains

    titles = [e.text for e in page.find_elements("css selector", ".jupyter-matplotlib-header")]
    figures = page.find_elements("css selector", ".jupyter-matplotlib-canvas-container")
    at = {word: next(i for i, title in enumerate(titles) if word in title) for word in (shown, moved)}
    canvas = figures[at[moved]].find_elements("css selector", "canvas")[-1]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    time.sleep(1)
    x, y = (round((share - 0.5) * canvas.size[side]) for share, side in zip(start, ("width", "height")))
    ActionChains(page, duration=0).move_to_element_with_offset(canvas, x, y).click_and_hold().perform()
    if move is not _drag:
        ActionChains(page, duration=0).release().perform()
    time.sleep(1)
    found, used = [], _kernel_time()
    for _ in range(steps):
        page.execute_script("window.draws = []; window.moves = []")
        move(page, step)
        with contextlib.suppress(TimeoutError):
            _wait(lambda: page.execute_script(f"return window.draws.some(d => d[1] == {at[shown]})"), 5, "a picture")
        time.sleep(0.5)
        moves, draws = page.execute_script("return [window.moves, window.draws]")
        after = [when - moves[-1] for when, figure in draws if figure == at[shown] and moves and when >= moves[-1]]
        found += after[:1]
    if not found:
        known = f"figures {titles}, the last action {len(moves)} events, drawn {sorted({at for _, at in draws})}"
        raise RuntimeError(f"{name}: no action of the mouse was answered by a picture ({known})")
    print(f"{name}: {len(found)} of {steps} moves drawn, median {statistics.median(found):.0f} ms, "
          f"{min(found):.0f} to {max(found):.0f} ms; "
          f"processor time of the kernel {1e3 * (_kernel_time() - used) / steps:.0f} ms per move")  # fmt: skip
    return found


def _kernel_time():
    """Seconds of processor time that the notebooks' kernels have used: what counts where the machine is not idle."""
    import psutil  # ipykernel needs it

    kernels = [p for p in psutil.Process().children(recursive=True) if "ipykernel_launcher" in " ".join(p.cmdline())]
    return sum(sum(p.cpu_times()[:2]) for p in kernels)


def lag(page, shown, seconds=2.0):
    """Milliseconds from the end of a steady drag, of a figure whose mouse button is held, to the last picture.

    The mouse does not wait for pictures, as a hand does not.
    """
    from selenium.webdriver.common.action_chains import ActionChains

    titles = [e.text for e in page.find_elements("css selector", ".jupyter-matplotlib-header")]
    at = next(i for i, title in enumerate(titles) if shown in title)
    page.execute_script("window.draws = []; window.moves = []")
    end = time.time() + seconds
    steps = itertools.cycle([(2, 1)] * 10 + [(-2, -1)] * 10)
    while time.time() < end:
        ActionChains(page, duration=0).move_by_offset(*next(steps)).perform()
    before = -1
    while (count := page.execute_script(f"return window.draws.filter(d => d[1] == {at}).length")) != before:
        before = count
        time.sleep(6)
    moves, draws = page.execute_script("return [window.moves, window.draws]")
    pictures = [when for when, figure in draws if figure == at]
    ActionChains(page).release().perform()
    print(f"drag of {seconds:g} s: {len(moves)} moves, {len(pictures)} pictures, the last one "
          f"{max(pictures) - moves[-1]:.0f} ms after the last move")  # fmt: skip
    return max(pictures) - moves[-1]


def _drag(page, step):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page, duration=0).move_by_offset(*step).perform()


def _shift_and_click(page, step):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    ActionChains(page, duration=0).move_by_offset(*step).key_down(Keys.SHIFT).perform()
    time.sleep(0.3)  # the figure has to know of the key before the button
    page.execute_script("window.draws = []; window.moves = []")
    ActionChains(page, duration=0).click().key_up(Keys.SHIFT).perform()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the screenshots")
    parser.add_argument("--no-figures", action="store_true", help="dialogs only")
    parser.add_argument("--no-dialogs", action="store_true", help="figures only")
    parser.add_argument("--backend", nargs="*", default=list(_BACKENDS), help=f"of {', '.join(_BACKENDS)}")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        notebook(folder, "dialogs", [_START, *_DIALOGS.values()])
        for name, backend in _BACKENDS.items():
            plot = _PLOT.replace("(ring)", "(ring, colorbar=False)") if name.endswith("without_bar") else _PLOT
            notebook(folder, name, [_START.replace("widget", backend, 1), plot, _PLACES])
        address = stack.enter_context(server(folder))
        page = stack.enter_context(contextlib.closing(_Quits(browser())))
        if not options.no_dialogs:
            _screenshots(page.page, address, options.folder)
        if options.no_figures:
            return 0
        return max([_figures(page.page, address, options.folder, name) for name in options.backend])


class _Quits:
    def __init__(self, page):
        self.page = page

    def close(self):
        self.page.quit()


def _screenshots(page, address, folder):
    page.set_window_size(1400, 1100)
    run(page, address, "dialogs")
    for name, number in zip(_DIALOGS, range(1, len(_DIALOGS) + 1)):
        page.execute_script("window.jupyterapp.shell.currentWidget.content.scrollToItem(arguments[0])", number)
        time.sleep(1.5)
        page.save_screenshot(str(folder / f"{name}.png"))
    print(f"screenshots of {len(_DIALOGS)} dialogs in {folder}")


def _figures(page, address, folder, name):
    page.set_window_size(1400, 2400)
    run(page, address, name)
    page.execute_script(_WATCH)
    page.save_screenshot(str(folder / f"figures_{name}.png"))
    outputs = page.find_elements("css selector", ".jp-OutputArea-output")
    [text] = [element.text for element in outputs if element.text.startswith("places ")]
    pointer, border = json.loads(text.removeprefix("places "))
    print(name)
    moved = delays(page, "navigator", "large Signal", "large Navigator", pointer, (4, 3), _shift_and_click)
    moved += delays(page, "ring", "Integrated", "large Signal", border, (4, 3), _drag)
    lag(page, "Integrated")
    page.save_screenshot(str(folder / f"figures_moved_{name}.png"))
    return int(statistics.median(moved) > MOST_MILLISECONDS)


if __name__ == "__main__":
    sys.exit(main())
