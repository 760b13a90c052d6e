"""A recording while it is sent: ``python -m benchmarks.live [--quick]``.

The sender is another process of this machine, on loopback. Rates: how fast a recording is taken, without a display and
with counts, one virtual image, centre of mass and sum pattern; the file is compared byte for byte. Latency: from the
moment at which the last hit of a line is sent until its pixels are in the image. Refresh: 80 MB new, after files of
several sizes. ``--memory 10`` sends one measurement in ten minutes.
"""

import argparse
import filecmp
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import recordings
from benchmarks.measure import table, target
from rsciio_tpx3.live import Following, Recorder, Session
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.csr_recorder import receiver_of
from rsciio_tpx3.live.csr_stream import AcquisitionStart, ArrayChunk, read_stream, received_frames
from rsciio_tpx3.tpx3 import Tpx3Source

__all__ = ["latency", "main", "memory", "rate", "refresh"]

NAV = (512, 512)
NEW = 80_000_000


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
    process = subprocess.Popen(
        [sys.executable, "-c", code, path, to, str(speed or 0)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline().strip() == "ready"
    return process


def _go(process):
    process.stdin.write("go\n")
    process.stdin.flush()


def _reported(process):
    return json.loads(process.communicate()[0].strip().splitlines()[-1])


def _disk(shape):
    y, x = np.indices(shape)
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 24


def _session(target, display, **options):
    session = Session(
        "tcp://connect@127.0.0.1:0", target, navigation_shape=NAV[::-1], layout="quad", overwrite=True, **options
    )
    if display == "all":
        number = session.add_detector(_disk)
        session.view(lambda following: following.virtual_image(number))
        session.view(lambda following: following.center_of_mass())
        session.view(lambda following: following.sum_pattern())
    session.view(lambda following: following.counts())
    return session


def rate(path, speed=None, display="all"):
    """Send a recording to a session: seconds, processor time of the receiver, and whether all is there."""
    folder = os.path.dirname(path)
    target = os.path.join(folder, "received.tpx3")
    if display == "none":
        session = recorder = Recorder("tcp://connect@127.0.0.1:0", target, overwrite=True)
    else:
        session = _session(target, display)
        recorder = session.recorder
    with session:
        process = _sender(path, f"tcp://127.0.0.1:{recorder.address.port}", speed)
        _go(process)
        while not recorder.bytes:
            time.sleep(0.001)
        begin, used = time.perf_counter(), time.process_time()
        recorder.wait()
        took = time.perf_counter() - begin
        session.wait()
        drawn = time.perf_counter() - begin
        used = time.process_time() - used
    _reported(process)
    same = filecmp.cmp(path, target, shallow=False)
    peak = recorder.ring_peak / recorder.memory
    os.remove(target)
    return {"took": took, "drawn": drawn, "used": used, "same": same, "peak": peak, "waits": recorder.ring_waits}


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
        _go(process)
        session.wait()
    began = _reported(process)[0]
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


def refresh(path, first):
    """Seconds of an update with 80 MB new after so many bytes, and of the same by loading all again."""
    followed = os.path.join(os.path.dirname(path), "followed.tpx3")
    with open(path, "rb") as content, open(followed, "wb", buffering=0) as file:
        following = Following(followed, navigation_shape=NAV[::-1], layout="quad")
        following.add_detector(_disk)
        remaining = first
        while remaining:
            remaining -= file.write(content.read(min(remaining, 1 << 26)))
        following.update()
        file.write(content.read(NEW))
        begin, used = time.perf_counter(), time.process_time()
        following.update()
        took = time.perf_counter() - begin, time.process_time() - used
    os.remove(followed)
    return took


def memory(path, seconds, step=20):
    """MiB of a session with all displays, every so many seconds while a recording is sent in so long."""
    from rsciio_tpx3.live.chunk_times import chunk_times

    target, found = os.path.join(os.path.dirname(path), "received.tpx3"), []
    with _session(target, "all") as session:
        port = session.recorder.address.port
        process = _sender(path, f"tcp://127.0.0.1:{port}", float(chunk_times(path).seconds[-1]) / seconds)
        _go(process)
        while not session.wait(min(step, seconds / 10)):
            lines = Path("/proc/self/status").read_text().splitlines()
            found.append(next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024)
    _reported(process)
    os.remove(target)
    return found


def csr_rate(n_positions=256, counts=50):
    """Million entries per second of CSR frames from another process, with a ring detector, on one thread."""
    code = (
        "import sys, numpy as np; from rsciio_tpx3.csr.csr_frames import CSRFrames\n"
        "from rsciio_tpx3.frames.memory_source import MemorySource; from rsciio_tpx3.live.csr_server import CsrServer\n"
        "n, counts = int(sys.argv[1]), int(sys.argv[2]); rng = np.random.default_rng(0)\n"
        "pixels = np.sort(rng.integers(0, 512 * 512, (n * n, counts)), axis=1)\n"
        "fresh = np.ones(pixels.shape, bool); fresh[:, 1:] = np.diff(pixels, axis=1) > 0\n"
        "ends = np.concatenate([[0], np.cumsum(fresh.sum(axis=1))])\n"
        "arrays = np.ones(ends[-1], np.uint8), pixels[fresh].astype(np.int32), ends\n"
        "source = MemorySource(CSRFrames(arrays, shape=(n, n, 512, 512)))\n"
        "with CsrServer(source, times=4) as server:\n"
        "    print(server.address.port, ends[-1], flush=True); server.wait()\n"
    )
    command = [sys.executable, "-c", code, str(n_positions), str(counts)]
    best = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        port, n_entries = (int(word) for word in process.stdout.readline().split())
        y, x = np.indices((512, 512))
        ring = ((np.hypot(y - 256, x - 256) > 60) & (np.hypot(y - 256, x - 256) < 120)).ravel().astype(np.int64)
        for _ in range(4):
            with socket.create_connection(("127.0.0.1", port)) as sock:
                begin, start, sums = time.perf_counter(), None, []
                for header, payload in read_stream(receiver_of(sock)):
                    start = header if isinstance(header, AcquisitionStart) else start
                    if isinstance(header, ArrayChunk):
                        frames = received_frames(header, payload, start)
                        inside = np.concatenate([[0], np.cumsum(ring[frames.indices] * frames.data)])
                        sums.append(np.diff(inside[frames.indptr]))
            best = max(best, n_entries / (time.perf_counter() - begin) / 1e6)
    assert sum(map(len, sums)) == n_positions**2
    return best


def main(arguments=None):
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a recording of 20 million hits, not of 120")
    parser.add_argument("--packets", type=float, help="of the recording")
    parser.add_argument("--memory", type=float, metavar="MINUTES", help="of one measurement that lasts so long, alone")
    args = parser.parse_args(arguments)
    n = int(args.packets or (2e7 if args.quick else 1.2e8))
    with tempfile.TemporaryDirectory() as folder:
        path = recordings.write(str(Path(folder) / "sent.tpx3"), n, NAV)
        size = os.path.getsize(path)
        if args.memory:
            used = memory(path, 60 * args.memory)
            print("MiB:", *(f"{one:.0f}" for one in used))
            grown = max(used[len(used) // 2 :]) - max(used[: len(used) // 2])
            target("Memory of a long measurement, second half less first", "constant", f"{grown:.0f} MiB", grown < 10)
            return
        rate(path, None, "all")  # compiled code, and the file in memory
        _print_rates(path, size)
        _print_latency(path)
        _print_refresh(path, size)
    fast = csr_rate()
    target("CSR frames from another process, ring detector, one thread", "25 million/s", f"{fast:.0f}", fast >= 25)


def _print_rates(path, size):
    rows = []
    speeds = {"as fast as it is taken": None, "60 million hits per second": 3.0}
    for pace, speed in speeds.items():
        for display in ("none", "counts", "all"):
            found = rate(path, speed, display)
            behind = found["drawn"] - found["took"]
            mhits = size / 8 / found["took"] / 1e6
            rows.append([
                pace, display, f"{size / found['took'] / 1e6:.0f}", f"{mhits:.0f}", f"{behind:.2f}",
                f"{found['used'] / found['took'] * 100:.0f} %", f"{100 * found['peak']:.0f} %", found["same"],
            ])  # fmt: skip
    table(["pace", "display", "MB/s", "million hits/s", "behind, s", "processor", "buffer", "file equal"], rows)
    every = f"{mhits:.0f} million hits/s, {behind:.1f} s behind at the end, file equal: {found['same']}"
    target("Live at 60 million hits/s with all displays", "nothing lost", every, found["same"] and not found["waits"])


def _print_latency(path):
    found = latency(path, 0.5)
    low, median, high = np.percentile(found, [1, 50, 99]) * 1e3
    reached = f"{low:.0f}, {median:.0f}, {high:.0f} ms (1 %, median and 99 % of {len(found)} lines)"
    target("Latency of a line at 10 million hits/s", "100 ms, 300 ms at 99 %", reached, median <= 100 and high <= 300)


def _print_refresh(path, size):
    rows = []
    for share in (0.1, 0.5, 0.9):
        first = min(int(size * share), size - NEW)
        if first > 0:
            took, used = refresh(path, first)
            rows.append([f"{first / 1e6:.0f}", f"{took * 1e3:.0f}", f"{used * 1e3:.0f}"])
    table(["MB before", "80 MB new: ms", "processor, ms"], rows)
    longest = float(rows[-1][1])
    target("80 MB new after a large file", "100 ms", f"{longest:.0f} ms", longest <= 100)


if __name__ == "__main__":
    main()
