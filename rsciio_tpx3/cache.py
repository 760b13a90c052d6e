"""What opening a recording found out, kept in the user's cache folder for the next time.

An entry is an `.npz` file without pickles. It counts only if everything fits: the files' names, sizes
and times, a checksum of both ends of each, this version's own code, and the checksums inside the
file. Whatever does not is thrown away and made again; a cache can cost time, but never a right answer.
"""

import contextlib
import hashlib
import json
import logging
import os
import uuid
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np

from rsciio_tpx3.events.source import noted, recall_noted

__all__ = ["RecordingCache", "cache_folder", "clear_cache", "recalled", "recalled_counts"]

_logger = logging.getLogger(__name__)

CACHE_BYTES = 2 * 2**30
"""Size of all entries together above which the ones not used for the longest time are removed."""

_ENDING = ".npz"
_CODE = ("events", "frames", "t3pa", "tpx3")  # folders whose code decides what is found
_HEAD = "head"  # array in each entry: what it belongs to, as JSON
# what reading a file of any content may raise; RuntimeError for what looks encrypted
_DAMAGE = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


def cache_folder():
    """Where entries are kept: the user's cache folder, or ``RSCIIO_TPX3_CACHE`` if that is set.

    Returns
    -------
    pathlib.Path
        It need not exist.

    Examples
    --------
    >>> from rsciio_tpx3 import cache_folder
    >>> cache_folder().name
    'rsciio_tpx3'
    """
    given = os.environ.get("RSCIIO_TPX3_CACHE")
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("rsciio_tpx3", appauthor=False)


def clear_cache():
    """Remove all entries.

    Returns
    -------
    int
        Bytes that were freed.
    """
    freed = 0
    for path, size, _ in _entries(cache_folder()):
        with contextlib.suppress(OSError):
            path.unlink()
            freed += size
    return freed


class RecordingCache:
    """The entries of one acquisition.

    Parameters
    ----------
    stamps : sequence of rsciio_tpx3.frames.files.FileStamp
        Its files, in order.
    about : dict
        What else the entries depend on; plain values.

    Examples
    --------
    >>> cache = RecordingCache([FileStamp.of("scan.tpx3")], {})  # doctest: +SKIP
    >>> cache.save("index", {"ticks": np.arange(5)}, {"n_hits": 5})  # doctest: +SKIP
    >>> arrays, values = cache.load("index")  # doctest: +SKIP
    """

    def __init__(self, stamps, about):
        self._stamps = tuple(stamps)
        self._about = about
        names = json.dumps([[stamp.path for stamp in self._stamps], _tagged(about)], sort_keys=True)
        self._name = hashlib.blake2b(names.encode(), digest_size=12).hexdigest()
        self._identity_text = None

    def load(self, kind):
        """Arrays and values of an entry, or None where there is none that can be trusted."""
        path = self._path(kind)
        try:
            with zipfile.ZipFile(path) as entry:
                head = json.loads(_array(entry, _HEAD).tobytes())
                if head["identity"] != self._identity():
                    _logger.info(f"{path.name} belongs to an earlier state of {self._stamps[0].name!r}: made again.")
                    return None
                arrays = {name: _array(entry, name) for name in head["arrays"]}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except _DAMAGE as error:
            _logger.warning(
                f"{str(path)!r} is damaged ({error}): what it held of {self._stamps[0].name!r} is made again."
            )
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return arrays, _untagged(head["values"])

    def save(self, kind, arrays, values, compress=False):
        """Write an entry; a folder that cannot be written to costs a note in the log and nothing else.

        Parameters
        ----------
        kind : str
            Part of the file's name.
        arrays : dict of numpy.ndarray
        values : dict
            Plain numbers, text, and dict, tuple and list of them.
        compress : bool
        """
        path = self._path(kind)
        partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            head = json.dumps({"identity": self._identity(), "values": _tagged(values), "arrays": list(arrays)})
            path.parent.mkdir(parents=True, exist_ok=True)
            write = np.savez_compressed if compress else np.savez
            with open(partial, "wb") as file:
                write(file, **{_HEAD: np.frombuffer(head.encode(), np.uint8)}, **arrays)
            os.replace(partial, path)
        except (OSError, TypeError) as error:
            _logger.info(f"{self._stamps[0].name!r} is not kept in the cache {str(path.parent)!r}: {error}")
            with contextlib.suppress(OSError):
                partial.unlink()
            return
        _prune(path.parent, CACHE_BYTES)

    def _path(self, kind):
        return cache_folder() / f"{self._name}.{kind}{_ENDING}"

    def _identity(self):
        """What an entry must have been made of, as text."""
        if self._identity_text is None:
            files = [[s.path, *s.identity, s.checksum_of_ends()] for s in self._stamps]
            self._identity_text = json.dumps([_code(), _tagged(self._about), files], sort_keys=True)
        return self._identity_text


def recalled_counts(frames, show_progressbar=None):
    """Hits of each position and those outside by reason, from the cache or else counted.

    Parameters
    ----------
    frames : EventFrames or SharedFrames
        The events' source may have a `cache`: a `RecordingCache`, or None. What it noted in the pass that counts
        is kept too, see `EventSource.noted`.

    Returns
    -------
    As `frames.count`.
    """
    events = getattr(frames, "events", frames)

    def make():
        counts, outside = events.count(show_progressbar)
        small = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        return {"counts": small}, {"outside": outside, "noted": noted(events.source)}

    arrays, values = recalled(events.source, "counts", make, events)
    if events.row_events() is None:
        events.recall(arrays["counts"].astype(np.int64))
        recall_noted(events.source, values["noted"])
    return frames.row_events(), values["outside"]


def recalled(source, name, make, about=None):
    """What was found out about a source in a pass or a sample, from the cache or made now.

    Parameters
    ----------
    source : EventSource
    name : str
        Of what is found.
    make : callable
        Takes nothing; gives arrays (dict of numpy.ndarray) and plain values (dict).
    about : object, optional
        What else it depends on.

    Returns
    -------
    arrays, values : dict
    """
    own = getattr(source, "cache", None)
    if own is None:
        return make()
    from dask.base import tokenize

    kind = f"{name}-{tokenize(source, about)[:16]}"
    found = own.load(kind)
    if found is None:
        arrays, values = make()
        found = arrays, _untagged(_tagged(values))  # plain already the first time
        own.save(kind, *found, compress=True)
    return found


def _array(entry, name):
    """An array of an `.npz` file; all its bytes are read, since the checksum is looked at when they end."""
    with entry.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):
            raise ValueError(f"{name} is longer than its shape")
    return array


@cache
def _code():
    """Checksum of the code that makes entries: another version's are not trusted, and none forgets to say so."""
    found = hashlib.blake2b(digest_size=16)
    root = Path(__file__).parent
    for path in sorted([*root.glob("*.py"), *(path for part in _CODE for path in root.glob(f"{part}/*.py"))]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _entries(folder):
    """Path, size and time of last use of each entry, and of what interrupted writing left."""
    if not folder.is_dir():
        return []
    found = []
    for path in folder.iterdir():
        if path.name.endswith((_ENDING, ".partial")):
            with contextlib.suppress(OSError):
                state = path.stat()
                found.append((path, state.st_size, state.st_mtime_ns))
    return found


def _prune(folder, most):
    entries = sorted(_entries(folder), key=lambda entry: entry[2])
    total = sum(size for _, size, _ in entries)
    for path, size, _ in entries[:-1]:
        if total <= most:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _tagged(value):
    """Plain values for JSON, which has neither tuples nor keys other than text."""
    if isinstance(value, dict):
        return {"dict": [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_tagged(item) for item in value]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _untagged(value):
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_untagged(item) for item in value["tuple"])
    return {_untagged(key): _untagged(item) for key, item in value["dict"]}
