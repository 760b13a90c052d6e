"""The log of a reading is enough to repeat it, and to see whether files and tables are the same."""

import hashlib
import json

import numpy as np
import pytest

import rsciio_tpx3
from rsciio_tpx3 import simulate
from rsciio_tpx3.reader.deferred import completed

NX, NY, FRAMES = 7, 5, 4
MASK = np.zeros((516, 516), bool)
MASK[200:260] = True


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Four frames on a quad with a gap."""
    path = tmp_path_factory.mktemp("reading_log") / "scan.tpx3"
    simulate.recording(
        path, (NY, NX), n_frames=FRAMES, hits="realistic", gap=4, electrons_per_position=20, dwell_time="12 us",
        frame_flyback="300 us", seed=6,
    )  # fmt: skip
    return path


def load(path, **options):
    [signal] = rsciio_tpx3.file_reader(path, lazy=True, show_progressbar=False, **options)
    return completed(signal)


def parameters(signal):
    return json.loads(signal["metadata"]["General"]["Processing"]["reading_0"]["parameters"])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"scan_delay": "-0.4 us", "pattern": "serpentine"}, {"scan_delay": "-4e-07 s", "pattern": "serpentine"}),
        ({"frames": [0, 1, 3], "dwell_time": "12.0003 us"}, {"frames": [0, 1, 3], "dwell_time": "1.20003e-05 s"}),
        ({"frames": slice(1, None, 2)}, {"frames": "1::2"}),
        ({"frames": ("sum", [3, 1]), "dtype": "uint32"}, {"frames": ["sum", [3, 1]], "dtype": "uint32"}),
        ({"frames": "sum", "time_bins": 3}, {"frames": "sum", "time_bins": {"over": "dwell", "number": 3}}),
        ({"frames": -1}, {"frames": -1}),
        (
            {"time_bins": {"over": "recording", "width": "0.3 ms"}},
            {"time_bins": {"over": "recording", "width": "0.0003 s"}},
        ),
        ({"signal": "frames", "frame_time": "77 us"}, {"signal": "frames", "frame_time": "7.7e-05 s"}),
        ({"cluster": True}, {"cluster": True}),
        (
            {"cluster": {"window": "90 ns", "position": "centroid", "upsample": 2, "max_size": 6, "time": "earliest"}},
            {"cluster": {"window": "9.010416666666667e-08 s", "position": "centroid", "upsample": 2, "max_size": 6}},
        ),
        (
            {"values": "energy", "corrections": {"columns": "phase", "time_walk": [(1, 50), (40, 0)],
                                                 "energy": [(0, 6), (60, 206)], "wide_pixels": "spread", "mask": None}},
            {"values": "energy", "corrections": {"columns": "phase", "time_walk": [[1, 50], [40, 0]],
                                                 "energy": [[0, 6], [60, 206]], "wide_pixels": "spread"}},
        ),
        (
            {"corrections": {"mask": "find", "columns": (np.arange(256) % 5, "ns"), "time_walk": True}},
            {"corrections": {"mask": "find", "columns": [[n % 5 for n in range(256)], "ns"], "time_walk": True}},
        ),
    ],
)  # fmt: skip
def test_a_reading_can_be_repeated_from_its_metadata(path, options, names):
    first = load(path, navigation_shape=None if "signal" in options else (NX, NY, FRAMES), gap=4, **options)
    recorded = parameters(first)
    assert {name: recorded.get(name) for name in names} == names
    always = {"layout", "gap", "orientation", "dtype"} | (set() if "signal" in options else {"navigation_shape"})
    assert set(recorded) == {*names, *always}
    again = load(path, **recorded)
    assert parameters(again) == recorded
    assert again["axes"] == first["axes"]
    one, other = first["data"].compute(), again["data"].compute()
    for name in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_delay_has_a_place_of_its_own(path):
    scan = load(path, gap=4, navigation_shape=(NX, NY, FRAMES), scan_delay="500 ns")["metadata"]
    scan = scan["Acquisition_instrument"]["TEM"]["Scan"]
    assert (scan["scan_delay"], scan["scan_delay_units"]) == (5e-7, "s")
    assert "scan_delay" not in load(path, gap=4)["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_files_and_arrays_of_options_have_checksums(path, tmp_path):
    np.save(tmp_path / "mask.npy", MASK)
    (tmp_path / "walk.txt").write_text("1 50\n40 0\n")
    (tmp_path / "chip").mkdir()
    for letter, number in {"a": 0.3, "b": -1.8, "c": 0.0, "t": 0.0}.items():
        np.savetxt(tmp_path / "chip" / f"calib{letter}.txt", np.full((516, 516), number), fmt="%g")
    (tmp_path / "chip" / "other.tpx3").write_bytes(b"no part of it")
    options = {"mask": tmp_path / "mask.npy", "time_walk": str(tmp_path / "walk.txt"), "energy": f"{tmp_path}/chip/"}
    files = {
        "mask": {"file": "mask.npy", "sha256": sha256((tmp_path / "mask.npy").read_bytes())},
        "time_walk": {"file": "walk.txt", "sha256": sha256(b"1 50\n40 0\n")},
        "energy": {
            "file": "chip",
            "files": [
                {"file": f"calib{n}.txt", "sha256": sha256((tmp_path / "chip" / f"calib{n}.txt").read_bytes())}
                for n in "abct"
            ],
        },
    }
    signal = load(path, gap=4, corrections=options)
    assert parameters(signal)["corrections"] == files
    found = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"]
    for name, entry in files.items():
        own = found[name.capitalize()]
        assert {key: own[key] for key in entry} == entry

    matrices = {"a": 0.3, "b": -1.8, "c": np.zeros((516, 516)), "t": tmp_path / "chip" / "calibt.txt"}
    options = {"mask": MASK, "energy": matrices}
    signal = load(path, gap=4, corrections=options)
    arrays = parameters(signal)["corrections"]
    assert arrays["mask"] == {"shape": [516, 516], "dtype": "bool", "sha256": sha256(MASK.tobytes())}
    assert (arrays["energy"]["a"], arrays["energy"]["c"]["shape"]) == (0.3, [516, 516])
    assert arrays["energy"]["t"] == files["energy"]["files"][3]
    found = signal["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"]
    assert found["Mask"]["given"] == arrays["mask"] and found["Energy"]["given"] == arrays["energy"]


def test_small_tables_stay_whole(path):
    rows = [(1, 50), (40, 0)]
    options = {"columns": (np.full(256, 2), "ns"), "time_walk": np.array(rows)}
    instrument = load(path, gap=4, corrections=options)["metadata"]["Acquisition_instrument"]["TEM"]
    found = instrument["Detector"]["Corrections"]
    assert found["Time_walk"] == {"method": "table", "rows": 2, "given": [[1, 50], [40, 0]]}
    assert (found["Columns"]["given"], found["Columns"]["given_units"]) == ([2] * 256, "ns")


@pytest.mark.parametrize(
    ("frames", "used"), [([0, 1, 3], 3), (2, 1), (slice(1, 3), 2), (("sum", [0, 2, 3]), 3), ("sum", 4), (None, 4)]
)
def test_lines_are_counted_for_the_frames_that_are_used(path, frames, used):
    scan = load(path, gap=4, frames=frames)["metadata"]["Acquisition_instrument"]["TEM"]["Scan"]
    assert (scan["lines_expected"], scan["lines_placed"]) == (used * NY, used * NY)
    assert (scan["lines_found"], scan["lines_left_out"]) == (FRAMES * NY, (FRAMES - used) * NY)
