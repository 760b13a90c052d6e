"""Plots that follow a scan: in windows of Qt, and in widgets of a notebook, without blocking either."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from rsciio_tpx3 import simulate

SECONDS = 300

COMMON = """
import asyncio, json, sys, time
import matplotlib
if sys.argv[1] == "qtagg":
    from matplotlib.backends.qt_compat import QtWidgets
    application = QtWidgets.QApplication([])  # or matplotlib looks for a display
matplotlib.use(sys.argv[1])
import matplotlib.pyplot as plt
import hyperspy.api as hs
import numpy as np
import hyperspy_sparse
from rsciio_tpx3.live import Replay

live = hyperspy_sparse.live("tcp://connect@127.0.0.1:0", record=sys.argv[3], navigation_shape=(7, 9), layout="quad")
with live:
    image = live.virtual_image(hs.roi.CircleROI(256, 256, 200))
    image.plot()
    canvas = plt.gcf().canvas
    draws, seen = [], []
    canvas.mpl_connect("draw_event", lambda event: draws.append(time.monotonic()))
    image.events.data_changed.connect(lambda obj: seen.append(time.monotonic()))
    replay = Replay(sys.argv[2], f"tcp://127.0.0.1:{live.session.recorder.address.port}", speed=float(sys.argv[4]))
    with replay:
        BODY
    found = {"backend": matplotlib.get_backend(), "draws": len(draws), "seen": len(seen),
             "above": len(seen) - 10 * (seen[-1] - seen[0]), "sum": int(image.data.sum()),
             "shown": int(np.sum(image._plot.signal_plot.ax.images[0].get_array())),
             "ticks": ticks, "widget": type(canvas).__name__}
print(json.dumps(found))
"""
QT = """
ticks = 0
from matplotlib.backends.qt_compat import QtCore
def tick():
    global ticks
    ticks += 1
timer = QtCore.QTimer()
timer.timeout.connect(tick)
timer.start(10)
live.run()
"""
NOTEBOOK = """
ticks = 0
async def other_cells():
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep(0.01)
async def cell():
    others = asyncio.ensure_future(other_cells())
    await live
    others.cancel()
asyncio.run(cell())
"""


def _run(tmp_path, backend, body, **environment):
    sent = tmp_path / "sent.tpx3"
    simulate.recording(sent, (9, 7), electrons_per_position=50, dwell_time="20 ms", seed=5)
    code = COMMON.replace("        BODY", textwrap.indent(body.strip(), " " * 8))
    command = [sys.executable, "-c", code, backend, str(sent), str(tmp_path / "scan.tpx3"), "0.2"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def _check(found):
    assert found["draws"] >= 3  # over six seconds
    assert found["seen"] >= 3
    assert found["above"] <= 3  # ten times a second at the most; the last ones come when it ends
    assert found["sum"] == found["shown"] > 0
    assert found["ticks"] > 10


def test_windows_of_qt_follow_and_answer(tmp_path):
    if not any(_is_there(name) for name in ("PySide6", "PyQt6", "PyQt5")):
        pytest.skip("no Qt is installed")
    found = _run(tmp_path, "qtagg", QT, QT_QPA_PLATFORM="offscreen")
    assert found["widget"] == "FigureCanvasQTAgg"
    _check(found)


@pytest.mark.slow
def test_widgets_of_a_notebook_follow_without_blocking_it(tmp_path):
    pytest.importorskip("ipympl")
    found = _run(tmp_path, "module://ipympl.backend_nbagg", NOTEBOOK)
    _check(found)


def _is_there(name):
    return subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True, check=False).returncode == 0
