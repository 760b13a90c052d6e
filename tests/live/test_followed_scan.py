"""The scan that is carried on by its last edges is that of all edges, for each convention, jitter and loss."""

from dataclasses import replace

import numpy as np
import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.events.source import Edges
from rsciio_tpx3.exceptions import ConflictError, ScanSyncError
from rsciio_tpx3.live import followed_scan
from rsciio_tpx3.live.followed_scan import FollowedScan
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.lines import STEADY
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.changes import difference
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source

NY, NX = 13, 7
DWELL = {"dwell_time": "40 us"}
# options of the recording, of reading it, and the share of times that the last edges are enough, at least
KINDS = {
    "line-gate": ({}, {}, 0.7),
    "line-gate, serpentine": ({"pattern": "serpentine"}, {"pattern": "serpentine"}, 0.7),
    "line-gate, a delay": ({"scan_delay": "30 us"}, {"scan_delay": "30 us"}, 0.7),
    "line-gate, jitter": ({"edge_jitter": "0.2 us"}, {}, 0.6),
    "line-gate, lost edges": ({"missing_edges": [5, 16, 70, 151, 152], "invalid_edges": [9, 203]}, {}, 0.3),
    "line-start": ({"sync": "line-start"}, DWELL, 0.7),
    "line-start, jitter": ({"sync": "line-start", "edge_jitter": "0.2 us"}, DWELL, 0.6),
    "pixel-trigger": ({"sync": "pixel-trigger"}, {"sync": "pixel-trigger"}, 0.7),
    "no pause between frames": ({"frame_flyback": "0 us"}, {}, 0.7),
    "periodic-line": ({"sync": "periodic-line"}, {**DWELL, "sync": "periodic-line"}, 0),
    "a line of each frame is omitted": ({}, {"skip_lines": (1, 0), "navigation_shape": (NX, NY - 1)}, 0),
    "frames added up": ({}, {"frames": "sum"}, 0),
}
SOME = [pytest.param(name, marks=[pytest.mark.slow] * (number > 0)) for number, name in enumerate(KINDS)]


@pytest.fixture(autouse=True)
def _of_short_recordings(monkeypatch):
    monkeypatch.setattr(followed_scan, "_MANY_EDGES", 8)
    monkeypatch.setattr(followed_scan, "_LATE", 8)
    monkeypatch.setattr(followed_scan, "_MORE", 0.5)
    monkeypatch.setattr(followed_scan, "_LONG", 1e9)


def _with_edges(index, n):
    """The index as it was when so many edges had come."""
    edges = index.edges
    end = int(edges.ticks[n - 1]) + 1
    few = Edges(edges.ticks[:n], edges.code[:n], edges.counter[:n])
    return replace(index, edges=few, span=(index.span[0], end), hit_span=(index.hit_span[0], end))


def _tried(find, *of):
    try:
        return find(*of)
    except (ScanSyncError, ConflictError):
        return None


@pytest.mark.parametrize("name", SOME)
def test_the_last_edges_tell_what_all_tell(name, tmp_path, monkeypatch):
    of_recording, of_reader, least = KINDS[name]
    path = tmp_path / "scan.tpx3"
    basic = {"electrons_per_position": 3, "dwell_time": "40 us", "n_frames": 20}
    simulate.recording(path, (NY, NX), seed=4, **{**basic, **of_recording})
    index = Tpx3Source(path).index()
    options = scan_options(**{"navigation_shape": (NX, NY), **of_reader})
    followed, by_all = FollowedScan(options), []
    monkeypatch.setattr(followed_scan, "build_scan", lambda *of: by_all.append(len(of[0].edges)) or build_scan(*of))
    rng = np.random.default_rng(1)
    n_edges = len(index.edges)
    mean = n_edges / 150
    cuts = np.unique(np.clip(np.cumsum(rng.poisson(mean, 400)), 3, n_edges))
    n_last = n_tried = 0
    for n in cuts.tolist():
        until = _with_edges(index, n)
        expected = _tried(build_scan, until, replace(options, follow=True))
        by_all.clear()
        found = _tried(followed.find, until)
        assert (found is None) == (expected is None)
        if found is None:
            continue
        n_tried += 1
        n_last += n not in by_all
        assert found.nav_shape == expected.nav_shape
        # what the last few edges are, those that follow decide
        steady = int(expected.start[max(len(expected.start) - STEADY, 0)])
        assert difference(found, expected, steady) is None
        assert followed.read_until <= found.stop[-1]
    assert n_last >= least * n_tried
    assert least or n_last == 0
    ended = followed.find(index, True)
    assert difference(ended, build_scan(index, options), int(ended.stop[-1]) + 1) is None


def test_an_edge_that_comes_late_is_seen(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), seed=4, electrons_per_position=3, dwell_time="40 us", n_frames=20)
    index = Tpx3Source(path).index()
    options = scan_options(navigation_shape=(NX, NY))
    followed = FollowedScan(options)
    edges = index.edges
    without = np.delete(np.arange(len(edges)), 5)
    for n in (300, 310, 320):
        early = replace(index, edges=Edges(*(c[without][:n] for c in (edges.ticks, edges.code, edges.counter))))
        followed.find(early)
    now = _with_edges(index, 330)
    assert difference(followed.find(now), build_scan(now, replace(options, follow=True)), now.span[1]) is None


def test_a_reading_that_takes_long_is_not_repeated_at_once(tmp_path, monkeypatch):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (NY, NX), seed=4, electrons_per_position=20, dwell_time="40 us", n_frames=3)
    content = path.read_bytes()
    monkeypatch.setattr(followed_scan, "_LONG", 0)
    monkeypatch.setattr(followed_scan, "_PAUSE", 1e9)
    recorded = tmp_path / "recorded.tpx3"
    following = Following(recorded, navigation_shape=(NX, NY))
    known = []
    for share in (0.3, 0.5, 0.7):
        recorded.write_bytes(content[: int(share * len(content))])
        following.update()
        known.append(len(following.scan.start))
    assert known[0] < known[1] == known[2]  # from the second reading on there is a pause
    lines = following.lines_drawn
    monkeypatch.setattr(followed_scan.FollowedScan, "waits", False)
    assert following.update()  # nothing has come, but what had been put off is done
    assert len(following.scan.start) > known[2] and following.lines_drawn > lines
    recorded.write_bytes(content)
    monkeypatch.undo()
    following.update(ended=True)
    assert following.final.all()


@pytest.mark.parametrize(
    ("of_recording", "of_reader"),
    [
        ({"missing_edges": [33, 60]}, {}),
        ({"sync": "pixel-trigger", "frame_flyback": "1 ms"}, {"sync": "pixel-trigger"}),
    ],
)
def test_a_time_that_was_filled_in_does_not_change_with_all_edges_to_come(tmp_path, of_recording, of_reader):
    """A line's absent end, and the end of the last position of a line, are typical of those near, not of all."""
    path = tmp_path / "scan.tpx3"
    basic = {"electrons_per_position": 2, "dwell_time": "40 us", "n_frames": 4, "edge_jitter": "0.3 us"}
    simulate.recording(path, (NY, NX), seed=4, **basic, **of_recording)
    index = Tpx3Source(path).index()
    options = replace(scan_options(navigation_shape=(NX, NY), **of_reader), follow=True)
    before = None
    for n in range(80, len(index.edges), 3):
        scan = build_scan(_with_edges(index, n), options)
        if before is not None:
            steady = int(before.start[max(len(before.start) - STEADY - 1, 0)])
            assert difference(before, scan, steady) is None
        before = scan
