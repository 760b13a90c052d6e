"""What can go wrong, one base class for each cause; a message says what was found, what was expected, what to do.

====================  ===========================================================================================
`FormatError`         the bytes of a file are not what its format promises: wrong file, damage, truncation
`LossError`           a part of the data is lost or cannot be understood, and ``on_loss="raise"`` was requested
`ConflictError`       two sources of one fact disagree, or the recording does not fit what was requested
`UnitError`           a quantity without a unit, with one that is not known, or beyond physical sense
`LimitError`          an answer would take more memory, positions or time than allowed, found before the work starts
====================  ===========================================================================================

All are `ValueError`. A file that is missing, or may not be read, stays Python's own `OSError`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "ConflictError",
    "FormatError",
    "LimitError",
    "LossError",
    "MetadataConflictError",
    "ScanSyncError",
    "Tpx3FormatError",
    "UnitError",
    "format_errors",
]


class FormatError(ValueError):
    """The bytes are not what the format promises: wrong file, truncation, damage."""


class Tpx3FormatError(FormatError):
    """`FormatError` by the name that 0.1 has for it, of every format that is read."""


class LossError(Tpx3FormatError):
    """A part of the data is lost or cannot be understood, and nobody has allowed that."""


class ConflictError(ValueError):
    """Two sources of one fact disagree, or the recording does not fit what was requested."""


class ScanSyncError(ConflictError):
    """The trigger edges do not give the scan that was requested."""


class MetadataConflictError(ConflictError):
    """Two sources disagree on something that decides where hits go, and nobody has chosen."""


class UnitError(ValueError):
    """A quantity without a unit, with a wrong one, or with a value outside physical sense."""


class LimitError(ValueError):
    """An answer would take more memory, positions or time than is allowed; nothing has been started."""


_OURS = (FormatError, ConflictError, UnitError, LimitError)


@contextmanager
def format_errors(filename: str | os.PathLike, expected: str, error_type: type = Tpx3FormatError) -> Iterator[None]:
    """Say with the file's name what a library says of a file that it cannot read.

    The errors of h5py, tomllib, yaml, json and numpy about odd bytes are of a dozen types, and name neither the file
    nor what was expected of it.

    Parameters
    ----------
    filename : str or Path
    expected : str
        What the file should be, as in "cannot be read as ...".
    error_type : type
        Raised instead.

    Raises
    ------
    FormatError
        For whatever is not an error of ours, of the operating system, of a missing package, or of too little memory.
    """
    try:
        yield
    except (*_OURS, MemoryError, ImportError):
        raise
    except Exception as error:
        # h5py raises OSError for damaged structures too, but then without the number of a system call
        if isinstance(error, OSError) and error.errno is not None:
            raise
        words = " ".join(str(error).split())[:200]
        raise error_type(f"'{filename}' cannot be read as {expected}: {type(error).__name__}: {words}") from error
