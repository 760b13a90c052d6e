"""Every hit of a recording is at a position, outside the scan, or counted among those excluded."""

import logging
import re

import numpy as np
import pytest
from electrons.memory_hits import MemoryHits

import rsciio_tpx3
from rsciio_tpx3 import simulate
from rsciio_tpx3.corrections.fit import hit_steps
from rsciio_tpx3.electrons import clusters
from rsciio_tpx3.electrons.clusters import ClusteredSource, ClusterOptions
from rsciio_tpx3.events.tally import Tally

NAV = (11, 7)  # (x, y)
SIDE = 516


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A short scan on a quad with a gap, bright at the chip borders, and the file's truth."""
    path = tmp_path_factory.mktemp("totals") / "scan.tpx3"
    intensity = np.zeros((*NAV[::-1], SIDE, SIDE))
    intensity[:, :, 200:300, 240:280] = 1
    truth = simulate.recording(
        path, intensity=intensity, hits="realistic", gap=4, electrons_per_position=60, dwell_time="12 us", seed=4,
        flyback_electrons=True,
    )  # fmt: skip
    return str(path), truth


def mask_of(truth):
    mask = np.zeros((SIDE, SIDE), bool)
    mask[210:230] = True
    return mask, int(np.isin(truth.hit_pixel, np.flatnonzero(mask)).sum())


def counted_nodes(path, **options):
    """The nodes of the metadata that count hits and electrons."""
    [signal] = rsciio_tpx3.file_reader(
        path, lazy=True, navigation_shape=NAV, layout="quad", gap=4, show_progressbar=False, **options
    )
    tem = signal["metadata"]["Acquisition_instrument"]["TEM"]
    scan, detector = tem["Scan"], tem["Detector"]
    assert int(signal["data"].sum().compute()) == scan[f"{detector['event_type']}_placed"]
    return scan, detector.get("Clusters"), detector["Corrections"]


@pytest.mark.parametrize("wide", ["leave", "delete", "spread"])
@pytest.mark.parametrize("walk", [None, [(1, 300), (40, -20)]])
def test_hits_add_up(recording, wide, walk):
    path, truth = recording
    mask, masked = mask_of(truth)
    scan, _, corrections = counted_nodes(path, corrections={"mask": mask, "wide_pixels": wide, "time_walk": walk})
    assert scan["hits_total"] == truth.n_hits
    assert corrections["Mask"]["hits_left_out"] == masked > 100
    deleted = corrections.get("Wide_pixels", {}).get("hits_left_out")
    assert (deleted is None) == (wide != "delete")
    if deleted is not None:
        area = np.zeros((SIDE, SIDE), bool)
        area[255:261] = area[:, 255:261] = True
        assert deleted == np.isin(truth.hit_pixel, np.flatnonzero(area & ~mask)).sum() > 100
    found = scan["hits_placed"] + sum(scan["Hits_outside"].values())
    assert found + masked + (deleted or 0) == truth.n_hits


@pytest.mark.parametrize(
    "cluster",
    [
        True,
        {"min_size": 2, "max_size": 5, "min_tot": 30, "max_tot": 300},
        {"window": "3 us", "max_duration": "3.1 us", "time": "largest"},
        {"position": "centroid", "upsample": 2},
    ],
)
@pytest.mark.parametrize("wide", ["delete", "spread"])
def test_electrons_and_their_hits_add_up(recording, cluster, wide):
    path, truth = recording
    mask, masked = mask_of(truth)
    steps = {"mask": mask, "wide_pixels": wide, "time_walk": [(1, 300), (40, -20)]}
    scan, found, corrections = counted_nodes(path, corrections=steps, cluster=cluster)
    assert corrections["Mask"]["hits_left_out"] == masked
    hits = found["hits_of_electrons"] + found.get("hits_in_chains", 0) + found.get("hits_left_out", 0)
    assert hits + masked == scan["hits_total"] == truth.n_hits
    if cluster is not True:
        limited, chained = "min_size" in cluster, "window" in cluster
        assert ("Left_out" in found, "hits_left_out" in found, "hits_in_chains" in found) == (limited, limited, chained)
    deleted = corrections["Wide_pixels"].get("electrons_left_out", 0)
    assert (deleted > 20) == (wide == "delete")
    assert scan["electrons_placed"] + sum(scan["Electrons_outside"].values()) + deleted == found["electrons"]
    if deleted:
        assert deleted <= corrections["Wide_pixels"]["hits_left_out"] < found["hits_of_electrons"]


@pytest.mark.parametrize("slice_hits", [20, 10**6])
@pytest.mark.parametrize("n_parts", [1, 7])
@pytest.mark.parametrize("masked_columns", [90, 256])
def test_what_a_mask_leaves_out_is_counted_once_in_every_cut(monkeypatch, slice_hits, n_parts, masked_columns):
    monkeypatch.setattr(clusters, "SLICE_HITS", slice_hits)
    monkeypatch.setattr(clusters, "_MOST_HITS", 2 * slice_hits)
    rng = np.random.default_rng(3)
    pixel, toa, tot = rng.integers(0, 256 * 9, 900), rng.integers(0, 60_000, 900), rng.integers(1, 90, 900)
    toa[:300] = 30_000 + toa[:300] % 500  # a burst: slices are cut in two
    mask = np.zeros((256, 256), bool)
    mask[:, :masked_columns] = True
    source, _ = hit_steps(MemoryHits(pixel, toa, tot, piece=5), {"mask": mask, "time_walk": [(1, 50), (80, -50)]})
    electrons = ClusteredSource(source, ClusterOptions(window=40, max_duration=400, min_size=2))
    found = [hits for piece in electrons.work(n_parts) for hits in electrons.part(piece)]
    tally = electrons.tally()
    assert tally.left_out == {("Mask", "hits_left_out"): np.count_nonzero(pixel % 256 < masked_columns)}
    assert tally.hits == tally.hits_of_electrons + tally.hits_chained + tally.hits_left_out
    assert tally.hits + tally.left_out["Mask", "hits_left_out"] == 900
    assert sum(map(len, found)) == tally.electrons
    other = ClusteredSource(source, electrons.options)
    other.recall_noted(electrons.noted())
    assert str(other.tally()) == str(tally) and other.summary() == electrons.summary()


def test_a_pass_counts_anew():
    mask = np.ones((256, 256), bool)
    source, _ = hit_steps(MemoryHits(np.arange(50), np.arange(50), np.ones(50, int)), {"mask": mask})
    for _ in range(2):
        for piece in source.work(3):
            list(source.part(piece))
        assert source.tally() == Tally(left_out={("Mask", "hits_left_out"): 50})


@pytest.mark.parametrize(
    "cluster, level, words",
    [
        ({"window": "9 us"}, "WARNING", "in chains that last longer than max_duration='10 us'.* shorter than '9 us'"),
        ({"window": "9 us", "max_duration": "9.1 us"}, "INFO", "chains that last longer than max_duration='9.1 us'.$"),
        ({"min_size": 2, "max_size": 4}, "INFO", "clusters? too small .min_size., .* clusters? too large .max_size..$"),
        ({"max_tot": 50}, "INFO", "of [0-9,]+ hits: [0-9,]+ in [0-9,]+ clusters tot too high .max_tot..$"),
    ],
)
def test_the_log_says_once_what_clustering_excluded(recording, caplog, cluster, level, words):
    caplog.set_level(logging.INFO, "rsciio_tpx3")
    _, found, _ = counted_nodes(recording[0], cluster=cluster, corrections={"columns": "phase"})
    [record] = [r for r in caplog.records if "Clustering excluded" in r.message]
    lost = found.get("hits_in_chains", 0) + found.get("hits_left_out", 0)
    assert record.levelname == level and f"excluded {lost:,} of {recording[1].n_hits:,} hits" in record.message
    assert re.search(words, record.message)
    assert "The correction" not in caplog.text


def test_the_log_says_what_corrections_excluded(recording, caplog):
    path, truth = recording
    mask, masked = mask_of(truth)
    caplog.set_level(logging.INFO, "rsciio_tpx3")
    _, _, found = counted_nodes(path, cluster=True, corrections={"mask": mask, "wide_pixels": "delete"})
    assert f"The correction mask excluded {masked:,} hits." in caplog.text
    electrons, hits = (found["Wide_pixels"][f"{what}_left_out"] for what in ("electrons", "hits"))
    assert f"The correction wide_pixels excluded {hits:,} hits of {electrons:,} electrons." in caplog.text
