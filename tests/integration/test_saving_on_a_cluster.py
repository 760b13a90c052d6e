"""What is saved while a cluster is connected is read by its workers, equal to the last byte."""

import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate, to_dask
from rsciio_tpx3.frames import write as writing
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.raw_csr import file_writer
from rsciio_tpx3.tpx3 import files
from rsciio_tpx3.utils.threads import cluster_is_elsewhere, cluster_threads

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.slow  # starts a cluster

NAV, QUIET = (12, 17), {"lazy": True, "show_progressbar": False}


@pytest.fixture(scope="module")
def client():
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "1 GiB", "dashboard_address": None}
    with distributed.LocalCluster(silence_logs=50, **options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "scan.tpx3"
    simulate.recording(path, NAV, electrons_per_position=300, dwell_time="20 us", keep_truth=False, seed=3)
    return path


def _bytes(path):
    stem = path.with_suffix("")
    return {part: stem.with_suffix(f".{part}.raw").read_bytes() for part in ("indptr", "indices", "values")}


def _saved(path, signal):
    file_writer(path, signal, show_progressbar=False)
    return _bytes(path)


def _saved_here(path, signal):
    """By threads of this process, as without a cluster."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "cluster_is_elsewhere", lambda: False)
        return _saved(path, signal)


@pytest.fixture
def small_spans(monkeypatch):
    monkeypatch.setattr(writing, "SPAN_ENTRIES", 5000)


def _of(recording, **options):
    return file_reader(recording, navigation_shape=NAV[::-1], **QUIET, **options)[0]


def test_workers_read_and_the_file_is_the_same(recording, client, tmp_path, monkeypatch, small_spans):
    found = _of(recording)
    expected = _saved_here(tmp_path / "here.toml", found)
    assert cluster_threads() == 2 and cluster_is_elsewhere()

    def refuse(*args):
        raise AssertionError("workers open the files, not the process that writes")

    monkeypatch.setattr(files.WordReader, "read", refuse)
    assert _saved(tmp_path / "cluster.toml", found) == expected
    assert len(expected["indices"]) > 10_000


def test_a_worker_that_is_killed_costs_no_row(recording, client, tmp_path, monkeypatch, small_spans):
    found = _of(recording)
    expected = _saved_here(tmp_path / "here.toml", found)
    first, rows = threading.Event(), []

    class Slow:
        def prepare(self, frames):
            first.set()
            time.sleep(0.2)  # the kill comes in the middle
            return frames.indices.copy()

        def append(self, prepared):
            rows.append(prepared)

    def kill():
        first.wait(60)
        os.kill(next(iter(pids.values())), signal.SIGKILL)

    pids = client.run(os.getpid)
    killer = threading.Thread(target=kill)
    killer.start()
    done = writing.write(found["data"], Slow(), show_progressbar=False)
    killer.join()
    assert done["frames"] == NAV[0] * NAV[1] and len(rows) > 4
    assert np.concatenate(rows).astype("<i4").tobytes() == expected["indices"]


def test_other_axes_and_deferred_recordings_are_saved_by_workers_too(recording, client, tmp_path, small_spans):
    for name, options in (("bins", {"time_bins": 3}), ("electrons", {"cluster": True})):
        found = _of(recording, **options)
        expected = _saved_here(tmp_path / f"{name}_here.toml", found)
        assert _saved(tmp_path / f"{name}.toml", found) == expected


def test_nothing_waits_for_its_own_worker(recording, client, tmp_path, small_spans):
    """A task that saves keeps the only thread of its worker."""
    found = _of(recording)
    expected = _saved_here(tmp_path / "here.toml", found)

    def save(path, recording):
        return _saved(path, _of(recording))

    assert client.submit(save, tmp_path / "task.toml", recording, pure=False).result(timeout=120) == expected


def test_a_span_travels_with_its_own_tasks_alone(recording, client, monkeypatch, small_spans):
    array = to_dask(source_of(_of(recording)["data"]), chunks=1) + 0
    sizes, get = [], type(client).get

    def weighed(self, graph, *args, **options):
        sizes.append(len(pickle.dumps(graph)))
        return get(self, graph, *args, **options)

    monkeypatch.setattr(type(client), "get", weighed)
    expected = array.compute()
    whole = sizes.pop()
    done = writing.write(array, _Nothing())
    assert done["total"] == expected.sum() and len(sizes) == NAV[0]
    assert max(sizes) < whole / 2  # not the tasks of all twelve chunks, twelve times


class _Nothing:
    """A sink that takes everything and writes none of it."""

    def prepare(self, frames):
        return frames.data.size

    def append(self, prepared):
        pass
