"""Signals of recordings that are read at the first computation: what was not known when they were loaded.

Computing reads the recording, whoever asks dask for it. Methods of the signal read it before they begin, so that
results carry what it held (losses, measured times, numbers of events), and kernels know how many events there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da

from hyperspy_sparse import navigator
from hyperspy_sparse.arguments import needs_signal
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.dask_array import source_of, to_dask

if TYPE_CHECKING:
    from typing import Any

    from hyperspy.signal import BaseSignal

    from rsciio_tpx3.frames.deferred import DeferredFrames


__all__ = ["complete", "hand_on", "read_recording", "wait_for"]


def wait_for(signal: BaseSignal, frames: DeferredFrames, counts: bool = True) -> None:
    """Let a signal wait for the frames of its recording (`rsciio_tpx3.frames.deferred.DeferredFrames`).

    `counts` says whether its values will be those of the recording.
    """
    signal._deferred_frames, signal._deferred_counts = frames, counts


def hand_on(signal: BaseSignal, derived: BaseSignal, counts: bool) -> None:
    """Frames made of a signal before its recording was read wait for the same; other results read it now."""
    frames = vars(signal).get("_deferred_frames")
    if frames is None:
        return
    counts = counts and signal._deferred_counts
    if isinstance(derived._data, da.Array) and isinstance(derived._data._meta, CSRFrames):
        wait_for(derived, frames, counts)
    else:
        read_recording(signal)
        fill(derived, frames, counts)


@needs_signal
def read_recording(signal: BaseSignal) -> None:
    """Read the recording of a signal now, if it was to wait for the first computation.

    Analyses, plots and saving do so by themselves. Use it to see losses and measured times, or an error, before.

    Parameters
    ----------
    signal : one of the sparse signal classes

    Raises
    ------
    rsciio_tpx3.exceptions.Tpx3FormatError, rsciio_tpx3.exceptions.ScanSyncError
        As loading would have raised. The signal stays as it is.

    Examples
    --------
    >>> import tempfile, pathlib, hyperspy.api as hs, hyperspy_sparse
    >>> from rsciio_tpx3 import simulate
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "scan.tpx3"
    >>> truth = simulate.recording(file, (24, 32), dwell_time="5 us", electrons_per_position=20)
    >>> s = hs.load(file, navigation_shape=(32, 24), frames=0, layout="quad", dwell_time="5 us", lazy=True)
    >>> s.metadata.get_item("Acquisition_instrument.TEM.Scan.lines_found")
    >>> hyperspy_sparse.read_recording(s)
    >>> s.metadata.get_item("Acquisition_instrument.TEM.Scan.lines_found")
    24
    """
    frames = vars(signal).get("_deferred_frames")
    if frames is not None:
        frames.read()
        complete(signal)


def complete(signal: BaseSignal) -> None:
    """Update a signal with what its recording holds, if that has been read by now."""
    frames = vars(signal).get("_deferred_frames")
    # HyperSpy takes a signal's data away for a moment while it makes another one: that is not the time
    if frames is None or not frames.is_read or not isinstance(signal._data, da.Array):
        return
    counts = signal._deferred_counts
    wait_for(signal, None)  # making the navigator asks for metadata, too
    try:
        fill(signal, frames, counts)
        if source_of(signal._data) is frames:
            source, _ = frames.read()
            signal._data = to_dask(source, chunks=frames.about["chunks"])
            shape = tuple(axis.size for axis in signal.axes_manager.navigation_axes[::-1])
            if signal.navigator is None and shape == source.nav_shape:
                navigator.attach(signal, source.row_events().reshape(shape))
    except Exception:
        wait_for(signal, frames, counts)
        raise


def fill(signal: BaseSignal, frames: DeferredFrames, counts: bool) -> None:
    """Update a signal's metadata from a recording that has been read; what the user changed since loading stays.

    The noise properties are set only where the values are still `counts`.
    """
    _, found = frames.read()
    metadata = found["metadata"]
    if not counts:
        metadata = {**metadata, "Signal": {k: v for k, v in metadata["Signal"].items() if k != "Noise_properties"}}
    _renew(signal._metadata, frames.about["metadata"], metadata)
    _renew(signal._original_metadata, {}, found["original_metadata"])


def _renew(tree: Any, then: dict, now: dict) -> None:
    """Put what is known now in the place of what was known then, leaf by leaf."""
    for key in {**then, **now}:
        old, new = then.get(key), now.get(key)
        if isinstance(old or {}, dict) and isinstance(new or {}, dict) and tree.has_item(key):
            if isinstance(tree.get_item(key), type(tree)):
                _renew(tree.get_item(key), old or {}, new or {})
        elif not tree.has_item(key):
            if key in now and key not in then:
                tree.add_dictionary({key: new})
        elif key in then and str(tree.get_item(key)) == str(old):
            delattr(tree, key)
            if key in now:
                tree.add_dictionary({key: new})
