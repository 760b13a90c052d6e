"""What the values of a loaded recording are, how they scatter, and what was done to the events: for the metadata."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.cache.store import recalled, require
from rsciio_tpx3.electrons.clusters import ClusterOptions, sampled_tally

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.events.tally import Tally


__all__ = ["QUANTITY", "event_values", "what_is_counted"]

QUANTITY = {
    "counts": "Counts ({events})",
    "tot": "Time over threshold (25 ns)",
    "energy": "Energy (keV)",
}


def what_is_counted(options: Any) -> dict[str, str]:
    """Values for `rsciio_tpx3.metadata.mapping.build` that follow from the options alone."""
    events = "hits" if options.cluster is None else "electrons"
    return {"event_type": events, "quantity": QUANTITY[options.values].format(events=events)}


def event_values(source: EventSource, options: Any, corrections: dict, counts: np.ndarray, outside: dict) -> dict:
    """Values for `rsciio_tpx3.metadata.mapping.build`.

    Parameters
    ----------
    source : EventSource
        As `rsciio_tpx3.reader.event_options.prepare_events` made it, after a counting pass.
    options : rsciio_tpx3.reader.event_options.EventOptions
    corrections : dict
        What `prepare_events` reports.
    counts : numpy.ndarray
        Events at each position.
    outside : dict
        Events without a position, by reason.

    Returns
    -------
    dict
    """
    about = what_is_counted(options)
    events = about["event_type"]
    found = {
        **about,
        "hits_total": source.index().n_hits,
        f"{events}_placed": int(counts.sum()),
        f"{events}_outside": {name.replace(" ", "_"): n for name, n in outside.items() if n},
        **_noise(source, options),
        "corrections": _with_excluded(corrections, source.tally()),
    }
    if options.cluster is not None:
        found["clusters"] = source.summary()
    return found


def _with_excluded(corrections: dict[str, dict], tally: Tally) -> dict[str, dict]:
    """What each correction reports, with the numbers of hits and electrons that it excluded."""
    found = {name: dict(report) for name, report in corrections.items()}
    for (name, what), number in tally.left_out.items():
        found[name][what] = number
    return found


def _noise(source: EventSource, options: Any) -> dict:
    """HyperSpy's linear model of the variance of each element, and the factor for areas, where values are counts."""
    if options.values != "counts":
        return {}
    if options.cluster is not None:
        return {"noise": {**_POISSON, "model": "Poisson: one count per electron"}, "noise_area": 1.0}
    factor = recalled(source, "variance", partial(_variance_over_mean, source), check=_check_factor)[1]["factor"]
    if factor is None:
        return {}
    return {
        "noise": {**_POISSON, "model": "Poisson: at most one hit of each electron in a pixel"},
        # from the sizes of clusters in a sample of the recording
        "noise_area": factor,
    }


# Element by element, which is how HyperSpy reads it. A pixel is hit once by an electron, or not at all.
_POISSON = {"gain_factor": 1.0, "gain_offset": 0.0, "correlation_factor": 1.0}


def _check_factor(arrays: dict, values: dict) -> None:
    factor = values["factor"]
    require(factor is None or (isinstance(factor, (int, float)) and factor >= 1), "the factor is odd")


def _variance_over_mean(source: EventSource) -> tuple[dict, dict[str, float]]:
    factor = sampled_tally(source, ClusterOptions()).variance_over_mean if source.index().n_hits else None
    return {}, {"factor": factor}
