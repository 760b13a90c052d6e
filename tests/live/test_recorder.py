"""The recorder: whatever happens to the connection or the disk, what came is in a file that loads."""

import errno
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.live import Recorder, parse_address, record
from rsciio_tpx3.live import recorder as recorder_module
from rsciio_tpx3.live.replay import Faults, Replay
from rsciio_tpx3.live.ring import Ring

NY, NX = 9, 7
HERE = "tcp://connect@127.0.0.1:0"


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """A recording to be sent, and its bytes."""
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=150, dwell_time="40 us", chunk_counts=True, seed=5)
    return path, path.read_bytes()


def _recorded(path, sent, faults=None, times=1, **options):
    """Record a replay; the recorder, which has finished."""
    with Recorder(HERE, path, measurements=times, **options) as recorder:
        to = f"tcp://127.0.0.1:{recorder.address.port}"
        with Replay(sent, to, speed=None, times=times, faults=faults) as replay:
            assert replay.wait(20)
        assert recorder.wait(20)
    return recorder


@pytest.mark.parametrize(
    "faults",
    [Faults(), Faults(segment=1000), Faults(random_segments=True, seed=3)],
    ids=["whole", "thousands", "random"],
)
def test_a_file_is_what_was_sent_however_it_was_cut(tmp_path, sent, faults):
    path, content = sent
    recorder = _recorded(tmp_path / "scan.tpx3", path, faults)
    assert (tmp_path / "scan.tpx3").read_bytes() == content
    assert (recorder.state, recorder.bytes, recorder.rate > 0) == ("ended", len(content), True)


def test_bytes_one_by_one(tmp_path, sent):
    path, content = sent
    _recorded(tmp_path / "scan.tpx3", path, Faults(segment=1, cut=3000))
    assert (tmp_path / "scan.tpx3").read_bytes() == content[:3000]


def test_connecting_to_a_sender_that_listens_and_starts_later(tmp_path, sent):
    path, content = sent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Recorder(f"tcp://127.0.0.1:{port}", tmp_path / "scan.tpx3", wait=20) as recorder:
        assert recorder.state == "waiting"
        with Replay(path, f"tcp://listen@127.0.0.1:{port}", speed=None) as replay:
            assert replay.receiver == f"tcp://127.0.0.1:{port}"
            assert recorder.wait(20)
    assert (tmp_path / "scan.tpx3").read_bytes() == content


def test_each_measurement_has_a_file_of_its_own(tmp_path, sent):
    path, content = sent
    (tmp_path / "scan_1.tpx3").write_bytes(b"of somebody else")
    recorder = _recorded(tmp_path / "scan.tpx3", path, times=2)
    assert [os.path.basename(one.path) for one in recorder.files] == ["scan.tpx3", "scan_2.tpx3"]
    assert all(open(one.path, "rb").read() == content for one in recorder.files)
    assert (tmp_path / "scan_1.tpx3").read_bytes() == b"of somebody else"


def test_a_port_that_is_only_tried_is_no_measurement(tmp_path, sent):
    path, content = sent
    with Recorder(HERE, tmp_path / "scan.tpx3") as recorder:
        for _ in range(2):
            socket.create_connection(("127.0.0.1", recorder.address.port)).close()
        with Replay(path, f"tcp://127.0.0.1:{recorder.address.port}", speed=None):
            assert recorder.wait(20)
    assert [one.bytes for one in recorder.files] == [len(content)]


@pytest.mark.parametrize("at", [4, 8, 11, 10_001, 40_000])
def test_a_lost_connection_leaves_a_file_that_loads(tmp_path, sent, at):
    path, content = sent
    recorder = _recorded(tmp_path / "scan.tpx3", path, Faults(disconnect=at))
    assert recorder.state in ("connection lost", "ended")
    before = (tmp_path / "scan.tpx3").read_bytes()
    # a reset connection may take bytes along that were not read yet
    assert content.startswith(before)
    assert recorder.state == "ended" or "was lost" in recorder.files[0].reason


@pytest.mark.parametrize("at", [30_000, 40_003, 50_009])
def test_a_file_cut_anywhere_loads_and_agrees_with_the_whole(tmp_path, sent, at):
    path, _ = sent
    _recorded(tmp_path / "scan.tpx3", path, Faults(cut=at))
    options = {"navigation_shape": (NX, NY), "lazy": False, "show_progressbar": False}
    part = np.asarray(file_reader(tmp_path / "scan.tpx3", on_loss="warn", **options)[0]["data"])
    whole = np.asarray(file_reader(path, **options)[0]["data"])
    assert part.sum() > 0
    assert (part <= whole).all()


def test_a_stalling_sender_loses_nothing(tmp_path, sent):
    path, content = sent
    _recorded(tmp_path / "scan.tpx3", path, Faults(stall=(20_001, 0.3)))
    assert (tmp_path / "scan.tpx3").read_bytes() == content


def test_a_slow_disk_fills_the_ring_and_no_more(tmp_path, sent, monkeypatch):
    path, content = sent

    class Slow(io.FileIO):
        def write(self, data):
            time.sleep(0.002)
            return super().write(data[:3000])

    monkeypatch.setattr(recorder_module, "open", lambda path, mode, buffering: Slow(path, mode), raising=False)
    recorder = _recorded(tmp_path / "scan.tpx3", path, ring_bytes=10_000)
    assert (tmp_path / "scan.tpx3").read_bytes() == content
    assert recorder.memory == 10_000 >= recorder.ring_peak > 5_000
    assert recorder.ring_waits > 0


def test_a_full_disk_stops_with_what_is_there(tmp_path, sent, monkeypatch):
    path, content = sent

    class Full(io.FileIO):
        def write(self, data):
            room = 25_000 - self.tell()
            if room <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data[:room])

    monkeypatch.setattr(recorder_module, "open", lambda path, mode, buffering: Full(path, mode), raising=False)
    with Recorder(HERE, tmp_path / "scan.tpx3") as recorder:
        with Replay(path, f"tcp://127.0.0.1:{recorder.address.port}", speed=None):
            assert recorder.wait(20)
    assert (tmp_path / "scan.tpx3").read_bytes() == content[:25_000]
    assert recorder.files[0].state == "not written"
    assert "No space left on device" in str(recorder.error)
    assert "Make room" in str(recorder.error)


def test_a_taken_port_a_file_that_is_there_and_a_missing_folder_are_said_at_once(tmp_path):
    with Recorder(HERE, tmp_path / "a.tpx3") as recorder:
        with pytest.raises(OSError, match="is in use: another program listens"):
            Recorder(f"tcp://connect@127.0.0.1:{recorder.address.port}", tmp_path / "b.tpx3").start()
    (tmp_path / "a.tpx3").write_bytes(b"x")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        Recorder(HERE, tmp_path / "a.tpx3")
    Recorder(HERE, tmp_path / "a.tpx3", overwrite=True)
    with pytest.raises(FileNotFoundError, match="Make it first"):
        Recorder(HERE, tmp_path / "nowhere" / "a.tpx3")
    with pytest.raises(ValueError, match="measurements=0"):
        Recorder(HERE, tmp_path / "b.tpx3", measurements=0)


def test_nobody_there_is_said_after_the_wait(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionError, match="nobody listens there"):
        record(f"tcp://127.0.0.1:{port}", tmp_path / "a.tpx3", wait=0.1)
    with pytest.raises(ConnectionError, match="no sender connected"):
        record(HERE, tmp_path / "a.tpx3", wait=0.1)
    with pytest.raises(OSError, match="there is no host"):
        record("tcp://no.such.host.invalid:1", tmp_path / "a.tpx3", wait=0.1)
    assert not (tmp_path / "a.tpx3").exists()


@pytest.mark.parametrize("text", ["localhost:8085", "udp://a:1", "tcp://a", "tcp://who@a:1", "tcp://a:99999", ""])
def test_an_address_of_another_form_is_refused(text):
    with pytest.raises(ValueError, match="address"):
        parse_address(text)


def test_stopping_while_it_waits_or_receives_keeps_what_came(tmp_path, sent):
    path, content = sent
    with Recorder(HERE, tmp_path / "a.tpx3") as recorder:
        pass
    assert (recorder.finished, recorder.files) == (True, [])
    with Recorder(HERE, tmp_path / "a.tpx3") as recorder:
        with Replay(path, f"tcp://127.0.0.1:{recorder.address.port}", speed=None, faults=Faults(stall=(9_999, 60))):
            while recorder.bytes < 9_999:
                time.sleep(0.01)
            recorder.stop()
    assert recorder.state == "stopped"
    assert (tmp_path / "a.tpx3").read_bytes() == content[:9_999]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has other ways to end a process")
@pytest.mark.parametrize("kill", [getattr(signal, "SIGKILL", None), signal.SIGINT])
def test_a_killed_recorder_leaves_what_it_received(tmp_path, sent, kill):
    path, content = sent
    with Replay(path, speed=None, faults=Faults(stall=(30_001, 60))) as replay:
        # what starts in the background inherits that interrupts are ignored
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        code += f"from rsciio_tpx3.live import record; record({replay.receiver!r}, {str(tmp_path / 'a.tpx3')!r})"
        process = subprocess.Popen([sys.executable, "-c", code])
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if (tmp_path / "a.tpx3").exists() and (tmp_path / "a.tpx3").stat().st_size == 30_001:
                break
            time.sleep(0.02)
        assert (tmp_path / "a.tpx3").stat().st_size == 30_001
        process.send_signal(kill)
        assert process.wait(20) == (-kill if kill == signal.SIGKILL else 0)
    assert (tmp_path / "a.tpx3").read_bytes() == content[:30_001]


def test_ring_gives_back_every_byte_in_order():
    ring, found = Ring(7), []
    content = bytes(range(256)) * 20

    def take():
        while piece := ring.next_bytes():
            piece = piece[: 1 + len(found) % 5]
            found.append(bytes(piece))
            ring.emptied(len(piece))

    thread = threading.Thread(target=take)
    thread.start()
    at = 0
    while at < len(content):
        room = ring.room()
        n = min(len(room), 1 + at % 4, len(content) - at)
        room[:n] = content[at : at + n]
        ring.filled(n)
        at += n
    ring.end()
    thread.join(10)
    assert b"".join(found) == content
    assert ring.peak <= 7


def test_two_recorders_of_one_name_do_not_share_a_file(tmp_path, sent, caplog):
    _, content = sent
    both = [Recorder(HERE, tmp_path / "scan.tpx3") for _ in range(2)]
    with both[0], both[1]:
        for n, recorder in zip((8000, 4000), both):
            with socket.create_connection(("127.0.0.1", recorder.address.port)) as sock:
                sock.sendall(content[:n])
            assert recorder.wait(20)
    assert (tmp_path / "scan.tpx3").read_bytes() == content[:8000]
    assert (tmp_path / "scan_1.tpx3").read_bytes() == content[:4000]
    assert both[1].files[0].path.endswith("scan_1.tpx3")
    assert "was made by somebody else since" in caplog.text


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_is_not_recorded_to(tmp_path, overwrite):
    with pytest.raises(IsADirectoryError, match="is a folder. Name the file"):
        Recorder(HERE, tmp_path, overwrite=overwrite)


@pytest.mark.parametrize("there", [False, True])
def test_what_cannot_be_written_to_is_refused_before_anything_comes(tmp_path, monkeypatch, there):
    path = tmp_path / "scan.tpx3"
    if there:
        path.write_bytes(b"old")

    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(recorder_module.tempfile, "TemporaryFile", refused)
    monkeypatch.setattr(recorder_module, "open", refused, raising=False)
    with pytest.raises(
        OSError, match=r"nothing can be written to '.*scan.tpx3' \(Read-only file system\). Choose another"
    ):
        Recorder(HERE, path, overwrite=there)
