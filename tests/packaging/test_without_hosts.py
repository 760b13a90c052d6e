"""`rsciio_tpx3` works where HyperSpy, pyXem, matplotlib and `hyperspy_sparse` cannot be imported at all."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_HIDDEN = """
import sys

class Hidden:
    names = ("hyperspy", "pyxem", "matplotlib", "hyperspy_sparse")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hidden())
"""

_SCRIPT = (
    _HIDDEN
    + """
import numpy as np

import rsciio_tpx3
from rsciio_tpx3 import nxevent, raw_csr, simulate, stempy, t3pa, tpx3
from rsciio_tpx3.cli.main import main
from rsciio_tpx3.convert import check, convert

truth = simulate.recording("scan.tpx3", (5, 7), dwell_time="5 us", electrons_per_position=30, seed=1)
for lazy in (False, True):
    [signal] = tpx3.file_reader("scan.tpx3", lazy=lazy, navigation_shape=(7, 5), cluster=True)
    counts = np.asarray(signal["data"].compute())
    assert counts.shape[:2] == (5, 7) and counts.any()
    for finish in signal["post_process"]:
        assert finish("the signal") == "the signal"  # nobody is there who knows signals

[signal] = tpx3.file_reader("scan.tpx3", navigation_shape=(7, 5))
expected = np.asarray(signal["data"].compute())
for module, name in ((raw_csr, "a.toml"), (nxevent, "a.nxevent"), (stempy, "a.h5")):
    module.file_writer(name, signal)
    [found] = module.file_reader(name)
    assert (np.asarray(found["data"].compute()) == expected).all()
    check(name, file_format="stempy" if module is stempy else None)

rows = ["Index\\tMatrix Index\\tToA\\tToT\\tFToA\\tOverflow"]
rows += [f"{i}\\t{9 * i + 1}\\t{40 * i}\\t20\\t3\\t0" for i in range(500)]
with open("scan.t3pa", "w") as file:
    file.write("\\n".join(rows) + "\\n")
[signal] = t3pa.file_reader("scan.t3pa", navigation_shape=(7, 5), dwell_time="10 us")
assert signal["data"].sum().compute() > 0

hits = sum(len(batch) for batch in rsciio_tpx3.read_hits("scan.tpx3"))
assert hits == rsciio_tpx3.file_info("scan.tpx3")["hits"] == truth.n_hits
assert rsciio_tpx3.available_signals("scan.tpx3")[0]["ready"]
convert("scan.tpx3", "b.nxevent", reader_options={"navigation_shape": (7, 5)})
for words in (["info", "scan.tpx3"], ["info", "a.toml", "--json"], ["check", "a.toml", "scan.tpx3"],
              ["metadata", "scan.tpx3"], ["convert", "scan.tpx3", "c.toml", "--navigation-shape", "7", "5", "--quiet"]):
    assert main(words) == 0, words
print("done")
"""
)

_DEMO = _HIDDEN + "from rsciio_tpx3.cli.main import main\nsys.exit(main(['demo']))"


def _run(script, folder):
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{script}"],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_readers_writers_hit_table_and_command_line_need_no_host(tmp_path):
    found = _run(_SCRIPT, tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout.rstrip().endswith("done")


def test_demo_says_what_it_needs(tmp_path):
    found = _run(_DEMO, tmp_path)
    assert found.returncode == 2 and "pip install" in found.stderr and "Traceback" not in found.stderr
