"""Recording and following at once: each measurement is drawn to its end, whatever happens to it."""

import socket
import time

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.live import warm_up
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.replay import Faults, Replay
from rsciio_tpx3.live.session import Session

NY, NX = 9, 7
SHAPE = {"navigation_shape": (NX, NY)}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=50, dwell_time="200 us", n_frames=2, seed=5)
    return path, np.asarray(file_reader(path, lazy=False, show_progressbar=False, **SHAPE)[0]["data"]).sum(
        axis=(-1, -2)
    )


def _session(path, sent, times=1, speed=None, faults=None, **options):
    session = Session("tcp://connect@127.0.0.1:0", path, measurements=times, **SHAPE, **options)
    counts = session.view(lambda following: following.counts())
    with session:
        to = f"tcp://127.0.0.1:{session.recorder.address.port}"
        with Replay(sent, to, speed=speed, times=times, faults=faults):
            assert session.wait(30)
    return session, counts


@pytest.mark.parametrize("speed", [None, 0.5])
def test_a_measurement_is_drawn_to_its_end(tmp_path, sent, speed):
    path, expected = sent
    session, counts = _session(tmp_path / "scan.tpx3", path, speed=speed)
    np.testing.assert_array_equal(counts.array, expected)
    assert (session.state, session.finished, session.error, session.whole) == ("ended", True, None, True)
    assert counts.version >= 1


def test_two_measurements_are_drawn_one_after_the_other(tmp_path, sent):
    path, expected = sent
    session, counts = _session(tmp_path / "scan.tpx3", path, times=2)
    assert session.path.endswith("scan_1.tpx3")
    np.testing.assert_array_equal(counts.array, expected)
    assert len(session.recorded) == 2


def test_a_lost_connection_leaves_what_came(tmp_path, sent):
    path, expected = sent
    session, counts = _session(tmp_path / "scan.tpx3", path, faults=Faults(cut=path.stat().st_size // 2 + 3))
    assert 0 < counts.array.sum() < expected.sum()
    assert (counts.array[0] <= expected[0]).all()


def test_a_recording_that_cannot_be_followed_is_recorded_all_the_same(tmp_path, sent):
    path, _ = sent
    content = bytearray(path.read_bytes())
    at = content.index(b"TPX3", len(content) // 3)
    content[at : at + 4] = b"XXXX"
    broken = tmp_path / "broken.tpx3"
    broken.write_bytes(content)
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", **SHAPE)
    with session:
        with socket.create_connection(("127.0.0.1", session.recorder.address.port)) as sock:
            sock.sendall(content)
        assert session.wait(30)
    assert "damaged from byte" in str(session.error)
    assert (tmp_path / "scan.tpx3").read_bytes() == content


def test_following_a_file_that_somebody_else_writes(tmp_path, sent):
    path, expected = sent
    recorded = tmp_path / "scan.tpx3"
    content = path.read_bytes()
    session = Session(recorded, **SHAPE)
    counts = session.view(lambda following: following.counts())
    inside = session.add_detector(lambda shape: np.ones(shape, bool))
    image = session.view(lambda following: following.virtual_image(inside))
    with session:
        for cut in np.linspace(0, len(content), 8).astype(int)[1:]:
            recorded.write_bytes(content[:cut]) if not recorded.exists() else recorded.open("ab").write(
                content[recorded.stat().st_size : cut]
            )
            time.sleep(0.02)
        session.move_detector(inside, lambda shape: np.zeros(shape, bool))
        assert session.state == "following"
    np.testing.assert_array_equal(counts.array, expected)
    assert (image.array.sum(), session.state) == (0, "finished")


def test_what_is_missing_is_said():
    with pytest.raises(ValueError, match="record= is missing"):
        Session("tcp://localhost:1", **SHAPE)
    with pytest.raises(ValueError, match="has no meaning"):
        Session("a.tpx3", "b.tpx3", **SHAPE)


def test_frames_as_they_are_shown(tmp_path, sent):
    path, expected = sent
    content = path.read_bytes()
    recorded = tmp_path / "scan.tpx3"
    recorded.write_bytes(content[: int(0.75 * len(content))])
    following = Following(recorded, **SHAPE)
    following.update()
    counts = following.counts()
    assert following.frame == 1
    drawn = following._drawn_positions(1)
    assert 0 < drawn.sum() < drawn.size
    latest = following.frame_of(counts)
    for which in ("latest", "complete", "running", "sum"):
        np.testing.assert_array_equal(following.counts(which), following.frame_of(counts, which))
    np.testing.assert_array_equal(latest[drawn], expected[1][drawn])
    np.testing.assert_array_equal(latest[~drawn], expected[0][~drawn])
    np.testing.assert_array_equal(following.frame_of(counts, "complete"), expected[0])
    np.testing.assert_array_equal(following.frame_of(counts, "running"), counts[1])
    np.testing.assert_array_equal(following.frame_of(counts, "sum"), counts.sum(axis=0))
    with pytest.raises(ValueError, match="must be one of 'latest'"):
        following.frame_of(counts, "last")


def test_compiled_code_is_loaded_by_lines_like_any(monkeypatch):
    seen = []
    original = Following.update

    def update(self, ended=False):
        changed = original(self, ended)
        seen.append((changed, int(self.counts().sum()) if ended else None))
        return changed

    monkeypatch.setattr(Following, "update", update)
    warm_up.warm_up.__wrapped__()
    assert seen == [(True, None), (True, 24)]


def test_a_view_of_a_detector_that_was_just_added(tmp_path, sent, monkeypatch):
    path, expected = sent
    answer = Session._answer
    monkeypatch.setattr(Session, "_answer", lambda self: (time.sleep(0.05), answer(self))[1])  # asked for meanwhile
    with Session(path, **SHAPE) as session:
        for _ in range(5):
            number = session.add_detector(lambda shape: np.ones(shape, bool))
            view = session.view(lambda following, number=number: following.virtual_image(number))
            time.sleep(0.03)
    np.testing.assert_array_equal(view.array, expected)


def test_a_view_that_fails_ends_nothing_else(tmp_path, sent, caplog):
    path, expected = sent
    with Session(path, **SHAPE) as session:
        failing = session.view(lambda following: following.counts() / [])
        counts = session.view(lambda following: following.counts())
    np.testing.assert_array_equal(counts.array, expected)
    assert failing.array is None
    assert caplog.text.count("a view is not made any more") == 1


def _until(what, seconds=20):
    begin = time.monotonic()
    while not what():
        assert time.monotonic() - begin < seconds
        time.sleep(0.01)


def test_a_detector_that_is_moved_between_two_measurements_is_drawn(tmp_path, sent):
    path, expected = sent
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", measurements=2, layout="quad", **SHAPE)
    number = session.add_detector(np.zeros((512, 512), bool))
    image = session.view(lambda following: following.virtual_image(number, "sum"))
    counts = session.view(lambda following: following.counts("sum"))
    with session:
        with Replay(path, f"tcp://127.0.0.1:{session.recorder.address.port}", speed=None) as replay:
            assert replay.wait(20)
        _until(lambda: counts.array is not None and counts.array.sum() == expected.sum())
        assert image.array.sum() == 0
        session.move_detector(number, np.ones((512, 512), bool))
        _until(lambda: image.array.sum() > 0)
        np.testing.assert_array_equal(image.array, expected.sum(axis=0))


def test_rates_are_of_one_measurement(tmp_path, sent):
    path, _ = sent
    session, seen = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", measurements=2, **SHAPE), []
    with session:
        to = f"tcp://127.0.0.1:{session.recorder.address.port}"
        with Replay(path, to, speed=0.04, times=2) as replay:
            while not replay.wait(0.02):
                seen.extend(session.rates.values())
    assert max(seen) > 0
    assert min(seen) >= 0


class _Ends:
    def __init__(self):
        self.lines = self.ends = 0

    def add(self, rows):
        self.lines += 1

    def end(self):
        self.ends += 1


def test_an_accumulator_ends_once_whatever_is_plugged_in_afterwards(tmp_path, sent):
    path, _ = sent
    (tmp_path / "scan.tpx3").write_bytes(path.read_bytes())
    following, accumulators = Following(tmp_path / "scan.tpx3", **SHAPE), [_Ends() for _ in range(3)]
    following.plug(accumulators[0])
    following.update(ended=True)
    for accumulator in accumulators[1:]:
        following.plug(accumulator)
    assert [(one.lines, one.ends) for one in accumulators] == [(2 * NY, 1)] * 3


def test_a_file_of_another_name_is_followed_where_somebody_made_one_of_this(tmp_path, sent):
    path, expected = sent
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", **SHAPE)
    counts = session.view(lambda following: following.counts())
    with session:
        (tmp_path / "scan.tpx3").write_bytes(path.read_bytes()[:5000])
        with Replay(path, f"tcp://127.0.0.1:{session.recorder.address.port}", speed=None):
            assert session.wait(30)
    assert session.path.endswith("scan_1.tpx3") and session.whole
    np.testing.assert_array_equal(counts.array, expected)
