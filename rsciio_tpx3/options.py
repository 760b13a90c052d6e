"""What kind of value each option of the readers takes: checked at the call, before any file is opened.

Ranges and combinations are checked where they mean something; here it is made sure that a value is of its kind at all,
so that NaN, a bool, a word or an array of another shape never meets arithmetic, at the call or during a computation.
"""

import errno
import functools
import inspect
import math
import os
import stat
from numbers import Integral, Real

import numpy as np

from rsciio_tpx3.events.repeats import frame_choice
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.metadata.calibration import check_choice
from rsciio_tpx3.metadata.checking import check as check_quantity
from rsciio_tpx3.metadata.units import shown, to_ticks
from rsciio_tpx3.plain_files import need_file

__all__ = [
    "check_flag",
    "check_one_file",
    "check_options",
    "check_table",
    "check_target",
    "check_word",
    "check_word_of",
    "checks_arguments",
    "checks_options",
]

_MOST = 1 << 31


def checks_options(reader):
    """Let a reader check its options by their names before it starts.

    Parameters
    ----------
    reader : callable

    Returns
    -------
    callable
        With the same signature.
    """
    return _checked_by(_CHECKS, reader)


def checks_arguments(function):
    """The same for functions that write: `filename` and `target` are places to write to, `signal` a dictionary.

    Parameters
    ----------
    function : callable

    Returns
    -------
    callable
        With the same signature.
    """
    return _checked_by(_CHECKS_OF_WRITERS, function)


def _checked_by(checks, function):
    signature = inspect.signature(function)
    kept = {name for name, p in signature.parameters.items() if p.kind is p.VAR_KEYWORD}

    @functools.wraps(function)
    def checked(*args, **kwds):
        given = signature.bind(*args, **kwds).arguments
        _check_by(checks, {name: value for name, value in given.items() if name not in kept})
        return function(*args, **kwds)

    return checked


def check_options(given):
    """Refuse values of another kind than their option takes.

    Parameters
    ----------
    given : dict
        Option to value; names that are not options of readers are passed over.

    Raises
    ------
    ValueError
        With the option, what was given, and what is expected; `UnitError` for quantities.
    """
    _check_by(_CHECKS, given)


def check_one_file(name, value):
    """Refuse what is not the name of one file, as the formats of counts need it.

    Raises
    ------
    ValueError
        With the option's name.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise _refused(name, value, "the name of one file is expected, as text or a Path")
    path = os.fspath(value)
    if not isinstance(path, str) or not path or not _is_text(path):
        raise _refused(name, value, "this is no name of a file: text is expected")
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass  # whoever reads or writes it says so
    except OSError as error:  # a name that is too long, links in a circle
        raise type(error)(error.errno, f"{name}: {error.strerror}; there can be no such file", path) from None


def check_target(name, value):
    """Refuse what cannot be written as a file: a folder, a pipe, a device, a link that leads to itself.

    A file is written under a provisional name that replaces the old one at the end: for whoever has the rights, that
    would put a file in the place of a device such as ``/dev/null``.

    Raises
    ------
    ValueError, OSError
        With the option's name.
    """
    check_one_file(name, value)
    path = os.fspath(value)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if path.endswith(("/", os.sep)):
            raise _refused(name, value, "this is a folder; the name of a file in it is expected") from None
        return
    except OSError as error:
        raise type(error)(
            error.errno, f"{name}: {error.strerror}; nothing can be written there, choose another name", path
        ) from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
        raise _refused(name, value, f"this is {what}, which is not replaced by a file. Choose another name")


def check_word_of(*words):
    """A check of an option that is one of some words."""

    def check(name, value):
        if not isinstance(value, str) or value not in words:
            expected = ", ".join(map(repr, words))
            raise ValueError(f"{name}={shown(value)} is none of {expected}.")

    return check


def check_flag(name, value):
    """Refuse what is neither true nor false; None stands for the default."""
    _flag(name, value)


def check_word(name, value):
    """Refuse what is no text; None stands for the default."""
    _word(name, value)


def check_table(name, value):
    """Refuse what is no dictionary of options by name; None stands for none."""
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _refused(name, value, "a dictionary of options by their names is expected")


def _check_by(checks, given):
    for name, value in given.items():
        check = checks.get(name)
        if check is not None:
            check(name, value)


def _is_text(path):
    try:
        return "\0" not in path and bool(path.encode("utf-8", "surrogateescape") or True)
    except UnicodeEncodeError:
        return False


def _files(name, value):
    """One file, or several that are one acquisition; whether there is any, the readers say."""
    if isinstance(value, (str, os.PathLike)):
        return check_one_file(name, value)
    if not isinstance(value, (list, tuple)):
        raise _refused(name, value, "the name of a file, or a list of these, is expected")
    if not value:
        raise ValueError(f"{name}: No file given: the list of files is empty.")
    for part in value:
        check_one_file(name, part)


def _refused(name, value, expected):
    return ValueError(f"{name}={shown(value)}: {expected}.")


def _is_integer(value):
    """An integer of Python or NumPy; no bool, and no difference of dates, which NumPy counts among them."""
    return isinstance(value, (Integral, np.integer)) and not isinstance(value, (bool, np.timedelta64))


def _is_whole(value):
    """An integer, also where NumPy or a division has made a float of it; no bool and no text."""
    if isinstance(value, (bool, np.bool_, np.timedelta64)):
        return False
    if isinstance(value, (Integral, np.integer)):
        return True
    return isinstance(value, (Real, np.floating)) and math.isfinite(value) and value == int(value)


def _shape(expected, lengths):
    def check(name, value):
        if value is None:
            return
        plain = value.tolist() if isinstance(value, np.ndarray) else value
        parts = plain if isinstance(plain, (tuple, list)) else [plain]
        if len(parts) not in lengths or not all(_is_whole(n) and 1 <= n < _MOST for n in parts):
            raise _refused(name, value, expected)

    return check


def _time(example, allow_negative=False):
    def check(name, value):
        if value is not None:
            to_ticks(value, name, example, allow_negative)

    return check


def _word(name, value):
    if value is not None and not isinstance(value, str):
        raise _refused(name, value, "a word is expected, in quotes; the documentation lists them")


def _whole(low, high, none=False):
    def check(name, value):
        if value is None and none:
            return
        if not _is_integer(value) or not low <= value <= high:
            raise _refused(name, value, f"whole numbers are needed, here one from {low} to {high}")

    return check


def _pair_of_lines(name, value):
    parts = value if isinstance(value, (tuple, list)) or np.ndim(value) == 1 else [value]
    if any(not _is_integer(n) or abs(n) >= _MOST for n in parts):
        raise _refused(name, value, "whole numbers are needed, and two for skip_lines, such as (0, 1)")


def _fraction(name, value):
    if value is None:
        return
    if isinstance(value, (bool, np.bool_)) or not _is_real(value) or not 0 < value <= 1:
        raise ValueError(f"{name}={shown(value)} must lie above 0 and not above 1.")


def _is_real(value):
    return isinstance(value, (Real, np.integer, np.floating)) and not isinstance(value, np.timedelta64)


def _flag(name, value):
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise _refused(name, value, "True or False is expected")


def _seconds_or_flag(name, value):
    if value is None or isinstance(value, (bool, np.bool_)):
        return
    if not _is_real(value) or not 0 < value < 1e6:
        raise _refused(name, value, "True, False or a number of seconds up to a million is expected")


def _frames(name, value):
    if isinstance(value, np.ndarray) and value.ndim > 1:
        raise _refused(name, value, "a frame number, a slice or a flat list of numbers is expected")
    chosen = frame_choice(value).chosen
    numbers = (
        (chosen.start, chosen.stop, chosen.step)
        if isinstance(chosen, slice)
        else np.atleast_1d(np.array(chosen, object))
    )
    if any(n is not None and (not _is_integer(n) or abs(n) >= _MOST) for n in numbers):
        raise _refused(name, value, "numbers of frames are expected")


def _layout(name, value):
    if value is None or isinstance(value, str):
        return
    check_quantity("layout", list(value) if isinstance(value, tuple) else value, key=name)


def _bins(name, value):
    """The number; what else stands in a dictionary is checked by `rsciio_tpx3.reading.scan_options`."""
    number = value.get("number") if isinstance(value, dict) else value
    if _is_integer(number) and not 1 <= number < _MOST:
        raise _refused(name, value, "a number of bins from 1 on is expected")


def _chunks(name, value):
    """What `to_dask` takes: "auto", a number of lines, or sizes for each axis."""
    if isinstance(value, str) and value == "auto":
        return
    parts = value if isinstance(value, (tuple, list)) else [value]
    flat = [n for part in parts for n in (part if isinstance(part, (tuple, list)) else [part])]
    if not flat or not all(map(_is_size, flat)):
        raise _refused(name, value, 'a number of scan lines, one size for each axis, or "auto" is expected')


def _is_size(n):
    return _is_integer(n) and (n == -1 or 1 <= n < _MOST)


def _dtype(name, value):
    if value is None:
        return
    try:
        dtype = np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        raise _refused(name, value, "the name of a number type is expected, such as 'uint16'") from None
    except Exception as error:  # of an object that NumPy asks for its type
        raise _refused(name, value, f"the name of a number type is expected, such as 'uint16' ({error})") from None
    # NumPy takes a True, an array or a text of nothing for the type of itself
    if not isinstance(value, (str, type, np.dtype)) or (isinstance(value, str) and not value.strip(" \0")):
        raise _refused(name, value, "the name of a number type is expected, such as 'uint16'")
    if dtype.kind not in "biufc" or dtype.subdtype is not None:
        raise _refused(name, value, "a type of numbers is expected, such as 'uint16'")


def _positions(name, value):
    if value is None:
        return
    if isinstance(value, (str, os.PathLike)):
        return _readable(name, value)
    try:
        numbers = np.asarray(value)
    except ValueError:
        numbers = np.zeros((0, 0))
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise _refused(name, value, "a flat list of whole numbers, or the name of a file of them, is expected")


def _path_word_or_flag(name, value):
    if value is not None and not isinstance(value, (bool, np.bool_, str, os.PathLike)):
        raise _refused(name, value, 'True, False or "auto" is expected')


def _parts(name, value):
    if isinstance(value, (bool, np.bool_)):
        return
    named = isinstance(value, (list, tuple)) and len(value) > 0
    if not named or not all(isinstance(part, (str, os.PathLike)) for part in value):
        raise _refused(name, value, "True, False, or a list of files is needed")


def _sources(name, value):
    """Paths; what stands in dictionaries is checked by `rsciio_tpx3.metadata.account.gather`."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(item, (str, os.PathLike)):
            _readable(name, item)


def _source(name, value):
    if value is None or _is_signal(value):
        return
    if not isinstance(value, (str, os.PathLike)):
        raise _refused(name, value, "a file that tells about the microscope, or a signal, is expected")
    _readable(name, value)


def _is_signal(value):
    try:
        return hasattr(value, "metadata") and hasattr(value, "axes_manager")
    except Exception:  # of an object that answers nothing
        return False


def _readable(name, path):
    """Refuse names of nothing, of folders and of pipes before something waits for them."""
    try:
        need_file(path)
    except Tpx3FormatError as error:
        raise Tpx3FormatError(f"{name}: {error}") from None
    except OSError as error:
        words = str(error) if error.errno is None else f"{shown(os.fspath(path))}: {error.strerror}"
        # no file has a name that is too long for the disk
        kind = FileNotFoundError if error.errno == errno.ENAMETOOLONG else type(error)
        raise kind(f"{name}: {words}") from None


def _chosen(name, value):
    check_choice(value)


def _path_in_file(name, value):
    if value is None:
        return
    if not isinstance(value, str) or not value.strip("/ ") or not _is_text(value):
        raise _refused(name, value, "the path of a group in the file is expected, such as '/entry/events'")


_CHECKS = {
    "navigation_shape": _shape(
        "two or three whole numbers above 0 are needed, (x, y) or (x, y, frames)", lengths=(2, 3)
    ),
    "signal_shape": _shape("two whole numbers above 0 are needed, (x, y) in pixels", lengths=(2,)),
    "dwell_time": _time("0.5 us"),
    "frame_time": _time("1 ms"),
    "line_flyback": _time("0.5 us", allow_negative=True),
    "frame_flyback": _time("0.5 us", allow_negative=True),
    "scan_delay": _time("0.5 us", allow_negative=True),
    **dict.fromkeys(
        ("signal", "sync", "tdc", "pattern", "orientation", "values", "on_loss", "before_reset"), _word
    ),
    "active_fraction": _fraction,
    "lines_per_row": _whole(1, 1 << 20),
    "first_line": _whole(0, _MOST),
    "skip_lines": _pair_of_lines,
    "measurement": _whole(0, _MOST, none=True),
    "sync_offset": _whole(-(1 << 48), 1 << 48),
    "frames": _frames,
    "layout": _layout,
    "gap": _whole(0, 64, none=True),
    "time_bins": _bins,
    "chunks": _chunks,
    "dtype": _dtype,
    "positions": _positions,
    "calibrate": _chosen,
    "metadata": _sources,
    "metadata_from": _source,
    "cache": _path_word_or_flag,
    "all_parts": _parts,
    "toa_bits": _whole(1, 64, none=True),
    **dict.fromkeys(("lazy", "follow", "keep_flyback", "show_progressbar", "allow_external"), _flag),
    "guard": _seconds_or_flag,
    "filename": _files,
    "dataset_path": _path_in_file,
}


def _dictionary(name, value):
    needed = ("data", "axes")
    if not isinstance(value, dict) or not all(key in value for key in needed) or not hasattr(value["data"], "shape"):
        raise _refused(name, value, "a dictionary with data and axes is expected, as s.save makes it of a signal")


def _kept(name, value):
    parts = (value,) if isinstance(value, str) else value
    if not isinstance(parts, (tuple, list, set, frozenset)) or not all(
        isinstance(part, str) and part in ("time", "tot") for part in parts
    ):
        raise ValueError(f"{name}={shown(value)} is none of 'time', 'tot', or a list of these.")


def _version(name, value):
    word = isinstance(value, str) and value == "auto"
    if not word and not (_is_integer(value) and value in (1, 2, 3)):
        raise ValueError(f"{name}={shown(value)} is none of 'auto', 1, 2, 3.")


_CHECKS_OF_WRITERS = {
    **dict.fromkeys(("show_progressbar", "compact", "overwrite", "verify", "checksum", "allow_external"), check_flag),
    **dict.fromkeys(("filename", "target"), check_target),
    "signal": _dictionary,
    "values": check_word_of("auto", "counts", "pulse_height"),
    "compression": check_word_of("blosc2", "gzip"),
    "keep": _kept,
    "version": _version,
    "source": _files,
    **dict.fromkeys(("from_format", "to_format"), _word),
    **dict.fromkeys(("reader_options", "writer_options"), check_table),
}
