"""Streams of counted frames as live views, and live views as streams of counted frames."""

import time
from types import SimpleNamespace

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import FormatError
from rsciio_tpx3.frames.memory_source import MemorySource
from rsciio_tpx3.live import Replay, parse_address
from rsciio_tpx3.live.csr_recorder import record_csr
from rsciio_tpx3.live.csr_server import CsrServer
from rsciio_tpx3.live.csr_stream import AcquisitionEnd, AcquisitionStart, ScanEnd, ScanStart, pack_frames
from rsciio_tpx3.live.following_rows import FollowingRows
from rsciio_tpx3.live.session import Session
from rsciio_tpx3.live.sockets import listener

NAV, SIG = (5, 7), (13, 17)
SHAPE = {"navigation_shape": NAV[::-1]}


def _dense(seed=0, n_scans=None, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    shape = (*NAV, *SIG) if n_scans is None else (n_scans, *NAV, *SIG)
    return (rng.poisson(0.4, shape) * rng.integers(1, 5, shape)).astype(dtype)


class _Sender:
    """Bytes of a stream, a part at each call of `send`."""

    def __init__(self, dense):
        rows = MemorySource.from_dense(dense)
        self.start = [AcquisitionStart(*NAV, *SIG).pack(), ScanStart(0, 2).pack(), b"{}"]
        self.lines = [pack_frames(rows.frames(NAV[1] * y, NAV[1] * (y + 1)), dense.dtype) for y in range(NAV[0])]
        self.end = [ScanEnd().pack(), AcquisitionEnd().pack()]
        self.bound = listener(parse_address("csr://connect@127.0.0.1:0", ("csr",)))
        self.bound.settimeout(30)
        self.address = f"csr://127.0.0.1:{self.bound.getsockname()[1]}"
        self.sock = None

    def send(self, *parts):
        if self.sock is None:
            self.sock, _ = self.bound.accept()
        self.sock.sendall(b"".join(parts))

    def close(self):
        self.sock.close()
        self.bound.close()


def _until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def _mask():
    mask = np.zeros(SIG, bool)
    mask[3:9, 5:14] = True
    return mask


def test_frames_are_shown_while_they_come(tmp_path):
    dense = _dense(1)
    sender = _Sender(dense)
    y, x = np.mgrid[: SIG[0], : SIG[1]]
    handed = []

    class Lines:
        def add(self, rows):
            handed.append((rows.start, rows.stop, np.asarray(rows.frames)))

    with hyperspy_sparse.live(sender.address, record=tmp_path / "scan.toml", **SHAPE) as live:
        counts, image, com = live.counts(), live.virtual_image(_mask()), live.center_of_mass()
        live.plug(Lines())
        sender.send(*sender.start, *sender.lines[:2], sender.lines[2][:50])
        _until(lambda: live.lines_drawn == 2)
        # a view that was made before may have a part of the second line
        _until(lambda: live.run(timeout=0.05) or np.array_equal(counts.data[:2], dense[:2].sum(axis=(2, 3))))
        assert not counts.data[2:].any()
        pattern, boxed = live.sum_pattern(), live.virtual_image(~_mask())
        np.testing.assert_array_equal(np.asarray(live.signal.data.compute())[:2], dense[:2])
        running = live.signal
        sender.send(sender.lines[2][50:], *sender.lines[3:], *sender.end)
        live.run()
        sender.close()
    np.testing.assert_array_equal(counts.data, dense.sum(axis=(2, 3)))
    np.testing.assert_array_equal(image.data, dense[..., _mask()].sum(axis=-1))
    np.testing.assert_array_equal(boxed.data, dense[..., ~_mask()].sum(axis=-1))
    np.testing.assert_array_equal(pattern.data, dense.sum(axis=(0, 1)))
    expected = np.stack([(dense * a).sum(axis=(2, 3)) for a in (x, y)]) / dense.sum(axis=(2, 3))
    np.testing.assert_allclose(com.data, expected)
    assert (live.state, live.lines_final, live.session.whole) == ("ended", NAV[0], True)
    np.testing.assert_array_equal(np.asarray(live.signal.data.compute()), dense)
    np.testing.assert_array_equal(np.asarray(running.data.compute())[:2], dense[:2])
    np.testing.assert_array_equal(np.concatenate([one for _, _, one in handed]).reshape(dense.shape), dense)


@pytest.mark.parametrize("where", ["between lines", "in a line"])
def test_a_scan_that_is_lost_is_recorded(tmp_path, where):
    dense = _dense(2)
    sender = _Sender(dense)
    with Session(sender.address, tmp_path / "scan.toml", **SHAPE) as session:
        counts = session.view(lambda following: following.counts())
        sender.send(*sender.start, *sender.lines[:3], b"" if where == "between lines" else sender.lines[3][:70])
        sender.close()
        assert session.wait(30)
    assert session.state == "connection lost"
    assert "stream ended" in session.recorded[0].reason
    np.testing.assert_array_equal(counts.array[0, :3], dense[:3].sum(axis=(2, 3)))
    found = np.asarray(hs.load(tmp_path / "scan.toml", lazy=True).data.compute())
    np.testing.assert_array_equal(found[:3], dense[:3])
    assert not found[3:].any()


def test_an_unfinished_data_set_loads_as_far_as_it_came(tmp_path, caplog):
    """As it is left where the recorder is killed: also in a row, whose end may be missing in one of the arrays."""
    dense = _dense(3)
    sender = _Sender(dense)
    session = Session(sender.address, tmp_path / "scan.toml", **SHAPE).start()
    sender.send(*sender.start, *sender.lines[:4])
    _until(lambda: session.following.lines_drawn == 4)
    for file in tmp_path.iterdir():
        (tmp_path / "killed").mkdir(exist_ok=True)
        (tmp_path / "killed" / file.name).write_bytes(file.read_bytes())
    sender.close()
    session.stop()
    killed = tmp_path / "killed" / "scan.toml"
    np.testing.assert_array_equal(np.asarray(hs.load(killed, lazy=True).data.compute())[:4], dense[:4])
    assert "28 of 35 positions are there" in caplog.text
    values = next((tmp_path / "killed").glob("*values.raw"))
    values.write_bytes(values.read_bytes()[:-3])
    found = np.asarray(hs.load(killed, lazy=True).data.compute()).reshape(-1, *SIG)
    np.testing.assert_array_equal(found[:27], dense.reshape(-1, *SIG)[:27])
    assert not found[27:].any()


def test_scans_are_measurements_of_their_own(tmp_path):
    dense = _dense(4, 3)
    with CsrServer(MemorySource.from_dense(dense), times=1) as server:
        to = f"csr://127.0.0.1:{server.address.port}"
        with Session(to, tmp_path / "scan.toml", measurements=3, **SHAPE) as session:
            counts = session.view(lambda following: following.counts())
            assert session.wait(30)
    names = [one.path.rpartition("/")[2] for one in session.recorded]
    assert names == ["scan.toml", "scan_1.toml", "scan_2.toml"]
    np.testing.assert_array_equal(counts.array[0], dense[2].sum(axis=(2, 3)))
    found = [np.asarray(hs.load(one.path, lazy=True).data.compute()) for one in session.recorded]
    np.testing.assert_array_equal(np.stack(found), dense)


def test_what_does_not_fit_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"such as 'scan.toml'"):
        Session("csr://127.0.0.1:1", tmp_path / "scan.tpx3", **SHAPE)
    with pytest.raises(ValueError, match="'layout' has no meaning for a stream of frames"):
        Session("csr://127.0.0.1:1", tmp_path / "scan.toml", layout="quad", **SHAPE)
    with CsrServer(MemorySource.from_dense(_dense()), times=1) as server:
        to = f"csr://127.0.0.1:{server.address.port}"
        with Session(to, tmp_path / "scan.toml", navigation_shape=(4, 5)) as session:
            session.wait(30)
    assert "scan of 7 x 5 positions" in str(session.error)
    assert hs.load(tmp_path / "scan.toml", lazy=True).data.shape == (*NAV, *SIG)  # recorded all the same
    following = FollowingRows(tmp_path / "scan.toml")
    with pytest.raises(ValueError, match=r"mask of shape \(3, 3\)"):
        following.update()
        following.add_detector(np.ones((3, 3), bool))
    (tmp_path / "other.toml").write_text("[params]\nfiletype = 'other'\n")
    with pytest.raises(FormatError):
        FollowingRows(tmp_path / "other.toml").update()


# -- a live view as a stream ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    options = {"electrons_per_position": 50, "dwell_time": "40 us", "n_frames": 2, "missing_edges": [8, 9]}
    simulate.recording(path, (9, 7), seed=5, **options)
    whole = hs.load(path, lazy=True, show_progressbar=False, navigation_shape=(7, 9))
    return path, np.asarray(whole.data.compute(scheduler="sync"))


@pytest.mark.slow
@pytest.mark.parametrize("late", [False, True])
def test_a_live_view_is_served(tmp_path, recording, late):
    path, expected = recording
    content, recorded = path.read_bytes(), tmp_path / "scan.tpx3"
    recorded.write_bytes(content[: 2 * len(content) // 3] if late else b"")
    with hyperspy_sparse.live(recorded, navigation_shape=(7, 9)) as live:
        with hyperspy_sparse.serve(live, csr=0, chunk_bytes=20_000) as server:
            if late:
                _until(lambda: live.lines_drawn > 3)
            with Session(f"csr://127.0.0.1:{server.address.port}", tmp_path / "got.toml", measurements=2,
                         navigation_shape=(7, 9)) as received:  # fmt: skip
                _until(lambda: received.state == "receiving" if late else server._sock is not None)
                with open(recorded, "ab") as file:
                    file.write(content[recorded.stat().st_size :])
                _until(lambda: live.lines_drawn > 9)
                live.stop()
                assert received.wait(30)
            assert server.wait(30)
    assert (server.sent, server.error) == (1, None)
    found = [np.asarray(hs.load(one.path, lazy=True).data.compute()) for one in received.recorded]
    np.testing.assert_array_equal(np.stack(found), expected)


def test_a_receiver_that_leaves_disturbs_nobody(tmp_path, recording):
    path, expected = recording
    shape = {"navigation_shape": (7, 9)}
    with hyperspy_sparse.live("tcp://connect@127.0.0.1:0", record=tmp_path / "scan.tpx3", **shape) as live:
        counts = live.counts("sum")
        with hyperspy_sparse.serve(live, csr=0) as server:
            to = f"csr://127.0.0.1:{server.address.port}"
            early = Session(to, tmp_path / "early.toml", **shape).start()
            early.stop()
            with Replay(path, f"tcp://127.0.0.1:{live.session.recorder.address.port}", speed=None):
                live.run()
                files = record_csr(to, tmp_path / "got.toml", scans=2, wait=30)
    np.testing.assert_array_equal(counts.data, expected.sum(axis=(0, -1, -2)))
    found = np.stack([np.asarray(hs.load(file, lazy=True).data.compute()) for file in files])
    np.testing.assert_array_equal(found, expected)


def test_more_frames_than_positions_are_refused(tmp_path):
    """Another program wrote a longer scan into the same files: its frames must not be added beyond the positions."""
    sender, path = _Sender(_dense()), tmp_path / "scan.toml"
    with Session(sender.address, path, **SHAPE) as session:
        sender.send(*sender.start, *sender.lines, *sender.end)
        _until(lambda: session.finished)
        sender.close()
    following, ends = FollowingRows(path), []
    following.update(ended=True)
    for number in range(2):
        following.plug(SimpleNamespace(add=lambda rows: None, end=lambda number=number: ends.append(number)))
    assert ends == [0, 1]  # not once more where another one is plugged in
    n = NAV[0] * NAV[1]
    (indptr,) = (file for file in tmp_path.iterdir() if file.stat().st_size == 8 * (n + 1))
    ends = np.fromfile(indptr, np.int64)
    np.append(ends, [ends[-1]] * 9).tofile(indptr)
    with pytest.raises(FormatError, match=r"indptr describes 44 frames, but nav_shape \(5, 7\) has 35 positions"):
        FollowingRows(path).update()
