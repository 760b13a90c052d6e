"""Every source of events and of frames keeps the contract that `rsciio_tpx3.testing` tries."""

from dataclasses import replace

import numpy as np
import pytest
from memory_hits import MemoryHits

from rsciio_tpx3 import EventSource, FrameSource, file_reader, nxevent, raw_csr, simulate, stempy
from rsciio_tpx3.corrections.steps import CorrectedSource, PixelDelayStep
from rsciio_tpx3.electrons.clusters import ClusteredSource, ClusterOptions
from rsciio_tpx3.events.source import Edges
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.frames.sliced_source import SlicedSource
from rsciio_tpx3.frames.unmerged import UnmergedFrames
from rsciio_tpx3.t3pa import AdvacamSource
from rsciio_tpx3.testing import check_event_source, check_frame_source
from rsciio_tpx3.tpx3 import Tpx3Source

NAV = (5, 7)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("conformance") / "scan.tpx3"
    simulate.recording(path, NAV, dwell_time="5 us", electrons_per_position=40, seed=3)
    return path


@pytest.fixture(scope="module")
def hit_list(tmp_path_factory):
    path = tmp_path_factory.mktemp("conformance") / "scan.t3pa"
    rng = np.random.default_rng(2)
    rows = zip(rng.integers(1, 65536, 900), np.sort(rng.integers(0, 1 << 20, 900)), rng.integers(1, 200, 900))
    lines = [f"{i}\t{p}\t{t}\t{c}\t{i % 16}\t0" for i, (p, t, c) in enumerate(rows)]
    path.write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *lines, ""]))
    return path


def _event_sources(recording, hit_list):
    hits = Tpx3Source(recording)
    delays = np.zeros(hits.sig_shape[0] * hits.sig_shape[1], np.int32)
    delays[::3] = 5
    yield "tpx3", hits
    yield "t3pa", AdvacamSource(hit_list)
    yield "electrons", ClusteredSource(hits, ClusterOptions())
    yield "corrected", CorrectedSource(hits, [PixelDelayStep(delays, {})])
    rng = np.random.default_rng(4)
    yield "memory", MemoryHits(rng.integers(0, 65536, 300), rng.integers(0, 9000, 300), rng.integers(1, 99, 300))


@pytest.mark.parametrize("name", ["tpx3", "t3pa", "electrons", "corrected", "memory"])
def test_event_source_keeps_the_contract(name, recording, hit_list):
    check_event_source(dict(_event_sources(recording, hit_list))[name])


def _frame_sources(recording, folder):
    [signal] = file_reader(recording, navigation_shape=NAV[::-1], lazy=True)
    frames = source_of(signal["data"])
    yield "events", frames
    yield "unmerged", UnmergedFrames(frames)
    yield "sliced", SlicedSource(frames, np.s_[1:4, 2:7, 10:200, 0:99])
    yield "memory", MemorySource(frames.frames(0, NAV[0] * NAV[1]).reshape((*NAV, *frames.sig_shape)))
    options = {"navigation_shape": NAV[::-1], "lazy": True}
    yield "time bins", source_of(file_reader(recording, **options, time_bins=3)[0]["data"])
    yield "deferred", source_of(file_reader(recording, **options, layout="quad", dtype="u2", frames=0)[0]["data"])
    for module, name in ((raw_csr, "a.toml"), (nxevent, "a.nxevent"), (stempy, "a.h5")):
        module.file_writer(str(folder / name), signal)
        yield name, source_of(module.file_reader(str(folder / name), lazy=True)[0]["data"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["events", "unmerged", "sliced", "memory", "time bins", "deferred", "a.toml", "a.nxevent", "a.h5"]
)
def test_frame_source_keeps_the_contract(name, recording, tmp_path):
    check_frame_source(dict(_frame_sources(recording, tmp_path))[name], canonical=name != "unmerged")


class _Foreign:
    """A source of another make, with what is required and nothing else."""

    def __init__(self, source):
        self.inner, self.sig_shape, self.layout = source, source.sig_shape, source.layout

    def describe(self):
        return self.inner.describe()

    def index(self):
        return self.inner.index()

    def windows(self, start, stop):
        return self.inner.windows(start, stop)


def test_source_of_another_make_is_adopted_with_all_defaults(recording):
    foreign = _Foreign(Tpx3Source(recording))
    check_event_source(foreign)
    assert isinstance(EventSource.adopt(foreign), EventSource)
    with pytest.raises(TypeError, match="has no sig_shape, layout"):
        EventSource.adopt(object())
    with pytest.raises(TypeError, match="has no nav_shape"):
        FrameSource.adopt(object())


def test_check_finds_a_source_that_loses_a_hit(recording):
    class Lossy(_Foreign):
        def windows(self, start, stop):
            for hits in self.inner.windows(start, stop):
                yield hits.take(slice(1, None)) if start else hits

    with pytest.raises(AssertionError, match="other hits"):
        check_event_source(Lossy(Tpx3Source(recording)))


@pytest.mark.parametrize("ticks, code, words", [([5, 9], 0, "codes .0. of edges"), ([9, 5], 0xF, "order of time")])
def test_check_finds_edges_that_no_scan_would_see(recording, ticks, code, words):
    class Wrong(_Foreign):
        def index(self):
            edges = Edges(np.array(ticks), np.full(2, code, np.uint8), np.arange(2, dtype=np.uint16))
            return replace(self.inner.index(), edges=edges)

    with pytest.raises(AssertionError, match=words):
        check_event_source(Wrong(Tpx3Source(recording)))


def test_check_finds_frames_that_are_not_canonical(recording):
    [signal] = file_reader(recording, navigation_shape=NAV[::-1], lazy=True)
    with pytest.raises(AssertionError, match="sorted"):
        check_frame_source(UnmergedFrames(source_of(signal["data"])))
