"""The TOML file of a raw_csr data set: which keys it has, what they default to, how it is written.

Sources: LiberTEM 0.16, documentation and behaviour of its "raw_csr" data set (keys, case of the file
type); Reader4D (default names and types, optional acquisition parameters, its shorter list of types).
"""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import re
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError, format_errors
from rsciio_tpx3.raw_csr.block_sums import BlockSums
from rsciio_tpx3.utils.files import FileStamp
from rsciio_tpx3.utils.text_formats import tomllib

__all__ = ["OWN_TABLE", "Description", "changed_array", "disk_type", "read_description", "toml_text"]

_logger = logging.getLogger(__name__)

OWN_TABLE = "rsciio_tpx3"

# Reader4D's names and types where the TOML leaves them out
_DEFAULTS = {"indptr": ("indptr.raw", "int64"), "indices": ("indices.raw", "int32"), "data": ("values.raw", "int32")}

# a TOML description is short; an arbitrary large file is not worth parsing
_MOST_BYTES = 1 << 26
# the parser keeps every beginning of a key: one of 20,000 parts takes 1.6 GB
_TEXTS = re.compile(r"'''.*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'[^'\n]*'|\"(?:\\.|[^\"\\\n])*\"|#[^\n]*", re.DOTALL)
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){64}")
_MOST_NUMBER = 1 << 48
_BLOCK = 1 << 22

# Reader4D takes any type it does not list for int32, without a word: these are the ones it lists
_SHARED_TYPES = {"b": "uint32", "u1": "uint32", "u2": "uint32", "u4": "uint32", "u8": "uint64"}
_SHARED_TYPES |= {"i1": "int32", "i2": "int32", "i4": "int32", "i8": "int64"}
_SHARED_TYPES |= {"f2": "float32", "f4": "float32", "f8": "float64"}


@dataclass(frozen=True)
class Description:
    """What the TOML says.

    Attributes
    ----------
    path : str
    nav_shape, sig_shape : tuple of int or None
        NumPy order; None where the file has none.
    stamps : dict of str to FileStamp
        Of "indptr", "indices" and "data".
    dtypes : dict of str to numpy.dtype
    params : dict
        The table ``params`` as it stands.
    own : dict
        The table that this package adds, or empty.
    """

    path: str
    nav_shape: tuple | None
    sig_shape: tuple | None
    stamps: dict
    dtypes: dict
    params: dict
    own: dict

    @property
    def values_role(self) -> str:
        """What the values are, in Reader4D's words: "count", "itot" and others."""
        return str(self.params.get("values_role", "count")).lower()

    @property
    def holds_counts(self) -> bool:
        return self.values_role == "count"

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of the arrays by part, as they were when this package wrote them."""
        found = {part: self.own.get(f"{part}_sha256") for part in self.stamps}
        return {part: text.lower() for part, text in found.items() if isinstance(text, str)}

    @property
    def block_sums(self) -> dict[str, BlockSums]:
        """`BlockSums` by part, where the file has them: not without its SHA-256, whose line a user may delete."""
        found = {part: BlockSums.from_text(self.own.get(f"{part}_sums"), self.stamps[part].size) for part in self.sums}
        return {part: sums for part, sums in found.items() if sums is not None}

    def check_sums(self) -> None:
        """Raise Tpx3FormatError if an array is not the one that was written; it is read from end to end."""
        for part, expected in self.sums.items():
            stamp, found = self.stamps[part], hashlib.sha256()
            block = bytearray(_BLOCK)
            with stamp.open() as file:
                for start in range(0, stamp.size, _BLOCK):
                    space = memoryview(block)[: min(_BLOCK, stamp.size - start)]
                    stamp.fill(file, start, space)
                    found.update(space)
            if found.hexdigest() != expected:
                raise changed_array(stamp, part, self.path, f"its SHA-256 differs from {part}_sha256")


def changed_array(stamp: FileStamp, part: str, path: str | os.PathLike, what: str) -> Tpx3FormatError:
    """The error for an array that is not what was written, as the TOML at `path` has it."""
    return Tpx3FormatError(
        f"{stamp.name!r} is not the file that was written: {what} in {os.path.basename(path)!r}. Copy the data set "
        f"again; if the file was changed on purpose, delete the line {part}_sha256."
    )


def read_description(path: str | os.PathLike, allow_external: bool = False) -> Description:
    """Read and check the TOML file, and look at the files it names.

    Parameters
    ----------
    path : str or Path
    allow_external : bool
        Whether the arrays may lie outside of the folder of the TOML.

    Returns
    -------
    Description

    Raises
    ------
    Tpx3FormatError
        If it is not TOML or not a raw_csr description, names a type or shape that is none, or an array elsewhere.
    FileNotFoundError
        If one of the arrays is absent.
    """
    path = os.path.abspath(path)
    before = FileStamp.of(path)
    found = _read_description(path, allow_external)
    # a writer that replaced the data set meanwhile may have given the names of its arrays to new ones
    return found if FileStamp.of(path) == before else _read_description(path, allow_external)


def _read_description(path: str | os.PathLike, allow_external: bool) -> Description:
    tables = _parse(path)
    params = tables.get("params")
    filetype = params.get("filetype") if isinstance(params, dict) else None
    if not isinstance(filetype, str) or filetype.lower() != "raw_csr":
        found = "no key 'filetype' in a table [params]" if filetype is None else f"params.filetype = {filetype!r}"
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r} is a TOML file but does not describe counted data: found {found}, expected "
            'params.filetype = "raw_csr". Pass the .toml that lies next to the raw arrays, or add the key.'
        )
    arrays = _table_of_arrays(tables, filetype, path)
    own = tables.get(OWN_TABLE)
    own = own if isinstance(own, dict) else {}
    _check_keys(os.path.basename(path), arrays, own)
    stamps, dtypes = {}, {}
    for part, (name, dtype) in _DEFAULTS.items():
        name = arrays.get(f"{part}_file", name)
        stamps[part] = _stamp(path, part, name, allow_external)
        dtypes[part] = _dtype(path, part, arrays.get(f"{part}_dtype", dtype))
    shapes = (_shape(path, params, key) for key in ("nav_shape", "sig_shape"))
    return Description(path, *shapes, stamps, dtypes, params, own)


def _check_keys(name: str, arrays: dict[str, str], own: dict[str, str]) -> None:
    """Refuse a key that is misspelled or lost: the default would be taken in its place, and read other values.

    Our writer notes the name and the type of each array whose checksum it notes.
    """
    known = {f"{part}_{what}" for part in _DEFAULTS for what in ("file", "dtype")}
    missing = sorted(known - set(arrays))
    noted = [key for key in missing if f"{key.partition('_')[0]}_sha256" in own]
    for key in set(arrays) - known:
        near = difflib.get_close_matches(key, missing, n=1, cutoff=0.8)
        noted += near
    if noted:
        raise Tpx3FormatError(
            f"{name!r} has no {noted[0]} among the keys of its arrays ({', '.join(sorted(arrays))}), and what it stands"
            " for would be guessed. It is damaged or misspelled: correct it, or copy it again."
        )


def _parse(path: str | os.PathLike) -> dict:
    stamp = FileStamp.of(path)
    if stamp.size > _MOST_BYTES:
        raise Tpx3FormatError(f"{stamp.name!r} has {stamp.size} bytes: too many for a TOML description.")
    with format_errors(path, "TOML description of raw_csr arrays"):
        with open(path, "rb") as file:
            content = file.read(stamp.size)
        try:
            # editors on Windows put a byte-order mark before the text, which TOML does not know
            text = content.decode("utf-8-sig").replace("\r\n", "\n")
            if len(text) > 64 and _LONG_KEY.search(_TEXTS.sub("s", text)):
                raise LimitError(
                    f"{stamp.name!r} has a key of more than 64 parts: this is not a description of arrays."
                )
            return tomllib.loads(text)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            hint = " It is UTF-16; save it as UTF-8." if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
            raise Tpx3FormatError(
                f"{stamp.name!r} is not valid TOML: {error}.{hint} Correct it, or pass the .toml that lies next to the "
                "arrays."
            ) from None


def _table_of_arrays(tables: dict, filetype: str, path: str | os.PathLike) -> dict[str, str]:
    # LiberTEM looks for a table named exactly as filetype is written; take other cases too
    names = [filetype, *(name for name in tables if name.lower() == "raw_csr")]
    table = next((tables[name] for name in names if isinstance(tables.get(name), dict)), None)
    if table is None:
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r} has no table [{filetype}] that names the arrays; found "
            f"{', '.join(f'[{name}]' for name in tables)}. Add it with indptr_file, indices_file and data_file."
        )
    return table


def _stamp(path: str | os.PathLike, part: str, name: str, allow_external: bool) -> FileStamp:
    if not isinstance(name, str) or not name or "\0" in name:
        raise Tpx3FormatError(f"{os.path.basename(path)!r}: {part}_file = {name!r} is not a file name.")
    folder = os.path.dirname(path)
    full = os.path.join(folder, name)
    # links resolved: a name without a folder may lead anywhere too
    if not allow_external and not _lies_in(os.path.realpath(full), os.path.realpath(folder)):
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r} names {name!r} as {part}_file, which lies outside of its folder "
            f"({os.path.realpath(full)!r}): a description from elsewhere could show any file of yours as counts. Pass "
            "allow_external=True where the arrays lie apart on purpose."
        )
    if not os.path.isfile(full):
        raise FileNotFoundError(
            f"{os.path.basename(path)!r} names {name!r} as {part}_file, but {full!r} does not exist. Copy all "
            "files of the data set, or correct the name."
        )
    return FileStamp.of(full)


def _lies_in(path: str | os.PathLike, folder: str) -> bool:
    try:
        return os.path.commonpath([path, folder]) == folder
    except ValueError:  # other drives
        return False


def _dtype(path: str | os.PathLike, part: str, text: str) -> np.dtype:
    try:
        dtype = np.dtype(text) if isinstance(text, str) and len(text) < 32 else None
    except Exception:  # of many types, such as SyntaxError for "(1"
        dtype = None
    kinds = "biufc" if part == "data" else "iu"
    if dtype is None or dtype.kind not in kinds or not isinstance(text, str):
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r}: {part}_dtype = {text!r} is not a type for {part}; a NumPy name such as "
            f"{'uint32' if part == 'data' else 'int64'!r} or '<i4' is needed."
        )
    return dtype


def _shape(path: str | os.PathLike, params: dict, key: str) -> tuple[int, ...] | None:
    value = params.get(key)
    if value is None:
        return None
    whole = isinstance(value, list) and all(type(n) is int and 0 < n < _MOST_NUMBER for n in value)
    if not whole or (len(value) != 2 if key == "sig_shape" else not 1 <= len(value) <= 8):
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r}: {key} = {repr(value)[:200]}; expected two positive integers, [rows, columns]."
        )
    return tuple(value)


def disk_type(dtype: np.dtype, compact: bool) -> np.dtype:
    """Type of the values in the file: one that Reader4D knows, or the signal's own.

    Parameters
    ----------
    dtype : numpy.dtype
    compact : bool
        Keep the type as it is (LiberTEM reads all of them); else the next one that Reader4D knows.

    Returns
    -------
    numpy.dtype
        Holds every value of `dtype` exactly.
    """
    dtype = np.dtype(dtype)
    if compact and dtype.kind in "biufc":
        return dtype.newbyteorder("<")
    name = _SHARED_TYPES.get("b" if dtype.kind == "b" else dtype.str[1:])
    if name is None:
        raise ValueError(
            f"values of type {dtype} have no place in raw_csr as Reader4D knows it. Save with compact=True, which "
            "LiberTEM reads, or convert the values to an integer or float type."
        )
    return np.dtype(name)


def toml_text(params: dict, arrays: dict, record: str, sums: dict[str, str] | None = None) -> str:
    """The TOML file's text.

    Parameters
    ----------
    params, arrays : dict
        Tables ``params`` and ``raw_csr``; values are text, integers, floats or lists of integers.
    record : str
        JSON text of `rsciio_tpx3.metadata.record`.
    sums : dict of str to str, optional
        Checksums of the arrays, by their keys.

    Returns
    -------
    str
    """
    lines = []
    for name, table in (("params", params), ("raw_csr", arrays)):
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items()), ""]
    # axes and metadata as JSON: no TOML parser of any age minds one long string
    lines += [f"[{OWN_TABLE}]", *(f"{key} = '{found}'" for key, found in (sums or {}).items())]
    lines += [f"record = '''\n{_literal(record)}'''", ""]
    return "\n".join(lines)


def _value(value: float | list[int] | str) -> str:
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(str(int(n)) for n in value) + "]"
    return repr(value)


def _escaped(letter: str) -> str:
    """A letter inside a TOML basic string: quotes, backslashes and control characters have to be escaped."""
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() or letter == " " else f"\\U{ord(letter):08x}"


def _literal(text: str) -> str:
    """JSON text inside a TOML literal string, which ends at three quotes and takes no control characters."""
    text = text.replace("'", "\\u0027").replace("\x7f", "\\u007f")
    return text if text.endswith("\n") else text + "\n"


def files_of(path: str | os.PathLike) -> list[str]:
    """The description and the arrays that it names."""
    # only names and sums: the reader has refused already what lies elsewhere without leave
    return [path, *(stamp.path for stamp in read_description(path, allow_external=True).stamps.values())]
