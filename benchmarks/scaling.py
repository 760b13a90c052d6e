"""From one worker to two, measured; to a hundred, from the cost of a task.

    python -m benchmarks.scaling                     # 2 x 10^7 packets

Workers are processes of one thread each, as `dask.distributed` starts them. The prediction takes from
the same run what a task costs a worker and what it costs the scheduler. The latter is processor time:
scheduler, client and workers share the cores of this machine, and by the clock each waits for the others.
"""

import argparse
import math
import os
import pickle
import statistics
import tempfile
import time

import dask
import hyperspy.api as hs
from dask.distributed import Client, LocalCluster

from benchmarks import recordings
from benchmarks.measure import point, seconds, table, target
from hyperspy_sparse import blocks
from hyperspy_sparse.blocks import in_blocks

HUNDRED_GB = 100e9


def analyses(signal):
    ring = hs.roi.CircleROI(256, 256, 60, 20)
    return {
        "sum pattern": signal.sum(axis=(0, 1)).data,
        "virtual image": signal.get_integrated_intensity(ring).data,
        "centre of mass": signal.get_direct_beam_position(method="center_of_mass").data,
    }


def with_workers(path, n, rounds=3):
    """Median seconds of each analysis on a cluster of n workers, with its tasks for each block."""
    options = {"threads_per_worker": 1, "memory_limit": "2 GiB", "dashboard_address": ":0"}
    with LocalCluster(n_workers=n, **options) as cluster, Client(cluster):
        signal = hs.load(path, navigation_shape=(256, 256), lazy=True, cache=False, chunks=4, show_progressbar=False)
        found = {}
        for name, array in analyses(signal).items():
            array.compute()  # compiled, imported, in the page cache
            times = [seconds(array.compute) for _ in range(rounds)]
            (made,) = dask.optimize(array)
            n_blocks = math.prod(in_blocks(signal.data).numblocks)
            found[name] = statistics.median(times), len(dict(made.__dask_graph__())) / n_blocks
        task = signal.data.dask.layers[signal.data.name][(signal.data.name, 0, 0, 0, 0)]
        return found, _scheduling(), len(pickle.dumps(task))


def _scheduling(n=2000):
    """Seconds of processor time, of scheduler and client in this process, for a task that does nothing."""
    for _ in range(2):
        total = dask.delayed(len)([dask.delayed(_nothing, pure=False)(i) for i in range(n)])
        begin = time.process_time()
        total.compute(optimize_graph=False)  # as they are: joined, they would be a single task
    return (time.process_time() - begin) / n


def _nothing(i):
    return i


def on_threads(path, threads):
    """Seconds of each analysis with so many threads in this process."""
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = recordings.write(os.path.join(folder, "scan.tpx3"), int(options.packets), (256, 256))
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
    _predict(*one["centre of mass"], size, per_task, task_bytes)
    reached = ", ".join(f"{one[name][0] / two[name][0]:.2f} ({name})" for name in one)
    target("From 1 worker to 2, times faster", "measured", reached, True)


def _predict(took, tasks_of_block, size, per_task, task_bytes):
    """The same analysis of 100 GB on n workers, from one worker's speed and the scheduler's time for a task."""
    rate, hits = size / took, HUNDRED_GB / 8
    print(
        f"One worker decodes and analyses {rate / 1e6:.0f} MB/s. The scheduler needs {per_task * 1e3:.2f} ms for a\n"
        f"task; a block of centre of mass has {tasks_of_block:.1f}, and one to read travels as {task_bytes:,} bytes.\n"
        f"Blocks grow with the workers, from {blocks.DECODED_ENTRIES / 1e6:.0f} to "
        f"{blocks.CLUSTER_ENTRIES / 1e6:.0f} million hits of 13 bytes each. For 100 GB:\n"
    )
    rows = []
    alone = HUNDRED_GB / rate
    for n in (1, 2, 10, 30, 100):
        block = blocks.decoded_entries(hits, n)
        n_blocks = -(-hits // block)
        # no worker has less than its share, in whole blocks
        work, scheduling = alone / n_blocks * -(-n_blocks // n), n_blocks * tasks_of_block * per_task
        faster = alone / max(work, scheduling)
        rows.append(
            [n, f"{block / 1e6:.1f}", f"{work:.1f}", f"{scheduling:.1f}", f"{faster:.0f}", f"{rate * faster / 1e9:.1f}"]
        )
    table(
        ["workers", "hits of a block, millions", "decoding, s", "scheduler, s (at the same time)", "times faster",
         "read from the disk, GB/s"],
        rows,
    )  # fmt: skip
    print(
        "The scheduler works while the workers do, so the longer of the two counts. The disk has to give what stands "
        "in the last column. Not in the table: hits of a block of 8 million leave the cache, and take a sixth longer.\n"
    )


if __name__ == "__main__":
    main()
