"""From the numbers that events have to pixels of the detector.

NXevent_data says of `event_id`: "There will be extra information in the NXdetector to convert event_id to
detector_number". Programs number pixels from 0 or 1, along x or y first, and each bank of a detector from where the one
before has ended. Where a detector tells, its `detector_number` is believed, and its order is that of the pixels.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.exceptions import LossError, Tpx3FormatError
from rsciio_tpx3.utils.hdf5.contents import nexus_class
from rsciio_tpx3.utils.hdf5.files import find
from rsciio_tpx3.utils.hdf5.values import whole_numbers

if TYPE_CHECKING:
    import h5py


__all__ = ["PixelNumbers", "detector_numbers"]

_logger = logging.getLogger(__name__)

_NAMES = ("detector_number", "pixel_id")


class PixelNumbers:
    """Which pixel an event is in.

    Parameters
    ----------
    numbers : numpy.ndarray or None
        Number of each pixel, in the order of the detector; None where a number is ``y * width + x``.
    sig_shape : tuple of int
    where : str
        For errors.

    Raises
    ------
    Tpx3FormatError
        If there are not as many numbers as pixels, or one belongs to several.
    """

    def __init__(self, numbers: np.ndarray | None, sig_shape: tuple[int, ...], where: str) -> None:
        self._first, self._order = 0, None
        if numbers is None:
            return
        shape = np.shape(numbers)
        numbers, n_pixels = whole_numbers(numbers, where), int(sig_shape[0]) * int(sig_shape[1])
        if len(shape) == 2 and 1 not in shape and shape != tuple(sig_shape) and len(numbers) == n_pixels:
            raise Tpx3FormatError(
                f"{where} has {shape[0]} rows and {shape[1]} columns, but signal_shape=({sig_shape[1]}, "
                f"{sig_shape[0]}) has {sig_shape[0]} and {sig_shape[1]}: pixels would lie in other places. Pass "
                f"signal_shape=({shape[1]}, {shape[0]}), and transpose the signal if its first axis is x."
            )
        if len(numbers) != n_pixels:
            raise Tpx3FormatError(
                f"{where} numbers {len(numbers)} pixels, but a detector of {sig_shape[0]} rows and {sig_shape[1]} "
                f"columns has {n_pixels}. Pass signal_shape=(x, y) to match."
            )
        self._first = int(numbers[0]) if n_pixels else 0
        # In order is the usual case, and needs a subtraction instead of a search for each event.
        if np.array_equal(numbers, np.arange(self._first, self._first + n_pixels)):
            return
        self._order = np.argsort(numbers, kind="stable")
        self._sorted = numbers[self._order]
        twice = np.flatnonzero(np.diff(self._sorted) == 0)
        if len(twice):
            raise Tpx3FormatError(
                f"{where} has {self._sorted[twice[0]]} for several pixels, so that its events have no place."
            )

    def places(self, ids: np.ndarray, where: str) -> np.ndarray:
        """Pixels ``y * width + x`` of events.

        Parameters
        ----------
        ids : numpy.ndarray, shape (n_events,)
        where : str
            For errors.

        Returns
        -------
        numpy.ndarray of integers, shape (n_events,)
        """
        if self._order is None and self._first == 0 and ids.dtype.kind in "iu":
            return ids
        ids = whole_numbers(ids, where)
        if self._order is None:
            return ids - self._first
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        foreign = self._sorted[at] != ids
        if foreign.any():
            raise Tpx3FormatError(
                f"{where} names {ids[foreign][0]}, which is not in detector_number ({self._sorted[0]} to "
                f"{self._sorted[-1]}); {foreign.sum()} of {len(ids)} events are like that. They may be of another "
                "detector, or no electrons: choose other events by dataset_path."
            )
        return self._order[at]


def detector_numbers(file: h5py.File, path: str, allow_external: bool = False) -> tuple[str | None, int]:
    """Where the numbers of the pixels of some events are, and how many detectors there are that could have them.

    Parameters
    ----------
    file : h5py.File
    path : str
        Of the NXevent_data group.
    allow_external : bool

    Returns
    -------
    path : str or None
        Of the data set: in the NXdetector around the events, else in the only one of their entry.
    n_detectors : int
        That have numbers, none of them around the events.
    """
    nodes = path.strip("/").split("/")
    for depth in range(len(nodes), -1, -1):
        around = "/" + "/".join(nodes[:depth])
        group = find(file, around, allow_external)
        kind = nexus_class(group)
        if kind == "NXdetector" or depth == len(nodes):
            name = _named(group, allow_external)
            if name or kind == "NXdetector":
                return (f"{around.rstrip('/')}/{name}" if name else None), 0
        if kind == "NXentry":
            return _only_detector(group, around, nodes[-1], allow_external)
    return None, 0


def _named(group: h5py.Group, allow_external: bool) -> str | None:
    return next((name for name in _NAMES if find(group, name, allow_external) is not None), None)


def _only_detector(entry: h5py.Group, around: str, events: str, allow_external: bool) -> tuple[str | None, int]:
    """The only NXdetector of an entry, or the one that has the name of the events (``bank1`` of ``bank1_events``)."""
    found = []
    for place in [entry, *_of_class(entry, "NXinstrument", allow_external)]:
        for detector in _of_class(place, "NXdetector", allow_external):
            name = _named(detector, allow_external)
            if name:
                below = detector.name if detector.file == entry.file else None
                found.append((detector.name.rsplit("/", 1)[-1], below and f"{below}/{name}"))
    found = [(name, path) for name, path in found if path is not None]
    if len(found) > 1:
        named = [(name, path) for name, path in found if events in (f"{name}_events", name)]
        if len(named) != 1:
            return None, len(found)
        found = named
    return (found[0][1] if found else None), 0


def _of_class(group: h5py.Group, kind: str, allow_external: bool) -> Iterator:
    for name in group:
        try:
            item = find(group, name, allow_external)
        except LossError:
            raise
        except Tpx3FormatError as error:
            # in another file; the events can be read without, but their numbers may be stated there
            _logger.warning(f"what numbers the pixels may be elsewhere: {error}")
            continue
        if hasattr(item, "keys") and nexus_class(item) == kind:
            yield item
