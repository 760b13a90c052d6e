"""Where converted data come from: names, sizes and checksums of files, options, version."""

import hashlib
import itertools
import json
import os

import numpy as np

from rsciio_tpx3.metadata.record import plain
from rsciio_tpx3.utils.files import FileStamp

__all__ = ["account_of", "checksums", "files_of", "provenance", "reading_step", "size_of", "with_step"]

_BLOCK = 1 << 22
_MOST_KEPT = 1024  # numbers of a table that are written down as they are


def provenance(inputs, digests, name, reader_options, writer_options):
    """What was converted from what, by plain names.

    Parameters
    ----------
    inputs : list of str
        Paths.
    digests : dict
        Path to SHA-256, as `checksums` makes it; may be empty.
    name : str
        Of the format that is written.
    reader_options, writer_options : dict or None

    Returns
    -------
    dict
    """
    from rsciio_tpx3 import __version__

    files = []
    for path in itertools.chain.from_iterable(map(files_of, inputs)):
        entry = {"name": os.path.basename(path), "size": os.path.getsize(path)}
        if digests.get(path):
            entry["sha256"] = digests[path]
        files.append(entry)
    return {
        "operation": "conversion",
        "software": "rsciio_tpx3",
        "version": __version__,
        "format": name,
        "inputs": files,
        "reader_options": json.dumps(plain(reader_options)),
        "writer_options": json.dumps(plain(dict(writer_options or {}))),
    }


def reading_step(paths, parameters):
    """A note on how frames were made from events, for General.Processing.

    Parameters
    ----------
    paths : sequence of str
        Files of the recording. A checksum of the whole takes as long as reading; it is noted by a conversion, and
        here that of both ends, see `rsciio_tpx3.utils.files.FileStamp.checksum_of_ends`.
    parameters : dict
        What was asked for; None is left out.

    Returns
    -------
    dict
    """
    from rsciio_tpx3 import __version__

    given = {key: value for key, value in parameters.items() if value is not None}
    return {
        "operation": "events to frames",
        "software": "rsciio_tpx3",
        "version": __version__,
        "parameters": json.dumps(plain(given)),
        "inputs": [
            {"name": stamp.name, "size": stamp.size, "blake2b_of_ends": stamp.checksum_of_ends()}
            for stamp in map(FileStamp.of, paths)
        ],
    }


def account_of(given):
    """What a user gave to an option, as plain text and numbers that tell it from anything else.

    Parameters
    ----------
    given : object
        Text, a number, a `pathlib.Path` of a file, an array or rows of numbers, or a dictionary or list of these.

    Returns
    -------
    object
        Text and numbers, and tables of no more than 1024 of these, as they are. A file is a dictionary of ``file``, its
        name, and ``sha256``; a larger array one of ``shape``, ``dtype`` and ``sha256``.
    """
    if isinstance(given, os.PathLike):
        return {"file": os.path.basename(given), "sha256": _sha256(given)}
    if isinstance(given, dict):
        return {str(name): account_of(value) for name, value in given.items()}
    if isinstance(given, (list, tuple)) and any(isinstance(item, (str, os.PathLike)) for item in given):
        return [account_of(item) for item in given]
    if given is None or isinstance(given, (str, bool, int, float)):
        return given
    numbers = np.asarray(given)
    if numbers.size <= _MOST_KEPT:
        return numbers.tolist()
    sha256 = hashlib.sha256(np.ascontiguousarray(numbers).tobytes()).hexdigest()
    return {"shape": list(numbers.shape), "dtype": numbers.dtype.name, "sha256": sha256}


def with_step(metadata, note):
    """A copy of the metadata with the note added to General.Processing."""
    metadata = dict(metadata or {})
    general = metadata["General"] = dict(metadata.get("General", {}))
    steps = general["Processing"] = dict(general.get("Processing", {}))
    number = sum(name.startswith("conversion_") for name in steps)
    steps[f"conversion_{number}"] = note
    return metadata


def checksums(paths):
    """Path to SHA-256 of every file that these paths stand for; None for a folder."""
    return {part: _sha256(part) for path in paths for part in files_of(path)}


def _sha256(path):
    if not os.path.isfile(path):  # a zspy is a folder
        return None
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def files_of(path):
    """A file and those it refers to: a raw_csr data set is four files."""
    if path.lower().endswith(".toml"):
        from rsciio_tpx3.raw_csr.description import read_description

        # only names and sums: the reader has refused already what lies elsewhere without leave
        return [path, *(stamp.path for stamp in read_description(path, allow_external=True).stamps.values())]
    return [path]


def size_of(path):
    """Bytes of a file and of those it refers to."""
    return sum(os.path.getsize(part) for part in files_of(path))
