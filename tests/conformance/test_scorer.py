"""The scorer names what a reader does: each deviation on purpose, with and without damage next to it."""

import numpy as np
import pytest

from conformance.cases import KIT
from conformance.score import compare_hits, compare_rows, main, read_hits

SHAPE = (512, 512)


@pytest.fixture
def true():
    rng = np.random.default_rng(5)
    n = 900
    toa = np.sort(rng.integers(0, 1 << 36, n)) * 6  # across four rollovers of 26.8 s
    return {"x": rng.integers(0, 512, n), "y": rng.integers(0, 512, n), "toa": toa, "tot": rng.integers(1, 1024, n)}


def coarse(toa):
    return -(-toa // 96) * 96


DEVIATIONS = {
    "equal": lambda h: h,
    "later by a constant 12.5 ns": lambda h: {**h, "toa": h["toa"] + 48},
    "earlier by a constant 0.001 s": lambda h: {**h, "toa": h["toa"] - 3_840_000},
    "later by a constant 23.4375 ns (15 - FToA in place of -FToA)": lambda h: {**h, "toa": h["toa"] + 90},
    "fine time (FToA) dropped": lambda h: {**h, "toa": coarse(h["toa"])},
    "fine time (FToA) dropped, later by a constant 25 ns": lambda h: {**h, "toa": coarse(h["toa"]) + 96},
    "fine time (FToA) added in place of subtracted": lambda h: {**h, "toa": 2 * coarse(h["toa"]) - h["toa"]},
    "a phase by column, 1 to 16 steps of 1.5625 ns": lambda h: {**h, "toa": h["toa"] + 6 * (h["x"] // 2 % 16 + 1)},
    "rollovers not followed": lambda h: {**h, "toa": h["toa"] % ((1 << 30) * 96)},
    "100 hits in another turn of the clock (26.8 s)": lambda h: {
        **h, "toa": h["toa"] + (np.arange(900) >= 800) * (1 << 30) * 96,
    },
    "axes swapped": lambda h: {**h, "x": h["y"], "y": h["x"]},
    "mirrored left to right": lambda h: {**h, "x": 511 - h["x"]},
    "mirrored top to bottom": lambda h: {**h, "y": 511 - h["y"]},
    "gap of 4 pixels in place of 0": lambda h: {
        **h, **{name: h[name] + 4 * (h[name] > 255) for name in "xy"},
    },
    "axes swapped; fine time (FToA) dropped": lambda h: {**h, "x": h["y"], "y": h["x"], "toa": coarse(h["toa"])},
    "time over threshold in ns": lambda h: {**h, "tot": 25 * h["tot"]},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("says", DEVIATIONS)
def test_deviation_is_named(true, says):
    score = compare_hits(true, DEVIATIONS[says](true), SHAPE)
    assert (str(score), score.passed) == (says, says == "equal")


@pytest.mark.slow
@pytest.mark.parametrize("says", [name for name in DEVIATIONS if name != "equal"])
def test_deviation_is_named_with_missing_and_invented_hits(true, says):
    other = {name: column[30:] for name, column in DEVIATIONS[says](true).items()}
    other = {name: np.append(column, column[:2] + 1) for name, column in other.items()}
    score = compare_hits(true, other, SHAPE)
    assert score.says[0] == says.split(";")[0]
    assert score.says[-2:] == ["30 of 900 hits missing", "2 hits not in the file"]


def test_other_order_passes(true):
    score = compare_hits(true, {name: column[::-1] for name, column in true.items()}, SHAPE)
    assert (str(score), score.passed) == ("equal but for the order", True)


def test_absent_tot_is_said(true):
    score = compare_hits(true, {**true, "tot": None}, SHAPE)
    assert (str(score), score.passed) == ("no time over threshold; equal", True)


def test_other_hits_have_nothing_in_common(true):
    rng = np.random.default_rng(9)
    other = {name: rng.permutation(column) for name, column in true.items()}
    score = compare_hits(true, other, SHAPE)
    assert not score.passed
    assert str(score) == "nothing in common: 900 hits expected, 900 found"
    assert str(compare_hits(true, {n: c[:0] for n, c in true.items()}, SHAPE)) == "all 900 hits are missing"


@pytest.mark.parametrize("unit, ticks", [("1.5625ns", 6), ("ns", 96 / 25), ("s", 96e9 / 25)])
def test_units_of_time(true, unit, ticks):
    toa = true["toa"] // 6 if unit == "1.5625ns" else true["toa"] / ticks
    assert str(compare_hits(true, {**true, "toa": toa}, SHAPE, unit)) == "equal"


def test_command_reads_csv_and_npz(true, tmp_path, capsys):
    expected = KIT / "streams" / "expected" / "disorder.hits.npy"
    hits = read_hits(expected)
    table = np.column_stack([hits[name] for name in ("x", "y", "toa", "tot")])
    np.savetxt(tmp_path / "found.csv", table, "%d", ",", header="x,y,toa,tot", comments="")
    assert main([str(expected), str(tmp_path / "found.csv")]) == 0
    np.savez(tmp_path / "found.npz", x=hits["x"], y=hits["y"], t=hits["toa"] / 6 + 2, ToT=hits["tot"])
    assert main([str(expected), str(tmp_path / "found.npz"), "--unit", "1.5625ns"]) == 1
    assert capsys.readouterr().out.split("\n")[:2] == ["equal", "later by a constant 3.125 ns"]


def test_rows_differ_by_name():
    dense = np.zeros((5, 4, 4), int)
    dense[0, 1, 2], dense[2, 0, 3], dense[2, 3, 1] = 3, 1, 2
    row, indices = np.nonzero(dense.reshape(5, -1))
    csr = np.searchsorted(row, np.arange(6)), indices, dense.reshape(5, -1)[row, indices]
    said = {
        "equal": dense,
        "axes of the detector swapped": dense.transpose(0, 2, 1),
        "frames shifted by +1 positions": np.roll(dense, 1, 0),
        "3 of 3 values differ": 2 * dense,
        "4 frames in place of 5": dense[:4],
        "frames of (4, 3) in place of (4, 4) pixels": dense[:, :, :3],
    }
    assert [str(compare_rows(csr, other, (4, 4))) for other in said.values()] == list(said)
    # unsorted, one pixel named twice
    twice = np.array([0, 2, 2, 4, 4, 4]), np.array([6, 6, 13, 3]), np.array([1, 2, 2, 1])
    assert compare_rows(csr, twice, (4, 4)).passed
