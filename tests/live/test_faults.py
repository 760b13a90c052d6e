"""Whatever happens between a sender and us: what was drawn in the end is what loading the recorded file gives.

One table of what detectors, networks and people do, for both protocols, all conventions of the scan, and 1, 3 and 100
frames.
"""

import socket
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import file_reader, raw_csr, simulate
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.csr_recorder import receiver_of
from rsciio_tpx3.live.csr_stream import AcquisitionEnd, AcquisitionStart, ScanEnd, ScanStart, pack_frames, read_stream
from rsciio_tpx3.live.replay import Faults, Replay, _Line
from rsciio_tpx3.live.session import Session

NY, NX, SIG = 5, 7, (13, 17)
DWELL = {"dwell_time": "40 us"}
TRIGGER = {"sync": "frame-trigger", "line_flyback": "12 us"}
CLOCK = {"sync": "shared-clock", "line_flyback": "12 us"}
# options of the recording, and of reading it
CONVENTIONS = {
    "line-gate": ({}, {}),
    "line-start": ({"sync": "line-start"}, DWELL),
    "periodic-line": ({"sync": "periodic-line"}, {**DWELL, "sync": "periodic-line"}),
    "pixel-trigger": ({"sync": "pixel-trigger"}, {"sync": "pixel-trigger"}),
    "frame-trigger": (TRIGGER, {**DWELL, **TRIGGER}),
    "shared-clock": ({**CLOCK, "frame_flyback": "0 us"}, {**DWELL, **CLOCK}),
}
SOME = [pytest.param(name, marks=[pytest.mark.slow] * (number > 0)) for number, name in enumerate(CONVENTIONS)]
# what happens, by the size of what is sent
FAULTS = {
    "nothing": lambda size: {},
    "a pause": lambda size: {"stall": (size // 2 + 3, 0.2)},
    "an end in a word": lambda size: {"cut": size * 3 // 4 // 8 * 8 + 5},
    "an end between words": lambda size: {"cut": size * 2 // 3 // 8 * 8},
    "an end after three bytes": lambda size: {"cut": 3},
    "a broken line": lambda size: {"disconnect": size * 3 // 4 + 1},
    "a broken line after a pause": lambda size: {"stall": (size // 3, 0.1), "disconnect": size * 5 // 6},
    "pieces of any size": lambda size: {"random_segments": True, "seed": 4},
    "small pieces": lambda size: {"segment": 61},
}
LOST = {"a tenth of the chunks lost": lambda size: {"lost_chunks": 0.1, "seed": 3}}


def _mask(shape):
    return np.hypot(*(np.indices(shape) - np.array(shape)[:, None, None] * 0.45)) < shape[0] / 4


def _followed(to_send, path, times=1, **options):
    """A session to its end, and the images of its last measurement."""
    session = Session("tcp://connect@127.0.0.1:0", path, measurements=times, every=0.01, **options)
    session.add_detector(_mask)
    with session:
        with to_send(f"tcp://127.0.0.1:{session.recorder.address.port}"):
            assert session.wait(60)
    return session


def _check(session, path, options):
    """Compare what is drawn with the file as it is loaded."""
    following = session.following
    loading = {**options, "lazy": False, "show_progressbar": False, "on_loss": "warn"}
    if session.error is not None or following.sums is None:  # too little came for a scan
        with pytest.raises((ValueError, RuntimeError)):
            file_reader(path, **loading)
        return
    signal = file_reader(path, **loading)[0]
    dense = np.asarray(signal["data"]).astype(np.int64)
    counts = following.counts().reshape(dense.shape[:-2])
    np.testing.assert_array_equal(counts, dense.sum(axis=(-1, -2)))
    np.testing.assert_array_equal(
        following.virtual_image(0).reshape(counts.shape), dense[..., _mask(dense.shape[-2:])].sum(axis=-1)
    )
    np.testing.assert_array_equal(following.sum_pattern(), dense.sum(axis=tuple(range(dense.ndim - 2))))
    y, x = np.indices(dense.shape[-2:])
    moments = np.stack([(dense * y).sum(axis=(-1, -2)), (dense * x).sum(axis=(-1, -2))], axis=-1)
    np.testing.assert_array_equal(following.sums.moments.held.reshape(moments.shape), moments)
    assert following.lines_drawn == following.lines_final
    losses = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"].get("Losses", {})
    assert following.losses.get("chunks_lost", 0) == losses.get("chunks_lost", 0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    made = {}

    def make(convention, n_frames=1):
        if (convention, n_frames) not in made:
            path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
            of_recording, of_reader = CONVENTIONS[convention]
            simulate.recording(
                path, (NY, NX), electrons_per_position=8, dwell_time="40 us", chunk_counts=True, disorder="50 us",
                chunk_time="100 us", layout="single", n_frames=n_frames, seed=7, **of_recording,
            )  # fmt: skip
            made[convention, n_frames] = path, {"navigation_shape": (NX, NY), **of_reader}
        return made[convention, n_frames]

    return make


def _sent(path, faults):
    """The bytes that arrive where these faults happen."""
    content, start = path.read_bytes(), chunk_times(path).start
    if faults.lost_chunks:
        lost = np.random.default_rng(faults.seed).random(len(start) - 1) < faults.lost_chunks
        return b"".join(content[a:b] for a, b, gone in zip(start[:-1], start[1:], lost) if not gone)
    return content[: faults.cut if faults.cut is not None else faults.disconnect]


@pytest.mark.parametrize("fault", {**FAULTS, **LOST})
@pytest.mark.parametrize("convention", SOME)
def test_a_recording_with_faults(tmp_path, recordings, convention, fault):
    path, options = recordings(convention, 3)
    faults = Faults(**{**FAULTS, **LOST}[fault](path.stat().st_size))
    target = tmp_path / "scan.tpx3"
    session = _followed(lambda to: Replay(path, to, speed=None, faults=faults), target, **options)
    expected = _sent(path, faults)
    if faults.disconnect is None:
        assert target.read_bytes() == expected
        assert session.state == "ended"
    else:  # a reset may overtake bytes that were not taken yet
        assert expected.startswith(target.read_bytes())
        assert session.state == "connection lost"
    if target.stat().st_size >= 8:
        _check(session, target, options)


@pytest.mark.parametrize("n_frames", [1, 100])
@pytest.mark.parametrize("convention", SOME)
def test_one_frame_and_many(tmp_path, recordings, convention, n_frames):
    path, options = recordings(convention, n_frames)
    target = tmp_path / "scan.tpx3"
    session = _followed(lambda to: Replay(path, to, speed=None), target, **options)
    found = session.following.nav_shape
    # without edges the clock tells how many frames there are: as many as the file has, by `_check`
    assert found[1:] == (NY, NX) and (found[0] == n_frames or convention == "shared-clock")
    _check(session, target, options)


def test_byte_by_byte(tmp_path, recordings):
    path, options = recordings("line-gate")
    session = _followed(
        lambda to: Replay(path, to, speed=None, faults=Faults(segment=1)), tmp_path / "scan.tpx3", **options
    )
    assert (tmp_path / "scan.tpx3").read_bytes() == path.read_bytes()
    _check(session, tmp_path / "scan.tpx3", options)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_sender_that_is_started_again(tmp_path, recordings, convention):
    path, options = recordings(convention)
    faults = Faults(disconnect=path.stat().st_size // 2)

    class Twice:
        """The first measurement breaks, the second one is whole."""

        def __init__(self, to):
            self.replays = [Replay(path, to, speed=None, faults=faults), Replay(path, to, speed=None)]

        def __enter__(self):
            for replay in self.replays:
                with replay:
                    assert replay.wait(30)

        def __exit__(self, *error):
            pass

    session = _followed(Twice, tmp_path / "scan.tpx3", times=2, **options)
    assert [one.state for one in session.recorded] == ["connection lost", "ended"]
    assert (tmp_path / "scan_1.tpx3").read_bytes() == path.read_bytes()
    _check(session, tmp_path / "scan_1.tpx3", options)


# -- frames ------------------------------------------------------------------------------------------------------------


def _frames(n_scans=1, dtype=np.uint16):
    rng = np.random.default_rng(n_scans)
    return (rng.poisson(0.08, (n_scans, NY, NX, *SIG)) * rng.integers(1, 300, (n_scans, NY, NX, *SIG))).astype(dtype)


def _load(path):
    return np.asarray(raw_csr.file_reader(path, lazy=False)[0]["data"])


def _stream(dense, metadata=b""):
    parts = [AcquisitionStart(NY, NX, *SIG).pack()]
    for number, scan in enumerate(dense):
        parts += [ScanStart(number, len(metadata)).pack(), metadata]
        parts += [pack_frames(MemorySource.from_dense(line).frames(0, NX), dense.dtype) for line in scan]
        parts.append(ScanEnd(number).pack())
    return b"".join([*parts, AcquisitionEnd().pack()])


class _Sender(threading.Thread):
    """Serves bytes with the faults of a replay."""

    def __init__(self, content, faults):
        super().__init__(daemon=True)
        self.bound, self.content, self.faults = socket.create_server(("127.0.0.1", 0)), content, faults
        self.address = f"csr://127.0.0.1:{self.bound.getsockname()[1]}"

    def run(self):
        sock, _ = self.bound.accept()
        sock.settimeout(0.05)
        with self.bound, sock:
            _Line(sock, self.faults, threading.Event()).send(self.content)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("n_scans", [1, 3])
def test_frames_with_faults(tmp_path, n_scans, fault):
    dense = _frames(n_scans)
    content = _stream(dense, b'{"a": 1}')
    faults = Faults(**FAULTS[fault](len(content)))
    sender = _Sender(content, faults)
    sender.start()
    shape = {"navigation_shape": (NX, NY)}
    session = Session(sender.address, tmp_path / "scan.toml", measurements=n_scans, every=0.01, **shape)
    session.add_detector(_mask)
    with session:
        # who sends frames may connect again, so a line that ends does not end us
        broken, until = bool(faults.cut or faults.disconnect), time.monotonic() + 60
        while not session.finished and time.monotonic() < until:
            if broken and not sender.is_alive():
                if session.wait(1.0):
                    break
                session.stop()
            time.sleep(0.01)
    sender.join(10)
    done = [one for one in session.recorded if one.state == "ended"]
    if faults.cut is None and faults.disconnect is None:
        assert len(done) == n_scans
    for number, one in enumerate(session.recorded):
        found = _load(one.path)
        whole = dense[number].reshape(-1, *SIG)
        rows = found.reshape(whole.shape)
        came = NY * NX if one.state == "ended" else int(np.flatnonzero(rows.any(axis=(1, 2))).max(initial=-1)) + 1
        np.testing.assert_array_equal(rows[:came], whole[:came])
        assert not rows[came:].any()
    if session.recorded:
        _check_rows(session, _load(session.recorded[-1].path))


def _check_rows(session, dense):
    following, dense = session.following, dense.astype(np.int64)
    if following.sums is None:
        assert not dense.any()
        return
    np.testing.assert_array_equal(following.counts()[0], dense.sum(axis=(2, 3)))
    np.testing.assert_array_equal(following.virtual_image(0)[0], dense[..., _mask(SIG)].sum(axis=-1))
    np.testing.assert_array_equal(following.sum_pattern(), dense.sum(axis=(0, 1)))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_stream_of_frames_in_any_pieces(data):
    """However the bytes are cut, the headers and payloads are the same, one byte at a time included."""
    content = _stream(
        _frames(data.draw(st.integers(1, 2)), np.uint8), b'{"note": "' + b"x" * data.draw(st.integers(0, 200)) + b'"}'
    )
    whole = _read(content, [len(content)])
    sizes = data.draw(st.one_of(st.just([1]), st.lists(st.integers(1, 5000), min_size=1, max_size=30)))
    assert _read(content, sizes) == whole


def _read(content, sizes):
    """Headers and payloads of a stream that comes in pieces of these sizes, again and again."""
    ours, theirs = socket.socketpair()

    def send():
        at = number = 0
        with theirs:
            while at < len(content):
                theirs.sendall(content[at : at + sizes[number % len(sizes)]])
                at += sizes[number % len(sizes)]
                number += 1

    thread = threading.Thread(target=send)
    thread.start()
    with ours:
        found = [(header, payload) for header, payload in read_stream(receiver_of(ours))]
    thread.join()
    return found
