"""The dialogs in a real browser: ``python -m tests.gui.browser FOLDER`` takes screenshots of them.

Not part of the default test run. It needs JupyterLab, ipympl and selenium (``pip install jupyterlab ipympl selenium``),
and Chromium with its driver (``apt-get install chromium chromium-driver``). It starts a server on this machine, opens a
notebook with each dialog, and takes screenshots into the folder, to be looked at.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

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
    "representation": "hs.load('snake.tpx3', navigation_shape=(64, 32), pattern='serpentine')",
}
_START = """%matplotlib widget
import hyperspy.api as hs, hyperspy_sparse
from hyperspy_sparse import gui
from rsciio_tpx3 import simulate
hs.preferences.General.show_progressbar = False
simulate.recording("starts.tpx3", (17, 20), sync="line-start", dwell_time="5 us", electrons_per_position=5, seed=1)
simulate.recording("snake.tpx3", (32, 64), pattern="serpentine", scan_delay="12 us", dwell_time="5 us",
                   electrons_per_position=60, seed=2);"""


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


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the screenshots")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = Path(folder)
        notebook(folder, "dialogs", [_START, *_DIALOGS.values()])
        address = stack.enter_context(server(folder))
        page = stack.enter_context(contextlib.closing(_Quits(browser())))
        _screenshots(page.page, address, options.folder)
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
