"""Hit records of Pixet: text rows and binary records to columns.

Sources: Advacam's Pixet manuals and public wiki (columns, units, service rows, the structure of 16
bytes), a script of an Advacam developer (the older 12 bytes), and real files of other users (rows of
three values, runs of spaces, CRLF); ``docs/formats/advacam.md`` says which fact is from where.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.t3pa.header import LONGEST_LINE, read_form
from rsciio_tpx3.t3pa.record_size import record_type
from rsciio_tpx3.utils.compiled import njit

if TYPE_CHECKING:
    from typing import BinaryIO

    from rsciio_tpx3.utils.files import FileStamp


__all__ = ["BinaryRecords", "Columns", "TextRecords", "open_records"]

_logger = logging.getLogger(__name__)

_TEXT_BLOCK = 1 << 20  # bytes read at once
_BINARY_BLOCK = 1 << 16  # records read at once: 1 MB
_NEWLINE, _RETURN = 10, 13
_SAMPLE_BYTES = 1 << 17
_TELLING_BYTES = 192  # 12 records of 16 bytes or 16 of 12: fewer do not tell which they are
_FILE_COLUMNS = ("pixel", "toa", "tot", "ftoa", "overflow", "index")


@dataclass(frozen=True)
class Columns:
    """Rows of one block, as in the file.

    Attributes
    ----------
    pixel, toa, tot, ftoa, overflow : numpy.ndarray of an integer type, shape (n,)
        Matrix index; 25 ns; 25 ns; 1.5625 ns to subtract; 0 for a hit. Not copied where they lie in records, nor
        aligned there.
    place : sequence of int, length n
        Byte of the file at which each row begins.
    index : numpy.ndarray of int64 or None
        Row number within a measurement.
    damaged : int
        Lines that are not rows.
    first_damaged : str
        Where the first of them is, and what was found there.
    """

    pixel: np.ndarray
    toa: np.ndarray
    tot: np.ndarray
    ftoa: np.ndarray
    overflow: np.ndarray
    place: np.ndarray | range
    index: np.ndarray | None = None
    damaged: int = 0
    first_damaged: str = ""


def open_records(stamp: FileStamp) -> BinaryRecords | TextRecords:
    """The reader of a file's records.

    Parameters
    ----------
    stamp : rsciio_tpx3.utils.files.FileStamp
        Of a file that is still being written, what follows the last whole record is left for later.

    Raises
    ------
    Tpx3FormatError
        If it is not a hit list.
    """
    ending = os.path.splitext(stamp.path)[1].lower()
    if ending == ".t3r":
        raise Tpx3FormatError(
            f"{stamp.name!r} holds undecoded chip data: times in it are coded by tables that Advacam "
            "does not publish. Export it from Pixet as .t3pa or .t3p."
        )
    return BinaryRecords(stamp) if ending == ".t3p" else TextRecords(stamp)


def _read(stamp: FileStamp, start: int, stop: int) -> np.ndarray:
    found = np.empty(stop - start, np.uint8)
    with stamp.open() as file:
        stamp.fill(file, start, found)
    return found


def _too_early(stamp: FileStamp) -> Tpx3FormatError:
    return Tpx3FormatError(f"{stamp.name!r}: {stamp.size} bytes. Nothing was written yet: load it again in a moment.")


class BinaryRecords:
    """Records of 16 bytes, the older 12, or 24 where a compiler padded them, without a header.

    Parameters
    ----------
    stamp : rsciio_tpx3.utils.files.FileStamp
    """

    packed = True

    def __init__(self, stamp: FileStamp) -> None:
        self.stamp = stamp
        if stamp.followed and stamp.size < _TELLING_BYTES:
            raise _too_early(stamp)
        self.dtype = record_type(_read(stamp, 0, min(stamp.size, _SAMPLE_BYTES)), stamp.size, stamp.name)

    @property
    def cut(self) -> tuple[int, str]:
        """Bytes of a last record that is not whole, and the words for it."""
        rest, size = self.stamp.size % self.dtype.itemsize, self.dtype.itemsize
        if not rest or self.stamp.followed:
            return 0, ""
        return rest, (
            f"{self.stamp.name!r} has {self.stamp.size} bytes, and these are not records of 16 or 12 bytes without a "
            f"rest: its records have {size}, and {rest} bytes of the last one are there. The copy was cut."
        )

    def blocks(self) -> list[tuple[int, int]]:
        """Byte ranges that hold whole records."""
        size = self.stamp.size // self.dtype.itemsize * self.dtype.itemsize
        step = _BINARY_BLOCK * self.dtype.itemsize
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def read(self, start: int, stop: int) -> Columns:
        """`Columns` of a byte range."""
        found = _read(self.stamp, start, stop).view(self.dtype)
        place = range(start, stop, self.dtype.itemsize)
        return Columns(*(found[name] for name in _FILE_COLUMNS[:5]), place)


class TextRecords:
    """Rows of integers, separated by white space, commas or semicolons, under a line of names or none.

    Parameters
    ----------
    stamp : rsciio_tpx3.utils.files.FileStamp
    """

    packed = False

    def __init__(self, stamp: FileStamp) -> None:
        self.stamp = stamp
        end = stamp.size
        if stamp.followed:
            end = self._last_line_end(0)
        with stamp.open() as file:
            form = read_form(file, end, stamp.name)
        if form is None:
            if stamp.followed:
                raise _too_early(stamp)
            raise Tpx3FormatError(f"{stamp.name!r} has no rows: nothing was recorded, or the copy failed.")
        self.begin, self.columns, self._separator = form.begin, form.columns, form.separator
        if form.passed_over:
            _logger.warning(f"{stamp.name!r}: columns {', '.join(form.passed_over)} are not known and passed over.")
        # a last number without an end of line may lack digits; Overflow has one digit
        self.end = end if self.columns[-1] == "overflow" else self._last_line_end(self.begin)

    @property
    def cut(self) -> tuple[int, str]:
        """Bytes of a last row that may not be whole, and the words for it."""
        if self.end == self.stamp.size or self.stamp.followed:
            return 0, ""
        return self.stamp.size - self.end, (
            f"the last row of {self.stamp.name!r}, at byte {self.end}, does not end with its line: its last number may "
            "lack digits. The file is damaged or cut; if that row is whole, end it with a newline."
        )

    def _last_line_end(self, begin: int) -> int:
        """Where the last row ends whose line has been ended: of the next one, digits may be missing."""
        stop = self.stamp.size
        while stop > begin:
            start = max(stop - LONGEST_LINE, begin)
            found = np.flatnonzero(_read(self.stamp, start, stop) == _NEWLINE)
            if len(found):
                return start + int(found[-1]) + 1
            stop = start
        return begin

    def blocks(self) -> list[tuple[int, int]]:
        """Byte ranges that hold whole lines."""
        found, start = [], self.begin
        with self.stamp.open() as file:
            while start < self.end:
                stop = min(start + _TEXT_BLOCK, self.end)
                if stop < self.end:
                    stop = self._line_end(file, stop)
                found.append((start, stop))
                start = stop
        return found

    def _line_end(self, file: BinaryIO, at: int) -> int:
        """End of the line in which a byte lies."""
        file.seek(at)
        line = file.read(min(LONGEST_LINE, self.end - at))
        length = line.find(b"\n") + 1 or len(line)
        if length == LONGEST_LINE and at + length < self.end:
            raise Tpx3FormatError(
                f"byte {at} of {self.stamp.name!r}: no line ends within {LONGEST_LINE} bytes, where rows of numbers "
                "were due. The file is damaged, or not a hit list from here on."
            )
        return at + length

    def read(self, start: int, stop: int) -> Columns:
        """`Columns` of a byte range."""
        text = _read(self.stamp, start, stop)
        n_columns = len(self.columns)
        # a row has a digit and an end for each value; pages that no row reaches take no memory
        most = (len(text) + 1) // (2 * n_columns) + 1
        wanted = [_FILE_COLUMNS.index(name) if name else -1 for name in self.columns]
        out = np.zeros((len(_FILE_COLUMNS), most), np.int64)
        place = np.empty(most, np.int64)
        n, damaged, first = _parse(text, np.uint8(self._separator), np.array(wanted), out, place)
        found = dict(zip(_FILE_COLUMNS, out[:, :n]))
        index = found.pop("index")
        index = index if "index" in self.columns else None
        said = self._damage(text, start, int(first)) if damaged else ""
        return Columns(*found.values(), place[:n] + start, index, int(damaged), said)

    def _damage(self, text: np.ndarray, start: int, at: int) -> str:
        line = bytes(text[max(0, at - 60) : at + 60])
        return (
            f"byte {start + at} of {self.stamp.name!r}: expected a row of {len(self.columns)} integers, found "
            f"{line!r}. The file is damaged or cut; remove that line to read the rest."
        )


@njit(nogil=True, cache=True)
def _parse(
    text: np.ndarray, separator: int, wanted: np.ndarray, out: np.ndarray, place: np.ndarray
) -> tuple[int, int, int]:
    """Integers of every row to columns: the number of rows, of other lines, and where the first of these is.

    A column that is not wanted may hold anything. A line ends with LF, CR or both: a row next to a single CR, which a
    damaged or edited file has, must not be taken for a part of its neighbour.
    """
    n_columns, n = len(wanted), len(text)
    row, damaged, first = 0, 0, np.int64(-1)
    all_wanted = wanted.min() >= 0
    i = 0
    while i < n:
        # The short way. What it does not take is read once more from the same byte by the long way.
        if all_wanted and row < out.shape[1]:
            end = _plain_row(text, i, separator, wanted, out, row)
            if end >= 0:
                place[row] = i
                row, i = row + 1, end
                continue
        # The long way: value by value, with any blanks, up to the end of the line.
        column, begin, bad = 0, i, np.int64(-1)
        while i < n and text[i] != _NEWLINE and text[i] != _RETURN:
            c = text[i]
            if c == 32 or c == 9 or c == separator:
                i += 1
                continue
            if column == 0:
                begin = i
            # One value too many.
            if column == n_columns:
                bad = i
                break
            # Text, or a number of any length: passed over up to the next blank or separator.
            if wanted[column] < 0:
                while i < n and text[i] > 32 and text[i] != separator:
                    i += 1
                column += 1
                continue
            value, start = np.int64(0), i
            while i < n:
                digit = text[i] - np.uint8(48)  # what lies below the digits becomes large
                if digit > 9:
                    break
                value = value * 10 + np.int64(digit)
                i += 1
            # 18 digits always fit in int64. With more, `value` may have overflowed, unless they are zeros in front.
            too_long = i - start > 18 and _n_digits(text, start, i) > 18
            if i == start or too_long or (i < n and text[i] > 32 and text[i] != separator):
                bad = i
                break
            if row < out.shape[1]:
                out[wanted[column], row] = value
            column += 1
        # Too few values. A line of none is empty, and not damaged.
        if bad < 0 and 0 < column < n_columns:
            bad = min(i, n - 1)
        if bad >= 0:
            damaged += 1
            if first < 0:
                first = bad
            # Values behind the fault are not looked at: the next line is read for itself.
            while i < n and text[i] != _NEWLINE and text[i] != _RETURN:
                i += 1
        elif column == n_columns:
            place[row] = begin
            row += 1
        i += 1
    return row, damaged, first


@njit(nogil=True, cache=True)
def _plain_row(text: np.ndarray, i: int, separator: int, wanted: np.ndarray, out: np.ndarray, row: int) -> int:
    """Read a row as programs write it: numbers with one separator between. Where its line ends, -1 if it is another."""
    n, last = len(text), len(wanted) - 1
    for column in range(last + 1):
        value, start = np.int64(0), i
        while i < n:
            digit = text[i] - np.uint8(48)
            if digit > 9:
                break
            value = value * 10 + np.int64(digit)
            i += 1
        # No digit, the end of the text, or more digits than 64 bits hold for sure: the careful reader judges.
        if i == start or i == n or i - start > 18:
            return -1
        c = text[i]
        if column < last and not (c == 9 or c == 32 or c == separator):
            return -1
        if column == last and not (c == _NEWLINE or c == _RETURN):
            return -1
        out[wanted[column], row] = value
        i += 1
    return i


@njit(nogil=True, cache=True)
def _n_digits(text: np.ndarray, start: int, stop: int) -> int:
    """Digits of a number without the zeros before it."""
    while start < stop and text[start] == 48:
        start += 1
    return stop - start
