"""What Pixet's ``.info`` and ``.dsc`` files tell. Source: Advacam's Pixet manuals, tables of items."""

import datetime

from rsciio_tpx3.metadata.values import SourceValues

__all__ = ["read_items"]

# item: (quantity, unit of its number)
_ITEMS = {
    "Acq time": ("exposure_time", "s"),
    "HV": ("bias_voltage", "V"),
    "Threshold": ("threshold", "keV"),
    "Interface": ("readout", None),
    "ChipboardID": ("board_id", None),
}
_END_OF_CALENDAR = 253402300800  # 1 January of the year 10000, which Python has no dates for
_CHIPS = {1: "Medipix2 MXR", 2: "Timepix", 3: "Medipix3", 4: "Timepix3", 5: "Timepix2"}
_LAYOUTS = {(256, 256): "single", (512, 512): "quad"}


def read_items(items: dict, label: str, strict: bool = False) -> SourceValues:
    """Quantities of the items of Pixet's sidecars.

    Parameters
    ----------
    items : dict
        From `rsciio_tpx3.t3pa.sidecar.read_sidecars`.
    label, strict
        See `SourceValues`.

    Returns
    -------
    SourceValues
    """
    source_values = SourceValues("pixet", label, strict, original=items)
    for item, (name, unit) in _ITEMS.items():
        source_values.add(name, items.get(item), unit, key=item)
    if items.get("Pixet version"):
        source_values.add("detector_software", f"Pixet {items['Pixet version']}", key="Pixet version")
    chip = items.get("Mpx type")
    source_values.add("detector_type", _CHIPS.get(chip) if isinstance(chip, int) else None, key="Mpx type")
    source_values.add("layout", _LAYOUTS.get((items.get("width"), items.get("height"))), key="width, height")
    start = items.get("Start time", items.get("Acq Serie Start time"))
    if isinstance(start, (int, float)) and 0 < start < _END_OF_CALENDAR:
        # Unix seconds
        moment = datetime.datetime.fromtimestamp(start, datetime.timezone.utc)
        source_values.add("date", moment.date().isoformat(), key="Start time")
        source_values.add("time", moment.time().isoformat(timespec="microseconds"), key="Start time")
        source_values.add("time_zone", "UTC", key="Start time")
    return source_values
