"""A recording while it is sent: ``python -m benchmarks.live [--quick]``.

The sender is another process of this machine, on loopback. Rates: 60 million hits per second with one virtual image,
centre of mass and sum pattern, 120 million with counts per position alone; the file is compared byte for byte.
Latency: from the moment at which the last hit of a line is sent until its pixels are in the image. Refresh: 80 MB new
after 8 GB. Frames: of a sender of CSR arrays, next to LiberTEM-live on the same stream where ``--libertem`` names a
Python that has it. ``--memory 10`` is one measurement of ten minutes at ``--rate`` million hits per second, alone.
Recordings of 10 GB are made in the folder for temporary files, or in ``--folder``: a file system in memory shows what
we can where a disk cannot write 1 GB/s.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import live_sender, recordings
from benchmarks.measure import table, target
from hyperspy_sparse.kernels.weights import Masks
from rsciio_tpx3.live import Following, Recorder, Session
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.csr_recorder import receiver_of
from rsciio_tpx3.live.csr_stream import AcquisitionStart, ArrayChunk, read_stream, received_frames
from rsciio_tpx3.live.warm_up import warm_up
from rsciio_tpx3.tpx3 import Tpx3Source

__all__ = ["frames", "latency", "libertem", "main", "memory", "rate", "refresh"]

NAV = (512, 512)
NEW = 80_000_000
DISPLAYS = {
    "nothing": "recorded alone",
    "counts": "counts per position alone",
    "all": "virtual image, centre of mass, sum pattern, counts",
}


def _sender(path, to, speed):
    """A process that sends a recording; its last line says when it began, and how many bytes it sent."""
    code = (
        "import sys, json; from rsciio_tpx3.live import Replay\n"
        "speed = float(sys.argv[3]) or None\n"
        "replay = Replay(sys.argv[1], sys.argv[2], speed=speed)\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "with replay: replay.wait()\n"
        "print(json.dumps([replay.began[0], replay.sent[0], list(replay.chunks.seconds[-1:])]))\n"
    )
    return live_sender.ready(["-c", code, path, to, str(speed or 0)])


def _disk(shape):
    y, x = np.indices(shape)
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 24


def _session(target, display, **options):
    session = Session(
        "tcp://connect@127.0.0.1:0", target, navigation_shape=NAV[::-1], layout="quad", overwrite=True,
        only_counts=display == "counts", **options,
    )  # fmt: skip
    if display == "all":
        number = session.add_detector(_disk)
        session.view(lambda following: following.virtual_image(number, "latest"))
        session.view(lambda following: following.center_of_mass("latest"))
        session.view(lambda following: following.sum_pattern())
    session.view(lambda following: following.counts("latest"))
    return session


def rate(folder, hits_per_second, seconds, display):
    """Record a stream at some rate: what was reached, and whether all is there."""
    lines, target = os.path.join(folder, "lines.tpx3"), os.path.join(folder, "received.tpx3")
    stream = live_sender.Stream(lines)
    if display == "nothing":
        session = recorder = Recorder("tcp://connect@127.0.0.1:0", target, overwrite=True)
    else:
        session = _session(target, display)
        recorder = session.recorder
    warm_up()
    with session:
        process = live_sender.start(lines, recorder.address.port, hits_per_second, seconds)
        used = time.process_time()
        live_sender.go(process)
        recorder.wait()
        end = time.perf_counter()
        session.wait()
        behind, used = time.perf_counter() - end, time.process_time() - used
    report = live_sender.reported(process)
    placed = None if display == "nothing" else session.following.sums.placed + session.following.sums.outside
    whole = stream.same(target, report["lines"]) and placed in (None, report["lines"] * stream.hits)
    os.remove(target)
    found = report["lines"] * stream.hits / report["took"] / 1e6
    return {"rate": found, "late": report["late"], "behind": behind, "used": used / report["took"], "whole": whole,
            "sender": report["used"] / report["took"], "peak": recorder.ring_peak / recorder.memory}  # fmt: skip


def latency(path, speed, every=0.1):
    """Seconds from the last hit of each line on the wire to its pixels in the image."""
    target = os.path.join(os.path.dirname(path), "received.tpx3")
    index = Tpx3Source(path, cache=True).index()
    ends = index.edges.select("tdc1-fall").ticks
    begins = index.hit_span[0]
    seen = []
    session = _session(target, "all", every=every)
    session.view(lambda following: _note(seen, following))
    with session:
        process = _sender(path, f"tcp://127.0.0.1:{session.recorder.address.port}", speed)
        live_sender.go(process)
        session.wait()
    began = live_sender.reported(process)[0]
    os.remove(target)
    sent = began + (ends - begins) / 3.84e9 / speed
    assert len(chunk_times(path)) > 0
    times, lines = np.array(seen).T
    # the last line is drawn when the connection ends
    found = [times[np.argmax(lines > k)] - sent[k] for k in range(len(ends) - 1) if lines.max() > k]
    return np.array(found)


def _note(seen, following):
    seen.append((time.monotonic(), following.lines_drawn))
    return following.sum_pattern()[:1]


def refresh(folder, first):
    """Seconds, of the clock and of the processor, of an update with 80 MB new after so many bytes."""
    stream = live_sender.Stream(os.path.join(folder, "lines.tpx3"))
    followed = os.path.join(folder, "followed.tpx3")
    number = 0

    def write(n_bytes, file):
        nonlocal number
        for _ in range(max(round(n_bytes / stream.bytes), 1)):
            stream.line(number).tofile(file)
            number += 1

    with open(followed, "wb", buffering=0) as file:
        following = Following(followed, navigation_shape=NAV[::-1], layout="quad")
        following.add_detector(_disk)
        while number * stream.bytes < first:
            write(min(1 << 30, first - number * stream.bytes), file)
            following.update()
        found = []
        for _ in range(5):
            write(NEW, file)
            begin, used = time.perf_counter(), time.process_time()
            following.update()
            found.append((time.perf_counter() - begin, time.process_time() - used))
    os.remove(followed)
    return np.median(found, axis=0)


def memory(folder, hits_per_second, seconds, step=20):
    """MiB of a session with all displays, every so many seconds of a stream; its bytes, and whether all are there.

    Of the recorder's buffer, so much is in memory as was full at some time: the largest part of it so far is given too.
    """
    lines, target, found = os.path.join(folder, "lines.tpx3"), os.path.join(folder, "received.tpx3"), []
    stream = live_sender.Stream(lines)
    warm_up()
    with _session(target, "all") as session:
        process = live_sender.start(lines, session.recorder.address.port, hits_per_second, seconds)
        live_sender.go(process)
        while not session.wait(min(step, seconds / 10)):
            status = Path("/proc/self/status").read_text().splitlines()
            resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
            found.append((resident, session.recorder.ring_peak / 2**20))
    report = live_sender.reported(process)
    sent = report["lines"] * stream.bytes
    whole = os.path.getsize(target) == sent
    os.remove(target)
    return np.array(found), sent, whole


_SENDER = """
import sys
import numpy as np
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.live.csr_server import CsrServer

n, counts, times = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
pixels = np.sort(rng.integers(0, 512 * 512, (n * n, counts)), axis=1)
fresh = np.ones(pixels.shape, bool)
fresh[:, 1:] = np.diff(pixels, axis=1) > 0
ends = np.concatenate([[0], np.cumsum(fresh.sum(axis=1))])
arrays = np.ones(ends[-1], np.uint8), pixels[fresh].astype(np.int32), ends
with CsrServer(MemorySource(CSRFrames(arrays, shape=(n, n, 512, 512))), times=times) as server:
    print(server.address.port, ends[-1], flush=True)
    server.wait()
"""

_LIBERTEM = """
import sys, time
import numpy as np

def ring():
    y, x = np.indices((512, 512))
    return (np.hypot(y - 256, x - 256) > 60) & (np.hypot(y - 256, x - 256) < 120)

if __name__ == "__main__":
    from libertem.udf.masks import ApplyMasksUDF
    from libertem_live.api import LiveContext

    port, times = map(int, sys.argv[1:])
    with LiveContext.make_with("pipelined", cpus=1, gpus=0) as context:
        opened = context.make_connection("asi_tpx3").open(data_port=port, bytes_per_chunk=1 << 20, chunks_per_stack=16)
        with opened as connection:
            for _ in range(times):
                pending = connection.wait_for_acquisition(30.0)
                begin = time.perf_counter()
                data = context.make_acquisition(conn=connection, pending_aq=pending, frames_per_partition=8192)
                found = context.run_udf(dataset=data, udf=ApplyMasksUDF(mask_factories=[ring], use_sparse=False))
                print(time.perf_counter() - begin, int(found["intensity"].data.sum()), flush=True)
"""

_TIMES = 5


def _ring():
    y, x = np.indices((512, 512))
    return (np.hypot(y - 256, x - 256) > 60) & (np.hypot(y - 256, x - 256) < 120)


def frames(n_positions=256, counts=50):
    """Million entries per second of CSR frames from another process, with a ring detector, on one thread; their sum."""
    command = [sys.executable, "-c", _SENDER, str(n_positions), str(counts), str(_TIMES)]
    masks, best = Masks(_ring()[None]), 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port, n_entries = map(int, process.stdout.readline().split())
        for _ in range(_TIMES):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                begin, start, sums = time.perf_counter(), None, []
                for header, payload in read_stream(receiver_of(sock)):
                    start = header if isinstance(header, AcquisitionStart) else start
                    if isinstance(header, ArrayChunk):
                        sums.append(masks.sums(received_frames(header, payload, start), np.dtype(np.uint64)))
            best = max(best, n_entries / (time.perf_counter() - begin) / 1e6)
    assert sum(map(len, sums)) == n_positions**2
    return best, int(sum(one.sum() for one in sums))


def libertem(python, n_positions=256, counts=50):
    """The same by LiberTEM-live, in the Python that has it."""
    command = [sys.executable, "-c", _SENDER, str(n_positions), str(counts), str(_TIMES)]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "receive.py"  # a file, since its workers import it
        script.write_text(_LIBERTEM)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            port, n_entries = map(int, process.stdout.readline().split())
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            done = subprocess.run(
                [python, str(script), str(port), str(_TIMES)], env=environment, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            process.kill()
    found = [line.split() for line in done.stdout.splitlines()]
    if not found:
        raise RuntimeError(f"LiberTEM-live did not receive: {done.stderr.strip()[-300:]}")
    return n_entries / min(float(one[0]) for one in found) / 1e6, int(found[-1][1])


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two seconds each, and 80 MB after 400")
    parser.add_argument("--folder", help="where recordings are made: 10 GB")
    parser.add_argument("--libertem", metavar="PYTHON", help="a Python that has LiberTEM-live, to compare with")
    parser.add_argument("--memory", type=float, metavar="MINUTES", help="of one measurement that lasts so long, alone")
    parser.add_argument("--rate", type=float, default=4, metavar="MILLION", help="hits per second of it; 4 are 19 GB")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        if args.memory:
            _print_memory(folder, args.memory, 1e6 * args.rate)
            return
        _print_rates(folder, args.quick)
        _print_latency(folder, args.quick)
        _print_refresh(folder, args.quick)
    _print_frames(args.libertem)


def _print_memory(folder, minutes, hits_per_second):
    needed = 480 * minutes * hits_per_second
    if needed > 0.9 * shutil.disk_usage(folder).free:
        raise SystemExit(f"{folder} has no room for {minutes:g} minutes at this --rate: {needed / 1e9:.0f} GB.")
    used, sent, whole = memory(folder, hits_per_second, 60 * minutes)
    recorded = "recorded whole" if whole else "NOT recorded whole"
    print(f"{sent / 1e9:.1f} GB at {hits_per_second / 1e6:g} million hits/s, {recorded}. MiB:", *map(round, used[:, 0]))
    print("of them, at most, the recorder's buffer:", *map(round, used[:, 1]))
    # In the first minutes the frames that are held one by one come to be as many as there may be. The buffer has a
    # size of its own, and what a disk is late with shows in it.
    without, third = used[:, 0] - used[:, 1], len(used) // 3
    grown = max(without[2 * third :]) - max(without[third : 2 * third])
    what = "Memory of a long measurement without the buffer, the last third less the one before"
    target(what, "constant", f"{grown:.0f} MiB", whole and grown < 10)


def _print_rates(folder, quick):
    rate(folder, 20e6, 1, "all")  # compiled code, and the lines
    runs = [(60e6, 20, "all"), (60e6, 5, "nothing"), (120e6, 10, "counts"), (120e6, 5, "nothing"), (1e9, 5, "all")]
    runs += [(1e9, 5, "counts"), (1e9, 5, "nothing")]
    rows, met = [], {}
    for wanted, seconds, display in runs:
        found = rate(folder, wanted, (2 if quick else seconds) * min(1, 150e6 / wanted), display)
        pace = f"{wanted / 1e6:.0f}" if wanted < 1e9 else "all that is taken"
        rows.append([
            DISPLAYS[display], pace, f"{found['rate']:.0f}", f"{found['late']:.2f}" if wanted < 1e9 else "",
            f"{found['behind']:.2f}", f"{found['used'] * 100:.0f} %", f"{found['sender'] * 100:.0f} %",
            f"{found['peak'] * 100:.0f} %", "yes" if found["whole"] else "NO",
        ])  # fmt: skip
        met[wanted, display] = found
    table(
        ["", "million hits/s wanted", "reached", "sender late, s", "pictures behind, s", "processor", "of the sender",
         "buffer", "whole"],
        rows,
    )  # fmt: skip
    for wanted, display in ((60e6, "all"), (120e6, "counts")):
        found = met[wanted, display]
        reached = f"{found['rate']:.0f}, {found['late']:.2f} s late, pictures {found['behind']:.2f} s behind at the end"
        good = found["whole"] and found["late"] < 0.1  # recorded as fast as it was sent; pictures may catch up
        target(f"Million hits/s, {DISPLAYS[display]}", f"{wanted / 1e6:.0f}, nothing lost", reached, good)


def _print_latency(folder, quick):
    path = recordings.write(os.path.join(folder, "sent.tpx3"), 20_000_000 if quick else 120_000_000, NAV, different=64)
    found = latency(path, 0.5)
    os.remove(path)
    low, median, high = np.percentile(found, [1, 50, 99]) * 1e3
    reached = f"{low:.0f}, {median:.0f}, {high:.0f} ms (1 %, median and 99 % of {len(found)} lines)"
    target("Latency of a line at 10 million hits/s", "100 ms, 300 ms at 99 %", reached, median <= 100 and high <= 300)


def _print_refresh(folder, quick):
    rows = []
    for first in (4e8,) if quick else (4e8, 8e9):
        took, used = refresh(folder, int(first))
        rows.append([f"{first / 1e6:.0f}", f"{took * 1e3:.0f}", f"{used * 1e3:.0f}"])
    table(["MB before", "80 MB new: ms", "processor, ms"], rows)
    longest = float(rows[-1][1])
    target("80 MB new after a large file", "100 ms", f"{longest:.0f} ms", longest <= 100)


def _print_frames(python):
    fast, total = frames()
    theirs, reached = 25.0, f"{fast:.0f} million/s"
    if python:
        theirs, same = libertem(python)
        reached += f", LiberTEM-live {theirs:.0f}, sums {'equal' if same == total else 'DIFFER'}"
    what = "CSR frames from another process, ring detector, one thread"
    target(what, f"four times LiberTEM-live, {4 * theirs:.0f} million/s", reached, fast >= 4 * theirs)


if __name__ == "__main__":
    main()
