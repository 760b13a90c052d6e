"""The fast way from packets to counts and rows, compared with the general one, entry by entry."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from real_files import DATA

from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import ScanSyncError
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND


class _Plain:
    """A source that offers what every source must, and no fast way."""

    def __init__(self, source):
        self._source = source
        self.sig_shape = source.sig_shape

    def __getattr__(self, name):
        return getattr(self._source, name)


def _assert_same(source, scan, n_chunks):
    fast, plain = EventFrames(source, scan, np.uint16), EventFrames(_Plain(source), scan, np.uint16)
    (counts, outside), (plain_counts, plain_outside) = fast.count(False), plain.count(False)
    np.testing.assert_array_equal(counts, plain_counts)
    assert outside == plain_outside
    assert counts.sum() + sum(outside.values()) == source.index().n_hits
    borders = np.linspace(0, scan.n_positions, n_chunks + 1).astype(int)
    for start, stop in zip(borders[:-1], borders[1:]):
        expected = plain.frames(start, stop)
        for frames in (fast, fast.for_rows(start, stop)):
            found = frames.frames(start, stop)
            for name in ("indptr", "indices", "data"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            np.testing.assert_array_equal(found.sum(axis=(1, 2)), counts[start:stop])


def test_a_wrapped_source_is_called_and_not_bypassed(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (3, 5), electrons_per_position=20, seed=1)
    source = Tpx3Source(path, show_progressbar=False)

    class Halved(_Plain):
        def part(self, piece):
            for hits in self._source.part(piece):
                yield type(hits)(hits.pixel[::2], hits.toa[::2], hits.tot[::2], hits.width)

    frames = EventFrames(Halved(source), build_scan(source.index(), scan_options()), np.uint8)
    counts, outside = frames.count(False)
    assert counts.sum() + sum(outside.values()) == (source.index().n_hits + 1) // 2


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sync=st.sampled_from(["line-gate", "line-start", "pixel-trigger", "shared-clock", "frame-trigger"]),
    shape=st.sampled_from([(2, 3), (5, 7), (40, 31)]),
    n_frames=st.integers(1, 3),
    pattern=st.sampled_from(["raster", "serpentine"]),
    layout=st.sampled_from(["single", "quad", "strip"]),
    dwell=st.sampled_from(["0.45 us", "3.3 us", "77.7 us", "1 ms"]),
    electrons=st.sampled_from([0.05, 2, 60]),
    fault=st.sampled_from([
        {}, {"missing_edges": (2,)}, {"stale_start": True, "global_time": "0.2 ms"}, {"disorder": "1.6 ms"},
        {"chunk_counts": True, "swapped_chunks": 0.3, "disorder": "1.6 ms"}, {"headerless": True},
        {"start_time": "26.8435 s"}, {"start_time": "107.374 s"},
    ]),
    n_chunks=st.integers(1, 4),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_rows_of_any_recording_are_those_of_the_general_way(
    tmp_path, sync, shape, n_frames, pattern, layout, dwell, electrons, fault, n_chunks, seed
):
    path = tmp_path / "any.tpx3"
    if sync in ("shared-clock", "frame-trigger") or shape == (2, 3):
        fault = {}  # most need many edges
    truth = simulate.recording(
        path, shape, sync=sync, n_frames=n_frames, pattern=pattern, layout=layout, dwell_time=dwell,
        electrons_per_position=electrons, flyback_electrons=True, seed=seed, **fault,
    )  # fmt: skip
    source = Tpx3Source(path, layout=layout, show_progressbar=False)
    options = {"navigation_shape": (shape[1], shape[0], n_frames), "sync": sync, "pattern": pattern}
    if sync in ("line-start", "shared-clock", "frame-trigger"):
        options["dwell_time"] = truth.scan.dwell
    if sync in ("shared-clock", "frame-trigger"):
        options["line_flyback"] = truth.scan.line_pitch - truth.scan.active
        options["frame_flyback"] = truth.scan.frame_pitch - truth.scan.n_lines * truth.scan.line_pitch
    try:
        scan = build_scan(source.index(), scan_options(**options))
    except ScanSyncError:  # some faults leave no scan to be seen
        assume(False)
    _assert_same(source, scan, n_chunks)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.stem for path in (DATA / "tpx3").glob("*.tpx3")))
def test_frames_over_time_of_real_files(real, name):
    source = Tpx3Source(real(name), layout="strip", show_progressbar=False)
    first, last = source.index().hit_span
    if last < first:
        pytest.skip("no hits")
    for n_frames in (3, 3001):
        frame_time = f"{max((last - first) / TICKS_PER_SECOND * 1e6 / n_frames, 0.1):.3f} us"
        scan = build_scan(source.index(), scan_options(signal="frames", frame_time=frame_time))
        _assert_same(source, scan, 3)


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["line-start", "periodic-line"])
def test_scan_of_the_real_raster(real, sync):
    parts = [real("timestem_raster_000000"), real("timestem_raster_000001")]
    source = Tpx3Source(parts, layout="strip", show_progressbar=False)
    options = scan_options(navigation_shape=(64, 513), active_fraction=1, sync=sync)
    _assert_same(source, build_scan(source.index(), options), 7)
