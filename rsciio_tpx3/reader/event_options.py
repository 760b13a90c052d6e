"""The user's words about electrons and values, read before any file is, and turned into sources of events.

hits -> corrections of pixel, time and energy -> clusters -> wide pixels      (each an `EventSource`)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rsciio_tpx3.corrections.fit import hit_steps, wide_pixel_step
from rsciio_tpx3.corrections.options import check_corrections
from rsciio_tpx3.corrections.steps import CorrectedSource
from rsciio_tpx3.electrons.clusters import ClusteredSource
from rsciio_tpx3.electrons.options import CLUSTER_OPTIONS, ClusterOptions
from rsciio_tpx3.utils.clock import ticks_to_seconds
from rsciio_tpx3.utils.integers import is_integer
from rsciio_tpx3.utils.text import format_seconds
from rsciio_tpx3.utils.units import to_ticks

if TYPE_CHECKING:
    from rsciio_tpx3.electrons.options import ClusterOption
    from rsciio_tpx3.events.source import EventSource


__all__ = ["EventOptions", "event_options", "prepare_events"]

VALUES = ("counts", "tot", "energy")


@dataclass(frozen=True)
class EventOptions:
    """Checked options, without a source.

    Attributes
    ----------
    cluster : rsciio_tpx3.electrons.clusters.ClusterOptions or None
        None leaves hits as they are.
    corrections : dict
        Name to what was given, of those that are not off.
    values : {"counts", "tot", "energy"}
    """

    cluster: ClusterOptions | None = None
    corrections: dict = field(default_factory=dict)
    values: str = "counts"


def event_options(cluster: Any = None, corrections: Any = None, values: str = "counts") -> EventOptions:
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
    FileNotFoundError
        If a file of a correction does not exist.
    """
    if values not in VALUES:
        raise ValueError(f"values={values!r} is not valid: must be one of {', '.join(map(repr, VALUES))}.")
    if corrections is not None:
        corrections = check_corrections(corrections)
    if values == "energy" and "energy" not in (corrections or {}):
        raise ValueError(
            "values='energy' needs a calibration from time over threshold to energy: corrections={'energy': ...} with "
            "a folder of the matrices a, b, c, t, or a table."
        )
    return EventOptions(_cluster_options(cluster), corrections or {}, values)


def prepare_events(source: EventSource, options: EventOptions) -> tuple[EventSource, dict]:
    """The source with corrections and clusters as requested.

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
    steps: list = []
    if options.corrections:
        source, steps = hit_steps(source, options.corrections)
    if options.cluster is not None:
        source = ClusteredSource(source, options.cluster)
    if options.corrections.get("wide_pixels") in ("delete", "spread"):
        # after clustering: a hit moved at random would no longer touch its neighbours
        fine = 1 if options.cluster is None else options.cluster.upsample
        steps.append(wide_pixel_step(source.layout, options.corrections["wide_pixels"], fine))
        source = CorrectedSource(source, steps[-1:])
    return source, {step.name: step.report() for step in steps}


def _cluster_options(cluster: Any) -> ClusterOptions | None:
    if cluster is None or cluster is False:
        return None
    values = {} if cluster is True else cluster
    if not isinstance(values, dict):
        raise TypeError(f"cluster={cluster!r}: expected True, or a dictionary such as {{'window': '100 ns'}}.")
    unknown = set(values) - set(CLUSTER_OPTIONS)
    if unknown:
        raise TypeError(f"cluster: unknown parameter {min(unknown)!r}. Known are {', '.join(CLUSTER_OPTIONS)}.")
    # only what the user sets: units cost a second to load, and plain hits look for clusters in a sample too
    checked = {name: _checked(CLUSTER_OPTIONS[name], values[name]) for name in CLUSTER_OPTIONS if name in values}
    if checked.get("upsample", 1) > 1 and checked.get("position") != "centroid":
        raise ValueError(
            f"cluster: upsample={checked['upsample']} needs position='centroid': the pixel of one hit is not finer "
            "than the detector."
        )
    options = ClusterOptions(**checked)
    _check_limits(options, values)
    return options


def _checked(option: ClusterOption, value: Any) -> Any:
    """The value of one parameter as `ClusterOptions` has it: times in ticks."""
    name = option.name
    if option.example:
        return round(to_ticks(value, f"cluster: {name}", option.example))
    if option.choices and value not in option.choices:
        raise ValueError(
            f"cluster: {name}={value!r} is not valid: must be one of {', '.join(map(repr, option.choices))}."
        )
    if option.least is None or (value is None and name.startswith("max")):
        return value
    if not is_integer(value) or value < option.least:
        raise ValueError(f"cluster: {name}={value!r}: expected an integer from {option.least} on.")
    return value


def _check_limits(options: ClusterOptions, values: dict) -> None:
    """Refuse limits that leave nothing, or join what is excluded for being joined."""
    for least, most in (("min_size", "max_size"), ("min_tot", "max_tot")):
        low, high = getattr(options, least), getattr(options, most)
        if high is not None and low > high:
            raise ValueError(
                f"cluster: {least}={low} is larger than {most}={high}: no cluster can be both. Exchange them, or leave "
                "one out."
            )
    if options.window >= options.max_duration:
        window, longest = (format_seconds(ticks_to_seconds(n)) for n in (options.window, options.max_duration))
        default = "" if "max_duration" in values else " (the default)"
        raise ValueError(
            f"cluster: window={window!r} is not shorter than max_duration={longest!r}{default}: two hits of a window "
            "would make a cluster that is excluded for lasting too long. Pass a shorter window (the hits of an "
            "electron come within some 200 ns), or a max_duration of several windows."
        )
