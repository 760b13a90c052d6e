"""Simulated Timepix3 4D STEM recordings whose truth is known.

A specimen or a 4D intensity becomes electrons, then hits, then packets as a detector sends them.
"""

from rsciio_tpx3.simulate.edges import Edges, make_edges
from rsciio_tpx3.simulate.hits import HitModel
from rsciio_tpx3.simulate.intensity import ArrayIntensity
from rsciio_tpx3.simulate.recording import demo, recording
from rsciio_tpx3.simulate.scan import PATHS, SYNC_KINDS, Scan, make_scan
from rsciio_tpx3.simulate.specimen import PHASES, Specimen, specimen
from rsciio_tpx3.simulate.truth import Truth

__all__ = [
    "PATHS",
    "PHASES",
    "SYNC_KINDS",
    "ArrayIntensity",
    "Edges",
    "HitModel",
    "Scan",
    "Specimen",
    "Truth",
    "demo",
    "make_edges",
    "make_scan",
    "recording",
    "specimen",
]
