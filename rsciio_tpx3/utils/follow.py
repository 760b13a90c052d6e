"""A file that a detector is still writing: what is there now may be read, and must stay as it is.

A recording that grows changes its size and time all along. What must not happen is that another
recording takes its name: its bytes at old offsets would give frames that look right. So both ends of
what was there at opening are compared whenever the file is opened to be read.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import BinaryIO

from rsciio_tpx3.utils.files import FileStamp, few_ends

__all__ = ["FollowStamp", "stamp_of"]


@dataclass(frozen=True)
class FollowStamp(FileStamp):
    """The part of a file that was there when it was opened.

    Attributes
    ----------
    ends : str
        Checksum of the first and last bytes of that part.
    """

    ends: str

    @property
    def followed(self) -> bool:
        return True

    @classmethod
    def of(cls, path: str | os.PathLike, size: int | None = None) -> FollowStamp:
        """Stamp of what is there now, or of its first bytes."""
        now = FileStamp.of(path)
        size = now.size if size is None else min(size, now.size)
        with open(now.path, "rb") as file:
            return cls(now.path, size, *now.identity[1:], now.machine, few_ends(file, size))

    def fits(self, file: BinaryIO) -> bool:
        """Whether the file is the one it was; it may be longer by now."""
        now = os.fstat(file.fileno())
        same = now.st_ino == self.inode or self.machine != platform.node()
        return same and now.st_size >= self.size and few_ends(file, self.size) == self.ends


def stamp_of(path: str | os.PathLike, follow: bool = False) -> FileStamp:
    """Stamp of a file that must exist, as one that is still being written where `follow` says so."""
    return (FollowStamp if follow else FileStamp).of(path)
