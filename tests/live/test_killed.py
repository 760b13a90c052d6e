"""Sender, receiver and display are killed at random moments: nothing that was recorded is lost."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.live import Following, Recorder, Replay
from rsciio_tpx3.live.session import Session
from rsciio_tpx3.raw_csr import file_reader as file_reader_of_frames

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL on Windows")

NY, NX = 9, 7
SHAPE = {"navigation_shape": (NX, NY)}
SECONDS = 60

SENDER = """
import sys
from rsciio_tpx3.live import Replay
with Replay(sys.argv[1], sys.argv[2], speed=float(sys.argv[3])) as replay:
    print(replay.address.port, flush=True)
    replay.wait()
"""
RECORDER = """
import sys, json
from rsciio_tpx3.live import Recorder
with Recorder("tcp://connect@127.0.0.1:0", sys.argv[1]) as recorder:
    print(recorder.address.port, flush=True)
    while not recorder.wait(0.01):
        print(recorder.bytes, flush=True)
"""
DISPLAY = """
import sys, json
from rsciio_tpx3.live.session import Session
from rsciio_tpx3.raw_csr import file_reader as file_reader_of_frames
with Session("tcp://connect@127.0.0.1:0", sys.argv[1], navigation_shape=json.loads(sys.argv[2])) as session:
    session.view(lambda following: following.counts())
    print(session.recorder.address.port, flush=True)
    while not session.wait(0.01):
        print(session.recorder.bytes, flush=True)
"""
FRAMES = """
import sys
from rsciio_tpx3.live.csr_recorder import CsrRecorder
with CsrRecorder(sys.argv[1], sys.argv[2]) as recorder:
    print(0, flush=True)
    while not recorder.wait(0.01):
        print(recorder.bytes, flush=True)
"""


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=90, dwell_time="2 ms", n_frames=2, seed=5)
    return path


def _start(code, *arguments):
    """A process that says a number when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return process, int(process.stdout.readline())


def _kill_after(process, least):
    """Kill a recorder soon after it said that so many bytes are written; how many these were."""
    said = 0
    while said < least:
        line = process.stdout.readline()
        assert line, "it ended before it was to be killed"
        said = int(line)
    time.sleep(random.uniform(0, 0.02))
    process.send_signal(signal.SIGKILL)
    process.wait(SECONDS)
    rest = process.stdout.read().split("\n")[:-1]  # a line that was cut says nothing
    return max([said, *map(int, rest)])


def _check(path, content, least):
    """What is there is the beginning of what was sent, no less than was reported, and loads as far as it goes."""
    found = path.read_bytes()
    assert found == content[: len(found)]
    assert least <= len(found) <= len(content)
    following = Following(path, **SHAPE)
    following.update(ended=True)
    signals = file_reader(path, lazy=False, show_progressbar=False, on_loss="warn", **SHAPE)
    counts = np.asarray(signals[0]["data"].sum(axis=(-1, -2)))
    np.testing.assert_array_equal(following.counts().reshape(counts.shape), counts)
    assert sum(following.hits.values()) > 0
    return len(found)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "share"), [(RECORDER, 0.1), (DISPLAY, 0.6)], ids=["recorder", "display"])
def test_what_a_killed_receiver_had_written_is_there(tmp_path, sent, code, share):
    content = sent.read_bytes()
    process, port = _start(code, tmp_path / "scan.tpx3", json.dumps((NX, NY)))
    with Replay(sent, f"tcp://127.0.0.1:{port}", speed=0.05):
        least = _kill_after(process, share * len(content))
    _check(tmp_path / "scan.tpx3", content, least)


@pytest.mark.slow
def test_what_a_killed_sender_had_sent_is_drawn(tmp_path, sent):
    share = random.uniform(0.25, 0.6)  # of less than two lines no scan can be found
    content = sent.read_bytes()
    process, port = _start(SENDER, sent, "tcp://listen@127.0.0.1:0", 0.1)
    with Session(f"tcp://127.0.0.1:{port}", tmp_path / "scan.tpx3", **SHAPE) as session:
        counts = session.view(lambda following: following.counts())
        until = time.monotonic() + SECONDS
        while session.recorder.bytes < share * len(content) and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert session.wait(SECONDS)
    assert session.state in ("ended", "connection lost")
    assert _check(tmp_path / "scan.tpx3", content, int(share * len(content))) == session.recorder.bytes
    assert counts.array is None or counts.array.sum() == session.following.counts().sum()


@pytest.mark.slow
def test_a_killed_display_next_to_a_recorder_disturbs_nothing(tmp_path, sent):
    content = sent.read_bytes()
    watch = [
        sys.executable,
        "-m",
        "rsciio_tpx3",
        "watch",
        str(tmp_path / "scan.tpx3"),
        "-o",
        f"navigation_shape={NX},{NY}",
    ]
    with Recorder("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3") as recorder:
        with Replay(sent, f"tcp://127.0.0.1:{recorder.address.port}", speed=0.1):
            while not recorder.bytes:
                time.sleep(0.005)
            display = subprocess.Popen(watch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1.0)
            display.send_signal(signal.SIGKILL)
            display.wait(SECONDS)
            assert recorder.wait(SECONDS)
    assert (tmp_path / "scan.tpx3").read_bytes() == content


@pytest.mark.slow
def test_what_a_killed_receiver_of_frames_had_written_is_there(tmp_path):
    from rsciio_tpx3.frames.memory_source import MemorySource
    from rsciio_tpx3.live import parse_address
    from rsciio_tpx3.live.csr_stream import AcquisitionStart, ScanStart, pack_frames
    from rsciio_tpx3.live.sockets import listener

    rng = np.random.default_rng(4)
    dense = rng.poisson(0.4, (40, 11, 13, 17)).astype(np.uint16)
    rows = MemorySource.from_dense(dense)
    with listener(parse_address("csr://connect@127.0.0.1:0", ("csr",))) as bound:
        process, _ = _start(FRAMES, f"csr://127.0.0.1:{bound.getsockname()[1]}", tmp_path / "scan.toml")
        bound.settimeout(SECONDS)
        sock, _ = bound.accept()
        with sock:
            sock.sendall(AcquisitionStart(*dense.shape).pack() + ScanStart().pack())
            for line in range(25):
                sock.sendall(pack_frames(rows.frames(11 * line, 11 * line + 11), dense.dtype))
            least = _kill_after(process, 1)
    signals = file_reader_of_frames(tmp_path / "scan.toml", lazy=False)
    found = np.asarray(signals[0]["data"])
    n = np.flatnonzero(found.reshape(440, -1).any(axis=1)).max() + 1
    np.testing.assert_array_equal(found.reshape(440, 13, 17)[:n], dense.reshape(440, 13, 17)[:n])
    # of each row: its entries, and where they end
    entries = int(np.count_nonzero(dense.reshape(440, -1)[:n]))
    assert entries * 6 + 8 * n >= least > 0
