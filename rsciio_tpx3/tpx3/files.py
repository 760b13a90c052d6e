"""Which files make up one acquisition, and reading words from them.

A file is opened, read and closed in one call: no handle outlives it, so sources pickle and workers
on other machines open what they need themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.packets import HEADER_MAGIC, PACKET_TYPE_NAMES
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.follow import stamp_of

__all__ = ["Part", "WordReader", "expand_parts", "open_parts", "read_ahead", "read_words"]

_NUMBERED = re.compile(r"^(.*?)(\d+)(\.[^.]+)$")
_SNIFF_WORDS = 64  # 512 bytes: a header or a run of known packets shows itself in the first few
_AHEAD = 2  # readings: with one, the thread would wait each time until it is woken


@dataclass(frozen=True)
class Part:
    """One file of an acquisition.

    Attributes
    ----------
    stamp : FileStamp
        Path, size and time of change: a file that changes after the pass is not read.
    first_word : int
        Number of the file's first word, counted over all files.
    n_words : int
        Whole words in the file.
    skip : int
        Words before the first packet (a pymepix start time).
    headerless : bool
        Packets without chunk headers.
    """

    stamp: FileStamp
    first_word: int
    n_words: int
    skip: int
    headerless: bool

    @property
    def path(self) -> str:
        return self.stamp.path

    @property
    def size(self) -> int:
        return self.stamp.size

    @property
    def name(self) -> str:
        return self.stamp.name

    @property
    def followed(self) -> bool:
        """Whether more may follow: an incomplete end is not damage."""
        return self.stamp.followed


def expand_parts(filename: str | os.PathLike, all_parts: bool | Sequence = False) -> tuple[list[str], list[int]]:
    """Paths of one acquisition, in order.

    Parameters
    ----------
    filename : str, Path or a sequence of them
        A sequence is one acquisition cut into pieces, in order of time.
    all_parts : bool or sequence of str
        True: every file next to `filename` whose name differs in the running number only.
        A sequence: these files.

    Returns
    -------
    paths : list of str
    missing : list of int
        Running numbers that are absent between the lowest and the highest.

    Raises
    ------
    FileNotFoundError
    ValueError
        If `all_parts` is True and the name has no running number.
    """
    if not isinstance(all_parts, (bool, np.bool_)):
        filename = all_parts
    elif all_parts:
        return _numbered(Path(filename))
    paths = [filename] if isinstance(filename, (str, os.PathLike)) else list(filename)
    if not paths:
        raise ValueError("No file given: the list of files is empty.")
    for path in paths:
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{os.fspath(path)!r} does not exist or is not a file.")
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise ValueError("A file is named twice among the pieces of one acquisition; its hits would count double.")
    return [os.path.abspath(path) for path in paths], []


def _numbered(path: Path) -> tuple[list[str], list[int]]:
    match = _NUMBERED.match(path.name)
    if not match:
        raise ValueError(
            f"all_parts=True needs a file with a running number, such as scan_000000.tpx3; {path.name!r} "
            "has none. Pass the files as a list: all_parts=['a.tpx3', 'b.tpx3']."
        )
    stem, _, ending = match.groups()
    found = {}
    for other in path.parent.iterdir():
        m = _NUMBERED.match(other.name)
        # By number, not by name: scan_9 precedes scan_10. Endings differ by case after copies from Windows.
        if m and (m[1], m[3].lower()) == (stem, ending.lower()) and other.is_file():
            found[int(m[2])] = other
    if not found:
        raise FileNotFoundError(f"{str(path)!r} does not exist, and no other part of it.")
    numbers = sorted(found)
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    return [os.path.abspath(found[n]) for n in numbers], missing


def open_parts(paths: list[str], follow: bool = False) -> list[Part]:
    """Look at the beginning of each file.

    Parameters
    ----------
    paths : list of str
    follow : bool
        The last file is still being written.

    Returns
    -------
    list of Part

    Raises
    ------
    Tpx3FormatError
        If a file is not a Timepix3 stream, or all are empty.
    """
    parts, first = [], 0
    for path in paths:
        # Only the last file of an acquisition is still being written; the others have to stay what they are.
        stamp = stamp_of(path, follow and path == paths[-1])
        n_words = stamp.size // 8
        parts.append(Part(stamp, first, n_words, *_sniff(path, stamp.size)))
        first += n_words
    if first == 0:
        names = ", ".join(repr(part.name) for part in parts)
        advice = (
            "Nothing was written yet: load it again in a moment."
            if follow
            else "The acquisition was not written, or the copy failed; copy the file again."
        )
        raise Tpx3FormatError(f"{names}: no data, {sum(part.size for part in parts)} bytes. {advice}")
    if len({part.headerless for part in parts if part.n_words}) > 1:
        raise Tpx3FormatError("Some of the files have chunk headers and some have none: they are not one acquisition.")
    return parts


def _sniff(path: str | os.PathLike, size: int) -> tuple[int, bool]:
    """Words to skip, and whether chunk headers are absent."""
    words = np.fromfile(path, "<u8", min(_SNIFF_WORDS, size // 8))
    if len(words) == 0:
        return 0, False
    if int(words[0]) & 0xFFFFFFFF == HEADER_MAGIC:
        return 0, False
    nibbles = words >> np.uint64(60)
    known = np.isin(nibbles, list(PACKET_TYPE_NAMES))
    if known.all():
        return 0, True
    # pymepix may write its start time, ns since 1970, before the first packet: top nibble 1
    if len(words) > 1 and nibbles[0] == 1 and known[1:].all():
        return 1, True
    with open(path, "rb") as file:
        start = file.read(8)
    raise Tpx3FormatError(
        f"{os.path.basename(path)!r} is not a Timepix3 recording: it begins with {start!r}. A .tpx3 file "
        "begins with b'TPX3', one without chunk headers with a packet. Check the file, or pass "
        "file_format for the format it has."
    )


class WordReader:
    """Reads words of one acquisition into one buffer, which the next reading overwrites.

    The buffer stays in the cache and costs no new memory pages. The file read last stays open: use the
    reader as a context, within one call.

    Parameters
    ----------
    buffer : numpy.ndarray of uint64
        As long as the longest reading.
    check : bool
        Compare the file with what it was after each reading. Of a file that grows this takes a tenth of the time that
        it takes to look at the words: who reads it in one go calls `settle` in the end instead.
    """

    def __init__(self, buffer: np.ndarray, check: bool = True) -> None:
        self._buffer, self._check = buffer, check
        self._part = self._file = None

    def __enter__(self) -> WordReader:
        return self

    def __exit__(self, *error: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._part = self._file = None

    def read(self, part: Part, start: int, stop: int) -> np.ndarray:
        """Words `start` to `stop` of the acquisition, which must lie in `part`.

        Returns
        -------
        numpy.ndarray of uint64
            Good until the next call.

        Raises
        ------
        Tpx3FormatError
            If the file changed since it was opened.
        """
        if part is not self._part:
            self._close()
            self._file, self._part = part.stamp.open(), part
        words = self._buffer[: stop - start]
        part.stamp.fill(self._file, (start - part.first_word) * 8, words, self._check)
        return words

    def settle(self) -> None:
        """Raise Tpx3FormatError if the file that was read last is another one by now."""
        if self._file is not None:
            self._part.stamp.check_open(self._file)


def read_ahead(part: Part, start: int, stop: int, step: int, check: bool = True) -> Iterator[tuple[np.ndarray, int]]:
    """Iterate over a stretch of an acquisition, `step` words at a time; the next ones are read meanwhile, by a thread.

    Copying from the system's memory takes about as long as looking at the words.

    Parameters
    ----------
    part : Part
    start, stop : int
        Words of the acquisition, which must lie in `part`.
    step : int
    check : bool
        Compare the file with what it was after each reading, or once in the end.

    Yields
    ------
    words : numpy.ndarray of uint64
        Good until the next ones are requested.
    first : int
        Number of the first of them.
    """
    spans = [(first, min(first + step, stop)) for first in range(start, stop, step)]
    with contextlib.ExitStack() as stack:
        size = max(min(step, stop - start), 0)
        readers = [stack.enter_context(WordReader(np.empty(size, "<u8"), check)) for _ in spans[: _AHEAD + 1]]
        if len(spans) < 2:
            yield from ((reader.read(part, *span), span[0]) for reader, span in zip(readers, spans))
        else:
            yield from _ahead(part, spans, readers, stack)
        if readers and not check:
            readers[0].settle()


def _ahead(
    part: Part, spans: list[tuple[int, int]], readers: list[WordReader], stack: contextlib.ExitStack
) -> Iterator[tuple[np.ndarray, int]]:
    if spans:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        coming = deque(pool.submit(reader.read, part, *span) for reader, span in zip(readers[:_AHEAD], spans))
        for i, (first, _) in enumerate(spans):
            words = coming.popleft().result()
            if i + _AHEAD < len(spans):
                coming.append(pool.submit(readers[(i + _AHEAD) % len(readers)].read, part, *spans[i + _AHEAD]))
            yield words, first


def read_words(part: Part, start: int, stop: int) -> np.ndarray:
    """Words `start` to `stop` of the acquisition in an array of their own; see `WordReader.read`."""
    with WordReader(np.empty(stop - start, "<u8")) as reader:
        return reader.read(part, start, stop)
