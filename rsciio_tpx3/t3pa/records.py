"""Hit records of Pixet: text rows and binary records to columns.

Sources: Advacam's Pixet manuals and public wiki (columns, units, service rows, the structure of 16
bytes), a script of an Advacam developer (the older 12 bytes), and real files of other users (rows of
three values, runs of spaces, CRLF); ``docs/formats/advacam.md`` says which fact is from where.
"""

import os
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.compiled import njit
from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["BinaryRecords", "Columns", "TextRecords", "open_records"]

_TEXT_BLOCK = 1 << 20
_BINARY_BLOCK = 1 << 16
_NEWLINE = 10
_LONGEST_LINE = 1 << 12
_TELLING_BYTES = 192  # 12 records of 16 bytes or 16 of 12: fewer do not tell which they are

_NAMES = {"index": "index", "matrix index": "pixel", "toa": "toa", "tot": "tot", "ftoa": "ftoa", "overflow": "overflow"}
_LONG = ("index", "pixel", "toa", "tot", "ftoa", "overflow")
_SHORT = ("pixel", "toa", "tot")  # real files have these under a header of six names

_RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])
_OLD_RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u4"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])


@dataclass(frozen=True)
class Columns:
    """Rows of one block, as in the file.

    Attributes
    ----------
    pixel, toa, tot, ftoa, overflow : numpy.ndarray of int64, shape (n,)
        Matrix index; 25 ns; 25 ns; 1.5625 ns to subtract; 0 for a hit.
    index : numpy.ndarray of int64 or None
        Row number within a measurement.
    """

    pixel: np.ndarray
    toa: np.ndarray
    tot: np.ndarray
    ftoa: np.ndarray
    overflow: np.ndarray
    index: np.ndarray | None = None


def open_records(stamp):
    """The reader of a file's records.

    Parameters
    ----------
    stamp : rsciio_tpx3.frames.files.FileStamp
        Of a file that is still being written, what follows the last whole record is left for later.

    Raises
    ------
    Tpx3FormatError
        If it is no hit list.
    """
    ending = os.path.splitext(stamp.path)[1].lower()
    if ending == ".t3r":
        raise Tpx3FormatError(
            f"{stamp.name!r} holds undecoded chip data: times in it are coded by tables that Advacam "
            "does not publish. Export it from Pixet as .t3pa or .t3p."
        )
    return BinaryRecords(stamp) if ending == ".t3p" else TextRecords(stamp)


def _read(stamp, start, stop):
    found = np.empty(stop - start, np.uint8)
    with stamp.open() as file:
        stamp.fill(file, start, found)
    return found


def _too_early(stamp):
    return Tpx3FormatError(f"{stamp.name!r}: {stamp.size} bytes. Nothing was written yet: load it again in a moment.")


class BinaryRecords:
    """Packed records of 16 bytes, or the older 12, without a header.

    Parameters
    ----------
    stamp : rsciio_tpx3.frames.files.FileStamp
    """

    def __init__(self, stamp):
        self.stamp = stamp
        if stamp.growing and stamp.size < _TELLING_BYTES:
            raise _too_early(stamp)
        self.dtype = _record_type(stamp)

    def blocks(self):
        """Byte ranges that hold whole records."""
        size = self.stamp.size // self.dtype.itemsize * self.dtype.itemsize
        step = _BINARY_BLOCK * self.dtype.itemsize
        return [(start, min(start + step, size)) for start in range(0, size, step)]

    def read(self, start, stop):
        """`Columns` of a byte range."""
        found = _read(self.stamp, start, stop).view(self.dtype)
        return Columns(*(found[name].astype(np.int64) for name in ("pixel", "toa", "tot", "ftoa", "overflow")))


def _record_type(stamp):
    """16 or 12 bytes: by the size of the file, and by limits that every record keeps."""
    fitting = {}
    for dtype in (_RECORD, _OLD_RECORD):
        if stamp.size and (stamp.growing or stamp.size % dtype.itemsize == 0):
            n = min(stamp.size // dtype.itemsize, 4096)
            found = _read(stamp, 0, n * dtype.itemsize).view(dtype)
            hits = found[found["overflow"] == 0]
            # 10 bits of ToT, 5 of FToA, 18 of the pixel on the largest detector
            if (
                len(hits)
                and (hits["tot"] < 1024).all()
                and (hits["ftoa"] < 32).all()
                and (hits["pixel"] < 1 << 18).all()
            ):
                fitting.setdefault(len(hits) / n, dtype)
    if not fitting:
        raise Tpx3FormatError(
            f"{stamp.name!r} has {stamp.size} bytes that are no records of 16 or 12 bytes with a time over threshold "
            "below 1024 and a fine time below 32. The copy may be cut, or the program that wrote it padded its records."
        )
    # read in the wrong steps, a file seems to hold service rows
    return fitting[max(fitting)]


class TextRecords:
    """Rows of whole numbers, parted by any white space, under a line of names or none.

    Parameters
    ----------
    stamp : rsciio_tpx3.frames.files.FileStamp
    """

    def __init__(self, stamp):
        self.stamp = stamp
        self.begin, names = self._header()
        self.end = self._last_line_end() if stamp.growing else stamp.size
        self.columns = self._columns(names)

    def _header(self):
        with self.stamp.open() as file:
            line = file.readline(min(4096, self.stamp.size))
        if b"\0" in line or len(line) == 4096:
            raise Tpx3FormatError(
                f"{self.stamp.name!r} is no text: a .t3pa file begins with a line of names. Binary lists end in .t3p."
            )
        text = line.decode("latin-1").strip()
        if not text or text[0].isdigit():
            return 0, None
        parts = [part.strip().lower() for part in text.replace("  ", "\t").split("\t") if part.strip()]
        return len(line), parts

    def _last_line_end(self):
        """Where the last row ends whose line has been ended: of the next one, digits may be missing."""
        stop = self.stamp.size
        while stop > self.begin:
            start = max(stop - _LONGEST_LINE, self.begin)
            found = np.flatnonzero(_read(self.stamp, start, stop) == _NEWLINE)
            if len(found):
                return start + int(found[-1]) + 1
            stop = start
        return self.begin

    def _columns(self, names):
        n = self._first_row()
        if n == 0:
            if self.stamp.growing:
                raise _too_early(self.stamp)
            raise Tpx3FormatError(f"{self.stamp.name!r} has no rows: nothing was recorded, or the copy failed.")
        if names is not None and n == len(names) and all(name in _NAMES for name in names):
            return tuple(_NAMES[name] for name in names)
        if n in (len(_LONG), len(_SHORT)):
            return _LONG if n == len(_LONG) else _SHORT
        raise Tpx3FormatError(
            f"{self.stamp.name!r} has rows of {n} values under {names or 'no names'}; six (Index, Matrix "
            "Index, ToA, ToT, FToA, Overflow) or three (Matrix Index, ToA, ToT) are known. "
            "Export it from Pixet as .t3pa."
        )

    def _first_row(self):
        """Values of the first row; 0 where there is none."""
        with open(self.stamp.path, "rb") as file:
            file.seek(self.begin)
            while file.tell() < self.end:
                values = file.readline().split()
                if values:
                    return len(values)
        return 0

    def blocks(self):
        """Byte ranges that hold whole lines."""
        found, start = [], self.begin
        with open(self.stamp.path, "rb") as file:
            while start < self.end:
                stop = min(start + _TEXT_BLOCK, self.end)
                if stop < self.end:
                    file.seek(stop)
                    stop += len(file.readline())
                found.append((start, stop))
                start = stop
        return found

    def read(self, start, stop):
        """`Columns` of a byte range."""
        text = _read(self.stamp, start, stop)
        out = np.zeros((len(self.columns), np.count_nonzero(text == _NEWLINE) + 1), np.int64)
        n, bad = _parse(text, out)
        if bad >= 0:
            line = bytes(text[max(0, bad - 60) : bad + 60])
            raise Tpx3FormatError(
                f"byte {start + bad} of {self.stamp.name!r}: a row of {len(self.columns)} whole numbers "
                f"was due, found {line!r}. The file is damaged or cut; remove that line to read the rest."
            )
        found = dict(zip(self.columns, out[:, :n]))
        zeros = np.zeros(n, np.int64)
        return Columns(
            *(found.get(name, zeros) for name in ("pixel", "toa", "tot", "ftoa", "overflow")), found.get("index")
        )


@njit(nogil=True, cache=True)
def _parse(text, out):
    """Whole numbers of every row to columns; the number of rows, and where it failed or -1."""
    n_columns = out.shape[0]
    row, column = 0, 0
    i, n = 0, len(text)
    while i < n:
        c = text[i]
        if c == _NEWLINE:
            if column == n_columns:
                row += 1
            elif column != 0:
                return row, i
            column = 0
            i += 1
        elif c == 32 or c == 9 or c == 13:
            i += 1
        elif 48 <= c <= 57:
            if column == n_columns:
                return row, i
            value = np.int64(0)
            digits = 0
            while i < n and 48 <= text[i] <= 57:
                value = value * 10 + np.int64(text[i] - 48)
                digits += 1
                i += 1
            if digits > 18:
                return row, i - 1
            out[column, row] = value
            column += 1
        else:
            return row, i
    if column == n_columns:
        row += 1
    elif column != 0:
        return row, n - 1
    return row, np.int64(-1)
