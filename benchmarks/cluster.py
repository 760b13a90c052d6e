"""A recording larger than the memory of a cluster: each step compared with threads, and a worker lost.

    python -m benchmarks.cluster                     # 16 GB, made in a temporary folder and removed
    python -m benchmarks.cluster --size 2            # GB
    python -m benchmarks.cluster --steps "sum pattern" conversion --no-loss

Workers are processes of one thread each, on this machine. For each step is shown: seconds by the clock on the cluster
and on as many threads of a fresh process, tasks, processor time of scheduler and client for each task, size of a task
when it travels, memory of the fuller worker at its peak, and bytes spilled to disk; and whether the results are equal.
Then a worker is killed (SIGKILL) when a third of the tasks are done.
"""

import argparse
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from distributed.diagnostics.plugin import SchedulerPlugin

from benchmarks import recordings
from benchmarks.measure import fresh, table, target

NAV = (512, 512)
MOST_MIB = 2048  # of a worker; dask pauses it at 80 % of that, and kills it at 95 %

_BY_THREADS = """
import sys, time
import dask
from benchmarks import cluster
result = {}
dask.config.set(num_workers=int(sys.argv[3]))
for step in sys.argv[4:]:
    begin = time.perf_counter(), time.process_time()
    found = cluster.STEPS[step](cluster.load(sys.argv[1], step), sys.argv[2])
    result[step] = time.perf_counter() - begin[0], time.process_time() - begin[1]
    cluster.np.savez(f"{sys.argv[2]} {step}.npz", **found)
"""


def load(path, step):
    """The recording, as a lazy signal."""
    import hyperspy.api as hs

    warnings.simplefilter("ignore")
    hs.preferences.General.show_progressbar = False
    options = {"cluster": True} if step == "electrons (clusters), sum pattern" else {}
    return hs.load(path, navigation_shape=NAV[::-1], lazy=True, progress=False, **options)


def _sum(signal):
    return {"sum": signal.sum(axis=(0, 1)).data}


def _image(signal):
    import hyperspy.api as hs

    return {"image": signal.get_integrated_intensity(hs.roi.CircleROI(256, 256, 60, 20)).data}


def _mass(signal):
    return {"mass": signal.get_direct_beam_position(method="center_of_mass", lazy_output=True).data}


def _together(signal):
    return {**_sum(signal), **_image(signal), **_mass(signal)}


def _computed(lazy):
    import dask

    def step(signal, _):
        arrays = lazy(signal)
        step.began = time.process_time()  # what dask takes, without what the analysis takes to be set up
        return dict(zip(arrays, map(np.asarray, dask.compute(*arrays.values()))))

    step.lazy = lazy
    return step


def _converted(signal, name):
    """Convert to raw_csr; the checksums of its arrays stand for the 5 bytes per entry that they are made of."""
    target_ = Path(f"{name}.toml")
    signal.save(target_, overwrite=True, show_progressbar=False)
    lines = [line.partition(" = ") for line in target_.read_text().splitlines()]
    found = {key: value.strip('"') for key, _, value in lines}
    for part in ("indptr", "indices", "data"):
        (target_.parent / found[f"{part}_file"]).unlink()
    return {part: np.array(found[f"{part}_sha256"]) for part in ("indptr", "indices", "data")}


STEPS = {
    "sum pattern": _computed(_sum),
    "virtual detector": _computed(_image),
    "centre of mass": _computed(_mass),
    "all three in one pass": _computed(_together),
    "electrons (clusters), sum pattern": _computed(_sum),
    "conversion": _converted,
}


class Counter(SchedulerPlugin):
    """Counts tasks that end, and calls a function when there are enough."""

    name = "benchmark-counter"

    def __init__(self):
        self.tasks, self.call_at, self.call = 0, None, None

    def transition(self, key, start, finish, *args, **kwargs):
        if start == "processing" and finish == "memory":
            self.tasks += 1
            if self.tasks == self.call_at:
                threading.Thread(target=self.call, daemon=True).start()


class Cluster:
    """A `LocalCluster`, and what can be seen of it."""

    def __init__(self, n_workers, memory, folder):
        from dask.distributed import Client, LocalCluster

        self.cluster = LocalCluster(
            n_workers=n_workers, threads_per_worker=1, memory_limit=memory, dashboard_address=None,
            local_directory=folder, silence_logs=50,
        )  # fmt: skip
        self.client = Client(self.cluster)
        self.counter = Counter()
        self.cluster.scheduler.add_plugin(self.counter)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.client.close()
        self.cluster.close()

    def run(self, step, path, name):
        """Results of a step, and its figures."""
        self.client.run(_forget_peak)
        before, spilled = self.counter.tasks, sum(self.client.run(_spilled).values())
        began = time.perf_counter()
        frames = load(path, step)
        opened = time.process_time()
        found = STEPS[step](frames, name)
        ended, processed = time.perf_counter(), time.process_time()
        tasks = self.counter.tasks - before
        return found, {
            "seconds": ended - began,
            "tasks": tasks,
            "per task": (processed - getattr(STEPS[step], "began", opened)) / max(tasks, 1),
            "size": _size_of_task(getattr(STEPS[step], "lazy", None), frames),
            "peak": max(self.client.run(_peak).values()),
            "spilled": sum(self.client.run(_spilled).values()) - spilled,
        }

    def kill_one_at(self, n_tasks):
        """Kill one worker's process when so many more tasks have ended."""
        pids = self.client.run(os.getpid)
        self.counter.call_at = self.counter.tasks + n_tasks
        self.killed = []

        def kill():
            pid = next(iter(pids.values()))
            os.kill(pid, signal.SIGKILL)
            self.killed.append(pid)

        self.counter.call = kill


def _size_of_task(lazy, signal):
    """Bytes of a task that reads, as it travels; nothing for a conversion."""
    if lazy is None:
        return None
    from hyperspy_sparse.blocks import in_blocks

    layer = dict(in_blocks(signal.data).dask)
    tasks = list(layer.values())[:: max(len(layer) // 16, 1)]
    return sum(len(pickle.dumps(task)) for task in tasks) / len(tasks)


def _forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def _peak():
    from benchmarks.measure import peak_memory

    return peak_memory()


def _spilled(dask_worker):
    counted = getattr(dask_worker.data, "cumulative_metrics", {})
    return int(sum(value for key, value in counted.items() if "disk-write" in key and "bytes" in key))


def equal(found, expected):
    """Whether all arrays are the same: to the last count where they are integers, floats to rounding of their sums."""
    if set(found) != set(expected):
        return False
    return all(
        np.allclose(value, expected[name], rtol=1e-12, atol=0, equal_nan=True)
        if value.dtype.kind == "f"
        else np.array_equal(value, expected[name])
        for name, value in found.items()
    )


def measure(path, steps, n_workers, memory, folder, loss):
    """Rows of the table, and of the one of losses."""
    rows, lost = [], []
    name = os.path.join(folder, "threads")
    threads, _ = fresh(_BY_THREADS, path, name, n_workers, *steps)
    _progress("threads: " + ", ".join(f"{step} {took:.1f} s" for step, (took, _) in threads.items()))
    with Cluster(n_workers, memory, folder) as cluster:
        cluster.client.run(_warm)
        for step in steps:
            with np.load(f"{name} {step}.npz") as file:
                expected = {key: file[key] for key in file.files}
            seconds = threads[step]
            found, figures = cluster.run(step, path, os.path.join(folder, "cluster"))
            rows.append((step, seconds, figures, equal(found, expected)))
            _progress(f"{step}: {figures}, equal {rows[-1][-1]}")
            if loss and figures["tasks"] >= 6:
                cluster.kill_one_at(figures["tasks"] // 3)
                found, again = cluster.run(step, path, os.path.join(folder, "cluster"))
                lost.append((step, figures["seconds"], again["seconds"], len(cluster.killed), equal(found, expected)))
                _progress(f"{step}, a worker killed: {again}, equal {lost[-1][-1]}")
                cluster.client.wait_for_workers(n_workers, timeout=600)
                cluster.client.run(_warm)
    return rows, lost


def _warm():
    """Import what most tasks need, so that their time is not that of imports."""
    import hyperspy_sparse.kernels.table  # noqa: F401
    import rsciio_tpx3.tpx3  # noqa: F401


def _progress(text):
    print(text, file=sys.stderr, flush=True)  # how far it is; the results page takes what is printed to stdout


def show(rows, lost, size, n_workers):
    table(
        ["step", "cluster, s", f"{n_workers} threads, s", "their processor time, s", "tasks",
         "scheduler and client, ms per task", "bytes per task",
         "peak of a worker, MiB", "spilled, MB", "equal"],
        [
            [step, f"{f['seconds']:.1f}", *(f"{took:.1f}" for took in threads), f["tasks"],
             f"{f['per task'] * 1e3:.2f}",
             "" if f["size"] is None else f"{f['size']:,.0f}", f"{f['peak']:.0f}", f"{f['spilled'] / 1e6:.0f}",
             "yes" if same else "**no**"]
            for step, threads, f, same in rows
        ],
    )  # fmt: skip
    if lost:
        table(
            ["a worker killed in", "s without", "s with", "killed", "equal"],
            [[step, f"{a:.1f}", f"{b:.1f}", n, "yes" if same else "**no**"] for step, a, b, n, same in lost],
        )
    name = f"{size / 1e9:.2g} GB on a cluster"
    n_equal = sum(same for *_, same in rows)
    target(f"{name}, results equal to threads", "every step", f"{n_equal} of {len(rows)}", n_equal == len(rows))
    peak = max(f["peak"] for _, _, f, _ in rows)
    target(f"{name}, memory of a worker of 2 GiB", "below 1639 MiB, where dask pauses", f"{peak:.0f} MiB", peak < 1639)
    spilled = sum(f["spilled"] for _, _, f, _ in rows)
    target(f"{name}, spilled to disk", "nothing", f"{spilled / 1e6:.0f} MB", spilled == 0)
    if lost:
        n_equal = sum(same for *_, same in lost)
        target(f"{name}, results after the loss of a worker", "every step", f"{n_equal} of {len(lost)}",
               n_equal == len(lost))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=float, default=16, help="GB")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default=f"{MOST_MIB} MiB", help="of each worker")
    parser.add_argument("--no-loss", action="store_true", help="kill no worker")
    parser.add_argument("--folder", help="for the recording and what is made of it; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        os.environ["RSCIIO_TPX3_CACHE"] = os.path.join(folder, "cache")
        needed = options.size * 1e9 * (1.7 if "conversion" in options.steps else 1)
        if needed > shutil.disk_usage(folder).free:
            print(f"excluded: the disk has no room for {needed / 1e9:.0f} GB\n")
            return
        path = recordings.write(os.path.join(folder, "scan.tpx3"), int(options.size * 1.25e8), NAV, different=32)
        size = os.path.getsize(path)
        print(f"{size / 1e9:.1f} GB, {options.workers} workers of one thread and {options.memory} each\n", flush=True)
        show(
            *measure(path, options.steps, options.workers, options.memory, folder, not options.no_loss),
            size,
            options.workers,
        )


if __name__ == "__main__":
    main()
