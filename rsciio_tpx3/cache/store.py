"""What opening a recording found out, kept in the user's cache folder for the next time.

An entry is an `.npz` file without pickles. It counts only if everything fits: the files' names, sizes
and times, a checksum of both ends of each, this version's own code, a checksum over all that the entry
holds, and what those who use it know of its tables. Whatever does not is set aside and made again; a cache can cost
time, but never a right answer. Nor may it harm what is not its own: it lives in a folder of its own, opens nothing
but regular files of the user, and removes nothing whose name it has not made.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import stat
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from dask.base import tokenize
from platformdirs import user_cache_path

import rsciio_tpx3.cache
from rsciio_tpx3.events.tally import Tally
from rsciio_tpx3.formats import EVENT_FORMATS
from rsciio_tpx3.scan.scan import OUTSIDE_NAMES
from rsciio_tpx3.utils.settings import setting

if TYPE_CHECKING:
    from rsciio_tpx3.events.source import EventSource
    from rsciio_tpx3.utils.files import FileStamp

__all__ = ["RecordingCache", "are_whole", "cache_folder", "clear_cache", "recalled", "recalled_counts", "require"]

_logger = logging.getLogger(__name__)

_FOLDER = "rsciio_tpx3"  # inside the folder that the user names
_ENDING = ".npz"
# 12 bytes of a checksum, a kind, and for what is being written a token: no name that a person would give
_OWN_NAME = re.compile(r"[0-9a-f]{24}\.[a-z0-9-]{1,64}\.npz(\.[0-9a-f]{8}\.partial)?")
_LEFT_SECONDS = 3600  # a provisional file as old as this was left by a process that was killed
# folders whose code decides what is found
_CODE = sorted({"corrections", "csr", "electrons", "events", "frames", "scan", "utils", *EVENT_FORMATS})
_HEAD = "head"  # array in each entry: what it belongs to, as JSON
_HEAD_BYTES = 1 << 26  # 64 MB: far above any entry's own, so that a damaged length is refused
_SPARE_BYTES = 1 << 24  # entries of small recordings: names, statistics, correction tables


def cache_folder() -> Path:
    """Where entries are kept: a folder of its own in the user's cache folder, or in that of ``RSCIIO_TPX3_CACHE``.

    The preferences may name another one, see `hyperspy_sparse.gui.Preferences`.

    Without a home folder it lies where the system keeps temporary files.

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
    chosen = setting("cache_folder")
    if chosen:
        return Path(chosen) / _FOLDER
    # without HOME and a user's entry, newer platformdirs raise, and older ones name a folder "~" in the working folder
    with contextlib.suppress(RuntimeError):
        usual = user_cache_path(_FOLDER, appauthor=False)
        if usual.is_absolute():
            return usual
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    with contextlib.suppress(FileNotFoundError):
        return Path(tempfile.gettempdir()) / f"{_FOLDER}-{owner}" / _FOLDER
    return Path(os.devnull) / _FOLDER  # nowhere to write at all: nothing is kept


def clear_cache() -> int:
    """Remove all entries, and nothing else that may lie in the cache's folder.

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
    stamps : sequence of rsciio_tpx3.utils.files.FileStamp
        Its files, in order.
    about : dict
        What else the entries depend on; plain values.

    Examples
    --------
    >>> cache = RecordingCache([FileStamp.of("scan.tpx3")], {})  # doctest: +SKIP
    >>> cache.save("index", {"ticks": np.arange(5)}, {"n_hits": 5})  # doctest: +SKIP
    >>> arrays, values = cache.load("index")  # doctest: +SKIP
    """

    def __init__(self, stamps: Sequence[FileStamp], about: dict) -> None:
        self._stamps = tuple(stamps)
        self._about = about
        names = json.dumps([[stamp.path for stamp in self._stamps], _tagged(about)], sort_keys=True)
        self._name = hashlib.blake2b(names.encode(), digest_size=12).hexdigest()
        self._identity_text: str | None = None

    @property
    def most_bytes(self) -> int:
        """What an entry may hold: it is made of the recording, and smaller than that."""
        return 2 * sum(stamp.size for stamp in self._stamps) + _SPARE_BYTES

    def load(
        self, kind: str, check: Callable | None = None, most_bytes: int = 0
    ) -> tuple[dict[str, np.ndarray], dict] | None:
        """Arrays and values of an entry, or None where there is none that can be trusted.

        Parameters
        ----------
        kind : str
        check : callable, optional
            Takes arrays and values, and raises any error where they cannot be what was kept: compiled code does
            not look where it reads.
        most_bytes : int
            What the arrays may take, where that is more than the recording's size tells.
        """
        try:
            path = self._path(kind)
            with _opened(path) as file, zipfile.ZipFile(file) as entry:
                head = _head(entry)
                if head["identity"] != self._identity():
                    _logger.info(f"{path.name} belongs to an earlier state of {self._stamps[0].name!r}: made again.")
                    return None
                arrays = _arrays(entry, head["arrays"], max(self.most_bytes, most_bytes))
            if head["checksum"] != _checksum(head, arrays):
                raise ValueError("it is not what was written")
            values = _untagged(head["values"])
            if check is not None:
                check(arrays, values)
        except (FileNotFoundError, NotADirectoryError):
            return None
        # a file of any content can raise what it likes in zipfile, zlib, json, NumPy and the checks
        except Exception as error:
            words = f"{type(error).__name__}: {error}"
            _logger.warning(
                f"The cache's {str(path)!r} is damaged ({words}): what it held of {self._stamps[0].name!r} is made "
                "again."
            )
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # used just now
        return arrays, values

    def save(self, kind: str, arrays: dict[str, np.ndarray], values: dict, compress: bool = False) -> None:
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
        partial = None
        try:
            path = self._path(kind)
            arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
            head = {"identity": self._identity(), "values": _tagged(values), "arrays": list(arrays)}
            text = json.dumps({**head, "checksum": _checksum(head, arrays)})
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # A link or a directory of that name was not made here: writing through it could replace a file elsewhere.
            if os.path.lexists(path) and not _is_own_file(os.lstat(path)):
                raise OSError("something that the cache has not made has the entry's name")
            partial = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.partial")
            write: Callable = np.savez_compressed if compress else np.savez
            with open(partial, "xb") as file:
                write(file, **{_HEAD: np.frombuffer(text.encode(), np.uint8)}, **arrays)
            # A whole entry under its name or none: readers never see half of one, and of two writers the last one
            # wins.
            os.replace(partial, path)
        except (OSError, TypeError) as error:
            _logger.info(f"{self._stamps[0].name!r} is not kept in the cache: {error}")
            if partial is not None:
                with contextlib.suppress(OSError):
                    partial.unlink()
            return
        _prune(path.parent, rsciio_tpx3.cache.CACHE_BYTES)

    def _path(self, kind: str) -> Path:
        return cache_folder() / f"{self._name}.{kind}{_ENDING}"

    def _identity(self) -> str:
        """What an entry must have been made of, as text."""
        if self._identity_text is None:
            files = [[s.path, *s.identity, s.checksum_of_ends()] for s in self._stamps]
            self._identity_text = json.dumps([_code(), _tagged(self._about), files], sort_keys=True)
        return self._identity_text


def recalled_counts(frames: Any, show_progressbar: bool | None = None) -> tuple[np.ndarray, dict[str, int]]:
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
    n_positions, n_hits = events.scan.n_positions, events.source.index().n_hits

    def make() -> tuple[dict[str, np.ndarray], dict]:
        counts, outside = events.count(show_progressbar)
        small = counts.astype(np.min_scalar_type(int(counts.max(initial=0))))
        return {"counts": small}, {"outside": outside, "noted": events.source.noted()}

    def check(arrays: dict[str, np.ndarray], values: dict) -> None:
        counts, outside = arrays["counts"], values["outside"]
        require(counts.dtype.kind == "u" and counts.shape == (n_positions,), "the counts have another form")
        require(set(outside) == set(OUTSIDE_NAMES.values()) and are_whole(outside.values()), "what is outside is odd")
        # clusters and corrections make fewer of them, never more
        require(int(counts.sum(dtype=np.uint64)) + sum(outside.values()) <= n_hits, "more is counted than there is")
        _check_noted(values["noted"], events.source.noted())

    arrays, values = recalled(events.source, "counts", make, events, check, 8 * n_positions + _SPARE_BYTES)
    if events.row_events() is None:
        events.recall(arrays["counts"].astype(np.int64))
        events.source.recall_noted(values["noted"])
    return frames.row_events(), values["outside"]


def _check_noted(found: dict, example: dict) -> None:
    """Whether notes are made like those that the source itself makes."""
    require(isinstance(found, dict) and set(found) == set(example), "the notes have other names")
    if set(example) == {"own", "below"}:
        _check_noted(found["own"], example["own"])
        _check_noted(found["below"], example["below"])
    elif example:
        tally = Tally.of(found)
        sizes = [] if tally.sizes is None else tally.sizes.tolist()
        numbers = {name: value for name, value in found.items() if name not in ("sizes", "left_out")}
        require(are_whole([*numbers.values(), *sizes, *tally.left_out.values()]), "the notes are not numbers")


def recalled(
    source: EventSource,
    name: str,
    make: Callable,
    about: Any = None,
    check: Callable | None = None,
    most_bytes: int = 0,
) -> tuple[dict[str, np.ndarray], dict]:
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
    check, most_bytes
        As in `RecordingCache.load`.

    Returns
    -------
    arrays, values : dict
    """
    own = getattr(source, "cache", None)
    if own is None:
        return make()
    kind = f"{name}-{tokenize(source, about)[:16]}"
    found = own.load(kind, check, most_bytes)
    if found is None:
        arrays, values = make()
        found = arrays, _untagged(_tagged(values))  # plain already the first time
        own.save(kind, *found, compress=True)
    return found


def require(fits: Any, otherwise: str) -> None:
    """Raise ValueError with these words unless something fits: for the checks of `RecordingCache.load`."""
    if not fits:
        raise ValueError(otherwise)


def are_whole(values: Iterable, least: int = 0) -> bool:
    """Whether all values are integers, of Python, and not below `least`."""
    return all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in values)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """An entry's file, read-only: a regular file of this user, and not where a link points to."""
    # without waiting for a writer, should it be a FIFO; Windows has neither flag
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    number = os.open(path, flags)
    try:
        require(_is_own_file(os.fstat(number)), "it is not a file of this user")
        file = os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
    with file:
        yield file


def _is_own_file(state: os.stat_result) -> bool:
    return stat.S_ISREG(state.st_mode) and (not hasattr(os, "geteuid") or state.st_uid == os.geteuid())


def _head(entry: zipfile.ZipFile) -> dict:
    """What stands at the head of an entry."""
    text = _arrays(entry, [_HEAD], _HEAD_BYTES)[_HEAD].tobytes()
    head = json.loads(text)
    names = {"identity": str, "values": dict, "arrays": list, "checksum": str}
    require(isinstance(head, dict) and set(head) == set(names), "its head holds other things")
    require(all(isinstance(head[name], kind) for name, kind in names.items()), "its head holds other things")
    require(set(entry.namelist()) == {f"{name}.npy" for name in (_HEAD, *head["arrays"])}, "it holds other arrays")
    require(len(entry.namelist()) == 1 + len(head["arrays"]), "it holds an array twice")
    return head


def _arrays(entry: zipfile.ZipFile, names: Iterable[str], most_bytes: int) -> dict:
    """Arrays of an entry, which together must not claim more than this."""
    sizes = {name: entry.getinfo(f"{name}.npy").file_size for name in names}
    require(sum(sizes.values()) <= most_bytes, f"{sum(sizes.values())} bytes are more than it can need")
    return {name: _array(entry, name, size) for name, size in sizes.items()}


def _array(entry: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    """An array of an `.npz` file; all its bytes are read, since the checksum is looked at when they end."""
    with entry.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        require(version == (1, 0), f"{name} is of another version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        # NumPy makes room for what the head claims before it reads
        n = math.prod(shape)
        require(not dtype.hasobject and not fortran and 0 <= n * dtype.itemsize <= size, f"{name} has an odd head")
        content = file.read(n * dtype.itemsize + 1)
        require(len(content) == n * dtype.itemsize and not file.read(1), f"{name} is longer or shorter than its shape")
    return np.frombuffer(bytearray(content), dtype).reshape(shape)


def _checksum(head: dict, arrays: dict[str, np.ndarray]) -> str:
    """Of all that an entry holds, with the arrays' types and shapes."""
    about = [head["identity"], head["values"], [[name, repr(a.dtype), a.shape] for name, a in arrays.items()]]
    found = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=16)
    for array in arrays.values():
        if array.size:
            found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


@cache
def _code() -> str:
    """Checksum of the code that makes entries: another version's are not trusted, and none forgets to say so."""
    found = hashlib.blake2b(digest_size=16)
    root = Path(__file__).parent.parent
    for path in sorted([*root.glob("*.py"), *(path for part in _CODE for path in root.glob(f"{part}/**/*.py"))]):
        found.update(path.read_bytes())
    return found.hexdigest()


def _entries(folder: Path) -> list[tuple[Path, int, int]]:
    """Path, size and time of last use of each entry, and of what interrupted writing left."""
    found = []
    with contextlib.suppress(OSError), os.scandir(folder) as files:
        for file in files:
            with contextlib.suppress(OSError):
                state = file.stat(follow_symlinks=False)
                if _OWN_NAME.fullmatch(file.name) and _is_own_file(state):
                    found.append((Path(file.path), state.st_size, state.st_mtime_ns))
    return found


def _prune(folder: Path, most: int) -> None:
    """Remove what was left, and of the rest the oldest until the others fit; the newest stays."""
    entries = sorted(_entries(folder), key=lambda entry: entry[2])
    now, remaining = time.time_ns(), []
    for entry in entries:
        if not entry[0].name.endswith(".partial"):
            remaining.append(entry)
        # A younger provisional file may be another process's, which is still writing.
        elif now - entry[2] > _LEFT_SECONDS * 10**9:
            with contextlib.suppress(OSError):
                entry[0].unlink()
    total = sum(size for _, size, _ in remaining)
    for path, size, _ in remaining[:-1]:
        if total <= most:
            break
        with contextlib.suppress(OSError):
            path.unlink()
        total -= size


def _tagged(value: Any) -> Any:
    """Plain values for JSON, which has neither tuples nor keys other than text."""
    if isinstance(value, dict):
        return {"dict": [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_tagged(item) for item in value]}
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "tuple" in value:
        return tuple(_untagged(item) for item in value["tuple"])
    return {_untagged(key): _untagged(item) for key, item in value["dict"]}
