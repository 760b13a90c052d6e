"""The first lines of a hit list as text: where its rows begin, what parts their values, and what each column holds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rsciio_tpx3.exceptions import Tpx3FormatError

if TYPE_CHECKING:
    from typing import BinaryIO


__all__ = ["LONGEST_LINE", "TextForm", "read_form"]

LONGEST_LINE = 1 << 12  # bytes; a row has six numbers

_LONG = ("index", "pixel", "toa", "tot", "ftoa", "overflow")
_SHORT = ("pixel", "toa", "tot")  # real files have these under a header of six names
_NEEDED = _SHORT
_NAMES = {
    "index": "index", "matrixindex": "pixel", "matrixidx": "pixel", "toa": "toa", "tot": "tot", "ftoa": "ftoa",
    "overflow": "overflow",
}  # fmt: skip
_SPELLED = re.compile(r"matrix[ _]?(?:index|idx)|index|ftoa|toa|tot|overflow", re.I)
_UNIT = re.compile(r"[\[(].*$")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MOST_COMMENTS = 1000  # lines before the first row: more are another kind of file


@dataclass(frozen=True)
class TextForm:
    """How rows are written.

    Attributes
    ----------
    begin : int
        Byte of the first row.
    columns : tuple of str or None
        What each value of a row is; None for one that is passed over.
    separator : int
        What parts values besides white space, as a byte.
    passed_over : tuple of str
        Names of the columns that are.
    """

    begin: int
    columns: tuple
    separator: int
    passed_over: tuple = ()


_TELLING_ROWS = 9


def read_form(file: BinaryIO, end: int, name: str) -> TextForm | None:
    """Look at the first lines of an open file.

    Parameters
    ----------
    file : binary file
    end : int
        Byte at which to stop.
    name : str
        For errors.

    Returns
    -------
    TextForm or None
        None where there is no row yet.

    Raises
    ------
    Tpx3FormatError
        If this is not text, or its columns are not known.
    """
    begin, names = _skip_names(file, end, name)
    rows = _first_rows(file, begin, end, name)
    if not rows:
        return None
    separator = next((sign for sign in b";," if sign in rows[0]), ord(" "))
    numbers = Counter(len(row.replace(bytes([separator]), b" ").split()) for row in rows)
    # one row that was cut does not decide; of two that contradict each other the longer one, which no cut makes
    columns = _columns(names, max(numbers, key=lambda n: (numbers[n], n)), name)
    passed_over = tuple(n for n, column in zip(names or (), columns) if column is None)
    return TextForm(begin, columns, separator, passed_over)


def _line(file: BinaryIO, end: int, name: str) -> bytes:
    start = file.tell()
    line = file.readline(min(LONGEST_LINE, max(end - start, 0)))
    if line.startswith(_OTHER_MARKS) and start == 0:
        raise Tpx3FormatError(f"{name!r} is text of 16 bits a letter (UTF-16). Save it as plain text or UTF-8.")
    if b"\0" in line:
        raise Tpx3FormatError(
            f"{name!r} is not text (byte {start + line.index(0)} is 0): a .t3pa file begins with a line of names. "
            "Binary lists end in .t3p."
        )
    if len(line) == LONGEST_LINE:
        ends = " Its lines end with CR alone: save it with LF or CRLF." if b"\r" in line[:-1] else ""
        raise Tpx3FormatError(
            f"{name!r} is not a table of rows: the line at byte {start} is longer than {LONGEST_LINE} bytes, where a "
            f".t3pa file has at most six numbers on a line.{ends}"
        )
    return line


def _skip_names(file: BinaryIO, end: int, name: str) -> tuple:
    """Where rows begin, and the names over them or None; lines of comment (#) may stand before."""
    names = None
    for _ in range(_MOST_COMMENTS):
        begin = file.tell()
        line = _line(file, end, name)
        text = line.removeprefix(_BYTE_ORDER_MARK).decode("latin-1").strip() if begin == 0 else line.decode("latin-1")
        text = text.strip()
        if not line or text[:1].isdigit():
            # a mark before the first digit is not part of the number
            marked = begin == 0 and line.startswith(_BYTE_ORDER_MARK)
            return begin + len(_BYTE_ORDER_MARK) * marked, names
        if text:
            names = _split_names(text) or names
        if text and not text.startswith("#"):
            return file.tell(), names or [text[:40]]
    raise Tpx3FormatError(
        f"{name!r} has more than {_MOST_COMMENTS} lines before its first row: this is not a .t3pa file."
    )


def _split_names(text: str) -> list[str]:
    """Names of a header line; an empty list for a comment without any."""
    text = text.lstrip("#").strip()
    for sign in ("\t", ";", ",", "  "):
        if sign in text:
            parts = [part.strip().strip("\"'") for part in text.split(sign) if part.strip()]
            break
    else:
        parts = _SPELLED.findall(text)
    return parts if any(_known(part) for part in parts) else []


def _known(part: str) -> str | None:
    return _NAMES.get(_UNIT.sub("", part).lower().replace(" ", "").replace("_", ""))


def _first_rows(file: BinaryIO, begin: int, end: int, name: str) -> list[bytes]:
    """The first few lines that hold something; what is wrong with others than the first is reported later."""
    file.seek(begin)
    while file.tell() < end:
        line = _line(file, end, name)
        if line.strip():
            more = file.read(min(LONGEST_LINE, max(end - file.tell(), 0)))
            rows = [row for row in re.split(rb"[\r\n]+", line.strip(b"\r\n") + b"\n" + more) if row.strip()]
            return rows[:_TELLING_ROWS]
    return []


def _columns(names: list[str] | None, n: int, name: str) -> tuple[str, ...]:
    """What each of `n` values is."""
    if names is not None and n == len(names):
        columns = tuple(map(_known, names))
        known = [column for column in columns if column]
        if len(set(known)) == len(known) and set(_NEEDED) <= set(known):
            return columns
    standard = names is None or tuple(map(_known, names)) == _LONG
    if standard and n in (len(_LONG), len(_SHORT)):
        return _LONG if n == len(_LONG) else _SHORT
    raise Tpx3FormatError(
        f"{name!r} has rows of {n} values under {names or 'no names'}; six (Index, Matrix Index, ToA, ToT, FToA, "
        "Overflow) or three (Matrix Index, ToA, ToT) are known, in another order or with others between them only "
        "under a line that names each one. Export it from Pixet as .t3pa, or write such a line."
    )
