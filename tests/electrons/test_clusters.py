"""Clusters against the explicit graph; the same for every way to cut the data."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from electrons.memory_hits import MemoryHits
from electrons.reference import reference_electrons
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.electrons import clusters, joining
from rsciio_tpx3.electrons.clusters import ClusteredSource, find_electrons
from rsciio_tpx3.electrons.options import CLUSTER_OPTIONS, ClusterOptions
from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.events.grid import pixel_grid
from rsciio_tpx3.events.source import Hits
from rsciio_tpx3.events.tally import Tally


def rows(hits):
    return sorted(zip(hits.toa.tolist(), hits.pixel.tolist(), hits.tot.tolist(), hits.size.tolist()))


def random_hits(n, span, area, seed, layout=None):
    """Hits of a small area over a chip or the crossing of chips, with equal times, pixels and ToT among them."""
    rng = np.random.default_rng(seed)
    layout = layout or make_layout("single")
    height, width = layout.sig_shape
    y = height // 2 - area // 2 + rng.integers(0, area, n)
    x = width // 2 - area // 2 + rng.integers(0, area + 1, n)
    return y * width + x, 5_000 + rng.integers(0, max(span, 1), n), rng.integers(0, 6, n)


options = st.builds(
    ClusterOptions,
    window=st.sampled_from([0, 6, 40]),
    neighbours=st.sampled_from([4, 8]),
    position=st.sampled_from(CLUSTER_OPTIONS["position"].choices),
    time=st.sampled_from(CLUSTER_OPTIONS["time"].choices),
    min_size=st.integers(1, 2),
    max_size=st.sampled_from([None, 4]),
    min_tot=st.sampled_from([0, 3]),
    max_tot=st.sampled_from([None, 12]),
    max_duration=st.sampled_from([50, 200, 10**9]),
)


@settings(max_examples=150)
@given(
    n=st.integers(0, 60), span=st.integers(1, 900), area=st.integers(1, 9), seed=st.integers(0, 10**6), chosen=options,
    most_alive=st.sampled_from([0, joining._MOST_ALIVE]),
)  # fmt: skip
def test_clusters_are_connected_components(n, span, area, seed, chosen, most_alive):
    columns = random_hits(n, span, area, seed)
    source = ClusteredSource(MemoryHits(*columns, seed=seed), chosen)
    expected = reference_electrons(*columns, 256, chosen)
    with patch.object(joining, "_MOST_ALIVE", most_alive):  # both ways to join
        found = source.hits()
    assert rows(found) == expected if n else len(found) == 0
    # any cut gives the same electrons, each once
    borders = sorted({0, 5_000, 10_000, *np.random.default_rng(seed).integers(4_990, 5_910, 5).tolist()})
    parts = [row for a, b in zip(borders[:-1], borders[1:]) for h in source.windows(a, b) for row in rows(h)]
    assert sorted(parts) == expected


@given(seed=st.integers(0, 10**6), fine=st.sampled_from([1, 2, 3, 5]))
def test_centroids_are_exact(seed, fine):
    columns = random_hits(40, 400, 8, seed)
    chosen = ClusterOptions(window=30, position="centroid", upsample=fine)
    source = ClusteredSource(MemoryHits(*columns), chosen)
    assert source.sig_shape == (256 * fine, 256 * fine)
    assert rows(source.hits()) == reference_electrons(*columns, 256, chosen)


@pytest.mark.parametrize("gap", [0, 2, 4])
def test_chips_of_a_quad_are_neighbours_across_the_gap(gap):
    layout = make_layout("quad", gap=gap)
    rng = np.random.default_rng(gap)
    exists = np.r_[250:256, 256 + gap : 262 + gap]
    pixel = rng.choice(exists, 80) * layout.sig_shape[1] + rng.choice(exists, 80)
    toa, tot = rng.integers(0, 2_000, 80), rng.integers(1, 9, 80)
    chosen = ClusterOptions(window=150)
    found = ClusteredSource(MemoryHits(pixel, toa, tot, layout), chosen).hits()
    expected = reference_electrons(
        pixel, toa, tot, layout.sig_shape[1], chosen, gaps=lambda row: np.where(row > 255, row - gap, row)
    )
    assert rows(found) == expected
    assert found.size.max() > 2


def test_chips_far_apart_are_no_neighbours():
    layout = make_layout([{"chip": 0, "x": 0, "y": 0}, {"chip": 1, "x": 266, "y": 0}])
    hits = np.array([255, 266, 522 * 7, 0]), np.array([10, 10, 10, 10]), np.ones(4, int)
    assert ClusteredSource(MemoryHits(*hits, layout), ClusterOptions(window=5)).hits().size.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("slice_hits", [20, 90, 10**6])
@pytest.mark.parametrize("n_parts", [1, 3, 17])
def test_result_does_not_depend_on_slices_or_parts(monkeypatch, slice_hits, n_parts):
    monkeypatch.setattr(clusters, "SLICE_HITS", slice_hits)
    monkeypatch.setattr(clusters, "_MOST_HITS", 2 * slice_hits)
    columns = random_hits(900, 60_000, 9, 3)
    # a burst: slices of equal time differ much in hits
    columns[1][:300] = 30_000 + columns[1][:300] % 500
    chosen = ClusterOptions(window=40, max_duration=400, min_size=2, position="centroid", upsample=2)
    source = ClusteredSource(MemoryHits(*columns, piece=5), chosen)
    found = [row for piece in source.work(n_parts) for hits in source.part(piece) for row in rows(hits)]
    assert sorted(found) == reference_electrons(*columns, 256, chosen)
    tally = source.tally()
    assert tally.hits == 900 and tally.hits_chained > 0 and tally.too_small > 0
    assert (tally.electrons, tally.hits_of_electrons) == (len(found), sum(row[3] for row in found))
    everything = ClusteredSource(MemoryHits(*columns), ClusterOptions(window=40, max_duration=400))
    n_all = len(everything.hits())
    assert n_all == tally.electrons + tally.too_small


@pytest.mark.parametrize("position", CLUSTER_OPTIONS["position"].choices)
def test_hits_with_energies_make_the_same_electrons(position):
    pixel, toa, tot = random_hits(900, 20_000, 9, 8)
    chosen, grid = ClusterOptions(window=40, position=position), pixel_grid(make_layout("single"))
    hits = Hits(pixel.astype(np.int32), toa, tot.astype(np.uint16), 256)
    plain, tally = find_electrons(hits, 0, 30_000, grid, chosen)
    found, other = find_electrons(replace(hits, energy=2 * tot.astype(np.float32)), 0, 30_000, grid, chosen)
    for name in ("pixel", "toa", "tot", "size"):
        np.testing.assert_array_equal(getattr(found, name), getattr(plain, name))
    np.testing.assert_array_equal(found.energy, 2 * plain.tot.astype(np.float32))
    assert (found.energy.dtype, plain.energy, str(other)) == (np.float32, None, str(tally))


def test_a_chain_is_excluded_and_its_hits_are_counted():
    # thirty neighbouring hits, each within the window of the next: one component of 290 ticks
    pixel, toa = 1000 + np.arange(30) % 2, 10 * np.arange(30)
    source = ClusteredSource(MemoryHits(pixel, toa, np.ones(30, int)), ClusterOptions(window=12, max_duration=100))
    for piece in source.work(4):
        assert sum(map(len, source.part(piece))) == 0
    assert (source.tally().hits, source.tally().hits_chained) == (30, 30)
    assert source.summary()["hits_in_chains"] == 30


def test_hits_of_equal_time_and_tot_are_ordered_by_pixel():
    pixel = np.array([700, 699, 956, 955])
    for seed in range(6):
        source = MemoryHits(pixel, np.full(4, 12), np.full(4, 3), seed=seed)
        for position in ("largest", "earliest"):
            assert ClusteredSource(source, ClusterOptions(window=0, position=position)).hits().pixel.tolist() == [699]


def test_tallies_add_up():
    one = Tally(hits=5, electrons=2, hits_of_electrons=5, squares=13, sizes=np.arange(16))
    total = sum([one, one, Tally()], Tally())
    assert (total.hits, total.electrons, total.sizes[3]) == (10, 4, 6)
    assert total.variance_over_mean == 2.6
    assert Tally().variance_over_mean is None
