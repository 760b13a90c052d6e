"""What is in a recording, and what it can be loaded as, in plain numbers and text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.exceptions import MetadataConflictError, ScanSyncError
from rsciio_tpx3.reader.scan import known_scan
from rsciio_tpx3.scan.edges import regular_pulses
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.text import format_seconds

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import Edges, EventIndex, EventSource
    from rsciio_tpx3.metadata.known import KnownMetadata
    from rsciio_tpx3.scan.options import ScanOptions


__all__ = ["event_info", "signal_offers"]


def event_info(source: EventSource, scan: ScanOptions, known: KnownMetadata, name: str) -> dict:
    """`file_info` of a recording.

    Parameters
    ----------
    source : EventSource
    scan : ScanOptions
    known : KnownMetadata
    name : str
        Of the format.

    Returns
    -------
    dict
    """
    index, description = source.index(), source.describe()
    return {
        "format": name,
        "files": list(description["paths"]),
        "bytes": description["size"],
        "layout": description["layout"],
        "detector_shape": list(source.sig_shape[::-1]),
        "chips": list(index.chips),
        "hits": index.n_hits,
        **index.statistics,
        "edges": {name: _edge_summary(index.edges.select(name)) for name in index.edges.kinds},
        "first": ticks_to_seconds(index.span[0]),
        "last": ticks_to_seconds(index.span[1]),
        "losses": index.losses,
        "signals": signal_offers(index, scan, known),
    }


def _edge_summary(edges: Edges) -> dict:
    intervals = np.diff(edges.ticks)
    summary: dict[str, Any] = {"number": len(edges), "first": ticks_to_seconds(edges.ticks[0])}
    if len(intervals):
        pulses = regular_pulses(edges.ticks, edges.counter.astype(np.int64))
        summary.update(
            period=ticks_to_seconds(pulses.period),
            period_error=ticks_to_seconds(pulses.jitter),
            groups=len(pulses.run_lengths),
            in_bursts=pulses.burst,
        )
    return summary


def signal_offers(index: EventIndex, options: ScanOptions, known: KnownMetadata | None = None) -> list[dict]:
    """What a recording can be loaded as; see `rsciio_tpx3.tpx3.available_signals`."""
    offers: list[dict] = []
    if len(index.edges):
        offer: dict[str, Any] = {"signal": "scan"}
        try:
            scan = known_scan(index, options, known)
        # Not a failure here: what the user has to say before the scan can be loaded is what was wanted to know.
        except (ScanSyncError, MetadataConflictError) as error:
            offer.update(ready=False, needs=str(error))
        else:
            offer.update(
                ready=True,
                sync=scan.report["sync"],
                tdc=scan.report["tdc"],
                navigation_shape=tuple(scan.nav_shape[::-1]),
                dwell_time=scan.report["dwell_time"],
                notes=list(scan.report["messages"]),
            )
        offers.append(offer)
    if index.n_hits:
        span = ticks_to_seconds(index.hit_span[1] - index.hit_span[0])
        offers.append(
            {
                "signal": "frames",
                "ready": False,
                "needs": f'frame_time, such as frame_time="1 ms"; the recording lasts {format_seconds(span)}.',
                "duration": span,
            }
        )
    return offers
