"""Everything that is known about a file besides its events: gathered before reading, completed after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rsciio_tpx3.exceptions import MetadataConflictError
from rsciio_tpx3.metadata import calibration
from rsciio_tpx3.metadata import sources as other_sources
from rsciio_tpx3.metadata.mapping import STEERING, build
from rsciio_tpx3.metadata.merge import by_trust, display, merge, steer
from rsciio_tpx3.metadata.record import plain
from rsciio_tpx3.metadata.sources.sidecars import find_sidecars, read_sidecar
from rsciio_tpx3.metadata.user_input import read_mapping, read_tree
from rsciio_tpx3.metadata.values import SourceValues

__all__ = ["KnownMetadata", "first_piece", "gather", "read_sources", "steered"]


@dataclass
class KnownMetadata:
    """What the sources tell about one file, and what was decided.

    Attributes
    ----------
    sources : list of SourceValues
    calibrate : {"auto", "angle", "k", None}
    decided : set of str
        Options that the user gave.
    known_from : dict
        Option to the label of the sidecar that it was taken from.
    chips : list of dict or None
        Table of chips, where one was requested or stated.
    loaded_by : dict
        Option to the label of the sidecar whose table ``[load]`` it was taken from.
    """

    sources: list
    calibrate: str | None = "auto"
    decided: set = field(default_factory=set)
    known_from: dict = field(default_factory=dict)
    chips: list | None = None
    loaded_by: dict = field(default_factory=dict)

    def steer(self, **requested: Any) -> dict:
        """Options that decide where hits go: as given, else as the sources tell.

        Parameters
        ----------
        **requested
            Option to value; None where the user has not said anything.

        Returns
        -------
        dict
            Option to value; None where nobody tells.
        """
        options, self.known_from = steer(self.sources, requested)
        if options.get("layout") is not None and not isinstance(options["layout"], str):
            self.chips = [{str(key).lower(): item for key, item in chip.items()} for chip in options["layout"]]
        self.decided = {name for name, value in requested.items() if value is not None}
        return options

    @property
    def dwell_time(self) -> float | None:
        """Seconds on one position as the most trusted source has it, or None."""
        sources = by_trust(self.sources, "dwell_time")
        return sources[0].values["dwell_time"] if sources else None

    def complete(self, signal: dict, label: str = "the recording") -> dict:
        """Add what the sources tell to a signal dictionary, in place.

        Parameters
        ----------
        signal : dict
            RosettaSciIO signal dictionary.
        label : str
            What the signal was read from.

        Returns
        -------
        dict
            The same.
        """
        tree = signal.get("metadata") or {}
        own = read_tree(tree, label, "recording")
        _add_shape(own, signal["axes"])
        self._refuse_what_was_not_done(own)
        sources = [own, *map(_with_named_layout, self.sources)]
        merged = merge(sources, self.decided | set(self.known_from))
        values = dict(merged.values)
        values.pop("navigation_shape", None)  # the axes have it, and keep it when the signal is cropped
        foreign = {name: source for name, source in merged.sources.items() if source != label and name in values}
        # what the tree has already stays as it is, to the letter
        new = {name: values[name] for name in foreign}
        new.update({f"{name}_error": error for name, error in merged.errors.items() if name in foreign})
        if "beam_energy" in foreign:
            new["wavelength"] = calibration.wavelength(values["beam_energy"]) * 1e10
        new["metadata_sources"] = {**foreign, **self.known_from}
        new["metadata_conflicts"] = {name: "; ".join(texts) for name, texts in merged.conflicts.items()}
        new["layout_table"] = self._layout_table(values.get("layout"))
        signal["axes"], note = calibration.with_note(signal["axes"], values, self.calibrate, set(foreign), own.values)
        new["calibrated_axes"] = note
        signal["metadata"] = _joined(tree, build(new))
        if merged.original:
            known = dict(signal.get("original_metadata") or {})
            known["metadata_sources"] = {**known.get("metadata_sources", {}), **plain(merged.original)}
            signal["original_metadata"] = known
        return signal

    def _refuse_what_was_not_done(self, own: SourceValues) -> None:
        """A user's word about where hits lie that reading could not follow, such as for counted data."""
        for source in self.sources:
            for name in STEERING if source.kind == "user" else ():
                if name not in source.values or name not in own.values or name in self.known_from:
                    continue
                if own.values[name] != source.values[name] and name not in self.decided:
                    raise MetadataConflictError(
                        f"{source.label} {name} is {display(name, source.values[name])}, but {own.label} holds "
                        f"{display(name, own.values[name])}, which metadata cannot change. Leave it out, or use the "
                        "reader's option."
                    )

    def _layout_table(self, layout: Any) -> list[str] | None:
        """The chips of a table, as text that any file format can keep."""
        if layout != "table" or self.chips is None:
            return None
        rows = sorted(self.chips, key=lambda row: row["chip"])
        return [f"chip {row['chip']}: x {row['x']}, y {row['y']}, {row.get('orientation', 'LtRTtB')}" for row in rows]


def gather(
    filename: str | os.PathLike | Sequence,
    metadata: dict | None = None,
    metadata_from: Any = None,
    calibrate: str | None = "auto",
    more: Sequence[SourceValues] = (),
    sources: Sequence[SourceValues] | None = None,
) -> KnownMetadata:
    """What the user, and the files next to a recording, tell about it.

    Parameters
    ----------
    filename : str, Path or sequence of them
        The recording; of several pieces the first counts.
    metadata : dict, path, or list of these, optional
        What the user tells, see `rsciio_tpx3.metadata.user_input.read_mapping`; a path names a sidecar.
    metadata_from : path or signal, optional
        See `rsciio_tpx3.metadata.sources.signal_file.read_survey`.
    calibrate : {"auto", "angle", "k", None}
    more : sequence of SourceValues
        From the format itself, such as Pixet's items.
    sources : sequence of SourceValues, optional
        What `read_sources` gave for this file and `metadata`, where it has been read already.

    Returns
    -------
    KnownMetadata

    Raises
    ------
    UnitError, ValueError
        For what the user stated. What is wrong in a file that was merely found is excluded, with a warning.
    """
    calibration.check_choice(calibrate)
    known = [*(read_sources(filename, metadata) if sources is None else sources)]
    if metadata_from is not None:
        known.append(other_sources.read_survey(metadata_from))
    return KnownMetadata([*known, *more], calibrate)


def read_sources(filename: str | os.PathLike | Sequence, metadata: dict | None = None) -> list[SourceValues]:
    """What the user tells, and the files that he names or that lie next to a recording, in the order of trust.

    Parameters
    ----------
    filename, metadata
        See `gather`.

    Returns
    -------
    list of SourceValues
    """
    named = metadata if isinstance(metadata, list) else [] if metadata is None else [metadata]
    sources, paths = [], set()
    for item in named:
        if isinstance(item, dict):
            sources.append(read_mapping(item, "metadata=", "user"))
        elif isinstance(item, (str, os.PathLike)):
            paths.add(os.path.realpath(item))
            sources += read_sidecar(os.fspath(item))
        else:
            raise TypeError(
                f"metadata={item!r}: expected a dictionary such as {{'camera_length': '100 mm'}}, the path of a file, "
                "or a list of these. A signal goes to metadata_from."
            )
    path = first_piece(filename)
    if os.path.isfile(path):
        found = [other for other in find_sidecars(os.fspath(path)) if os.path.realpath(other) not in paths]
        sources += [source for other in found for source in read_sidecar(other, strict=False)]
    return sources


def first_piece(filename: str | os.PathLike | Sequence, all_parts: bool = False) -> str | os.PathLike:
    """The file next to which others are looked for: the first of an acquisition in pieces."""
    if not isinstance(all_parts, (bool, np.bool_)):
        filename = all_parts
    return filename if isinstance(filename, (str, os.PathLike)) else next(iter(filename), "")


def steered(signal: str, navigation_shape: Any, pattern: Any, layout: Any, gap: Any, orientation: Any) -> dict:
    """Options that sources may tell too; a stack of frames over time has no scan that a file could shape."""
    options = {"pattern": pattern, "layout": layout, "gap": gap, "orientation": orientation}
    return {"navigation_shape": navigation_shape, **options} if signal == "scan" else options


def _add_shape(own: SourceValues, axes: list[dict]) -> None:
    # frames over time, and time bins, are not part of the scan's shape
    nav = [axis for axis in axes[:-2] if not str(axis.get("name")).startswith("time")]
    if 2 <= len(nav) <= 3:
        own.values["navigation_shape"] = [int(axis["size"]) for axis in reversed(nav)]


def _with_named_layout(source: SourceValues) -> SourceValues:
    """A copy in which a table of chips is called by its name, as the recording has it."""
    if not isinstance(source.values.get("layout"), list):
        return source
    return SourceValues(source.kind, source.label, source.strict, {**source.values, "layout": "table"}, source.errors,
                source.original)  # fmt: skip


def _joined(tree: dict, other: dict) -> dict:
    """Both trees; where both have a leaf, the second one's."""
    joined = dict(tree)
    for key, value in other.items():
        old = joined.get(key)
        joined[key] = _joined(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return joined
