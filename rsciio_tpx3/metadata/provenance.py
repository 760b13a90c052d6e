"""Where converted data come from: names, sizes and checksums of files, options, version."""

import json
import os
from collections.abc import Mapping, Sequence

from rsciio_tpx3 import __version__
from rsciio_tpx3.metadata.record import plain
from rsciio_tpx3.utils.files import FileStamp

__all__ = ["note_analysis", "provenance", "reading_step", "with_step"]


def provenance(
    inputs: list[str], digests: dict, name: str, reader_options: dict | None, writer_options: dict | None
) -> dict:
    """What was converted from what, by plain names.

    Parameters
    ----------
    inputs : list of str
        Paths of all files, those included that another one refers to; see `rsciio_tpx3.formats.files_of`.
    digests : dict
        Path to SHA-256, or to a `concurrent.futures.Future` of it, which `record.plain` waits for; may be empty.
    name : str
        Of the format that is written.
    reader_options, writer_options : dict or None

    Returns
    -------
    dict
    """
    files = []
    for path in inputs:
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


def reading_step(paths: Sequence, parameters: dict, loaded_by: Mapping[str, str] | None = None) -> dict:
    """A note on how frames were made from events, for General.Processing.

    Parameters
    ----------
    paths : sequence of str
        Files of the recording. A checksum of the whole takes as long as reading; it is noted by a conversion, and
        here that of both ends, see `rsciio_tpx3.utils.files.FileStamp.checksum_of_ends`.
    parameters : dict
        What was requested; None is omitted.
    loaded_by : dict of str to str, optional
        Parameter to the sidecar that stated it.

    Returns
    -------
    dict
    """
    used = {key: value for key, value in parameters.items() if value is not None}
    return {
        "operation": "events to frames",
        "software": "rsciio_tpx3",
        "version": __version__,
        "parameters": json.dumps(plain(used)),
        **({"parameters_from": json.dumps(dict(loaded_by))} if loaded_by else {}),
        "inputs": [
            {"name": stamp.name, "size": stamp.size, "blake2b_of_ends": stamp.checksum_of_ends()}
            for stamp in map(FileStamp.of, paths)
        ],
    }


def note_analysis(metadata: dict, operation: str, software: str, parameters: dict) -> dict:
    """A copy of the metadata with an analysis added to General.Processing, as ``analysis_0`` and so on.

    Parameters
    ----------
    metadata : dict
    operation, software : str
    parameters : dict
        What it was made with; None is omitted.

    Returns
    -------
    dict

    Examples
    --------
    >>> from rsciio_tpx3.metadata.provenance import note_analysis
    >>> noted = note_analysis({}, "tilted images", "hyperspy_sparse", {"across": 16})
    >>> noted["General"]["Processing"]["analysis_0"]["parameters"]
    '{"across": 16}'
    """
    from rsciio_tpx3 import __version__

    used = {key: value for key, value in parameters.items() if value is not None}
    note = {
        "operation": operation,
        "software": software,
        "version": __version__,
        "parameters": json.dumps(plain(used)),
    }
    return _added(metadata, "analysis", note)


def with_step(metadata: dict, note: dict) -> dict:
    """A copy of the metadata with the note of a conversion added to General.Processing."""
    return _added(metadata, "conversion", note)


def _added(metadata: dict, kind: str, note: dict) -> dict:
    metadata = dict(metadata or {})
    general = metadata["General"] = dict(metadata.get("General", {}))
    steps = general["Processing"] = dict(general.get("Processing", {}))
    number = sum(name.startswith(f"{kind}_") for name in steps)
    steps[f"{kind}_{number}"] = note
    return metadata
