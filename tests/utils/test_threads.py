"""Threads for a pass: as many as the process may use, as long as their tables stay small together."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from rsciio_tpx3 import simulate
from rsciio_tpx3.corrections.bad_pixels import count_pixels
from rsciio_tpx3.reader.scan import known_scan
from rsciio_tpx3.recording import open_recording
from rsciio_tpx3.scan.line_profiles import line_profiles
from rsciio_tpx3.tpx3.source import Tpx3Source
from rsciio_tpx3.utils import threads


@pytest.mark.parametrize(("cores", "most"), [(1, 1), (3, 3), (8, 8), (200, 8)])
def test_threads_are_bounded_by_cores_and_by_their_tables(monkeypatch, cores, most):
    monkeypatch.setattr(threads, "CPU_COUNT", cores)
    assert threads.thread_count() == threads.thread_count(2**20) == most
    assert threads.thread_count(2**28) == min(cores, 2)
    assert threads.thread_count(2**29) == threads.thread_count(2**40) == 1


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_any_number_of_threads_counts_the_same(tmp_path, monkeypatch, cores):
    monkeypatch.setattr(threads, "CPU_COUNT", cores)
    work = Tpx3Source.work
    # more pieces than a small recording would have
    monkeypatch.setattr(Tpx3Source, "work", lambda self, n: work(self, max(n, 7)))
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (11, 13), layout="single", dwell_time="20 us", electrons_per_position=300, chunk_counts=True, seed=8
    )
    source, options, known = open_recording(path, {"layout": "single"})
    assert len(source.work(1)) > 2
    expected = np.bincount(truth.hit_pixel, minlength=256**2).reshape(256, 256)
    np.testing.assert_array_equal(count_pixels(source), expected)
    scan = known_scan(source.index(), options, known)
    profiles = line_profiles(source, scan, 0, 0, 1)
    assert profiles.counts.sum() == (truth.hit_position >= 0).sum()
    rows = np.bincount(truth.hit_position[truth.hit_position >= 0] // 13, minlength=11)
    np.testing.assert_array_equal(profiles.counts.sum(axis=(0, 2)), rows)


def test_nothing_to_count_is_a_table_of_zeros():
    assert threads.add_up(lambda pieces: np.full(3, len(pieces)), [], 24).tolist() == [0, 0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="priority belongs to the whole process elsewhere")
def test_a_thread_gives_way_with_those_that_it_starts_and_no_other_does():
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def follow():
        threads.give_way()
        with ThreadPoolExecutor(1) as pool:
            return niceness(), pool.submit(niceness).result()

    before = niceness()
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(follow).result()
    assert found == (min(before + 5, 19),) * 2
    assert niceness() == before
