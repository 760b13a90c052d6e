"""Memory that a thread uses again: never two users of it at a time."""

import threading

import numpy as np

from rsciio_tpx3 import simulate
from rsciio_tpx3.frames.event_frames import EventFrames
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.utils import threads as module
from rsciio_tpx3.utils.threads import Scratch


def test_a_grown_array_begins_with_what_it_held():
    with Scratch() as scratch:
        first = scratch.array(3, np.uint32)
        first[:] = [7, 8, 9]
        later = scratch.array(500_000, np.uint32)
        np.testing.assert_array_equal(later[:3], [7, 8, 9])


def test_what_is_in_use_is_lent_to_nobody_else():
    with Scratch() as outer:
        mine = outer.array(100, np.int64)
        mine[:] = 5
        with Scratch() as inner:
            other = inner.array(100, np.int64)
            assert not np.shares_memory(mine, other)
            other[:] = 6
        with Scratch() as again:
            assert np.shares_memory(again.array(100, np.int64), other)
        assert (mine == 5).all()


def test_threads_share_nothing():
    with Scratch() as scratch:
        mine = scratch.array(1000, np.uint8)
    found = []

    def work():
        with Scratch() as own:
            found.append(own.array(1000, np.uint8))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, found[0])


def test_large_ones_go_back_to_the_system(monkeypatch):
    monkeypatch.setattr(module, "_MOST_SCRATCH", 10_000)
    with Scratch() as scratch:
        large = scratch.array(10_001, np.uint8)
    with Scratch() as scratch:
        assert not np.shares_memory(scratch.array(10, np.uint8), large)


def test_chunks_keep_nothing_that_the_next_one_writes(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (5, 7), electrons_per_position=40, seed=3)
    source = Tpx3Source(path, show_progressbar=False)
    frames = EventFrames(source, build_scan(source.index(), scan_options()), np.uint8)
    first = frames.frames(0, 14)
    names = ("data", "indices", "indptr")
    copies = {name: getattr(first, name).copy() for name in names}
    # begun and left: its memory stays in use, and comes back at some other time
    unfinished = source.compact_windows(*source.index().hit_span)
    next(unfinished)
    frames.frames(14, 35)
    unfinished.close()
    again = frames.frames(0, 14)
    for name in names:
        np.testing.assert_array_equal(getattr(first, name), copies[name])
        np.testing.assert_array_equal(getattr(again, name), copies[name])
