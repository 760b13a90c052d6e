"""The structure of an HDF5 file, read by another process that may be stopped.

Damage in the tables of an HDF5 file can keep the library busy for ever, or end the process (6 of 29,316 files with
a few changed bytes kept it busy). No check of ours comes before the library's own reading of these tables, and a call
into it cannot be interrupted; a process can.
"""

import os
import subprocess
import sys
from pathlib import Path

from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["guard_hdf5"]

SECONDS = 60.0
"""Time for reading the structure: a file with 10,000 groups takes one second."""

_MOST_OBJECTS = 1_000_000


def guard_hdf5(guard, path):
    """Raise if a process that reads the structure of a file does not end well.

    Parameters
    ----------
    guard : bool or float
        False does nothing; a number is the time limit in seconds, True 60 s.
    path : str or Path

    Raises
    ------
    Tpx3FormatError
        If it takes longer, or is ended by a fault of the library.
    """
    if guard is False or guard is None:
        return
    seconds = SECONDS if guard is True else float(guard)
    command = [sys.executable, "-m", "rsciio_tpx3.utils.hdf5.guard", os.path.abspath(path)]
    # the child finds this package where it is imported from here
    root = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=seconds,
            env={**os.environ, "PYTHONPATH": paths},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Tpx3FormatError(
            f"{str(path)!r} keeps the HDF5 library busy for more than {seconds:g} s only to read its structure. It is "
            "damaged, or very far away: copy it again, or pass guard=300 for more time."
        ) from None
    if found.returncode < 0:
        raise Tpx3FormatError(
            f"{str(path)!r} is damaged: reading its structure ended a process by signal {-found.returncode}. Copy it "
            "again."
        )
    # an error that the library can tell is told again, in better words, by the reader itself


def _visit(path):
    """Touch whatever opening a file touches: every link, attribute, and list of chunks."""
    import h5py

    with h5py.File(path, "r") as file:
        waiting, seen = [file["/"]], set()
        while waiting and len(seen) < _MOST_OBJECTS:
            item = waiting.pop()
            about = h5py.h5o.get_info(item.id)
            if (about.fileno, about.addr) in seen:
                continue
            seen.add((about.fileno, about.addr))
            for name in item.attrs:
                _quietly(item.attrs.get, name)
            if isinstance(item, h5py.Dataset):
                _quietly(_touch, item)
            elif isinstance(item, h5py.Group):
                for name in item:
                    if isinstance(item.get(name, getlink=True), h5py.HardLink):
                        _quietly(_append, waiting, item, name)


def _append(waiting, group, name):
    waiting.append(group[name])


def _touch(dataset):
    if dataset.chunks is not None:
        count = dataset.id.get_num_chunks()
        if count and dataset.ndim:
            dataset.id.get_chunk_info(count - 1)
    elsewhere = dataset.external or dataset.is_virtual
    if dataset.size and dataset.dtype.itemsize * dataset.size < 1 << 20 and not elsewhere:
        dataset[()]


def _quietly(action, *args):
    try:
        action(*args)
    except Exception:  # what the library can tell is no concern here
        pass


if __name__ == "__main__":
    _quietly(_visit, sys.argv[1])
