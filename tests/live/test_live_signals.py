"""`hyperspy_sparse.live`: signals that follow a recording, and in the end the signal of its file."""

import asyncio
import threading

import hyperspy.api as hs
import matplotlib.pyplot as plt
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse import live_view
from hyperspy_sparse.kernels.center_of_mass import center_of_mass
from rsciio_tpx3 import simulate
from rsciio_tpx3.live import Faults, Replay

NY, NX = 9, 7
SHAPE = {"navigation_shape": (NX, NY)}
QUICK = {"wait": 30}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    simulate.recording(
        path, (NY, NX), electrons_per_position=50, dwell_time="200 us", n_frames=2, chunk_counts=True, seed=5
    )
    return path, hs.load(path, lazy=True, show_progressbar=False, **SHAPE)


def _live(path, **options):
    return hyperspy_sparse.live("tcp://connect@127.0.0.1:0", record=path, **SHAPE, **QUICK, **options)


def _replay(live, sent, **options):
    to = f"tcp://127.0.0.1:{live.session.recorder.address.port}"
    return Replay(sent, to, **{"speed": None, **options})


def _dense(signal):
    return np.asarray(signal.data.compute(scheduler="sync"))


@pytest.mark.slow
def test_signals_follow_and_the_signal_is_that_of_the_file(tmp_path, sent):
    path, whole = sent
    roi = hs.roi.CircleROI(250.5, 260.5, 60)
    mask = np.zeros((512, 512), bool)
    mask[200:300, 190:310] = True
    with _live(tmp_path / "scan.tpx3", layout="quad") as live:
        counts, image, boxed = live.counts(), live.virtual_image(roi), live.virtual_image(mask, frame="sum")
        pattern, com = live.sum_pattern(), live.center_of_mass()
        assert live.state == "waiting"
        with _replay(live, path, speed=1.0):
            live.run()
    dense = _dense(whole)
    np.testing.assert_array_equal(counts.data, dense[1].sum(axis=(-1, -2)))
    np.testing.assert_array_equal(image.data, hyperspy_sparse.virtual_images(whole, [roi]).data.compute()[0][1])
    np.testing.assert_array_equal(boxed.data, dense[..., mask].sum(axis=(0, -1)))
    np.testing.assert_array_equal(pattern.data, dense.sum(axis=(0, 1, 2)))
    expected = center_of_mass(whole.data[1].compute()).reshape(NY, NX, 2)
    np.testing.assert_allclose(com.data, np.moveaxis(expected, -1, 0), rtol=1e-12)
    assert [a.name for a in counts.axes_manager.signal_axes] == ["x", "y"]
    assert [a.name for a in pattern.axes_manager.signal_axes] == ["kx", "ky"]
    assert (live.state, live.losses, live.lines_final) == ("ended", {}, 2 * NY)
    _same(live.signal, hs.load(tmp_path / "scan.tpx3", lazy=True, show_progressbar=False, layout="quad", **SHAPE))


def _same(one, other):
    np.testing.assert_array_equal(_dense(one), _dense(other))
    assert type(one) is type(other)
    found, expected = (s.metadata.as_dictionary() for s in (one, other))
    for tree in (found, expected):
        tree["General"].pop("FileIO", None)
        tree.pop("_HyperSpy", None)
        for step in tree.get("Processing", {}).values():
            step.pop("date", None) if isinstance(step, dict) else None
    assert found == expected
    assert one.original_metadata.as_dictionary() == other.original_metadata.as_dictionary()


def test_losses_are_those_of_the_file(tmp_path, sent):
    path, _ = sent
    with _live(tmp_path / "scan.tpx3") as live:
        with _replay(live, path, faults=Faults(lost_chunks=[70, 71, 120])):
            live.run()
    losses = live.signal.metadata.Acquisition_instrument.TEM.Detector.Losses.as_dictionary()
    assert live.losses == losses == {"chunks_lost": 3}


def test_plots_are_redrawn_and_a_detector_can_be_moved(tmp_path, sent):
    path, whole = sent
    drawn = []
    roi = hs.roi.RectangularROI(0, 0, 512, 512)
    with _live(tmp_path / "scan.tpx3", layout="quad", every=0.01) as live:
        image = live.virtual_image(roi)
        image.plot()
        image.events.data_changed.connect(lambda obj: drawn.append(obj.data.sum()))
        with _replay(live, path, speed=0.5):
            while live.lines_drawn < NY:
                live.run(timeout=0.05)
            roi.right = 256
            live.run()
    assert drawn
    plt.close("all")
    np.testing.assert_array_equal(image.data, _dense(whole)[1][..., :256].sum(axis=(-1, -2)))


def test_a_notebook_awaits_it(tmp_path, sent):
    path, whole = sent

    async def cell(live):
        ticks = 0

        async def other_cells():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        task = asyncio.ensure_future(other_cells())
        await live
        task.cancel()
        return ticks

    with _live(tmp_path / "scan.tpx3") as live:
        counts = live.counts("sum")
        with _replay(live, path, speed=2.0):
            assert asyncio.run(cell(live)) > 1
    np.testing.assert_array_equal(counts.data, _dense(whole).sum(axis=(0, -1, -2)))


@pytest.mark.slow
def test_the_signal_while_it_runs_and_after_a_cut(tmp_path, sent):
    path, whole = sent
    size = path.stat().st_size
    with _live(tmp_path / "scan.tpx3") as live:
        with _replay(live, path, faults=Faults(cut=size // 2 + 5, stall=(size // 3, 2.0))):
            while live.lines_drawn < 3:
                live.run(timeout=0.02)
            running = live.signal
            live.run()
    assert running.data.shape[-4:-2] == (NY, NX)
    part, dense = _dense(live.signal), _dense(whole)
    # on a slow machine the rest had come before the signal was made
    assert 0 < _dense(running).sum() <= part.sum() < dense.sum()
    assert (
        part.reshape(-1, *part.shape[-3:]) <= dense.reshape(-1, *part.shape[-3:])[: part[..., 0, 0].size // NX]
    ).all()


@pytest.mark.slow
def test_an_accumulator_gets_every_line_once(tmp_path, sent):
    path, whole = sent

    class Sum:
        def __init__(self):
            self.frames, self.threads = np.zeros((2 * NY * NX, 512, 512), np.int64), set()

        def add(self, rows):
            self.frames[rows.start : rows.stop] += np.asarray(rows.frames)
            self.threads.add(threading.current_thread())

    accumulator = Sum()
    with _live(tmp_path / "scan.tpx3") as live:
        live.plug(accumulator)
        with _replay(live, path):
            live.run()
    np.testing.assert_array_equal(accumulator.frames, _dense(whole).reshape(-1, 512, 512))


def test_ctrl_c_keeps_what_was_recorded(tmp_path, sent, monkeypatch):
    path, _ = sent

    def interrupt():
        if live.lines_drawn > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(live_view, "_give_way", interrupt)
    with _live(tmp_path / "scan.tpx3") as live:
        with _replay(live, path, faults=Faults(stall=(path.stat().st_size // 2, 60))):
            live.run()
    assert (live.state, live.session.finished) == ("stopped", True)
    assert (tmp_path / "scan.tpx3").read_bytes() == path.read_bytes()[: path.stat().st_size // 2]
    assert _dense(live.signal).sum() > 0


def test_counts_alone(tmp_path, sent):
    path, whole = sent
    with _live(tmp_path / "scan.tpx3", layout="quad", only_counts=True) as live:
        counts = live.counts("sum")
        for more in (live.sum_pattern, live.center_of_mass, live.integrated_center_of_mass):
            with pytest.raises(ValueError, match=f"{more.__name__}\\(\\) has nothing to show"):
                more()
        with pytest.raises(ValueError, match="Leave only_counts out"):
            live.virtual_image(hs.roi.CircleROI(256, 256, 40))
        with _replay(live, path):
            live.run()
    np.testing.assert_array_equal(counts.data, _dense(whole).sum(axis=(0, -1, -2)))
    assert live.signal.data.shape == whole.data.shape


def test_what_cannot_be_shown_is_said(tmp_path):
    with pytest.raises(ValueError, match="shows scans"):
        _live(tmp_path / "a.tpx3", signal="frames", frame_time="1 ms")
    with _live(tmp_path / "a.tpx3") as live:
        with pytest.raises(ValueError, match="frame='last' is not valid"):
            live.counts("last")
        with pytest.raises(ValueError, match="do not add up"):
            live.center_of_mass("sum")
        with pytest.raises(ValueError, match="pass its layout"):
            live.sum_pattern(wait=0.05)
    with _live(tmp_path / "b.tpx3", layout="single") as live:
        with pytest.raises(ValueError, match=r"the mask has shape \(3, 3\), the detector \(256, 256\)"):
            live.virtual_image(np.ones((3, 3), bool))
        assert "waiting, 0 lines" in repr(live)
