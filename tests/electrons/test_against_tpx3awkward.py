"""Clusters of real quad recordings compared with those of tpx3awkward 0.1.0 with equal settings (tests/data/README.md).

tpx3awkward joins hits with the first hit of a cluster, not with each other, and measures time in whole windows. So a
cluster is the same where all hits are neighbours of each other and lie in the same window of its grid; others it
cuts into pieces, or takes hits together that straddle a window.
"""

from collections import Counter

import numpy as np
import pytest

from rsciio_tpx3.electrons.clusters import label_hits
from rsciio_tpx3.reader.event_options import event_options, prepare_events
from rsciio_tpx3.tpx3 import Tpx3Source

pytestmark = pytest.mark.slow

WINDOW = 127  # 200 ns in steps of 1.5625 ns, as tpx3awkward rounds it


def compact(source):
    """Whether the hits of each cluster are all neighbours of each other, within one window of the time grid."""
    hits, label, found = label_hits(source.source.hits(), source.grid, source.options)
    spread = []
    for column in (hits.y, hits.x, hits.toa // 6 // WINDOW):
        lowest, highest = np.full(len(found.size), 2**62), np.full(len(found.size), -1)
        np.minimum.at(lowest, label, column)
        np.maximum.at(highest, label, column)
        spread.append(highest - lowest)
    return (spread[0] <= 1) & (spread[1] <= 1) & (spread[2] == 0)


@pytest.mark.parametrize(
    "name, clusters, theirs, equal",
    [
        ("serval43_lossy_quad", 2075, 2082, 2067),
        ("ornl_tdc_gdc_60hz", 75, 119, 50),
        ("hermes_1khz_5frames", 34, 34, 34),
        ("bnl_quad_11", 1, 7, 0),
    ],
)
def test_compact_clusters_are_those_of_tpx3awkward(real, name, clusters, theirs, equal):
    with np.load(real(name).replace("tpx3/" + name + ".tpx3", "expected/clusters.npz")) as file:
        t, tot, size = file[name]
    source = Tpx3Source(real(name), layout="quad", on_loss="warn", show_progressbar=False)
    source, _ = prepare_events(source, event_options(cluster={"window": "200 ns", "time": "largest"}))
    found = source.hits()
    ours = list(zip((found.toa // 6).tolist(), found.tot.tolist(), found.size.tolist()))
    other = Counter(zip(t.tolist(), tot.tolist(), size.tolist()))
    assert (len(ours), len(t), sum((Counter(ours) & other).values())) == (clusters, theirs, equal)
    assert (found.tot.sum(), found.size.sum()) == (tot.sum(), size.sum())
    is_compact = compact(source)
    missing = [cluster for cluster, simple in zip(ours, is_compact) if simple and cluster not in other]
    # the one that is left: tpx3awkward joins two hits 231 ns apart in neighbouring windows
    assert missing == {"serval43_lossy_quad": [(626448983, 49, 1), (626449131, 1, 1)]}.get(name, [])
