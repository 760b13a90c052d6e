"""Replay: at the pace of the recording, with the faults that are asked for and no others."""

import socket

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.live.chunk_times import chunk_times
from rsciio_tpx3.live.replay import Faults, Replay
from rsciio_tpx3.tpx3 import Tpx3Source


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    truth = simulate.recording(
        path, (5, 7), electrons_per_position=60, dwell_time="2 ms", chunk_counts=True, chunk_time="1 ms", seed=5
    )
    return path, path.read_bytes(), truth


def _received(replay):
    parts = []
    try:
        with socket.create_connection((replay.address.host, replay.address.port), timeout=20) as sock:
            while data := sock.recv(65536):
                parts.append(data)
    except ConnectionResetError:  # which may come as early as this
        parts.append(None)
    return parts


def test_chunks_and_their_times(sent):
    path, content, truth = sent
    chunks = chunk_times(path)
    assert chunks.start[0] == 0
    assert chunks.start[-1] == len(content)
    assert all(content[a : a + 4] == b"TPX3" for a in chunks.start[:-1])
    assert (np.diff(chunks.seconds) >= 0).all()
    first, last = Tpx3Source(path).index().hit_span
    assert chunks.seconds[-1] == pytest.approx((last - first) / 3.84e9, rel=0.02)


def test_all_bytes_at_any_speed_and_twice(sent):
    path, content, _ = sent
    for speed in (None, 1.0, 50.0):
        with Replay(path, speed=speed, times=2) as replay:
            assert b"".join(_received(replay)) == content
            assert b"".join(_received(replay)) == content
            assert replay.wait(20)
        assert replay.sent == [len(content)] * 2


def test_pieces_are_due_in_the_order_of_the_clock(sent):
    path, content, _ = sent
    pieces = list(Replay(path, speed=1.0)._pieces())
    assert len(pieces) > 20
    assert [a for a, _, _ in pieces] == [0, *[b for _, b, _ in pieces[:-1]]]
    assert pieces[-1][1] == len(content)
    assert np.all(np.diff([seconds for _, _, seconds in pieces]) >= 0)


def test_cut_ends_and_disconnect_resets(sent):
    path, content, _ = sent
    with Replay(path, speed=None, faults=Faults(cut=12_345)) as replay:
        assert b"".join(_received(replay)) == content[:12_345]
    with Replay(path, speed=None, faults=Faults(disconnect=12_345)) as replay:
        assert _received(replay)[-1] is None


def test_lost_chunks_are_those_that_the_counters_tell(sent, tmp_path):
    path, content, _ = sent
    with Replay(path, speed=None, faults=Faults(lost_chunks=[40, 41, 80])) as replay:
        received = b"".join(_received(replay))
    start = chunk_times(path).start
    assert received == content[: start[40]] + content[start[42] : start[80]] + content[start[81] :]
    (tmp_path / "lost.tpx3").write_bytes(received)
    signal = file_reader(tmp_path / "lost.tpx3", navigation_shape=(7, 5), lazy=True, show_progressbar=False)[0]
    assert signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Losses"]["chunks_lost"] == 3
    some = Replay(path, speed=None, faults=Faults(lost_chunks=0.5))
    assert 0.3 < sum(b - a for a, b in some.ranges) / (len(start) - 1) < 0.7


def test_what_cannot_be_replayed_is_said(tmp_path, sent):
    with pytest.raises(ValueError, match="speed=0"):
        Replay(sent[0], speed=0)
    with pytest.raises(FileNotFoundError):
        Replay(tmp_path / "absent.tpx3")
    simulate.recording(
        tmp_path / "plain.tpx3", (5, 7), electrons_per_position=9, dwell_time="40 us", layout="single", headerless=True
    )
    with pytest.raises(Tpx3FormatError, match="no chunk headers"):
        Replay(tmp_path / "plain.tpx3")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"cut": -5}, "cut=-5: expected a number of bytes from 0 on"),
        ({"disconnect": -1}, "disconnect=-1: expected a number of bytes from 0 on"),
        ({"segment": 0}, "segment=0: expected a number of bytes from 1 on"),
        ({"stall": (-1, 5.0)}, "expected a number of bytes, and seconds, from 0 on"),
        ({"stall": (5, -5.0)}, "expected a number of bytes, and seconds, from 0 on"),
        ({"stall": (5, float("nan"))}, "expected a number of bytes, and seconds, from 0 on"),
    ],
)
def test_faults_that_can_never_happen_are_refused(fault, words):
    with pytest.raises(ValueError, match=words):
        Faults(**fault)
