"""A detector for benchmarks: a stream of any length at any rate, made of a few lines that are repeated at later times.

Nothing is read from a disk, and little but sending takes time.
"""

import json
import math
import os
import socket
import subprocess
import sys
import time

import numpy as np

from benchmarks import recordings
from rsciio_tpx3.tpx3.packets import EDGE_CODES, TYPE_PIXEL, encode_tdc, tdc_ticks
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND
from rsciio_tpx3.utils.compiled import njit

__all__ = ["Stream", "go", "reported", "start"]

_LINES = 16  # that differ
_SPIDR_TICKS = 16384 * 16 * 6  # of which the lowest 16 bits of a hit are a count


class Stream:
    """Lines of a scan without an end.

    Parameters
    ----------
    path : str
        Where the lines that differ are kept; they are written where nothing is.
    hits : int
        In each line.
    n_columns : int
    """

    def __init__(self, path, hits=187_500, n_columns=512):
        if not os.path.exists(path):
            recordings.write(path, hits * _LINES, (_LINES, n_columns), different=_LINES)
        self.lines = np.fromfile(path, "<u8").reshape(_LINES, -1)
        self.words, self.hits = self.lines.shape[1], hits
        rise, fall = (np.array([tdc_ticks(word) for word in self.lines[:, k]], np.int64) for k in (1, -1))
        self.period, self.active = int(rise[1] - rise[0]), int(fall[0] - rise[0])
        self.first = int(rise[0])
        self._later = np.empty(self.words, "<u8")

    @property
    def bytes(self):
        """Bytes of a line."""
        return 8 * self.words

    def line(self, number):
        """Words of a line; good until the next one."""
        turns = number // _LINES
        _move(self.lines[number % _LINES], turns * _LINES * self.period // _SPIDR_TICKS, self._later)
        start = self.first + number * self.period
        names = [EDGE_CODES["tdc1-rise"], EDGE_CODES["tdc1-fall"]]
        self._later[[1, -1]] = encode_tdc(names, [number + 1] * 2, [start, start + self.active])
        return self._later

    def same(self, path, n_lines):
        """Whether a file consists of the first so many lines, byte for byte."""
        with open(path, "rb", buffering=0) as file:
            found = np.empty(self.words, "<u8")
            for number in range(n_lines):
                if file.readinto(found) != found.nbytes or not np.array_equal(found, self.line(number)):
                    return False
            return not file.read(1)


@njit(nogil=True)
def _move(words, counts, later):
    """Words with the time of each hit moved by so many counts; what is carried out of 16 bits is the clock's end."""
    low, more = np.uint64(0xFFFF), np.uint64(counts)
    for i in range(len(words)):
        word = words[i]
        moved = (word & ~low) | ((word + more) & low)
        later[i] = moved if (word >> np.uint64(60)) == np.uint64(TYPE_PIXEL) else word


def start(path, port, rate, seconds):
    """A process that sends so many hits per second once `go` is called; `reported` is what it says in the end."""
    return ready(["-m", "benchmarks.live_sender", path, str(port), str(rate), str(seconds)])


def ready(arguments):
    """A Python process that has said that it is ready, and waits for `go`."""
    command = [sys.executable, *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().strip() == "ready"
    return process


def go(process):
    """Let it begin."""
    process.stdin.write("go\n")
    process.stdin.flush()


def reported(process):
    """What it reported: lines, seconds that it took, how late it was in the end, and its processor time."""
    return json.loads(process.communicate()[0].strip().splitlines()[-1])


def main():
    path, port, rate, seconds = sys.argv[1], *map(float, sys.argv[2:])
    stream = Stream(path)
    n_lines, each = math.ceil(seconds * rate / stream.hits), stream.hits / rate
    stream.line(0)
    print("ready", flush=True)
    sys.stdin.readline()
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        begin, used = time.perf_counter(), time.process_time()
        for number in range(n_lines):
            words = stream.line(number)
            time.sleep(max(begin + (number + 1) * each - time.perf_counter(), 0))
            sock.sendall(words)
        took = time.perf_counter() - begin
    late = took - n_lines * each
    clock = n_lines * stream.period / TICKS_PER_SECOND
    report = {"lines": n_lines, "took": took, "late": late, "used": time.process_time() - used, "clock": clock}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
