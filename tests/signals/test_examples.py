"""The examples in docstrings and on the guide page run."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

MODULES = [
    "hyperspy_sparse.alignment",
    "hyperspy_sparse.data",
    "hyperspy_sparse.drift",
    "hyperspy_sparse.interop.arrays",
    "hyperspy_sparse.kernels.table",
    "hyperspy_sparse.passes",
    "hyperspy_sparse.signals",
    "rsciio_tpx3.csr.binning",
    "rsciio_tpx3.csr.csr_frames",
    "rsciio_tpx3.frames.dask_array",
    "rsciio_tpx3.csr.memory_limit",
    "rsciio_tpx3.frames.memory_source",
    "rsciio_tpx3.csr.regroup",
    "rsciio_tpx3.scan_delay",
    "rsciio_tpx3.hit_table",
]
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "sparse_signals.md"


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried and not failed


@pytest.mark.skipif(not PAGE.exists(), reason="not a source checkout")
def test_the_guide_page_runs_from_top_to_bottom():
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(block, names)  # noqa: S102  (our own page)
    plt.close("all")
    assert names["peak"].axes_manager.navigation_shape == (8, 6)
    assert type(names["again"]).__name__ == "LazySparseElectronDiffraction2D"
