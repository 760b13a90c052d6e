"""What Serval's JSON tells: one object of its HTTP interface, or a state file that holds several.

Keys are looked up without regard to case and wherever they stand, since versions 3 and 4 and their clients
differ in both. Source: Serval manual 3.1 (JSON objects, their units); ADTimePix3 for the STEM scan of 4.1.
"""

import datetime
import logging
from collections.abc import Iterator
from typing import Any

from rsciio_tpx3.events.geometry import make_layout
from rsciio_tpx3.metadata.values import SourceValues

__all__ = ["is_serval", "read_serval"]

_logger = logging.getLogger(__name__)

# quantity: (keys, unit of the number); the first key that is there counts
_VALUES = {
    "bias_voltage": (("BiasVoltage",), "V"),
    "bias_enabled": (("BiasEnabled",), None),
    "polarity": (("Polarity",), None),
    "exposure_time": (("ExposureTime",), "s"),
    "trigger_mode": (("TriggerMode",), None),
    "tdc_setting": (("Tdc",), None),
    "global_time_interval": (("GlobalTimestampInterval",), "s"),
    "readout": (("IfaceName",), None),
    "board_id": (("ChipboardId",), None),
    "detector_firmware": (("FW_version", "FirmwareVersion"), None),
    "chip_temperatures": (("ChipTemperatures",), "degC"),
    "board_temperature": (("LocalTemperature",), "degC"),
}
_SIGNS = {
    "detectororientation", "globaltimestampinterval", "biasvoltage", "chiptemperatures",
    "measurement", "startdatetime", "mpxtype", "vthreshold_fine", "clocktimepix", "chainmode",
}  # fmt: skip


def is_serval(mapping: dict) -> bool:
    """Whether a mapping from JSON looks like Serval's: two of the keys that only it has."""
    return len(_SIGNS & {key for key, _ in _walk(mapping)}) >= 2


def read_serval(mapping: dict, label: str, strict: bool = True) -> list[SourceValues]:
    """Quantities of a Serval JSON.

    Parameters
    ----------
    mapping : dict
    label, strict
        See `SourceValues`.

    Returns
    -------
    list of SourceValues
        What was set and, apart from it, what was measured (health) where both tell a value.
    """
    source_values = SourceValues("serval", label, strict, original=mapping)
    health = _first(mapping, "Health")
    config = _without(mapping, "Health") if health is not None else mapping
    for name, (keys, unit) in _VALUES.items():
        for key in keys:
            value = _first(config, key)
            value = _first(health or {}, key) if value is None else value
            if value is not None:
                source_values.add(name, value, unit, key=key)
                break
    _add_text(source_values, mapping)
    _add_chips(source_values, mapping)
    _add_scan(source_values, mapping)
    _add_start(source_values, mapping)
    _add_layout(source_values, mapping)
    measured = SourceValues("serval", f"{label}, health", strict)
    measured.add("bias_voltage", _first(health or {}, "BiasVoltage"), "V", key="BiasVoltage")
    return [measured, source_values] if measured.values else [source_values]


def _add_text(source_values: SourceValues, mapping: dict) -> None:
    version = _first(mapping, "SoftwareVersion") or _first(mapping, "SW_version")
    if version is not None:
        source_values.add("detector_software", f"Serval {version}", key="SoftwareVersion")
    kind = _first(mapping, "DetectorType")
    if isinstance(kind, str):
        source_values.add(
            "detector_type", "Timepix3" if kind.lower() in ("tpx3", "timepix3") else kind, key="DetectorType"
        )


def _add_chips(source_values: SourceValues, mapping: dict) -> None:
    boards = _first(mapping, "Boards")
    chips = [chip for board in _list(boards) for chip in _list(_first(board, "Chips"))]
    named = [_first(chip, "Name") or _first(chip, "Id") for chip in chips if isinstance(chip, dict)]
    order = [_first(chip, "Index") for chip in chips if isinstance(chip, dict)]
    if named and None not in named and all(isinstance(n, int) for n in order):
        named = [name for _, name in sorted(zip(order, named), key=lambda pair: pair[0])]
    if named and None not in named:
        source_values.add("chip_ids", named, key="Boards.Chips")
    for name, key in (("threshold_coarse", "Vthreshold_coarse"), ("threshold_fine", "Vthreshold_fine")):
        source_values.add(name, [value for k, value in _walk(mapping) if k == key.lower()], key=key)


def _add_scan(source_values: SourceValues, mapping: dict) -> None:
    scan = _first(_first(mapping, "Stem") or {}, "Scan")
    if not isinstance(scan, dict):
        return
    shape = [_first(scan, "Width"), _first(scan, "Height")]
    if None not in shape:
        source_values.add("navigation_shape", shape, key="Stem.Scan.Width, Height")
    source_values.add("dwell_time", _first(scan, "DwellTime"), "s", key="Stem.Scan.DwellTime")


def _add_start(source_values: SourceValues, mapping: dict) -> None:
    start = _first(mapping, "StartDateTime")
    if not isinstance(start, (int, float)) or isinstance(start, bool) or start <= 0:
        return
    try:
        # milliseconds since 1970, UTC
        moment = datetime.datetime.fromtimestamp(start / 1000, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        source_values.add("date", start, key="StartDateTime")  # which refuses it
        return
    source_values.add("date", moment.date().isoformat(), key="StartDateTime")
    source_values.add("time", moment.time().isoformat(timespec="milliseconds"), key="StartDateTime")
    source_values.add("time_zone", "UTC", key="StartDateTime")


def _add_layout(source_values: SourceValues, mapping: dict) -> None:
    """The arrangement of the chips and the turn of the whole, as this package names them.

    ``Original`` is turned by the orientation; ``Rotated`` is what comes out, and is the proof that the two
    descriptions mean the same.
    """
    orientation = _first(mapping, "DetectorOrientation")
    orientation = _first(mapping, "Orientation") if orientation is None else orientation
    turn = orientation.lower() if isinstance(orientation, str) else None
    original, rotated = (_table(_first(mapping, key)) for key in ("Original", "Rotated"))
    if original is None and rotated is None:
        source_values.add("orientation", turn, key="DetectorOrientation")
        return
    if original is not None and (rotated is None or _same(original, turn, rotated)):
        source_values.add("layout", original, key="Layout.Original")
        source_values.add("orientation", turn, key="DetectorOrientation")
        return
    if original is not None:
        _logger.warning(
            f"{source_values.label}: the layout after rotation is not the original one turned {orientation!r}. The "
            "rotated one is taken as it is."
        )
    source_values.add("layout", rotated, key="Layout.Rotated")
    source_values.add("orientation", "up", key="Layout.Rotated")


def _table(layout: dict) -> list[dict]:
    chips = _list(_first(layout, "Chips")) if isinstance(layout, dict) else []
    keys = ("Chip", "X", "Y", "Orientation")
    rows = [{key.lower(): _first(chip, key) for key in keys} for chip in chips if isinstance(chip, dict)]
    return rows if rows and all(None not in row.values() for row in rows) else None


def _same(original: list[dict], turn: str | None, rotated: list[dict]) -> bool:
    try:
        one, two = make_layout(original, orientation=turn or "up"), make_layout(rotated)
    except ValueError:
        return False
    return one.sig_shape == two.sig_shape and bool((one.rules == two.rules).all())


# -- looking things up --------------------------------------------------------------------------


def _list(value: Any) -> list | None:
    return value if isinstance(value, list) else [] if value is None else [value]


def _walk(value: Any) -> Iterator:
    """All (key in lower case, value) of nested mappings and lists, outer ones first."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key).lower(), item
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _first(value: Any, key: str) -> Any:
    return next((item for found, item in _walk(value) if found == key.lower() and item is not None), None)


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {k: _without(v, key) for k, v in value.items() if str(k).lower() != key.lower()}
    return [_without(item, key) for item in value] if isinstance(value, list) else value
