"""Files as users name them: that there is one, how its name ends, and arrays that hold what they claim."""

import os
import stat
from collections.abc import Iterable

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["has_ending", "load_npy", "names_in", "need_file"]


def need_file(path: str | os.PathLike) -> str:
    """Refuse what cannot be read to its end and again: a folder, a pipe, a device.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    Tpx3FormatError
        If it is not a file.
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise FileNotFoundError(f"{path!r} does not exist.") from None
    except ValueError as error:  # a name with a NUL byte
        raise FileNotFoundError(f"{path!r} is not the name of a file: {error}.") from None
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
        raise Tpx3FormatError(f"{path!r} is {what}: expected a file. Pass the file in it, or copy it to one.")
    return path


def has_ending(path: str | os.PathLike, ending: str) -> bool:
    """Whether the name of a file ends so, in small letters or capitals."""
    return os.path.splitext(os.fspath(path))[1].lower() == ending


def load_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of a `.npy` file, whose header may claim no more than the file holds."""
    # a map costs nothing before it is read, and is refused where the file is shorter than its header says
    return np.array(np.load(path, mmap_mode="r"))


def names_in(folder: str, wanted: Iterable[str]) -> list[str]:
    """Those of some names that are files in a folder, as they are spelled there: programs differ in capitals.

    Parameters
    ----------
    folder : str
    wanted : iterable of str

    Returns
    -------
    list of str
        In the order of `wanted`; the exact spelling where there are two.
    """
    present = sorted(os.listdir(folder or "."), reverse=True)
    spelled = {name.lower(): name for name in present}
    exact = set(present)
    found = [name if name in exact else spelled.get(name.lower()) for name in wanted]
    return [name for name in dict.fromkeys(found) if name and os.path.isfile(os.path.join(folder, name))]
