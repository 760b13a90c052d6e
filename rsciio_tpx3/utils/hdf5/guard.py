"""An HDF5 file, read by another process that may be stopped: its structure, and what it holds.

Damage in the tables of an HDF5 file, or among its texts and rows, can keep the library busy for ever, or end the
process (6 of 29,316 files with a few changed bytes kept it busy). No check of ours comes before the library's own
reading of these tables, and a call into it cannot be interrupted; a process can. The other process says a word before
each step, so that the time limit is one of a step, whatever the size of the file.
"""

from __future__ import annotations

import math
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.hdf5.objects import identity
from rsciio_tpx3.utils.hdf5.storage import FREE_BYTES, PROPORTION

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["guard_hdf5"]

SECONDS = 60.0
"""Time for one step: an object of the structure, or `_STEP_BYTES` of data. A good file needs some milliseconds."""

_MOST_OBJECTS = 1_000_000
_STEP_BYTES = 1 << 24
_MOST_MEMORY = 2 << 30  # of the other process, and ten times the size of the file


def guard_hdf5(guard: bool | float, path: str) -> None:
    """Raise if a process that reads a file from end to end does not end well.

    Parameters
    ----------
    guard : bool or float
        False does nothing; a number is the time limit of a step in seconds, True 60 s.
    path : str or Path

    Raises
    ------
    Tpx3FormatError
        If a step takes longer, or the process is ended by a fault of the library.
    """
    if guard is False or guard is None:
        return
    seconds = SECONDS if guard is True else float(guard)
    command = [sys.executable, "-m", "rsciio_tpx3.utils.hdf5.guard", os.path.abspath(path)]
    # the child finds this package where it is imported from here
    root = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    status, doing = _watched(command, {**os.environ, "PYTHONPATH": paths}, seconds)
    if status is None:
        raise Tpx3FormatError(
            f"{str(path)!r} keeps the HDF5 library busy for more than {seconds:g} s only to read {doing}. It is "
            "damaged, or very far away: copy it again, or pass guard=300 for more time."
        )
    if status < 0:
        raise Tpx3FormatError(
            f"{str(path)!r} is damaged: reading {doing} ended a process by signal {-status}. Copy it again."
        )
    # an error that the library can raise is raised again, in better words, by the reader itself


def _watched(command: list[str], environment: dict[str, str], seconds: float) -> tuple[int | None, str]:
    """Exit status of a process, None if it was silent for too long and was ended; and what it last said it does."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True, errors="replace"
    ) as process:
        said: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(process.stdout, said), daemon=True).start()
        doing = "its structure"
        try:
            while (word := said.get(timeout=seconds)) is not None:
                doing = word.strip() or doing
            return process.wait(seconds), doing
        except (queue.Empty, subprocess.TimeoutExpired):
            return None, doing
        finally:
            process.kill()


def _listen(stream: Iterable[str], said: queue.SimpleQueue) -> None:
    for line in stream:
        said.put(line)
    said.put(None)


# -- the other process -------------------------------------------------------------------------------


def _visit(path: str) -> None:
    """Read whatever is in a file, each part once."""
    with h5py.File(path, "r") as file:
        pending: list = [file["/"]]
        seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
        while pending and len(seen) < _MOST_OBJECTS:
            item = pending.pop()
            key = identity(item)
            if key in seen:
                continue
            seen.add(key)
            _say("its structure")
            for name in item.attrs:
                _quietly(item.attrs.get, name)
            if isinstance(item, h5py.Dataset):
                _quietly(_read, item, os.path.getsize(path))
            elif isinstance(item, h5py.Group):
                for name in item:
                    if isinstance(item.get(name, getlink=True), h5py.HardLink):
                        _quietly(_append, pending, item, name)


def _append(pending: list, group: h5py.Group, name: str) -> None:
    pending.append(group[name])


def _read(dataset: h5py.Dataset, file_size: int) -> None:
    """The list of parts of a data set, and its values, some MiB at a time."""
    if dataset.chunks is not None:
        count = dataset.id.get_num_chunks()
        if count and dataset.ndim:
            dataset.id.get_chunk_info(count - 1)
    if dataset.external or dataset.is_virtual or not dataset.size or not _is_in_proportion(dataset, file_size):
        return  # what lies elsewhere, or is out of all proportion, no reader reads
    if not dataset.ndim:
        dataset[()]
        return
    n_rows, step = len(dataset), _rows_at_once(dataset)
    for start in range(0, n_rows, step):
        _say(f"{dataset.name} from {start} on")
        _quietly(_take, dataset, start, start + step)


def _take(dataset: h5py.Dataset, start: int, stop: int) -> None:
    dataset[start:stop]


def _is_in_proportion(dataset: h5py.Dataset, file_size: int) -> bool:
    n_stored = dataset.id.get_storage_size()
    part = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    # a list that was declared and never written is not work, but may have 2**60 steps
    return n_stored > 0 and part <= FREE_BYTES + PROPORTION * file_size


def _rows_at_once(dataset: h5py.Dataset) -> int:
    """Rows along the first axis that make a step, in whole parts."""
    # a row of any length, or a text, may be some thousand numbers
    item = _STEP_BYTES >> 12 if dataset.dtype.hasobject else dataset.dtype.itemsize
    row = max(math.prod(dataset.shape[1:]) * item, 1)
    part = dataset.chunks[0] if dataset.chunks else 1
    return max(_STEP_BYTES // row // part, 1) * part


def _say(word: str) -> None:
    print(" ".join(word.split())[:200], flush=True)


def _quietly(action: Callable, *args: Any) -> Any:
    try:
        action(*args)
    except Exception:  # what the library can tell is not a concern here
        pass


def _limit_memory(path: str) -> None:
    """Let an absurd request of the library end in an error, where the system can."""
    if resource is None:
        return
    most = _MOST_MEMORY + 10 * os.path.getsize(path)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _main(path: str) -> None:
    _quietly(_limit_memory, path)
    _quietly(_load_filters)
    _quietly(_visit, path)


def _load_filters() -> None:
    import hdf5plugin  # noqa: F401  (loading it registers its filters, which the other process alone should do)


if __name__ == "__main__":
    _main(sys.argv[1])
