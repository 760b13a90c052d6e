"""Bytes go to the disk while more are made, and what the system says of them is not lost."""

import os
import sys
import threading
import time

import numpy as np
import pytest

from rsciio_tpx3.frames.dask_array import to_dask
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.nxevent import file_reader, file_writer
from rsciio_tpx3.utils import disk
from rsciio_tpx3.utils.disk import synced_early, to_disk

pytestmark = pytest.mark.skipif(not sys.platform.startswith(("linux", "darwin")), reason="is not done there")


@pytest.fixture
def eager(monkeypatch):
    """Ask for every byte, and tell of which files."""
    synced, honest = [], os.fsync
    monkeypatch.setattr(disk, "_EVERY", 0.001)
    monkeypatch.setattr(disk, "_LEAST", 1)
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_size), honest(number))[1])
    return synced


def _wait_for(true):
    end = time.monotonic() + 10
    while not true() and time.monotonic() < end:
        time.sleep(0.001)
    assert true()


def test_a_file_that_grows_is_synced_again_and_one_that_does_not_is_not(tmp_path, eager):
    path, before = tmp_path / "counts.raw", threading.active_count()
    with synced_early(lambda: [str(tmp_path / "absent"), str(path)]):
        for size in (1000, 3000):
            with open(path, "ab") as file:
                file.write(bytes(size))
            _wait_for(lambda: eager and eager[-1] == path.stat().st_size)
        n = len(eager)
        time.sleep(0.05)
        assert len(eager) == n
    assert threading.active_count() == before


def test_small_files_are_left_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: pytest.fail("synced"))
    path = tmp_path / "counts.raw"
    path.write_bytes(bytes(1000))
    with synced_early(lambda: [str(path)]):
        time.sleep(0.2)


def test_what_could_not_be_stored_is_reported_at_the_end(tmp_path, eager, monkeypatch):
    def broken(number):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    path = tmp_path / "counts.raw"
    path.write_bytes(bytes(10))
    before = threading.active_count()
    with pytest.raises(OSError, match="Input/output error"), synced_early(lambda: [str(path)]):
        _wait_for(lambda: threading.active_count() == before)
    with pytest.raises(ValueError, match="mine"), synced_early(lambda: [str(path)]):
        _wait_for(lambda: threading.active_count() == before)
        raise ValueError("mine")


def _signal(source):
    axes = [{"name": name, "size": n, "navigate": i < 2} for i, (name, n) in enumerate(zip("yxqp", (3, 4, 5, 6)))]
    return {"data": to_dask(source), "axes": axes, "metadata": {}}


class _Waits(MemorySource):
    """Frames that come once the disk has been busy."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.ready = None

    def frames(self, start, stop):
        _wait_for(self.ready)
        return super().frames(start, stop)


def test_a_writer_reports_it_and_leaves_nothing(tmp_path, eager, monkeypatch):
    calls = []

    def broken_once(number):
        calls.append(number)
        if len(calls) == 1:  # as the system does it, which reports it once
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken_once)
    source = _Waits.from_dense(np.ones((3, 4, 5, 6), np.uint8))
    source.ready = lambda: calls
    (tmp_path / "data").mkdir()
    with pytest.raises(OSError, match="Input/output error"):
        file_writer(str(tmp_path / "data" / "counts.nxevent"), _signal(source))
    assert os.listdir(tmp_path / "data") == []


def test_what_was_synced_early_reads_back(tmp_path, eager):
    dense = np.random.default_rng(1).integers(0, 3, (3, 4, 5, 6)).astype(np.uint8)
    path = str(tmp_path / "counts.nxevent")
    source = _Waits.from_dense(dense)
    source.ready = lambda: eager
    file_writer(path, _signal(source))
    assert np.array_equal(np.asarray(file_reader(path, lazy=True)[0]["data"].compute().todense()), dense)
    to_disk(path)
