"""Files that stay what they were while they are read, and appear complete or not at all.

A lazy signal reads its file long after it was opened. Were the file replaced meanwhile, old offsets
into new bytes would give wrong frames that look right; so a source keeps each file's size and time
and compares them before it reads.
"""

import hashlib
import logging
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass

from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["PARTIAL", "FileStamp", "PartialFiles", "need_space", "system_errors"]

_logger = logging.getLogger(__name__)

PARTIAL = ".partial"
_END_BYTES = 1 << 16


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
    """

    path: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path):
        """Stamp of a file that must exist."""
        path = os.path.abspath(path)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path!r} does not exist.") from None
        return cls(path, found.st_size, found.st_mtime_ns)

    @property
    def name(self):
        return os.path.basename(self.path)

    @property
    def growing(self):
        """Whether more may follow: an incomplete end is no damage."""
        return False

    def checksum_of_ends(self):
        """BLAKE2b of the first and the last 64 KiB: tells most files apart, in no time whatever their size."""
        found = hashlib.blake2b(digest_size=16)
        with open(self.path, "rb") as file:
            found.update(file.read(_END_BYTES))
            file.seek(max(self.size - _END_BYTES, 0))
            found.update(file.read(_END_BYTES))
        return found.hexdigest()

    def fits(self, file):
        """Whether an open file is the one it was."""
        now = os.fstat(file.fileno())
        return (now.st_size, now.st_mtime_ns) == (self.size, self.mtime_ns)

    def open(self):
        """The file to `fill` from; closing it is the caller's."""
        FileStamp.of(self.path)  # says so where it is gone
        return open(self.path, "rb", buffering=0)

    def fill(self, file, start, space):
        """Read from byte `start` of the open file into all of a buffer.

        Raises
        ------
        Tpx3FormatError
            If the file changed since it was opened.
        """
        space, done = memoryview(space).cast("B"), 0
        file.seek(start)
        while done < len(space):
            n = file.readinto(space[done:])
            if not n:
                break
            done += n
        # after the reading, so that a change meanwhile is noticed
        if done != len(space) or not self.fits(file):
            now = os.fstat(file.fileno()).st_size
            raise Tpx3FormatError(
                f"{self.path!r} changed since it was opened: {self.size} bytes then, {now} now. Load it again."
            )

    def check(self):
        """Raise Tpx3FormatError if the file is another one by now."""
        if not os.path.exists(self.path):
            raise Tpx3FormatError(f"{self.path!r} was removed or replaced after it was opened. Load it again.")
        if FileStamp.of(self.path) != self:
            raise Tpx3FormatError(
                f"{self.path!r} was changed after it was opened ({self.size} bytes then). Load it again."
            )


class PartialFiles:
    """Files under provisional names, which get their own names together at the end.

    Use as a context: leaving it by an exception removes what was written. A process that is
    killed leaves files that end in ``.partial`` and nothing else.

    Parameters
    ----------
    target : path
        The file that the user named; it is renamed last, so it never refers to absent data.
    """

    def __init__(self, target):
        self.target = os.path.abspath(target)
        self._token = uuid.uuid4().hex[:8]
        self._pairs = []
        _report_leftovers(self.target)

    def path(self, final=None):
        """Provisional path for a file that is to become `final` (the target by default)."""
        final = self.target if final is None else os.path.abspath(final)
        partial = f"{final}.{self._token}{PARTIAL}"
        self._pairs.append((partial, final))
        return partial

    def commit(self):
        """Give all files their own names, the target last, once their bytes are on the disk."""
        pairs = sorted(self._pairs, key=lambda pair: pair[1] == self.target)
        for partial, _ in pairs:
            _to_disk(partial)
        for partial, final in pairs:
            os.replace(partial, final)
        self._pairs = []

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        for partial, _ in self._pairs:
            if os.path.exists(partial):
                os.remove(partial)


def _to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _report_leftovers(target):
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


def need_space(target, n_bytes):
    """Raise OSError unless the disk of `target` has `n_bytes` free."""
    free = shutil.disk_usage(os.path.dirname(os.path.abspath(target))).free
    if n_bytes > free:
        raise OSError(
            f"{target!r} needs up to {n_bytes / 2**30:.2f} GiB, but {free / 2**30:.2f} GiB are free there. "
            "Write to another disk, or make room first."
        )


@contextmanager
def system_errors(target):
    """Turn what HDF5 says of a disk that is full, or gone, into the system's own error with the file's name.

    Raises
    ------
    OSError
        For an error of h5py whose words hold the number of a system call's error, as "errno = 28".
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        number = re.search(r"errno = (\d+)", str(error))
        if number is None or getattr(error, "errno", None) is not None:
            raise
        code = int(number[1])
        words = f"{os.strerror(code)}: it was not written, make room or choose another disk"
        raise OSError(code, words, target) from error
