"""What lies beside recordings of Nion microscopes: the JSON of Tp3_tools, and data items of Swift.

Tp3_tools (TimeSTEM) writes one flat object of its settings. Of these only the ones whose unit is known count;
`pixel_time` has none and stays verbatim, and a returned size that differs from the scanned one says nothing
sure about positions. Swift's data items (``.ndata1``, a zip with ``metadata.json``) name the unit in most keys;
its ``high_tension`` is in volts (nionswift-instrumentation).
"""

import json
import os
import zipfile

from rsciio_tpx3.metadata.told import Told

__all__ = ["is_tp3_tools", "read_swift", "read_tp3_tools"]

_SIGNS = {"xspim_size", "yspim_size", "bytedepth", "cumul", "time_delay", "time_width", "sup0", "sup1", "video_time"}


def is_tp3_tools(mapping):
    """Whether a mapping from JSON is that of Tp3_tools; older versions lack some keys."""
    return len(_SIGNS & set(mapping)) >= 3


def read_tp3_tools(mapping, label, strict=True):
    """Quantities of the settings of Tp3_tools; see `Told`."""
    told = Told("tp3_tools", label, strict, original=mapping)
    spim = [mapping.get("xspim_size"), mapping.get("yspim_size")]
    scan = [mapping.get("xscan_size", spim[0]), mapping.get("yscan_size", spim[1])]
    if None not in spim and scan == spim and 1 not in spim:
        told.add("navigation_shape", spim, key="xspim_size, yspim_size")
    told.add("bias_voltage", mapping.get("bias_voltage"), "V", key="bias_voltage")
    told.add("exposure_time", mapping.get("acquisition_us"), "us", key="acquisition_us")
    return told


def read_swift(path, strict=True):
    """Quantities of a Swift data item.

    Parameters
    ----------
    path : str
        An ``.ndata1`` file.
    strict : bool
        See `Told`.

    Raises
    ------
    ValueError
        If it is no data item of Swift.
    """
    name = os.path.basename(path)
    try:
        with zipfile.ZipFile(path) as archive:
            properties = json.loads(archive.read("metadata.json"))
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ValueError(f"{name!r} is no data item of Nion Swift: {error}.") from None
    metadata = properties.get("metadata") or {}
    told = Told("survey", f"{name} (Nion Swift)", strict, original=metadata)
    instrument = metadata.get("instrument") or metadata.get("hardware_source", {}).get("autostem") or {}
    told.add("beam_energy", instrument.get("high_tension"), "V", key="high_tension")
    told.add("microscope", instrument.get("instrument_id"), key="instrument_id")
    scan = metadata.get("scan") or {}
    told.add("scan_rotation", scan.get("rotation_deg"), "deg", key="rotation_deg")
    if "rotation_deg" not in scan:
        told.add("scan_rotation", scan.get("rotation"), "rad", key="rotation")
    return told
