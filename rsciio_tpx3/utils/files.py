"""Files that stay what they were while they are read, and appear complete or not at all.

A lazy signal reads its file long after it was opened. Were the file replaced meanwhile, old offsets
into new bytes would give wrong frames that look right; so a source keeps each file's identity and
compares it before it reads. Size and time of change can be set back by whoever replaces a file (``cp -p``, rsync);
what the system notes of each file, its number and the time of its last change of any kind, cannot.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import platform
import re
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, BinaryIO

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.disk import synced_early, to_disk

__all__ = [
    "PARTIAL",
    "FileStamp",
    "PartialFiles",
    "few_ends",
    "filled",
    "made_new",
    "need_space",
    "system_errors",
    "write_text",
]

_logger = logging.getLogger(__name__)

PARTIAL = ".partial"
_END_BYTES = 1 << 16  # at either end of a large file, of which its fingerprint is made
_FEW_BYTES = 1 << 12


@dataclass(frozen=True)
class FileStamp:
    """A file as it was when it was opened.

    Attributes
    ----------
    path : str
        Absolute.
    size : int
        Bytes.
    mtime_ns : int
        Time of the last change, ns since 1970.
    ctime_ns : int
        Time of the last change of contents, name or rights; nobody can set it.
    inode : int
        Number of the file on its disk.
    machine : str
        Where this was noted. On others, which may have a copy of the file, size and time of change must do.
    few_ends : str
        Checksum of the first and last 4 KiB. A renamed file, or one with other rights, has another `ctime_ns` and is
        the same for all that: then these bytes decide.
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    machine: str
    few_ends: str = field(default="", kw_only=True)

    @classmethod
    def of(cls, path: str | os.PathLike) -> FileStamp:
        """Stamp of a file that must exist."""
        path = os.path.abspath(path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path!r} does not exist.") from None
        if not stat.S_ISREG(found.st_mode):
            # reading a pipe or a device may never end
            raise Tpx3FormatError(f"{path!r} is not a file but a folder, a pipe or a device.")
        with open(path, "rb", buffering=0) as file:
            return cls(path, *_identity(found), platform.node(), few_ends=few_ends(file, found.st_size))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def followed(self) -> bool:
        """Whether more may follow: an incomplete end is not damage."""
        return False

    def checksum_of_ends(self) -> str:
        """BLAKE2b of the first and the last 64 KiB: tells most files apart, in no time whatever their size."""
        found = hashlib.blake2b(digest_size=16)
        with open(self.path, "rb") as file:
            found.update(file.read(_END_BYTES))
            file.seek(max(self.size - _END_BYTES, 0))
            found.update(file.read(_END_BYTES))
        return found.hexdigest()

    def fits(self, file: BinaryIO) -> bool:
        """Whether an open file is the one it was."""
        return self._is(os.fstat(file.fileno()), file)

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """What tells this file from any other that has its name, as plain values: also what a cache has to compare."""
        return self.size, self.mtime_ns, self.ctime_ns, self.inode

    def _is(self, state: os.stat_result, file: BinaryIO) -> bool:
        now = _identity(state)
        if self.machine != platform.node():
            return now[:2] == self.identity[:2]
        if now == self.identity or not self.few_ends:
            return now == self.identity
        same_but_ctime = (*now[:2], now[3]) == (self.size, self.mtime_ns, self.inode)
        return same_but_ctime and few_ends(file, self.size) == self.few_ends

    def open(self) -> io.FileIO:
        """The file to `fill` from; closing it is the caller's."""
        try:
            return open(self.path, "rb", buffering=0)
        except FileNotFoundError:
            raise FileNotFoundError(f"{self.path!r} does not exist.") from None

    def fill(self, file: io.FileIO, start: int, space: Any, check: bool = True) -> None:
        """Read from byte `start` of the open file into all of a buffer.

        Without `check` the file is not compared with what it was: who reads many pieces may do so at the end, by
        `check_open`.

        Raises
        ------
        Tpx3FormatError
            If the file changed since it was opened.
        """
        whole = filled(file, start, space)
        # after the reading, so that a change meanwhile is noticed
        if not whole or check:
            self.check_open(file, whole)

    def check_open(self, file: io.FileIO, whole: bool = True) -> None:
        """Raise Tpx3FormatError if an open file is not the one it was, or if less than `whole` of it could be read."""
        if not whole or not self.fits(file):
            now = os.fstat(file.fileno()).st_size
            raise Tpx3FormatError(
                f"{self.path!r} changed since it was opened: {self.size} bytes then, {now} now. Load it again."
            )

    def check(self) -> None:
        """Raise Tpx3FormatError if the file is another one by now."""
        if not os.path.exists(self.path):
            raise Tpx3FormatError(f"{self.path!r} was removed or replaced after it was opened. Load it again.")
        with open(self.path, "rb", buffering=0) as file:
            if not self.fits(file):
                raise Tpx3FormatError(
                    f"{self.path!r} was changed after it was opened ({self.size} bytes then). Load it again."
                )


def filled(file: io.FileIO, start: int, space: Any) -> bool:
    """Read from byte `start` of an open file into all of a buffer; False where the file ends before."""
    space, done = memoryview(space).cast("B"), 0
    file.seek(start)
    while done < len(space) and (n := file.readinto(space[done:])):
        done += n
    return done == len(space)


def few_ends(file: BinaryIO, size: int) -> str:
    """Checksum of the first and last 4 KiB of the part of an open file that was there at some time."""
    found = hashlib.blake2b(digest_size=16)
    for start in (0, max(size - _FEW_BYTES, 0)):
        file.seek(start)
        found.update(file.read(min(_FEW_BYTES, size - start)))
    return found.hexdigest()


def _identity(state: os.stat_result) -> tuple[int, int, int, int]:
    """`FileStamp.identity` of what `os.stat` tells."""
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


class PartialFiles:
    """Files under provisional names, which get their own names together at the end.

    Use as a context: leaving it by an exception removes what was written. A process that is
    killed leaves files that end in ``.partial`` and nothing else.

    Parameters
    ----------
    target : path
        The file that the user named; it is renamed last, so it never refers to absent data.
    """

    def __init__(self, target: str | os.PathLike) -> None:
        self.target = os.path.abspath(target)
        self._token = uuid.uuid4().hex[:8]
        self._pairs: list[tuple[str, str]] = []
        self._claimed: list[str] = []
        _report_leftovers(self.target)

    def path(self, final: str | os.PathLike | None = None) -> str:
        """Provisional path for a file that is to become `final` (the target by default)."""
        final = self.target if final is None else os.path.abspath(final)
        partial = f"{final}.{self._token}{PARTIAL}"
        self._pairs.append((partial, final))
        return partial

    def commit(self) -> None:
        """Give all files their own names, the target last, once their bytes are on the disk."""
        pairs = sorted(self._pairs, key=lambda pair: pair[1] == self.target)
        for partial, _ in pairs:
            to_disk(partial)
        for partial, final in pairs:
            if final == self.target:
                self._claimed = []  # from here on something may refer to them
            os.replace(partial, final)
        self._pairs = []

    def synced_early(self) -> AbstractContextManager[None]:
        """A context in which what is written goes to the disk meanwhile, so that `commit` need not wait for it."""
        return synced_early(lambda: [partial for partial, _ in self._pairs])

    def reserve(self, names: Iterable[list[str]]) -> None:
        """Nothing: names are taken when all is written."""

    def claim(self, names: Iterable[list[str]]) -> list[str]:
        """Take final names that nobody has, for all files but the target.

        Another process may write the same target at the same time: were both to take a name because it is free, the
        arrays of one could end up under the description of the other. An empty file is made under each name by a
        call that fails where there is one, so each name has one owner; `commit` puts the file in its place.

        Parameters
        ----------
        names : iterable of list of str
            Final paths in order of the files, as good as endless; the first list of which all are free is taken.

        Returns
        -------
        list of str
            Those taken.
        """
        target = [pair for pair in self._pairs if pair[1] == self.target]
        others = [pair for pair in self._pairs if pair[1] != self.target]
        for wanted in names:
            if made_new(wanted):
                self._pairs = target + [(partial, final) for (partial, _), final in zip(others, wanted)]
                self._claimed = list(wanted)
                return wanted
        raise FileExistsError(f"no free names for the files of {self.target!r}.")

    def __enter__(self) -> PartialFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = [partial for partial, _ in self._pairs]
        if self._pairs:
            # the names that were taken, and the files that have them already: nothing refers to these
            left += self._claimed
        for path in left:
            if os.path.exists(path):
                os.remove(path)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a file of text, which appears under its name when it is complete.

    Parameters
    ----------
    path : str or Path
    text : str
    """
    with PartialFiles(path) as files:
        with open(files.path(), "w", encoding="utf-8") as file:
            file.write(text)
        files.commit()


def made_new(paths: Iterable[str]) -> bool:
    """Make empty files; False, and none made, where a name is taken."""
    made: list[str] = []
    for path in paths:
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            for other in made:
                os.remove(other)
            return False
        made.append(path)
    return True


def _report_leftovers(target: str) -> None:
    folder, name = os.path.split(target)
    stem = os.path.splitext(name)[0]
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"the folder {folder!r} does not exist. Make it first.")
    found = [f for f in os.listdir(folder) if f.startswith(f"{stem}.") and f.endswith(PARTIAL)]
    if found:
        _logger.warning(
            f"{', '.join(map(repr, sorted(found)))} in {folder!r} were left by a run that was interrupted (or "
            "belong to one that is still going on). They are incomplete: delete them when no run writes there."
        )


def need_space(target: str | os.PathLike, n_bytes: int) -> None:
    """Raise OSError unless the disk of `target` has `n_bytes` free."""
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(target))).free
    if n_bytes > free:
        raise OSError(
            f"{target!r} needs up to {n_bytes / 2**30:.2f} GiB, but {free / 2**30:.2f} GiB are free there. "
            "Write to another disk, or make room first."
        )


@contextmanager
def system_errors(target: str | os.PathLike) -> Iterator[None]:
    """Turn what HDF5 says of a disk that is full, or gone, into the system's own error with the file's name.

    Raises
    ------
    OSError
        For an error of h5py whose words hold the number of a system call's error, as "errno = 28".
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        # h5py 3.16 sets `errno`, too, and leaves the words as the library has them; the system's own have another form
        number = re.search(r"errno = (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        words = f"{os.strerror(code)}: it was not written, make room or choose another disk"
        raise OSError(code, words, target) from error
