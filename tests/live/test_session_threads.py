"""What several threads ask of a session while it follows: it is done in order, and none of it ends the others."""

import contextlib
import random
import threading
import time

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, simulate
from rsciio_tpx3.exceptions import LimitError
from rsciio_tpx3.live.following import Following
from rsciio_tpx3.live.replay import Replay
from rsciio_tpx3.live.session import Session

NY, NX = 9, 7
SHAPE = {"navigation_shape": (NX, NY)}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(path, (NY, NX), electrons_per_position=40, dwell_time="100 us", n_frames=2, seed=8)
    return path, np.asarray(file_reader(path, lazy=False, show_progressbar=False, **SHAPE)[0]["data"])


@pytest.fixture(autouse=True)
def threads_must_not_die(monkeypatch):
    died = []
    monkeypatch.setattr(threading, "excepthook", lambda about: died.append(about.exc_value))
    yield
    assert died == []


def _disk(rng):
    y, x, radius = rng.randrange(100, 400), rng.randrange(100, 400), rng.randrange(5, 150)
    return lambda shape: np.hypot(np.arange(shape[0])[:, None] - y, np.arange(shape[1]) - x) < radius


class _Asking(threading.Thread):
    """Adds and moves virtual detectors, some of them impossible, and looks at what is known."""

    def __init__(self, session, seed):
        super().__init__()
        self.session, self.rng, self.masks, self.views = session, random.Random(seed), {}, {}
        self.impossible = 0

    def run(self):
        rng = self.rng
        for _ in range(40):
            if len(self.masks) < 8 and rng.random() < 0.5:
                mask = _disk(rng)
                number = self.session.add_detector(mask)
                self.masks[number] = mask
                self.views[number] = self.session.view(lambda following, n=number: following.virtual_image(n))
            elif self.masks and rng.random() < 0.8:
                number = rng.choice(sorted(self.masks))
                self.masks[number] = _disk(rng)
                self.session.move_detector(number, self.masks[number])
            elif self.impossible < 4:
                self.impossible += 1
                with contextlib.suppress(ValueError):  # said at once where nothing runs any more
                    self.session.add_detector(lambda shape: [][shape[0]])
            following = self.session.following
            assert isinstance(following.notes, list) and isinstance(following.losses, dict)
            assert following.lines_final <= following.lines_drawn + 2 * NY
            assert following.sig_shape in (None, (512, 512))
            time.sleep(rng.random() * 0.004)


@pytest.mark.parametrize("seed", range(3))
def test_detectors_come_and_move_while_measurements_are_sent(tmp_path, sent, seed):
    path, data = sent
    rng = random.Random(seed)
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", measurements=3, every=0.001, **SHAPE)
    asking = [_Asking(session, 10 * seed + k) for k in range(2)]
    with session:
        to = f"tcp://127.0.0.1:{session.recorder.address.port}"
        with Replay(path, to, speed=rng.choice([None, 1.0, 3.0]), times=3):
            for one in asking:
                one.start()
            assert session.wait(60)
        for one in asking:
            one.join()
    assert session.error is None
    assert any("could not be made" in note for note in session.refused + session.following.notes)
    for one in asking:
        assert one.masks
        for number, mask in one.masks.items():
            expected = data[..., mask((512, 512))].sum(axis=-1)
            np.testing.assert_array_equal(one.views[number].array, np.asarray(expected))


def test_a_mask_that_does_not_fit_ends_nothing_else(tmp_path, sent):
    path, data = sent
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", **SHAPE)
    with session:
        session.add_detector(np.ones((3, 4), bool))
        number = session.add_detector(lambda shape: np.ones(shape, bool))
        image = session.view(lambda following: following.virtual_image(number))
        with Replay(path, f"tcp://127.0.0.1:{session.recorder.address.port}", speed=None):
            assert session.wait(30)
    assert (session.error, session.refused) == (None, [])
    assert [note for note in session.following.notes if "mask of shape (3, 4)" in note]
    np.testing.assert_array_equal(image.array, np.asarray(data.sum(axis=(-1, -2))))
    with pytest.raises(ValueError, match=r"mask of shape \(3, 4\)"):
        session.add_detector(np.ones((3, 4), bool))
    assert session.add_detector(lambda shape: np.ones(shape, bool)) == 2


def test_there_are_as_many_detectors_as_fit(tmp_path):
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", **SHAPE)
    for number in range(32):
        assert session.add_detector(lambda shape: np.ones(shape, bool)) == number
    with pytest.raises(LimitError, match="32 virtual detectors already"):
        session.add_detector(lambda shape: np.ones(shape, bool))
    with pytest.raises(ValueError, match="there is no virtual detector 32"):
        session.move_detector(32, lambda shape: np.ones(shape, bool))
    with pytest.raises(ValueError, match="there is no virtual detector 0"):
        Following(tmp_path / "scan.tpx3", **SHAPE).move_detector(0, np.ones((5, 4), bool))


def test_a_mistake_in_following_ends_no_recording(tmp_path, sent, monkeypatch):
    path, _ = sent
    session = Session("tcp://connect@127.0.0.1:0", tmp_path / "scan.tpx3", **SHAPE)
    monkeypatch.setattr(session, "_next_file", lambda: [][1])
    with session:
        with Replay(path, f"tcp://127.0.0.1:{session.recorder.address.port}", speed=None):
            assert session.wait(30)
    assert isinstance(session.error, IndexError)
    assert (tmp_path / "scan.tpx3").read_bytes() == path.read_bytes()
