"""What starting costs, judged by what is imported and compiled; no clock decides anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rsciio_tpx3

_KERNEL = """
import numpy as np
from rsciio_tpx3.scan.scan import count_positions
counts, outside = np.zeros(3, np.int64), np.zeros(5, np.int64)
count_positions(np.array([0, 2, 2, -1]), counts, outside)
assert counts.tolist() == [1, 0, 2] and outside.tolist() == [0, 1, 0, 0, 0]
print(sum(count_positions.stats.cache_hits.values()), sum(count_positions.stats.cache_misses.values()))
"""


def _run(code, folder=None, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        cwd=folder,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_loads_nothing_but_what_registers():
    found = _run(
        "import sys, logging, numpy, yaml, rsciio._io_plugins\n"
        "before = set(sys.modules)\n"
        "import rsciio_tpx3\n"
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('yaml')))\n"
    )
    ours = ["rsciio_tpx3", "rsciio_tpx3._moved", "rsciio_tpx3._register"]
    ours += ["rsciio_tpx3.utils", "rsciio_tpx3.utils.lazy", "rsciio_tpx3.utils.logs"]
    assert found == str(ours)


@pytest.mark.slow
def test_a_kernel_is_compiled_once_although_the_installation_is_read_only(tmp_path):
    site, home = tmp_path / "site", tmp_path / "home"
    source = Path(rsciio_tpx3.__file__).parent
    shutil.copytree(source, site / "rsciio_tpx3", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in {path.parent for path in (site / "rsciio_tpx3").rglob("*.py")}:
        (folder / "__pycache__").write_text("no folder, so that nobody can write into it, not even root")
    home.mkdir()
    environment = {
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "LOCALAPPDATA": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "NUMBA_CACHE_DIR": "",
    }
    assert _run(_KERNEL, tmp_path, **environment) == "0 1"
    assert list(home.rglob("*.nbi"))
    assert _run(_KERNEL, tmp_path, **environment) == "1 0"
