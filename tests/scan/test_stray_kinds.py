"""Kind: one glitch on another input, or of another direction, decides what all edges mark."""

import numpy as np
import pytest

from rsciio_tpx3.events.source import Edges, EventIndex
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.scan.options import ScanOptions
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3.packets import EDGE_CODES

PERIOD = 120_000
LINES = 10_000 + PERIOD * np.arange(40)


def _scan(strays, gate=False, **options):
    columns = [(LINES, "tdc1-rise")] + ([(LINES + 100_000, "tdc1-fall")] if gate else [])
    columns += [(np.array([tick]), kind) for tick, kind in strays]
    ticks = np.concatenate([t for t, _ in columns])
    code = np.concatenate([np.full(len(t), EDGE_CODES[kind], np.uint8) for t, kind in columns])
    order = np.argsort(ticks, kind="stable")
    ticks, code = ticks[order], code[order]
    second = np.isin(code, [EDGE_CODES["tdc2-rise"], EDGE_CODES["tdc2-fall"]])
    counter = np.where(second, np.cumsum(second), np.cumsum(~second)).astype(np.uint16)
    span = int(ticks[0]), int(LINES[-1] + PERIOD)
    index = EventIndex(Edges(ticks, code, counter), 1000, span, span, (0,))
    if not gate:
        options["dwell"] = 10_000
    return build_scan(index, ScanOptions(nav_shape=(40, 10), **options))


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("kind", ["tdc1-fall", "tdc2-rise", "tdc2-fall"])
def test_few_edges_of_another_kind_are_excluded_and_said(gate, kind):
    if gate and kind == "tdc1-fall":
        pytest.skip("one of many ends")
    clean = _scan([], gate)
    rng = np.random.default_rng(3)
    for _ in range(10):
        ticks = rng.integers(LINES[0] + 1, LINES[-1], 2)
        scan = _scan([(int(tick), kind) for tick in ticks], gate)
        assert np.array_equal(scan.start, clean.start)
        assert np.array_equal(scan.base, clean.base)
        assert any("mark nothing" in message for message in scan.report["messages"])


def test_single_edge_on_the_other_input_cuts_no_frame_in_two():
    clean = _scan([])
    scan = _scan([(int(LINES[17]), "tdc2-rise")])
    assert scan.nav_shape == clean.nav_shape
    assert np.array_equal(scan.base, clean.base)


def test_many_edges_on_the_other_input_still_raise_a_question():
    strays = [(int(tick), "tdc2-rise") for tick in np.linspace(LINES[0], LINES[-1], 23).astype(int)]
    with pytest.raises(ScanSyncError, match="both inputs"):
        _scan(strays)
