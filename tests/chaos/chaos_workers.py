"""A computation of dask, of which a worker process is killed: prints "equal", "refused" or what was wrong.

python tests/chaos/chaos_workers.py processes|distributed SEED
"""

import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from rsciio_tpx3 import simulate
from rsciio_tpx3.tpx3 import file_reader

SHAPE = (12, 16)


def slow(block, block_info=None):
    """Takes its time, so that the kill comes in the middle."""
    time.sleep(0.15)
    return np.asarray(block).sum(axis=(-2, -1))


def main(scheduler, seed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.tpx3"
        simulate.recording(path, SHAPE, electrons_per_position=50, seed=seed)
        [found] = file_reader(path, navigation_shape=SHAPE[::-1], lazy=True, chunks=1, show_progressbar=False)
        expected = np.asarray(found["data"].sum(axis=(2, 3)).compute(scheduler="sync"))
        lazy = found["data"].map_blocks(slow, dtype=np.int64, drop_axis=(2, 3))
        print(_compute(lazy, expected, scheduler, random.Random(seed)), flush=True)


def _compute(lazy, expected, scheduler, rng):
    if scheduler == "processes":
        killer = threading.Thread(target=_kill_a_child, args=(rng,), daemon=True)
        killer.start()
        try:
            got = lazy.compute(scheduler="processes", num_workers=2)
        except Exception as error:
            # the pool of Python says that a process ended abruptly; dask hands it on
            return "refused" if "terminated abruptly" in str(error) or "Broken" in type(error).__name__ else repr(error)
        return "equal" if np.array_equal(got, expected) else "other numbers"
    # loaded by the processes that need it; it takes longer than the rest of this file
    from distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        future = client.compute(lazy)
        time.sleep(rng.uniform(0.3, 1.0))
        pid = next(iter(client.run(os.getpid).values()))
        os.kill(pid, signal.SIGKILL)
        got = future.result(timeout=120)
        return "equal" if np.array_equal(got, expected) else "other numbers"


def _kill_a_child(rng):
    """Kill one of this process's children as soon as there are some that work."""
    own = os.getpid()
    for _ in range(600):
        time.sleep(0.1)
        children = [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
        workers = [pid for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if len(workers) >= 2:
            time.sleep(rng.uniform(2.0, 3.0))
            os.kill(rng.choice(workers), signal.SIGKILL)
            return


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    main(sys.argv[1], int(sys.argv[2]))
