"""Simulated Timepix3 4D STEM recordings whose truth is known.

A specimen or a 4D intensity becomes electrons, then hits, then packets as a detector sends them.
"""

from rsciio_tpx3.simulate.defects import Defects
from rsciio_tpx3.simulate.edges import Edges, make_edges
from rsciio_tpx3.simulate.hits import HitModel
from rsciio_tpx3.simulate.intensity import ArrayIntensity
from rsciio_tpx3.simulate.matching import Matching, match_electrons
from rsciio_tpx3.simulate.recording import demo, recording
from rsciio_tpx3.simulate.scan import PATTERNS, SYNC_KINDS, Scan, make_scan
from rsciio_tpx3.simulate.specimen import PHASES, Specimen, specimen
from rsciio_tpx3.simulate.truth import Truth

__all__ = [
    "PATTERNS",
    "PHASES",
    "SYNC_KINDS",
    "ArrayIntensity",
    "Defects",
    "Edges",
    "HitModel",
    "Matching",
    "Scan",
    "Specimen",
    "Truth",
    "demo",
    "make_edges",
    "make_scan",
    "match_electrons",
    "recording",
    "specimen",
]
