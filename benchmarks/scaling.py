"""From one worker to two, measured; to a hundred, from the cost of a task.

    python -m benchmarks.scaling                     # 2 x 10^7 packets

Workers are processes of one thread each, as `dask.distributed` starts them. The prediction takes from
the same run what a task costs a worker and what it costs the scheduler.
"""

import argparse
import os
import pickle
import statistics
import tempfile
import time

from benchmarks import recordings
from benchmarks.measure import point, seconds, table, target

HUNDRED_GB = 100e9


def analyses(signal):
    import hyperspy.api as hs

    ring = hs.roi.CircleROI(256, 256, 60, 20)
    return {
        "sum pattern": signal.sum(axis=(0, 1)).data,
        "virtual image": signal.get_integrated_intensity(ring).data,
        "centre of mass": signal.get_direct_beam_position(method="center_of_mass").data,
    }


def with_workers(path, n, rounds=3):
    """Median seconds of each analysis on a cluster of n workers, with the number of its tasks."""
    import hyperspy.api as hs
    from dask.distributed import Client, LocalCluster

    options = {"threads_per_worker": 1, "memory_limit": "2 GiB", "dashboard_address": ":0"}
    with LocalCluster(n_workers=n, **options) as cluster, Client(cluster) as client:
        signal = hs.load(path, navigation_shape=(256, 256), lazy=True, cache=False, chunks=4, show_progressbar=False)
        found = {}
        for name, array in analyses(signal).items():
            array.compute()  # compiled, imported, in the page cache
            times = [seconds(array.compute) for _ in range(rounds)]
            found[name] = statistics.median(times), len(dict(array.__dask_graph__()))
        # what the scheduler takes for tasks that do nothing
        empty = client.map(_nothing, range(2000), pure=False)
        begin = time.perf_counter()
        client.gather(empty)
        per_task = (time.perf_counter() - begin) / 2000
        task = signal.data.dask.layers[signal.data.name][(signal.data.name, 0, 0, 0, 0)]
        return found, per_task, len(pickle.dumps(task))


def _nothing(i):
    return i


def on_threads(path, threads):
    """Seconds of each analysis with so many threads in this process."""
    import dask
    import hyperspy.api as hs

    with dask.config.set(scheduler="threads", num_workers=threads):
        signal = hs.load(path, navigation_shape=(256, 256), lazy=True, cache=False, show_progressbar=False)
        found = {}
        for name, array in analyses(signal).items():
            array.compute()
            found[name] = min(seconds(array.compute) for _ in range(3))
        return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--packets", type=float, default=2e7)
    parser.add_argument("--folder", help="for the recording; a temporary one by default")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = recordings.write(os.path.join(folder, "scan.tpx3"), int(given.packets), (256, 256))
        size = os.path.getsize(path)
        threads = {n: on_threads(path, n) for n in (1, 2)}
        (one, per_task, task_bytes), (two, _, _) = with_workers(path, 1), with_workers(path, 2)
    table(
        ["analysis", "1 thread, s", "2 threads, s", "faster", "1 worker, s", "2 workers, s", "faster"],
        [
            [name, f"{threads[1][name]:.2f}", f"{threads[2][name]:.2f}", f"{threads[1][name] / threads[2][name]:.2f}",
             f"{one[name][0]:.2f}", f"{two[name][0]:.2f}", f"{one[name][0] / two[name][0]:.2f}"]
            for name in one
        ],
    )  # fmt: skip
    for name, (took, _) in one.items():
        point("workers", name, 1, 1)
        point("workers", name, 2, took / two[name][0])
    _predict(one["centre of mass"][0], size, per_task, task_bytes)
    reached = ", ".join(f"{one[name][0] / two[name][0]:.2f} ({name})" for name in one)
    target("From 1 worker to 2, times faster", "measured", reached, True)


def _predict(took, size, per_task, task_bytes):
    """The same analysis of 100 GB on n workers, from one worker's speed and the scheduler's time for a task."""
    from hyperspy_sparse.blocks import DECODED_ENTRIES

    rate = size / took
    tasks = 2 * HUNDRED_GB / 8 / DECODED_ENTRIES  # one that reads and one that joins
    block = 8 * DECODED_ENTRIES
    print(
        f"One worker decodes and analyses {rate / 1e6:.0f} MB/s. A block of {DECODED_ENTRIES:,} hits is\n"
        f"{block / 1e6:.0f} MB of the file and takes it {block / rate * 1e3:.0f} ms. The scheduler needs\n"
        f"{per_task * 1e3:.2f} ms for a task, which travels as {task_bytes:,} bytes. For 100 GB,\n"
        f"centre of mass, these are {tasks:,.0f} tasks:\n"
    )
    rows = []
    alone = HUNDRED_GB / rate
    for n in (1, 2, 10, 30, 100):
        work, told = alone / n, tasks * per_task
        rows.append([n, f"{work:.0f}", f"{told:.1f}", f"{alone / max(work, told):.0f}", f"{rate * n / 1e9:.1f}"])
    table(
        ["workers", "decoding, s", "scheduler, s (at the same time)", "times faster", "read from the disk, GB/s"], rows
    )
    print(
        "The scheduler works while the workers do, so the longer of the two counts: where that is the scheduler, more "
        "workers do not help, but fewer and larger blocks do. The disk has to give what stands in the last column.\n"
    )


if __name__ == "__main__":
    main()
