"""The user's words about electrons and values, read before any file is, and turned into sources of events.

hits -> corrections of pixel, time and energy -> clusters -> wide pixels      (each an `EventSource`)
"""

from dataclasses import dataclass, field
from numbers import Integral

import numpy as np

from rsciio_tpx3.metadata.units import to_ticks

__all__ = ["EVENT_OPTIONS", "EventOptions", "event_options", "prepare_events"]

EVENT_OPTIONS = ("cluster", "corrections", "values")
VALUES = ("counts", "tot", "energy")
CORRECTIONS = ("mask", "columns", "time_walk", "energy", "wide_pixels")
WIDE_PIXELS = ("leave", "delete", "spread")


@dataclass(frozen=True)
class EventOptions:
    """Checked options, without a source.

    Attributes
    ----------
    cluster : rsciio_tpx3.events.clusters.ClusterOptions or None
        None leaves hits as they are.
    corrections : dict
        Name of `CORRECTIONS` to what was given.
    values : {"counts", "tot", "energy"}
    """

    cluster: object = None
    corrections: dict = field(default_factory=dict)
    values: str = "counts"


def event_options(cluster=None, corrections=None, values="counts"):
    """Check the options that say what is counted; the parameters are those of `tpx3.file_reader`.

    Returns
    -------
    EventOptions

    Raises
    ------
    ValueError, TypeError
        For unknown names and impossible values.
    UnitError
        For a time without a unit.
    """
    if values not in VALUES:
        raise ValueError(f"values={values!r} is none of {', '.join(map(repr, VALUES))}.")
    corrections = dict(corrections or {})
    unknown = set(corrections) - set(CORRECTIONS)
    if unknown:
        raise TypeError(f"corrections: unknown name {min(unknown)!r}. Known are {', '.join(CORRECTIONS)}.")
    if values == "energy" and corrections.get("energy") is None:
        raise ValueError(
            "values='energy' needs a calibration from time over threshold to energy: corrections={'energy': ...} with "
            "a folder of the matrices a, b, c, t, or a table."
        )
    if corrections.get("wide_pixels") not in (None, *WIDE_PIXELS):
        raise ValueError(
            f"corrections: wide_pixels={corrections['wide_pixels']!r} is none of {', '.join(map(repr, WIDE_PIXELS))}."
        )
    return EventOptions(_cluster_options(cluster), corrections, values)


def prepare_events(source, options):
    """The source with corrections and clusters as asked for.

    Parameters
    ----------
    source : EventSource
    options : EventOptions

    Returns
    -------
    source : EventSource
    report : dict
        What each correction did, for the metadata.
    """
    steps = []
    if options.corrections:
        from rsciio_tpx3.events.correct import hit_steps, wide_pixel_step
        from rsciio_tpx3.events.corrections import CorrectedSource

        source, steps = hit_steps(source, options.corrections)
    if options.cluster is not None:
        from rsciio_tpx3.events.clusters import ClusteredSource

        source = ClusteredSource(source, options.cluster)
    if options.corrections.get("wide_pixels") in ("delete", "spread"):
        # after clustering: a hit moved at random would no longer touch its neighbours
        fine = 1 if options.cluster is None else options.cluster.upsample
        steps.append(wide_pixel_step(source.layout, options.corrections["wide_pixels"], fine))
        source = CorrectedSource(source, steps[-1:])
    return source, {step.name: step.report() for step in steps}


def _cluster_options(cluster):
    if cluster is None or cluster is False:
        return None
    from rsciio_tpx3.events.clusters import POSITIONS, TIMES, ClusterOptions

    given = {} if cluster is True else cluster
    if not isinstance(given, dict):
        raise TypeError(f"cluster={cluster!r}: True, or a dictionary such as {{'window': '100 ns'}}, is needed.")
    known = ClusterOptions.__dataclass_fields__
    unknown = set(given) - set(known)
    if unknown:
        raise TypeError(f"cluster: unknown parameter {min(unknown)!r}. Known are {', '.join(known)}.")
    examples = {"window": "200 ns", "max_duration": "10 us"}
    # defaults are ticks already: units cost a second to load, and plain hits look for clusters in a sample too
    ticks = {
        name: round(to_ticks(given[name], f"cluster: {name}", example))
        for name, example in examples.items()
        if name in given
    }
    words = {"position": POSITIONS, "time": TIMES, "neighbours": (8, 4)}
    for name, allowed in words.items():
        if name in given and given[name] not in allowed:
            raise ValueError(f"cluster: {name}={given[name]!r} is none of {', '.join(map(repr, allowed))}.")
    lowest = {"upsample": 1, "min_size": 1, "max_size": 1, "min_tot": 0, "max_tot": 0}
    for name, least in lowest.items():
        value = given.get(name, least)
        if value is None and name.startswith("max"):
            continue
        if not isinstance(value, (Integral, np.integer)) or isinstance(value, bool) or value < least:
            raise ValueError(f"cluster: {name}={value!r}: a whole number from {least} on is needed.")
    if given.get("upsample", 1) > 1 and given.get("position") != "centroid":
        raise ValueError(
            f"cluster: upsample={given['upsample']} needs position='centroid': the pixel of one hit is no finer "
            "than the detector."
        )
    return ClusterOptions(**{**given, **ticks})
