"""The phase of a scan that is being recorded: in the end that of the whole."""

import time

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
from rsciio_tpx3 import simulate
from rsciio_tpx3.live import Replay

NY, NX = 20, 24
SHAPE = {"navigation_shape": (NX, NY)}
MICROSCOPE = {"beam_energy": "200 keV", "convergence_angle": "20 mrad", "scan_step": "0.04 nm"}
DISK = {"center": (256.0, 256.0), "radius": 12.8, "across": 6}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "scan.tpx3"
    intensity = np.asarray(hyperspy_sparse.data.phase_object((NY, NX), electrons=300).data.compute(), float)
    simulate.recording(path, intensity=intensity, electrons_per_position=300, dwell_time="60 us", n_frames=2, seed=4)
    return path, hs.load(path, lazy=True, show_progressbar=False, **SHAPE)


def _live(path, **options):
    return hyperspy_sparse.live("tcp://connect@127.0.0.1:0", record=path, wait=60, **SHAPE, **options)


def _replay(live, sent, **options):
    return Replay(sent, f"tcp://127.0.0.1:{live.session.recorder.address.port}", **{"speed": None, **options})


@pytest.mark.slow
def test_phase_grows_and_is_that_of_the_whole(tmp_path, sent):
    path, whole = sent
    content, recorded = path.read_bytes(), tmp_path / "scan.tpx3"
    recorded.write_bytes(content[: len(content) // 3])
    with hyperspy_sparse.live(recorded, **SHAPE) as live:
        phase = live.phase("ssb", **DISK, **MICROSCOPE, wait=60)
        surface = live.integrated_center_of_mass("sum")
        until = time.monotonic() + 60
        while not phase.data.any() and time.monotonic() < until:
            live.run(timeout=0.1)
        early = phase.data.copy()
        with open(recorded, "ab") as file:
            file.write(content[recorded.stat().st_size :])
    total = hyperspy_sparse.set_microscope(whole.sum(axis=2), **MICROSCOPE)
    expected = hyperspy_sparse.phase(total, "ssb", **DISK)
    np.testing.assert_allclose(phase.data, expected.data, atol=1e-9)
    assert early.any()
    assert not np.array_equal(early, phase.data)
    # what integrates the centre of mass agrees with the same made of tilted images whose groups are single pixels
    fine = hyperspy_sparse.phase(total, "icom", **{**DISK, "radius": 46.0, "across": 92})
    assert np.corrcoef(surface.data.ravel(), fine.data.ravel())[0, 1] > 0.99


def test_a_line_accumulator_can_be_plugged_in(tmp_path, sent):
    path, whole = sent
    groups = make_groups(Disk(256, 256, 12.8), (512, 512), 6)
    accumulator = hyperspy_sparse.LineAccumulator(groups, (NY, NX))
    with _live(tmp_path / "scan.tpx3") as live:
        live.plug(accumulator)
        with _replay(live, path):
            live.run()
        with pytest.raises(ValueError, match=r"positions of shape \(3, 4\) \(y, x\), the scan \(20, 24\)"):
            live.plug(hyperspy_sparse.LineAccumulator(groups, (3, 4)))
    stack = hyperspy_sparse.tilted_images(whole.sum(axis=2), **DISK)
    np.testing.assert_array_equal(accumulator.images, np.asarray(stack.data))
    np.testing.assert_array_equal(accumulator.counts, whole.sum(axis=(2, 3, 4)).data.compute())


def test_what_is_missing_for_a_phase_is_said(tmp_path, sent):
    path, _ = sent
    with _live(tmp_path / "scan.tpx3") as live:
        with pytest.raises(ValueError, match="nothing has come yet"):
            live.phase(wait=0.05)
        with pytest.raises(ValueError, match="method='x'"):
            live.phase("x")
        with _replay(live, path):
            with pytest.raises(ValueError, match="needs beam_energy, scan_step"):
                live.phase("ssb", wait=60)
            live.run()
