"""The navigator that a counted file brings along says what it holds: counts, or entries where counts are costly."""

import numpy as np
import pytest
from counted_data import counted, lazy, signal_dict
from test_round_trips import FORMATS, foreign_raw_csr

import rsciio_tpx3.raw_csr.source as raw_csr
from hyperspy_sparse import align_frames
from rsciio_tpx3 import simulate
from rsciio_tpx3.convert import convert
from rsciio_tpx3.raw_csr import file_writer

pytestmark = pytest.mark.slow  # every format, and frames that are aligned

hs = pytest.importorskip("hyperspy.api")
pytest.importorskip("hdf5plugin", reason="hdf5plugin is not installed")

OURS = {name: how for name, how in FORMATS.items() if name not in ("hspy", "zspy")}


def _picture(signal):
    return signal.navigator.metadata.General.title, signal.navigator.metadata.Signal.quantity


def _saved(folder, dense, name):
    ending, options = OURS[name]
    file_writer(folder / "begin.toml", signal_dict(lazy(dense)))
    hs.load(folder / "begin.toml", lazy=True).save(folder / f"one{ending}", **options)
    return folder / f"one{ending}"


@pytest.mark.parametrize("name", OURS)
def test_pixels_that_count_more_than_once_are_in_the_picture(tmp_path, name):
    dense = counted((3, 4, 6), most=40)
    sums, entries = dense.sum(axis=(-2, -1)), (dense != 0).sum(axis=(-2, -1))
    assert sums.sum() > entries.sum()
    s = hs.load(_saved(tmp_path, dense, name), lazy=True)
    if name == "NXevent heights":  # what a pixel counts is packed in the file
        assert _picture(s) == ("Entries per position", "Entries")
        np.testing.assert_array_equal(s.navigator.data, entries)
    else:
        assert _picture(s) == ("Counts per position", "Counts")
        np.testing.assert_array_equal(s.navigator.data, sums)


@pytest.mark.parametrize("name", OURS)
def test_aligning_a_saved_scan_keeps_and_loses_all_its_counts(tmp_path, name):
    dense = counted((3, 12, 9), most=7)
    s = hs.load(_saved(tmp_path, dense, name), lazy=True)
    aligned = align_frames(s, np.array([(0, 0), (2, -1), (1, 3)]))
    note = aligned.metadata.Acquisition_instrument.TEM.Scan.Drift
    frames = aligned.data.compute()
    assert note.events_kept == int(frames.sum()) and note.events_kept + note.events_lost == dense.sum()
    assert _picture(aligned) == ("Counts per position", "Counts")
    np.testing.assert_array_equal(aligned.navigator.data, frames.sum(axis=(-2, -1)))


def test_opening_a_large_raw_csr_lazily_reads_no_value_and_says_entries(tmp_path, monkeypatch):
    dense = counted((3, 12, 9), most=7)
    path = _saved(tmp_path, dense, "raw_csr")
    monkeypatch.setattr(raw_csr, "_QUICK_BYTES", 0)
    read, parts = raw_csr.RawCsrSource._read, []
    monkeypatch.setattr(
        raw_csr.RawCsrSource, "_read", lambda self, part, *span: parts.append(part) or read(self, part, *span)
    )
    s = hs.load(path, lazy=True)
    assert "data" not in parts and _picture(s) == ("Entries per position", "Entries")
    np.testing.assert_array_equal(s.navigator.data, (dense != 0).sum(axis=(-2, -1)))
    note = align_frames(s, np.zeros((3, 2))).metadata.Acquisition_instrument.TEM.Scan.Drift
    assert (note.events_kept, note.events_lost) == (dense.sum(), 0)
    # what is read anyway is counted too
    in_memory = hs.load(path, lazy=False)
    assert _picture(in_memory) == ("Counts per position", "Counts")
    np.testing.assert_array_equal(in_memory.navigator.data, dense.sum(axis=(-2, -1)))


@pytest.mark.parametrize("byte_order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "u8"])
def test_values_of_every_type_are_added_up_part_by_part(tmp_path, monkeypatch, dtype, byte_order):
    dense = counted((5, 7), dtype=np.dtype(dtype), most=250)
    path = foreign_raw_csr(tmp_path, dense, "uint32", byte_order)
    monkeypatch.setattr(raw_csr, "_PART_BYTES", 64)
    for offset in (0, 4, -3):
        s = hs.load(path, lazy=True, navigation_shape=(7, 5), sync_offset=offset)
        np.testing.assert_array_equal(s.navigator.data, s.data.compute().sum(axis=(-2, -1)))


@pytest.mark.parametrize("values", ["tot", "energy"])
def test_values_that_are_no_counts_are_not_called_so(tmp_path, values):
    path = tmp_path / "scan.tpx3"
    simulate.recording(
        path, (9, 11), n_frames=2, dwell_time="3.3 us", frame_flyback="0.5 ms", electrons_per_position=60,
        layout="single", seed=3,
    )  # fmt: skip
    options = {"navigation_shape": (11, 9, 2), "values": values, "lazy": True}
    if values == "energy":
        options["corrections"] = {"energy": [(0, 6), (60, 206)]}
    s = hs.load(path, **options)
    assert _picture(s) == ("Counts per position", "Counts")
    shifts = np.array([(0, 0), (1, -2)])
    whole = align_frames(s, shifts)
    s.save(tmp_path / "saved.toml")
    again = hs.load(tmp_path / "saved.toml", lazy=True)
    assert _picture(again) == ("Entries per position", "Entries")
    moved = align_frames(again, shifts)
    note = moved.metadata.Acquisition_instrument.TEM.Scan.Drift
    assert not note.has_item("events_kept") and note.visits == [2, 2]
    assert _picture(moved)[0] == f"{s.metadata.Signal.quantity} per position"
    np.testing.assert_allclose(moved.navigator.data, whole.data.compute().sum(axis=(-2, -1)), rtol=1e-6)


def test_unmerged_hits_are_counts_whatever_is_added_up(tmp_path):
    path = tmp_path / "scan.tpx3"
    truth = simulate.recording(path, (5, 7), dwell_time="20 us", electrons_per_position=900, layout="single", seed=3)
    s = hs.load(path, navigation_shape=(7, 5), lazy=True)
    options = {"reader_options": {"navigation_shape": (7, 5)}, "writer_options": {"keep": ["tot"]}}
    convert(path, tmp_path / "hits.nxevent", show_progressbar=False, **options)
    for values in ("auto", "pulse_height"):
        hits = hs.load(tmp_path / "hits.nxevent", values=values, lazy=True)
        assert _picture(hits) == ("Counts per position", "Counts")
        np.testing.assert_array_equal(hits.navigator.data, s.navigator.data)
        quantity = "Counts (hits)" if values == "auto" else "Time over threshold (25 ns)"
        assert hits.metadata.Signal.quantity == quantity
    assert (s.data.compute().data > 1).any() and s.navigator.data.sum() == (truth.hit_position >= 0).sum()
