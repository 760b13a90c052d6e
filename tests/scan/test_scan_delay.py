"""The delay between scan and detector, and the jitter of lines, against what was simulated."""

import numpy as np
import pytest

from rsciio_tpx3 import file_reader, find_scan_delay, simulate
from rsciio_tpx3.scan.line_profiles import half_mask

NY, NX = 48, 64


def _recorded(path, dwell, positions, **options):
    base = {"electrons_per_position": 100, "layout": "single", "start_time": "2 ms", "seed": 3}
    delay = f"{positions * dwell} us"
    return simulate.recording(
        path,
        (NY, NX),
        dwell_time=f"{dwell} us",
        scan_delay=delay,
        line_flyback=f"{13 * dwell} us",
        **{**base, **options},
    )


CASES = [
    ("serpentine", False, "forward-backward"),
    ("serpentine", True, "forward-backward"),
    ("raster", False, "borders"),
    ("raster", True, "borders"),
    ("raster", "retrace", "retrace"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("pattern", "flyback", "method"), CASES)
@pytest.mark.parametrize(("dwell", "positions"), [(0.7, -3.4), (1.9, 2.6), (24.0, 0.3)])
def test_delay_is_found_within_its_error(tmp_path, pattern, flyback, method, dwell, positions):
    path = tmp_path / "scan.tpx3"
    _recorded(path, dwell, positions, pattern=pattern, flyback_electrons=flyback, electrons_per_position=200)
    found = find_scan_delay(path, navigation_shape=(NX, NY), pattern=pattern)
    assert found.method == method
    assert abs(found.delay - positions * dwell * 1e-6) < 3 * found.error
    assert found.error < 0.2 * dwell * 1e-6
    assert found.delays[np.argmax(found.agreement)] == pytest.approx(found.delay, abs=dwell * 1e-6)


def test_delay_that_is_applied_is_found_to_be_zero_more(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = _recorded(path, 5, 3, pattern="serpentine")
    options = {"navigation_shape": (NX, NY), "pattern": "serpentine"}
    found = find_scan_delay(path, **options)
    again = find_scan_delay(path, scan_delay=found.scan_delay, **options)
    assert abs(again.delay - found.delay) < 3 * found.error
    data = file_reader(path, scan_delay="15 us", show_progressbar=False, **options)[0]
    navigator = data["post_process"][0].keywords["navigator"]
    np.testing.assert_array_equal(navigator, truth.counts()[0])


def test_frames_and_averaged_lines_are_looked_through_line_by_line(tmp_path):
    path = tmp_path / "scan.tpx3"
    _recorded(path, 4, 2.5, pattern="serpentine", n_frames=3, electrons_per_position=30)
    for options in ({"navigation_shape": (NX, NY)}, {"navigation_shape": (NX, NY // 2, 3), "lines_per_row": 2}):
        found = find_scan_delay(path, pattern="serpentine", frames="sum", time_bins=2, **options)
        assert abs(found.delay - 10e-6) < 3 * found.error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"electrons_per_position": 1, "flyback_electrons": True}, "no clear maximum"),
        ({"electrons_per_position": 1, "flyback_electrons": "retrace"}, "no clear maximum"),
        ({"electrons_per_position": 2, "pattern": "serpentine"}, "no clear maximum"),
        ({"electrons_per_position": 0}, "no clear maximum"),
    ],
)
def test_nothing_is_said_where_nothing_can_be_seen(tmp_path, options, words):
    path = tmp_path / "scan.tpx3"
    _recorded(path, 5, 2, **options)
    with pytest.raises(ValueError, match=words):
        find_scan_delay(path, navigation_shape=(NX, NY), pattern=options.get("pattern", "raster"))


def test_featureless_specimen_under_a_resting_beam_is_refused(tmp_path):
    path = tmp_path / "scan.tpx3"
    _recorded(path, 5, 2, intensity=np.ones((NY, NX, 4, 6)), flyback_electrons=True)
    with pytest.raises(ValueError, match="no clear maximum"):
        find_scan_delay(path, navigation_shape=(NX, NY))


def test_delay_beyond_the_range_is_refused(tmp_path):
    path = tmp_path / "scan.tpx3"
    _recorded(path, 5, 14, pattern="serpentine")
    options = {"navigation_shape": (NX, NY), "pattern": "serpentine"}
    with pytest.raises(ValueError, match="no clear maximum"):
        find_scan_delay(path, **options)
    found = find_scan_delay(path, span="100 us", **options)
    assert abs(found.delay - 70e-6) < 3 * found.error
    found = find_scan_delay(path, scan_delay="60 us", **options)
    assert abs(found.delay - 70e-6) < 3 * found.error


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "sharpness"}, "must be one of 'auto'"),
        ({"method": "forward-backward"}, "does not fit a raster"),
        ({"pattern": "serpentine", "method": "borders"}, "does not fit a serpentine"),
        ({"span": "1 ms"}, "too short to look"),
        ({"span": 3}, "no unit"),
        ({"mask": np.ones((3, 4), bool)}, r"\(3, 4\), the detector \(256, 256\)"),
        ({"signal": "frames", "frame_time": "1 ms"}, "have none"),
        ({"skip_lines": (0, 40)}, "too few"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, options, words):
    path = tmp_path / "scan.tpx3"
    _recorded(path, 5, 2, electrons_per_position=1)
    shape = (NX, NY - 40) if "skip_lines" in options else (NX, NY)
    with pytest.raises(ValueError, match=words):
        find_scan_delay(path, navigation_shape=shape, **options)


def test_curve_is_drawn(tmp_path):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    path = tmp_path / "scan.tpx3"
    _recorded(path, 5, 2)
    found = find_scan_delay(path, navigation_shape=(NX, NY))
    ax = found.plot()
    assert ax.get_xlabel() == "delay / us" and "borders" in ax.get_title()
    assert found.plot(ax) is ax and "borders" in repr(found)
    plt.close("all")


def test_half_of_the_counts_lies_inside():
    y, x = np.indices((31, 40))
    pattern = np.exp(-((y - 12) ** 2 + (x - 23) ** 2) / 50.0) * 1000
    outer = half_mask(pattern)
    assert not outer[12, 23] and outer[0, 0]
    assert pattern[outer].sum() == pytest.approx(pattern.sum() / 2, rel=0.05)
    assert not half_mask(np.zeros((3, 4))).any()


@pytest.mark.parametrize(("jitter", "n_frames"), [(0, 1), (60, 1), (60, 3)])
def test_line_jitter_is_measured_with_its_error(tmp_path, jitter, n_frames):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(
        path, (150, 5), sync="line-start", line_jitter=f"{jitter} ns", dwell_time="3 us", n_frames=n_frames,
        frame_flyback="70 us", electrons_per_position=1, layout="single", seed=6,
    )  # fmt: skip
    found = file_reader(path, navigation_shape=(5, 150), dwell_time="3 us", lazy=True, show_progressbar=False)[0]
    scan = found["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert scan["line_jitter_units"] == "s"
    # what was drawn, which differs from the 60 ns it was drawn from
    shifts = truth.scan.line_starts - np.arange(150) * int(truth.scan.line_pitch)
    drawn = np.sqrt((shifts - shifts.mean(axis=1, keepdims=True)).var()) / 3.84e9
    assert scan["line_jitter"] == pytest.approx(drawn, rel=0.02, abs=0.2e-9)
    assert abs(scan["line_jitter"] - jitter * 1e-9) < 4 * scan["line_jitter_errors"] + 0.2e-9
    assert jitter == 0 or 0 < scan["line_jitter_errors"] < 0.1 * scan["line_jitter"]
