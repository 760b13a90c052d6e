"""The real STEM raster: two consecutive pieces of one acquisition, with a burst in each frame flyback."""

import numpy as np
import pytest
from real_files import DATA

from rsciio_tpx3 import available_signals, file_reader
from rsciio_tpx3.scan.edges import pulses_of
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.utils.clock import ticks_to_seconds

OPTIONS = {"all_parts": True, "layout": "strip", "show_progressbar": False}


@pytest.fixture(scope="module")
def raster():
    return str(DATA / "tpx3" / "timestem_raster_000000.tpx3")


def test_lines_frames_and_burst_are_recognised(raster):
    pulses = pulses_of(Tpx3Source(raster, **OPTIONS).index().edges, "tdc1-rise")
    lengths = pulses.run_lengths
    assert set(lengths[1:-1].tolist()) == {513}
    assert len(lengths) == 129
    assert ticks_to_seconds(pulses.period) == pytest.approx(40.0203e-6, abs=1e-10)
    # 142 short intervals: their first edge ends the last line, their last edge begins the next frame
    assert pulses.burst == 128 * 142
    assert (pulses.repaired, pulses.spurious, pulses.lost.sum()) == (0, 0, 0)
    first = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    frame_period = np.diff(pulses.ticks[first[1:]])
    assert ticks_to_seconds(np.median(frame_period)) == pytest.approx(20.5531e-3, abs=1e-7)


@pytest.mark.parametrize("sync", ["line-start", "periodic-line"])
def test_every_hit_lies_in_the_line_of_its_time(raster, sync):
    signal = file_reader(raster, lazy=True, navigation_shape=(64, 513), active_fraction=1, sync=sync, **OPTIONS)[0]
    navigator = signal["post_process"][0].keywords["navigator"]
    assert navigator.shape == (129, 513, 64)
    source = Tpx3Source(raster, **OPTIONS)
    edges, hits = source.index().edges.ticks, source.hits()
    # an independent count: the last edge before each hit, edges of bursts having a short interval after them
    last = np.searchsorted(edges, hits.toa, "right") - 1
    in_line = (last >= 0) & (np.diff(edges, append=edges[-1] + 153_678)[last] > 100_000)
    # edges of bursts are 0.16 us apart; the hit right at an end of line may fall on either side of the fit
    assert abs(int(navigator.sum()) - int(in_line.sum())) <= (0 if sync == "line-start" else 1)
    assert navigator.sum() + 3 == len(hits)
    per_line = np.bincount(last[in_line], minlength=len(edges))
    lines = np.flatnonzero(np.diff(edges, append=edges[-1] + 153_678) > 100_000)
    if sync == "line-start":
        # the recording begins inside a frame, whose rows are counted back from its end
        before = 513 - pulses_of(source.index().edges, "tdc1-rise").run_lengths[0]
        rows = navigator.sum(axis=2).ravel()
        assert rows[:before].sum() == 0
        np.testing.assert_array_equal(rows[before:][: len(lines)], per_line[lines])


def test_stream_order_would_put_hits_into_wrong_lines(raster):
    """Why hits are placed by time: the edge read last is the wrong one for a tenth of the hits."""
    source = Tpx3Source(raster, layout="strip", show_progressbar=False)
    words = np.fromfile(raster, "<u8")
    kind = words >> np.uint64(60)
    # packets only: no header of this file looks like one, since bit 63 to 60 hold a size below 4096
    edge_order = np.cumsum(kind == 6)[kind == 0xB] - 1
    edges, hits = source.index().edges.ticks, source.hits()
    by_time = np.searchsorted(edges, hits.toa, "right") - 1
    wrong = np.mean(edge_order[: len(hits)] != by_time)
    assert 0.05 < wrong < 0.2


def test_what_the_raster_offers(raster):
    scan, frames = available_signals(raster, **OPTIONS)
    assert (scan["signal"], scan["ready"]) == ("scan", False)
    assert "513 rows" in scan["needs"]
    assert (frames["signal"], frames["ready"]) == ("frames", False)
    (scan, _) = available_signals(raster, navigation_shape=(64, 513), active_fraction=1, **OPTIONS)
    assert scan["ready"]
    assert scan["navigation_shape"] == (64, 513, 129)


def test_frames_of_the_raster_over_time(raster):
    signal = file_reader(raster, lazy=True, signal="frames", frame_time="20.5531 ms", **OPTIONS)[0]
    assert signal["data"].shape == (128, 256, 1024)
    assert int(signal["data"].sum().compute()) == 3859
