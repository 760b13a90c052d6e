"""Real recordings against decodes that this project did not make (tests/data/README.md)."""

import numpy as np
import pytest
from real_files import DATA, STACK

from rsciio_tpx3.tpx3 import Tpx3Source, file_info
from rsciio_tpx3.utils import clock

ALL = sorted(path.stem for path in (DATA / "tpx3").glob("*.tpx3"))
HERMES = sorted(path.name.split(".")[0] for path in (DATA / "expected").glob("*.hermes.npz"))
AWKWARD = sorted(path.name.split(".")[0] for path in (DATA / "expected").glob("*.tpx3awkward.npz"))

# hits and TDC edges that tests/data/README.md lists, from the HERMES unpacker
HITS = {
    "hermes_1khz_5frames": 34,
    "serval43_lossy_quad": 2956,
    "ornl_tdc_gdc_60hz": 365,
    "ornl_rollover_synthetic": 26,
    "timestem_raster_000000": 2338,
    "timestem_raster_000001": 1521,
    "timestem_100ms_000204": 15729,
    **{f"bnl_quad_{i:02}": n for i, n in enumerate([0, 12, 0, 0, 1, 0, 0, 0, 0, 0, 0, 23, 4])},
    **{f"timestem_split_{240 + i:06}": n for i, n in enumerate([345, 311, 260, 247, 305, 273, 250, 214, 164])},
}


def _stacked(path, **options):
    return Tpx3Source(path, layout=STACK, show_progressbar=False, **options)


def test_the_tables_of_this_module_name_every_file():
    assert set(HITS) == set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_number_of_hits_is_the_published_one(real, name):
    source = _stacked(real(name))
    assert source.index().n_hits == HITS[name]
    assert len(source.hits()) == HITS[name]


@pytest.mark.parametrize("name", HERMES)
def test_every_field_of_every_hit_equals_hermes(real, expected, name):
    hits, other = _stacked(real(name)).hits(), expected(name, "hermes")
    np.testing.assert_array_equal(hits.y // 256, other["chip"])
    np.testing.assert_array_equal(hits.x, other["x"])
    np.testing.assert_array_equal(hits.y % 256, other["y"])
    np.testing.assert_array_equal(hits.tot, other["tot"])
    wrapped = other["toa_1p5625ns"] * clock.PIXEL_TICKS
    np.testing.assert_array_equal((hits.toa - wrapped) % clock.PIXEL_PERIOD, 0)


@pytest.mark.parametrize(
    "name", [n for n in HERMES if n not in ("bnl_quad_11", "serval43_lossy_quad", "timestem_split_000244")]
)
def test_every_edge_equals_hermes_once_copies_are_removed(real, expected, name):
    edges, other = _stacked(real(name)).index().edges, expected(name, "hermes")
    timed = other["tdc_time_260ps"] >= 0
    fields = [other[k][timed] for k in ("tdc_time_260ps", "tdc_edge_code", "tdc_counter")]
    if name == "ornl_tdc_gdc_60hz":
        # the first twelve edges carry the clock and the counter (3471 to 3482) of the run before
        fields = [column[12:] for column in fields]
    published = set(zip(*(column.tolist() for column in fields), strict=True))
    ours = zip((edges.ticks % clock.TDC_PERIOD).tolist(), edges.code.tolist(), edges.counter.tolist(), strict=True)
    assert set(ours) == published
    assert len(edges) == len(published)


@pytest.mark.parametrize("name", AWKWARD)
def test_unwrapped_times_equal_tpx3awkward(real, expected, name):
    hits, other = Tpx3Source(real(name), layout="quad", show_progressbar=False).hits(), expected(name, "tpx3awkward")
    phase = (other["x_512"].astype(int) // 2) % 16
    phase[phase == 0] = 16
    theirs = (other["t_1p5625ns_with_phase"] - phase) * clock.PIXEL_TICKS
    if name == "ornl_tdc_gdc_60hz":
        # one hit stands between the last global time of the old clock and the first of the new one;
        # edges of the new clock precede it, so we keep it at 0.311 s, tpx3awkward puts it at 61096 s
        stray = np.argmax(theirs)
        assert theirs[stray] % clock.PIXEL_PERIOD == hits.toa.min() % clock.PIXEL_PERIOD
        theirs[stray] = hits.toa.min()
    columns = np.array([theirs, other["x_512"], other["y_512"], other["tot_ns"]], np.int64)
    ours = np.array([hits.toa, hits.x, hits.y, hits.tot.astype(int) * 25])
    np.testing.assert_array_equal(ours[:, np.lexsort(ours)], columns[:, np.lexsort(columns)])


def test_same_edge_written_once_per_chip_counts_once(real):
    info = file_info(real("hermes_1khz_5frames"))
    assert info["packets"]["TDC edge"] == 4 * 5408
    assert {name: edge["number"] for name, edge in info["edges"].items()} == {"tdc1-rise": 2704, "tdc1-fall": 2704}


def test_lost_chunks_are_counted_from_the_packet_count_words(real):
    info = file_info(real("serval43_lossy_quad"))
    assert info["chunks_lost_by_chip"] == {0: 18 + 62 + 102, 1: 1, 2: 321}
    assert info["losses"]["chunks_lost"] == 504


def test_clock_reset_at_the_start_is_seen_and_reported(real, caplog):
    index = _stacked(real("ornl_tdc_gdc_60hz")).index()
    assert index.losses["marks_before_reset"] == 12 + 4
    assert index.losses["edges_without_time"] == 1
    assert "before the detector's clock was reset" in caplog.text
    assert index.edges.counter[0] == 1
    assert clock.ticks_to_seconds(index.span[1]) == pytest.approx(221.312757, abs=1e-6)


def test_rollover_in_a_piece_without_global_time_keeps_all_chips_together(real):
    pieces = [real(f"timestem_split_{n:06}") for n in range(240, 249)]
    source = Tpx3Source(pieces, layout="strip", show_progressbar=False)
    first, last = (clock.ticks_to_seconds(t) for t in source.index().span)
    assert (first, last) == (pytest.approx(26.401610, abs=1e-6), pytest.approx(27.379107, abs=1e-6))
    assert source.index().n_hits == sum(HITS[f"timestem_split_{n:06}"] for n in range(240, 249))


def test_numbered_pieces_are_found_from_any_of_them(real):
    source = Tpx3Source(real("bnl_quad_05"), all_parts=True, show_progressbar=False)
    assert [part.name for part in source.parts] == [f"bnl_quad_{i:02}.tpx3" for i in range(13)]
    assert source.index().n_hits == 40
    assert len(source.hits()) == 40
    # file 11 ends between the two words of a global time, file 12 begins with the second
    assert source.index().losses == {}


def test_hits_of_a_span_are_those_of_the_whole_within_it(real):
    source = _stacked(real("timestem_raster_000000"))
    whole = source.hits()
    for start, stop in np.random.default_rng(3).choice(whole.toa, (20, 2)):
        start, stop = min(start, stop), max(start, stop)
        inside = (whole.toa >= start) & (whole.toa < stop)
        part = source.hits(start, stop)
        np.testing.assert_array_equal(part.toa, whole.toa[inside])
        np.testing.assert_array_equal(part.pixel, whole.pixel[inside])


def test_parts_of_the_work_hold_every_hit_once(real):
    source = _stacked(real("timestem_raster_000000"))
    found = [hits.toa for piece in source.work(3) for hits in source.part(piece)]
    np.testing.assert_array_equal(np.concatenate(found), source.hits().toa)
