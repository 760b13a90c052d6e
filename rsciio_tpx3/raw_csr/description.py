"""The TOML file of a raw_csr data set: which keys it has, what they default to, how it is written.

Sources: LiberTEM 0.16, documentation and behaviour of its "raw_csr" data set (keys, case of the file
type); Reader4D (default names and types, optional acquisition parameters, its shorter list of types).
"""

import os
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.frames.files import FileStamp

__all__ = ["OWN_TABLE", "Description", "disk_type", "read_description", "toml_text"]

OWN_TABLE = "rsciio_tpx3"

# Reader4D's names and types where the TOML leaves them out
_DEFAULTS = {"indptr": ("indptr.raw", "int64"), "indices": ("indices.raw", "int32"), "data": ("values.raw", "int32")}

# a TOML description is short; an arbitrary large file is not worth parsing
_MOST_BYTES = 1 << 26

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
    def values_role(self):
        """What the values are, in Reader4D's words: "count", "itot" and others."""
        return str(self.params.get("values_role", "count")).lower()

    @property
    def holds_counts(self):
        return self.values_role == "count"


def read_description(path):
    """Read and check the TOML file, and look at the files it names.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Description

    Raises
    ------
    Tpx3FormatError
        If it is no TOML, no raw_csr description, or names a type or shape that is none.
    FileNotFoundError
        If one of the arrays is absent.
    """
    path = os.path.abspath(path)
    tables = _parse(path)
    params = tables.get("params")
    filetype = params.get("filetype") if isinstance(params, dict) else None
    if not isinstance(filetype, str) or filetype.lower() != "raw_csr":
        found = "no key 'filetype' in a table [params]" if filetype is None else f"params.filetype = {filetype!r}"
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r} is a TOML file but describes no counted data: found {found}, needed is "
            'params.filetype = "raw_csr". Pass the .toml that lies beside the raw arrays, or add the key.'
        )
    arrays = _table_of_arrays(tables, filetype, path)
    stamps, dtypes = {}, {}
    for part, (name, dtype) in _DEFAULTS.items():
        name = arrays.get(f"{part}_file", name)
        stamps[part] = _stamp(path, part, name)
        dtypes[part] = _dtype(path, part, arrays.get(f"{part}_dtype", dtype))
    own = tables.get(OWN_TABLE)
    shapes = (_shape(path, params, key) for key in ("nav_shape", "sig_shape"))
    return Description(path, *shapes, stamps, dtypes, params, own if isinstance(own, dict) else {})


def _parse(path):
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib

    stamp = FileStamp.of(path)
    if stamp.size > _MOST_BYTES:
        raise Tpx3FormatError(f"{stamp.name!r} has {stamp.size} bytes: too many for a TOML description.")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Tpx3FormatError(
            f"{stamp.name!r} is no valid TOML: {error}. Correct it, or pass the .toml that lies beside the arrays."
        ) from None


def _table_of_arrays(tables, filetype, path):
    # LiberTEM looks for a table named exactly as filetype is written; take other cases too
    names = [filetype, *(name for name in tables if name.lower() == "raw_csr")]
    table = next((tables[name] for name in names if isinstance(tables.get(name), dict)), None)
    if table is None:
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r} has no table [{filetype}] that names the arrays; found "
            f"{', '.join(f'[{name}]' for name in tables)}. Add it with indptr_file, indices_file and data_file."
        )
    return table


def _stamp(path, part, name):
    if not isinstance(name, str) or not name:
        raise Tpx3FormatError(f"{os.path.basename(path)!r}: {part}_file = {name!r} is no file name.")
    full = os.path.join(os.path.dirname(path), name)
    if not os.path.isfile(full):
        raise FileNotFoundError(
            f"{os.path.basename(path)!r} names {name!r} as {part}_file, but {full!r} does not exist. Copy all "
            "files of the data set, or correct the name."
        )
    return FileStamp.of(full)


def _dtype(path, part, text):
    try:
        dtype = np.dtype(text)
    except TypeError:
        dtype = None
    kinds = "biufc" if part == "data" else "iu"
    if dtype is None or dtype.kind not in kinds or not isinstance(text, str):
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r}: {part}_dtype = {text!r} is no type for {part}; a NumPy name such as "
            f"{'uint32' if part == 'data' else 'int64'!r} or '<i4' is needed."
        )
    return dtype


def _shape(path, params, key):
    value = params.get(key)
    if value is None:
        return None
    whole = isinstance(value, list) and all(isinstance(n, int) and n > 0 for n in value)
    if not whole or (len(value) != 2 if key == "sig_shape" else not 1 <= len(value)):
        raise Tpx3FormatError(
            f"{os.path.basename(path)!r}: {key} = {value!r}; two whole numbers above 0 are needed, [rows, columns]."
        )
    return tuple(value)


def disk_type(dtype, compact):
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


def toml_text(params, arrays, record):
    """The TOML file's text.

    Parameters
    ----------
    params, arrays : dict
        Tables ``params`` and ``raw_csr``; values are text, integers, floats or lists of integers.
    record : str
        JSON text of `rsciio_tpx3.metadata.record`.

    Returns
    -------
    str
    """
    lines = []
    for name, table in (("params", params), ("raw_csr", arrays)):
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items()), ""]
    # axes and metadata as JSON: no TOML parser of any age minds one long string
    lines += [f"[{OWN_TABLE}]", f"record = '''\n{_literal(record)}'''", ""]
    return "\n".join(lines)


def _value(value):
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(str(int(n)) for n in value) + "]"
    return repr(value)


def _literal(text):
    """JSON text inside a TOML literal string, which ends at three quotes and takes no control characters."""
    text = text.replace("'", "\\u0027").replace("\x7f", "\\u007f")
    return text if text.endswith("\n") else text + "\n"
