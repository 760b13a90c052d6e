"""What lies next to recordings of Nion microscopes: the JSON of Tp3_tools, and data items of Swift.

Tp3_tools (TimeSTEM) writes one flat object of its settings. Of these only the ones whose unit is known count;
`pixel_time` has none and stays verbatim, and a returned size that differs from the scanned one says nothing
sure about positions. Swift's data items (``.ndata1``, a zip with ``metadata.json``) name the unit in most keys;
its ``high_tension`` is in volts (nionswift-instrumentation).
"""

import os
import zipfile

from rsciio_tpx3.exceptions import FormatError, LimitError, format_errors
from rsciio_tpx3.metadata.values import SourceValues
from rsciio_tpx3.utils.text_formats import MOST_BYTES, parse_text

__all__ = ["is_tp3_tools", "read_swift", "read_tp3_tools"]

_SIGNS = {"xspim_size", "yspim_size", "bytedepth", "cumul", "time_delay", "time_width", "sup0", "sup1", "video_time"}


def is_tp3_tools(mapping: dict) -> bool:
    """Whether a mapping from JSON is that of Tp3_tools; older versions lack some keys."""
    return len(_SIGNS & set(mapping)) >= 3


def read_tp3_tools(mapping: dict, label: str, strict: bool = True) -> SourceValues:
    """Quantities of the settings of Tp3_tools; see `SourceValues`."""
    source_values = SourceValues("tp3_tools", label, strict, original=mapping)
    spim = [mapping.get("xspim_size"), mapping.get("yspim_size")]
    scan = [mapping.get("xscan_size", spim[0]), mapping.get("yscan_size", spim[1])]
    if None not in spim and scan == spim and 1 not in spim:
        source_values.add("navigation_shape", spim, key="xspim_size, yspim_size")
    source_values.add("bias_voltage", mapping.get("bias_voltage"), "V", key="bias_voltage")
    source_values.add("exposure_time", mapping.get("acquisition_us"), "us", key="acquisition_us")
    return source_values


def _node(mapping: dict, key: str | None) -> dict:
    found = mapping.get(key)
    return found if isinstance(found, dict) else {}


def _member(archive: zipfile.ZipFile, name: str) -> str:
    """The text of ``metadata.json``; a few bytes of a zip can stand for a thousand times as many."""
    about, most = archive.getinfo("metadata.json"), MOST_BYTES[".json"]
    with archive.open(about) as file:
        content = file.read(most + 1) if about.file_size <= most else b""
    if about.file_size > most or len(content) > most:
        raise LimitError(f"metadata.json in {name!r} has more than {most:,} bytes: too many for a description.")
    return content.decode("utf-8-sig")


def read_swift(path: str, strict: bool = True) -> SourceValues:
    """Quantities of a Swift data item.

    Parameters
    ----------
    path : str
        An ``.ndata1`` file.
    strict : bool
        See `SourceValues`.

    Raises
    ------
    ValueError
        If it is not a data item of Swift.
    """
    name = os.path.basename(path)
    with format_errors(name, "a data item of Nion Swift (a zip with metadata.json)", FormatError):
        with zipfile.ZipFile(path) as archive:
            text = _member(archive, name)
    metadata = _node(parse_text(text, ".json", f"{name}: metadata.json"), "metadata")
    source_values = SourceValues("survey", f"{name} (Nion Swift)", strict, original=metadata)
    instrument = _node(metadata, "instrument") or _node(_node(metadata, "hardware_source"), "autostem")
    source_values.add("beam_energy", instrument.get("high_tension"), "V", key="high_tension")
    source_values.add("microscope", instrument.get("instrument_id"), key="instrument_id")
    scan = _node(metadata, "scan")
    # what was dialled in; the angle between scan and detector differs by a constant of the instrument
    source_values.add("scan_generator_rotation", scan.get("rotation_deg"), "deg", key="rotation_deg")
    if "rotation_deg" not in scan:
        source_values.add("scan_generator_rotation", scan.get("rotation"), "rad", key="rotation")
    return source_values
