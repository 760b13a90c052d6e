"""Each correction against the effect that the simulator put in, and against plain formulas."""

import base64
import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
from electrons.memory_hits import MemoryHits

import rsciio_tpx3
from rsciio_tpx3 import simulate
from rsciio_tpx3.corrections.bad_pixels import read_mask
from rsciio_tpx3.corrections.columns import column_delays
from rsciio_tpx3.corrections.energy import read_calibration
from rsciio_tpx3.corrections.fit import MAKERS, hit_steps, wide_pixel_step
from rsciio_tpx3.corrections.options import CORRECTIONS
from rsciio_tpx3.corrections.steps import CorrectedSource
from rsciio_tpx3.electrons.clusters import ClusteredSource, ClusterOptions
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.exceptions import ConflictError, Tpx3FormatError, UnitError
from rsciio_tpx3.simulate import Defects, HitModel
from rsciio_tpx3.tpx3 import Tpx3Source

COLUMNS = np.arange(256)
PHASE = np.where(COLUMNS // 2 % 16 == 0, 16, COLUMNS // 2 % 16) * 6


def test_every_correction_has_a_check_and_a_maker():
    # wide pixels come after clustering, in rsciio_tpx3.reader.event_options
    assert list(CORRECTIONS) == [*MAKERS, "wide_pixels"]


def columns(hits):
    found = np.array([hits.toa, hits.pixel, hits.tot])
    return found[:, np.lexsort(found)]


def in_pieces(source, n):
    """All hits, asked for in spans of time of unequal length."""
    low, high = source.index().hit_span
    borders = np.unique(np.concatenate([[low], np.random.default_rng(n).integers(low, high + 1, n), [high + 1]]))
    return [source.hits(int(a), int(b)) for a, b in zip(borders[:-1], borders[1:])]


def same_in_pieces(source):
    whole = columns(source.hits())
    for n in (1, 9):
        parts = np.concatenate([columns(h) for h in in_pieces(source, n)], axis=1)
        np.testing.assert_array_equal(parts[:, np.lexsort(parts)], whole)
    parts = np.concatenate([columns(h) for piece in source.work(3) for h in source.part(piece)], axis=1)
    np.testing.assert_array_equal(parts[:, np.lexsort(parts)], whole)


@pytest.fixture(scope="module")
def walking(tmp_path_factory):
    """A recording with time walk, charge sharing and columns that are off; and its truth."""
    path = tmp_path_factory.mktemp("walk") / "walk.tpx3"
    offset = np.tile(-PHASE, (256, 1))
    offset[0, 194:204] += 96
    model = HitModel(column_offset=offset, walk="60 ns")
    truth = simulate.recording(path, (9, 7), hits=model, dwell_time="20 us", electrons_per_position=60, seed=5)
    return str(path), truth


def delays(truth, hits):
    """Time of each hit after its electron, in ns, hits matched by pixel and ToT in the order of the stream."""
    assert np.array_equal(hits.pixel, truth.hit_pixel) and np.array_equal(hits.tot, truth.hit_tot)
    return (hits.toa - truth.electron_time[truth.hit_electron]) / 3.84


def test_known_columns_are_put_right(walking):
    path, truth = walking
    source = Tpx3Source(path, layout="quad")
    corrected, [step] = hit_steps(source, {"columns": ["phase", "double-columns-97-101"]})
    hits = corrected.hits()
    before, after = delays(truth, source.hits()), delays(truth, hits)
    table, _ = column_delays(["phase", "double-columns-97-101"], truth.layout)
    np.testing.assert_array_equal(np.rint((after - before) * 3.84), table[truth.hit_pixel])
    assert before.min() < -20 and after.min() > -7  # what is left is time walk and jitter
    assert after.mean() - before.mean() == pytest.approx(table[truth.hit_pixel].mean() / 3.84)
    same_in_pieces(corrected)
    assert step.report()["rule"] == "phase, double-columns-97-101"


def test_phase_is_counted_in_columns_of_the_chip():
    layout = make_layout("quad", gap=4)
    ticks, _ = column_delays("phase", layout)
    image = ticks.reshape(layout.sig_shape)
    np.testing.assert_array_equal(image[3, :256], PHASE)
    np.testing.assert_array_equal(image[3, 260:], PHASE)
    np.testing.assert_array_equal(image[400, :256], PHASE[::-1])  # chip 2 is turned by 180 degrees
    assert not image[:, 256:260].any()
    defect, _ = column_delays("double-columns-97-101", layout)
    found = np.unique(np.nonzero(defect.reshape(layout.sig_shape))[1])
    np.testing.assert_array_equal(found, 260 + np.arange(194, 204))
    table = np.zeros((4, 256))
    table[2, 5] = 25
    ticks, _ = column_delays((table, "ns"), layout)
    assert np.argwhere(ticks.reshape(layout.sig_shape) == 96)[:, 1].tolist() == [250] * 256


def test_time_walk_is_found_and_taken_off(walking):
    path, truth = walking
    source = Tpx3Source(path, layout="quad")
    corrected, steps = hit_steps(source, {"columns": ["phase", "double-columns-97-101"], "time_walk": True})
    found = steps[1].report()
    # the simulator: walk * threshold / charge, charge = threshold + ToT / 0.3
    assert found["a"] == pytest.approx(60 * 6 * 0.3, rel=0.1)
    assert found["b"] == pytest.approx(6 * 0.3, abs=0.5)
    assert found["rms_after"] < 0.3 * found["rms_before"]
    before, after = delays(truth, source.hits()), delays(truth, corrected.hits())
    small = truth.hit_tot < 8
    assert np.std(after) < 0.35 * np.std(before)
    # ToT is noisy and rounded, so small charges keep a part of their spread
    assert abs(after[small].mean() - after[~small].mean()) < 2 and after[~small].std() < 1.5
    assert steps[1].ticks[found["tot_without_delay"]] == 0
    same_in_pieces(corrected)


def test_files_are_recorded_by_their_names(tmp_path):
    np.savetxt(tmp_path / "walk.txt", [(1, 50), (5, 10)])
    (tmp_path / "chip").mkdir()
    for letter, matrix in some_matrices().items():
        np.savetxt(tmp_path / "chip" / f"calib{letter}.txt", matrix)
    source = MemoryHits(np.array([10, 11]), np.array([1000, 1000]), np.array([1, 3]))
    options = {"time_walk": tmp_path / "walk.txt", "energy": f"{tmp_path}/chip/"}
    assert [step.report()["file"] for step in hit_steps(source, options)[1]] == ["walk.txt", "chip"]


def test_a_table_of_time_walk_is_interpolated():
    hits = np.array([10, 11, 12]), np.array([1000, 1000, 1000]), np.array([1, 3, 900])
    corrected, [step] = hit_steps(MemoryHits(*hits, seed=1), {"time_walk": [(1, 50), (5, 10), (100, 0)]})
    found = corrected.hits()
    ticks = dict(zip(found.pixel.tolist(), found.toa.tolist()))
    assert ticks == {10: 1000 - round(50 * 3.84), 11: 1000 - round(30 * 3.84), 12: 1000}
    assert step.shift == (-192, 0)
    same_in_pieces(corrected)


def test_hot_and_dead_pixels_of_the_simulator_are_found(tmp_path):
    rng = np.random.default_rng(2)
    beam = np.zeros((3, 4, 64, 64))
    beam[:, :, 20:44, 18:48] = 1  # a disk with sharp edges
    dead = [(118 + y) * 256 + 120 + x for y, x in ((0, 0), (5, 7), (9, 1))]
    hot = [*(rng.integers(0, 256 * 256, 6)), dead[1] + 1]
    path = tmp_path / "bad.tpx3"
    simulate.recording(
        path, intensity=beam, layout="single", electrons_per_position=20_000, dwell_time="1 ms", hits="realistic",
        defects=Defects(dead=dead, hot=hot, hot_rate=400_000.0), seed=6,
    )  # fmt: skip
    [plain] = rsciio_tpx3.file_reader(path, lazy=True, navigation_shape=(4, 3))
    [found] = rsciio_tpx3.file_reader(path, lazy=True, navigation_shape=(4, 3), corrections={"mask": "find"})
    report = found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Corrections"]["Mask"]
    as_flat = lambda pixels: sorted(y * 256 + x for x, y in pixels)  # noqa: E731
    assert as_flat(report["hot_x_y"]) == sorted(int(p) for p in set(hot))
    assert as_flat(report["dead_x_y"]) == dead
    picture = found["data"].sum(axis=(0, 1)).compute().ravel()
    assert not picture[hot].any()
    before = plain["data"].sum(axis=(0, 1)).compute().ravel()
    before[hot] = 0
    np.testing.assert_array_equal(picture, before)
    assert report["hits_left_out"] > 1000


def test_pixels_of_a_mask_are_excluded(tmp_path, walking):
    mask = np.zeros((512, 512), bool)
    mask[:, 200:300] = True
    np.save(tmp_path / "mask.npy", mask)
    source = Tpx3Source(walking[0], layout="quad")
    for options in (mask, tmp_path / "mask.npy"):
        corrected, _ = hit_steps(source, {"mask": options})
        hits = source.hits()
        np.testing.assert_array_equal(corrected.hits().toa, hits.toa[(hits.x < 200) | (hits.x >= 300)])


def test_bit_0_of_a_pixel_configuration_masks(tmp_path):
    rng = np.random.default_rng(8)
    config = rng.integers(0, 32, 4 * 65536).astype(np.uint8) << 1  # adjustment and test pulse are no masks
    masked = [(0, 7, 3), (1, 0, 250), (2, 100, 9), (3, 255, 255)]  # chip, y, x
    for chip, y, x in masked:
        config[chip * 65536 + y * 256 + x] |= 1
    config.tofile(tmp_path / "quad.bpc")
    layout = make_layout("quad", gap=4, orientation="left")
    mask = read_mask(tmp_path / "quad.bpc", layout)
    flat = [int(layout.rules[chip] @ (1, x, y)) for chip, y, x in masked]
    assert np.flatnonzero(mask).tolist() == sorted(flat)
    # one chip of a quad was read out: its block is the first
    alone = read_mask(str(tmp_path / "quad.bpc"), make_layout("single"))
    assert np.argwhere(alone).tolist() == [[7, 3]]


def test_a_pixel_configuration_leaves_its_pixels_out(tmp_path, walking):
    path, truth = walking
    pixel, count = np.unique(truth.hit_pixel, return_counts=True)
    chip, address = pixel_addresses(truth.layout)
    lost = pixel[np.argsort(count)[-5:]]
    config = np.zeros((4, 65536), np.uint8)
    config[chip[lost], address[lost]] = 31  # as Accos writes them: the adjustment is set too
    config.tofile(tmp_path / "some.bpc")
    corrected, [step] = hit_steps(Tpx3Source(path, layout="quad"), {"mask": tmp_path / "some.bpc"})
    np.testing.assert_array_equal(corrected.hits().pixel, truth.hit_pixel[~np.isin(truth.hit_pixel, lost)])
    sha256 = hashlib.sha256(config.tobytes()).hexdigest()
    assert step.report() == {"pixels_left_out": 5, "method": "given", "file": "some.bpc", "sha256": sha256}


@pytest.mark.parametrize(
    "config, words",
    [
        (np.zeros(65536, np.uint8), "has 65536 bytes; expected 262144, one for each pixel of 4 chips"),
        (np.zeros(4 * 65536 + 1, np.uint8), "has 262145 bytes"),
        (np.full(4 * 65536, 0x41, np.uint8), "masks 100% .* uses the bits 0b01000001"),
        (np.full(4 * 65536, 0x80, np.uint8), "bits 6 and 7 are not used"),
        (np.arange(4 * 65536).astype(np.uint8) & 0x3F, "masks 50% of the pixels"),
    ],
)
def test_a_file_that_is_no_pixel_configuration_is_refused(tmp_path, config, words):
    config.tofile(tmp_path / "other.bpc")
    with pytest.raises(Tpx3FormatError, match=rf"other\.bpc.*{words}"):
        read_mask(tmp_path / "other.bpc", make_layout("quad"))


def write_pixet_xml(path, matrices, chips=("J07-W0167",), kind="<f8"):
    """Pixet's configuration, base64 in lines as XML writers break it."""
    body = ""
    for chip in chips:
        entries = (
            f"<calib{letter}>\n{base64.encodebytes(m.astype(kind).tobytes()).decode()}</calib{letter}>"
            for letter, m in matrices.items()
        )
        body += f"<{chip}><other>3</other>{''.join(entries)}</{chip}>"
    path.write_text(f'<?xml version="1.0" encoding="utf-8"?>\n<Config><Settings/>{body}</Config>')
    return path


def some_matrices():
    rng = np.random.default_rng(3)
    ranges = {"a": (0.2, 0.4), "b": (5, 9), "c": (10, 40), "t": (-1, 2)}
    return {letter: rng.uniform(*limits, (256, 256)) for letter, limits in ranges.items()}


def test_the_configuration_of_pixet_holds_the_matrices(tmp_path):
    matrices, layout = some_matrices(), make_layout("single", orientation="left")
    file = write_pixet_xml(tmp_path / "MiniPIX-J07-W0167.xml", matrices)
    found, record = read_calibration(file, layout)
    expected, _ = read_calibration(matrices, layout)
    for letter in "abct":
        np.testing.assert_array_equal(getattr(found, letter), getattr(expected, letter))
    assert record["chip"] == "J07-W0167" and record["pixels_without_calibration"] == 0
    # one chip does not tell about four
    with pytest.raises(ValueError, match=r"expected .* or \(chips, 256, 256\)"):
        read_calibration(file, make_layout("quad"))


def test_other_configurations_of_pixet_are_refused_with_help(tmp_path):
    matrices, layout, file = some_matrices(), make_layout("single"), tmp_path / "other.xml"
    write_pixet_xml(file, matrices, ("J07-W0167", "K01-W0002"))
    with pytest.raises(Tpx3FormatError, match="2 calibrated chips: J07-W0167, K01-W0002; expected one"):
        read_calibration(file, layout)
    write_pixet_xml(file, matrices, kind="<f4")
    with pytest.raises(Tpx3FormatError, match="caliba has 262144 bytes; expected 524288, a double"):
        read_calibration(file, layout)
    write_pixet_xml(file, {letter: matrices[letter] for letter in "abc"})
    with pytest.raises(Tpx3FormatError, match="calibt has 0 bytes"):
        read_calibration(file, layout)
    for text, words in (
        ("<Config><J07-W0167/></Config>", "0 calibrated chips; expected one"),
        ("ToT;keV", "is not XML"),
        ("<C><J07-W0167><caliba>*</caliba></J07-W0167></C>", "is not base64"),
    ):
        file.write_text(text)
        with pytest.raises(Tpx3FormatError, match=words):
            read_calibration(file, layout)


def test_energy_inverts_the_calibration_of_each_pixel(tmp_path):
    rng = np.random.default_rng(4)
    layout = make_layout("single", orientation="left")
    matrices = some_matrices()
    for letter, matrix in matrices.items():
        np.savetxt(tmp_path / f"calib{letter}.txt", matrix)
    x, y, energy = rng.integers(0, 256, 50), rng.integers(0, 256, 50), rng.uniform(60, 250, 50)
    a, b, c, t = (matrices[letter][y, x] for letter in "abct")
    tot = a * energy + b - c / (energy - t)
    pixel = (255 - x) * 256 + y  # turned to the left
    for options in (tmp_path, matrices):
        calibration, _ = read_calibration(options, layout)
        np.testing.assert_allclose(calibration.energy(pixel, tot), energy, rtol=1e-5)
    np.testing.assert_array_less(calibration.energy(pixel, np.zeros(50, np.uint16)), 60)
    assert calibration.energy(pixel, np.zeros(50, np.uint16)).min() >= 0


def test_energies_of_unlike_pixels_are_those_of_the_electrons(tmp_path):
    rng = np.random.default_rng(9)
    shape = (256, 256)
    matrices = {
        "a": rng.uniform(0.25, 0.4, shape), "b": rng.uniform(0, 4, shape), "c": rng.uniform(5, 20, shape),
        "t": rng.uniform(-1, 2, shape),
    }  # fmt: skip
    path = tmp_path / "unlike.tpx3"
    intensity = np.ones((3, 4, 256, 256))
    options = {"intensity": intensity, "layout": "single", "orientation": "left", "dwell_time": "1 ms", "seed": 3}
    model = HitModel.exact(response=matrices, energy_spread=0.0, tot_noise=0.0)
    truth = simulate.recording(path, electrons_per_position=500, hits=model, **options)
    source = Tpx3Source(str(path), layout="single", orientation="left")
    corrected, _ = hit_steps(source, {"energy": matrices})
    hits = corrected.hits()
    # whole steps of ToT are half a step off at the most, or 2 keV
    assert np.abs(hits.energy - 200).max() < 0.5 / 0.25 + 0.01 and np.std(hits.tot) > 5
    # the truth of ToT is the formula for the pixel of the chip
    chip, address = pixel_addresses(truth.layout)
    a, b, c, t = (matrices[name].ravel()[address[truth.hit_pixel]] for name in "abct")
    np.testing.assert_allclose(truth.hit_tot, a * 200 + b - c / (200 - t), atol=0.5001)
    # shared charge: the hits of an electron add up, but for what stays below threshold
    simulate.recording(path, electrons_per_position=500, hits=HitModel(response=matrices, energy_spread=3.0), **options)
    electrons = ClusteredSource(hit_steps(Tpx3Source(str(path), orientation="left"), {"energy": matrices})[0],
                                ClusterOptions())  # fmt: skip
    found = electrons.hits().energy
    assert np.median(found) == pytest.approx(200, abs=5)
    one = np.median(matrices["a"]), np.median(matrices["b"])
    plain = ClusteredSource(Tpx3Source(str(path), orientation="left"), ClusterOptions()).hits()
    rough = (plain.tot - one[1] * plain.size) / one[0]
    spread = [np.subtract(*np.percentile(values, [84, 16])) / 2 for values in (found, rough)]
    assert spread[0] < 0.5 * spread[1]


def test_energies_of_electrons_add_up_in_frames(walking):
    path, truth = walking
    table = np.array([(0, 6), (60, 206)])  # the simulator: 6 keV at threshold, 0.3 counts a keV
    options = {"lazy": True, "navigation_shape": (7, 9), "show_progressbar": False, "values": "energy"}
    [found] = rsciio_tpx3.file_reader(path, cluster=True, corrections={"energy": table}, **options)
    assert found["data"].dtype == np.float32
    assert found["metadata"]["Signal"]["quantity"] == "Energy (keV)"
    total = float(found["data"].sum().compute())
    energy = 6 + truth.hit_tot.astype(float) / 0.3
    assert total == pytest.approx(energy.sum(), rel=1e-3)
    [sliced] = rsciio_tpx3.file_reader(path, cluster=True, corrections={"energy": table}, chunks=2, **options)
    np.testing.assert_array_equal(sliced["data"].compute().data, found["data"].compute().data)
    per_electron = total / found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Clusters"]["electrons"]
    assert per_electron == pytest.approx(200, abs=12)


def test_wide_pixels_of_the_simulator_are_deleted_or_spread_over_their_area(tmp_path):
    path = tmp_path / "wide.tpx3"
    flat = np.zeros((3, 4, 516, 516))
    flat[:, :, 150:230, 240:276] = 1
    truth = simulate.recording(path, intensity=flat, gap=4, electrons_per_position=9_000, dwell_time="2 ms", seed=2)
    true = np.bincount(np.floor(truth.electron_x).astype(int), minlength=516)
    options = {"layout": "quad", "gap": 4, "navigation_shape": (4, 3), "lazy": True, "show_progressbar": False}
    counts = {}
    for method in ("leave", "delete", "spread"):
        [found] = rsciio_tpx3.file_reader(path, corrections={"wide_pixels": method}, **options)
        counts[method] = found["data"].sum(axis=(0, 1)).compute().sum(axis=0)
    area, narrow = slice(255, 261), np.r_[240:255, 261:276]
    for found in counts.values():
        np.testing.assert_array_equal(found[narrow], true[narrow])
    assert counts["leave"][[255, 260]].tolist() == [true[255:258].sum(), true[258:261].sum()]
    assert not counts["leave"][256:260].any() and not counts["delete"][area].any()
    assert counts["spread"][area].sum() == true[area].sum()
    # spread at random: the same on average, each column within the noise of two drawings
    assert (np.abs(counts["spread"][area] - true[area]) < 5 * np.sqrt(2 * true[area])).all()


@pytest.mark.parametrize("fine", [1, 3])
def test_wide_pixels_are_spread_the_same_in_every_cut(fine):
    layout = make_layout("quad", gap=4)
    rng = np.random.default_rng(4)
    n = 6000
    y, x = rng.integers(100, 110, n), rng.choice([254, 255, 260, 261], n)
    source = MemoryHits(y * 516 + x, rng.integers(0, 10**7, n), np.full(n, 5), layout, piece=100)
    if fine > 1:
        source = ClusteredSource(source, ClusterOptions(window=0, position="centroid", upsample=fine))
    spread = CorrectedSource(source, [wide_pixel_step(layout, "spread", fine)])
    same_in_pieces(spread)
    found = spread.hits()
    assert len(found) == len(source.hits())
    counts = np.bincount(found.x // fine, minlength=516)
    assert counts[[254, 261]].min() > 0.9 * n / 4  # narrow pixels stay as they are
    np.testing.assert_allclose(counts[[255, 256, 257, 258, 259, 260]], n / 12, rtol=0.15)
    assert set((found.y // fine).tolist()) == set(range(100, 110))
    deleted = CorrectedSource(source, [wide_pixel_step(layout, "delete", fine)]).hits()
    assert set((deleted.x // fine).tolist()) == {254, 261}


def test_steps_travel_compressed_and_arrive_whole(walking):
    options = {
        "mask": np.zeros((516, 516), bool), "columns": "phase", "time_walk": [(1, 50), (60, 0)],
        "energy": {"a": 0.3, "b": -1.8, "c": 0, "t": 0},
    }  # fmt: skip
    source = Tpx3Source(walking[0], layout="quad", gap=4)
    corrected, steps = hit_steps(source, options)
    wide = wide_pixel_step(source.layout, "spread", 1)
    sizes = [len(pickle.dumps(step)) for step in (*steps, wide)]
    assert max(sizes) < 100_000
    whole = CorrectedSource(corrected, [wide]).hits()
    other = pickle.loads(pickle.dumps(CorrectedSource(corrected, [wide]))).hits()
    np.testing.assert_array_equal(columns(other), columns(whole))
    np.testing.assert_array_equal(other.energy, whole.energy)


def test_corrections_are_recorded_and_off_unless_requested(walking):
    path, _ = walking
    options = {"lazy": True, "layout": "quad", "gap": 4, "navigation_shape": (7, 9), "show_progressbar": False}
    detector = lambda d: d["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]  # noqa: E731
    assert "Corrections" not in detector(rsciio_tpx3.file_reader(path, **options)[0])
    corrections = {"columns": "phase", "time_walk": True, "wide_pixels": "spread"}
    [found] = rsciio_tpx3.file_reader(path, corrections=corrections, cluster=True, **options)
    report = detector(found)["Corrections"]
    assert list(report) == ["Columns", "Time_walk", "Wide_pixels"]
    assert report["Wide_pixels"] == {"method": "spread", "pixels": 4 * 511}
    whole = found["data"].compute(scheduler="synchronous")
    for chunks in (1, 7):
        [sliced] = rsciio_tpx3.file_reader(path, corrections=corrections, cluster=True, chunks=chunks, **options)
        part = sliced["data"].compute(scheduler="threads", num_workers=2)
        for name in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))


@pytest.mark.parametrize(
    "corrections, error, words",
    [
        ({"walk": True}, TypeError, "unknown name 'walk'. Known are mask"),
        ({"wide_pixels": "smear"}, ValueError, "wide_pixels='smear' is not valid: must be one of"),
        ({"wide_pixels": "spread"}, ValueError, "pass gap=4"),
        ({"columns": "fase"}, ValueError, "columns='fase' is not a rule \\(phase"),
        ({"columns": ["phase", "find"]}, ValueError, "columns='find' is not a rule .* not 'find' alone"),
        ({"columns": (np.zeros(99), "ns")}, ValueError, "shape \\(99,\\)"),
        ({"columns": (np.ones(256), "ms")}, ValueError, "check the unit"),
        ({"time_walk": [(1, 2, 3)]}, ValueError, "rows of ToT"),
        ({"energy": {"a": 1}}, ValueError, "lacks b, c, t"),
        ({"energy": {"a": 0, "b": 1, "c": 1, "t": 1}}, ValueError, "no pixel has a > 0"),
        ({"mask": np.zeros((5, 7))}, ValueError, "the detector's \\(y, x\\)"),
        ({"mask": {"contrast": 0.1}}, ValueError, "contrast of 1 or more"),
        ({"columns": (np.where(COLUMNS == 5, np.nan, 3.0), "ns")}, ValueError, "1 of the delays are not"),
        ({"time_walk": [(0, np.nan), (9, 2)]}, ValueError, "delays from nan to nan ns"),
        ({"time_walk": [(0, 1e9), (9, 2)]}, ValueError, "no more than 4000 ns. Check the unit"),
        ({"time_walk": [(0, 9), (np.nan, 5), (9, 2)]}, ValueError, "increasing"),
        ({"energy": [(0, 1), (9, np.nan), (20, 6)]}, ValueError, "numbers that are not finite"),
    ],
)
def test_wrong_corrections_are_refused_with_help(walking, corrections, error, words):
    with pytest.raises(error, match=words):
        rsciio_tpx3.file_reader(walking[0], layout="quad", navigation_shape=(7, 9), corrections=corrections)


@pytest.fixture
def unread(monkeypatch):
    """A file name whose recording must not be opened."""

    def refuse(*_, **__):
        raise AssertionError("the recording was opened before its options were looked at")

    monkeypatch.setattr("rsciio_tpx3.tpx3._api.Tpx3Source", refuse)
    return "scan.tpx3"


@pytest.mark.parametrize(
    "corrections, error, words",
    [
        (True, TypeError, 'corrections=True: expected a dictionary of names .* such as {"mask": "find"'),
        (
            "mask",
            TypeError,
            "corrections='mask': expected a dictionary .* are mask, columns, time_walk, energy, wide_pixels",
        ),
        ({3: 1}, TypeError, "unknown name '3'"),
        ({"mask": "hot"}, FileNotFoundError, "mask='hot': there is no such file. mask=\"find\" looks for hot pixels"),
        ({"mask": "no.bpc"}, FileNotFoundError, "mask='no.bpc': there is no such file"),
        ({"mask": {"hot": 3}}, TypeError, "unknown parameter 'hot'. Known are probability, contrast"),
        ({"mask": {"contrast": "high"}}, ValueError, "contrast='high': expected a probability between 0 and 1"),
        ({"mask": 5}, ValueError, "mask has shape \\(\\); expected that of the detector, \\(y, x\\)"),
        ({"mask": ["hot", "dead"]}, ValueError, "mask: what was given is not a table of numbers"),
        ({"columns": True}, TypeError, "columns=True says nothing of delays: expected \"find\", 'phase'"),
        ({"columns": np.zeros(256)}, UnitError, "delays of shape \\(256,\\) have no unit. Write \\(array, 'ns'\\)"),
        ({"columns": (np.zeros(256), "m")}, UnitError, "no unit of time"),
        ({"columns": "fase"}, ValueError, "columns='fase' is not a rule \\(phase"),
        ({"columns": ["phase", 3]}, TypeError, "cannot be read: expected \"find\", 'phase'"),
        ({"time_walk": "find"}, FileNotFoundError, "time_walk='find': there is no such file. time_walk=True fits"),
        (
            {"time_walk": [(40, 1), (5, 9)]},
            ValueError,
            "ToT of 5 follows one of 40; expected rows with increasing ToT .* Sort",
        ),
        ({"energy": True}, TypeError, "energy=True: a recording does not give its energies. Give a folder with caliba"),
        (
            {"energy": "keV.txt"},
            FileNotFoundError,
            "energy='keV.txt': there is no such file. Give a folder with caliba",
        ),
        ({"energy": "."}, FileNotFoundError, "no file caliba.txt in '.': expected caliba, calibb, calibc and calibt"),
        ({"energy": {"a": "a.txt", "b": 0, "c": 0, "t": 0}}, FileNotFoundError, "energy: a='a.txt': there is no such"),
        (
            {"energy": [(60, 206), (0, 6)]},
            ValueError,
            "a ToT of 0 follows one of 60; expected rows with increasing ToT .* Sort",
        ),
        (
            {"energy": [(60, 206, 1), (0, 6, 2)]},
            ValueError,
            "shape \\(2, 3\\); expected rows of ToT .* and energy \\(keV\\)",
        ),
        ({"wide_pixels": True}, ValueError, "wide_pixels=True is not valid: must be one of 'leave'"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_recording_is_read(unread, tmp_path, monkeypatch, corrections, error,
                                                                       words):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        rsciio_tpx3.file_reader(unread, corrections=corrections)


@pytest.mark.parametrize("name", ["mask", "time_walk", "energy"])
@pytest.mark.parametrize("content", [b"hot;dead", b"\x93NUMPY", b""])
def test_a_file_that_is_no_table_is_refused_before_the_recording_is_read(unread, tmp_path, name, content):
    for path in (tmp_path / "other.txt", tmp_path / "other.npy"):
        path.write_bytes(content)
        with pytest.raises(Tpx3FormatError, match=rf"corrections: {name}.*other\..* Give an array"):
            rsciio_tpx3.file_reader(unread, corrections={name: path})


@pytest.mark.parametrize(
    "corrections, content",
    [
        ({"mask": "x.npy"}, np.zeros((5, 7))),
        ({"mask": "x.npy"}, np.zeros(5)),
        ({"columns": (Path("x.npy"), "ns")}, np.zeros(99)),
        ({"columns": (Path("x.npy"), "ns")}, np.full(256, np.nan)),
        ({"time_walk": "x.npy"}, np.zeros((3, 3))),
        ({"time_walk": "x.npy"}, np.array([(40, 1), (5, 9)])),
        ({"time_walk": "x.npy"}, np.array([(4, 1e9), (5, 9)])),
        ({"energy": "x.npy"}, np.array([(0, 1), (9, np.nan), (20, 6)])),
        ({"energy": {"a": 1, "b": "x.npy", "c": 1, "t": 1}}, np.zeros((3, 3))),
    ],
    ids=["mask", "mask 1d", "columns", "columns nan", "walk", "walk order", "walk unit", "energy", "energy matrix"],
)
def test_what_is_wrong_in_a_file_is_an_error_of_its_format_and_names_it(walking, tmp_path, monkeypatch, corrections,
                                                                        content):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", content)
    with pytest.raises(Tpx3FormatError, match=r"corrections: .*x\.npy"):
        rsciio_tpx3.file_reader(walking[0], layout="quad", navigation_shape=(7, 9), corrections=corrections)


def test_energy_needs_a_calibration(walking):
    with pytest.raises(ValueError, match="needs a calibration"):
        rsciio_tpx3.file_reader(walking[0], values="energy")


def test_a_fit_needs_clusters(walking, tmp_path):
    simulate.recording(tmp_path / "exact.tpx3", (3, 4), dwell_time="5 us", electrons_per_position=5)
    with pytest.raises(ConflictError, match="Give a table of ToT"):
        rsciio_tpx3.file_reader(tmp_path / "exact.tpx3", navigation_shape=(4, 3), corrections={"time_walk": True})
