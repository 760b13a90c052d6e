"""Which files next to a recording tell about it, found by name, and what each of them is.

Next to ``scan.tpx3`` (or ``scan_000000.tpx3``, the first of numbered pieces) these are looked for:

- ``scan.metadata.toml``, ``.yaml``, ``.yml`` or ``.json``, written by hand (and ``scan_000000.metadata.toml``);
- ``scan.json`` and ``scan.tpx3.json``: Serval, Tp3_tools, or written by hand, as the keys tell;
- ``scan.t3pa.info`` and ``scan.t3pa.dsc`` of Pixet;
- ``comment.txt`` (EMAT) and ``metadata.toml``, ``.yaml``, ``.yml`` or ``.json``, where the folder holds this one
  acquisition only.

A file that is named as only a person names it, or that the user named, may have a table ``load`` of options of the
reader. In a file such as ``scan.json``, of some program, the word may mean anything.
"""

import logging
import os
import re

from rsciio_tpx3.exceptions import FormatError
from rsciio_tpx3.metadata.sources.emat import is_notes, read_notes
from rsciio_tpx3.metadata.sources.nion import is_tp3_tools, read_tp3_tools
from rsciio_tpx3.metadata.sources.serval import is_serval, read_serval
from rsciio_tpx3.metadata.user_input import read_mapping
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.utils.paths import names_in
from rsciio_tpx3.utils.text_formats import load_text_file

__all__ = ["find_sidecars", "read_sidecar", "sidecar_path"]

_logger = logging.getLogger(__name__)

_WRITTEN = (".toml", ".yaml", ".yml", ".json")
_NOTES = "comment.txt"
_NUMBER = re.compile(r"[_-]?\d+$")


def _stem_of(path: str | os.PathLike) -> str:
    """Name of an acquisition without its ending and without the running number of its pieces."""
    stem = os.path.splitext(os.path.basename(path))[0]
    folder, ending = os.path.dirname(path), os.path.splitext(path)[1]
    plain = _NUMBER.sub("", stem)
    if not plain or plain == stem:
        return stem
    # a number at the end is that of a piece only where there are other pieces
    same = [name for name in _names(folder) if name.lower().endswith(ending.lower()) and _is_piece(name, plain, ending)]
    return plain if len(same) > 1 else stem


def _is_piece(name: str, plain: str, ending: str) -> bool:
    stem = name[: -len(ending)] if ending else name
    return stem != plain and _NUMBER.sub("", stem) == plain


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder or "."))


def sidecar_path(path: str | os.PathLike) -> str:
    """Where the metadata that a person writes for a recording are looked for first."""
    return f"{os.path.splitext(os.fspath(path))[0]}.metadata.toml"


def find_sidecars(path: str | os.PathLike) -> list[str]:
    """Files next to a recording that may tell about it.

    Parameters
    ----------
    path : str
        Of the recording, the first piece where there are several.

    Returns
    -------
    list of str
        Paths, those written by hand first.
    """
    folder, name = os.path.split(os.path.abspath(path))
    stem = _stem_of(os.path.join(folder, name))
    own = os.path.splitext(name)[0]
    # a file of its own comes before that of all pieces: numbered recordings may be one acquisition, or several
    wanted = [f"{s}.metadata{ending}" for s in (own, stem) for ending in _WRITTEN]
    wanted += [f"{s}.json" for s in (stem, own, name)]
    wanted += [f"{name}{ending}" for ending in (".toml", ".yaml", ".yml")]
    found = [os.path.join(folder, n) for n in names_in(folder, wanted)]
    shared = names_in(folder, (_NOTES, *(f"metadata{e}" for e in _WRITTEN)))
    shared = [n for n in shared if n.lower() != _NOTES or is_notes(os.path.join(folder, n))]
    if shared and (others := _other_acquisitions(folder, name, stem)):
        _logger.warning(
            f"{', '.join(shared)} next to {name!r} is ignored: the folder holds other acquisitions too, such as "
            f"{others[0]!r}. Pass metadata={shared[0]!r} with its folder if it belongs to this one."
        )
        shared = []
    return found + [os.path.join(folder, n) for n in shared]


def _other_acquisitions(folder: str, name: str, stem: str) -> list[str]:
    ending = os.path.splitext(name)[1].lower()
    alike = [n for n in _names(folder) if os.path.splitext(n)[1].lower() == ending and ".metadata." not in f".{n}"]
    return [n for n in alike if n != name and not _is_piece(n, stem, os.path.splitext(n)[1])]


def read_sidecar(path: str | os.PathLike, strict: bool = True) -> list[SourceValues]:
    """What a file written by a program or a person tells.

    Parameters
    ----------
    path : str
        Of a `.json`, `.yaml`, `.toml`, or `.txt` file.
    strict : bool
        See `rsciio_tpx3.metadata.values.SourceValues`; False also passes over a file that cannot be read, with a
        warning.

    Returns
    -------
    list of SourceValues
    """
    name = os.path.basename(path)
    try:
        if name.lower().endswith(".txt"):
            return [read_notes(path, strict)]
        return _understood(load_text_file(path), os.fspath(path), strict)
    except (ValueError, OSError) as problem:
        if strict:
            raise
        _logger.warning(f"{problem} The recording is read without it.")
    except Exception as problem:
        # nobody can foresee what a file of this name holds, and it must not keep anybody from their data
        problem_text = f"{name!r} cannot be understood ({type(problem).__name__}: {problem})."
        if strict:
            raise FormatError(f"{problem_text} Correct it, or leave it out.") from problem
        _logger.warning(f"{problem_text} The recording is read without it.")
    return [SourceValues("written", name, strict)]


def _understood(mapping: dict, path: str, strict: bool) -> list[SourceValues]:
    name = os.path.basename(path)
    if is_serval(mapping):
        return read_serval(mapping, f"{name} (Serval)", strict)
    if is_tp3_tools(mapping):
        return [read_tp3_tools(mapping, f"{name} (Tp3_tools)", strict)]
    if "load" not in mapping or not (strict or _is_hand_written(name)):
        return [read_mapping(mapping, name, "written", strict)]
    source_values = read_mapping(
        {key: value for key, value in mapping.items() if key != "load"}, name, "written", strict
    )
    source_values.original = mapping
    source_values.load, source_values.folder = mapping["load"], os.path.dirname(os.path.abspath(path))
    return [source_values]


def _is_hand_written(name: str) -> bool:
    """Whether a file has a name that no program gives, such as ``scan.metadata.json`` or ``scan.tpx3.toml``."""
    stem, ending = os.path.splitext(name.lower())
    return ending != ".json" or stem == "metadata" or stem.endswith(".metadata")
