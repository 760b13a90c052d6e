"""Signals of recordings that are read at the first computation: what was not known when they were loaded.

Computing reads the recording, whoever asks dask for it. Methods of the signal read it before they begin, so that
results carry its account (losses, measured times, numbers of events), and kernels know how many events there are.
"""

from hyperspy_sparse import navigator
from rsciio_tpx3.frames.dask_array import source_of, to_dask

__all__ = ["complete", "hand_on", "read_recording", "wait_for"]

_NOT_READ = "Acquisition_instrument.TEM.Detector.not_read_yet"


def wait_for(signal, frames):
    """Let a signal wait for the frames of its recording (`rsciio_tpx3.frames.waiting.WaitingFrames`)."""
    signal._waiting_for = frames


def hand_on(signal, derived):
    """Frames that were made of a signal before its recording was read wait for the same."""
    wait_for(derived, vars(signal).get("_waiting_for"))


def read_recording(signal):
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
    frames = vars(signal).get("_waiting_for")
    if frames is not None:
        frames.read()
        complete(signal)


def complete(signal):
    """Give a signal what its recording told, if that has been read by now."""
    frames = vars(signal).get("_waiting_for")
    if frames is None or not frames.is_read:
        return
    wait_for(signal, None)
    source, about = frames.read()
    if source_of(signal._data) is frames:
        signal._data = to_dask(source, chunks=signal._data.chunks)
        navigator.attach(signal, source.row_events().reshape(source.nav_shape))
    for tree, told in ((signal._metadata, about["metadata"]), (signal._original_metadata, about["original_metadata"])):
        _add_absent(tree, told)
    if signal._metadata.has_item(_NOT_READ):
        node, _, leaf = _NOT_READ.rpartition(".")
        delattr(signal._metadata.get_item(node), leaf)


def _add_absent(tree, told):
    """What is there stays: it was told by the user, or changed since."""
    for key, value in told.items():
        if not tree.has_item(key):
            tree.add_dictionary({key: value})
        elif isinstance(value, dict):
            _add_absent(tree.get_item(key), value)
