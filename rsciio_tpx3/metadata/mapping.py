"""Where each quantity goes in HyperSpy's metadata tree: the one table of keys.

A row (`Leaf`) is a quantity: its place, unit, bounds, who is believed about it, and what it means. Reading,
checking, the table in the documentation and export follow from it. `build` puts values there, with
``<leaf>_units`` for a unit and ``<leaf>_errors`` for one standard deviation of a measured value. What is absent
stays absent.

Units are those in which stock code reads the leaf: pyXem 0.21 takes `camera_length` and
`physical_pixel_size` in metres, `convergence_angle` in mrad, `beam_energy` in kV and `wavelength` in angstrom
(``pyxem.utils.calibration``); HyperSpy's guide agrees except for the camera length, which files read by
RosettaSciIO have in mm. The unit therefore stands next to each value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ["LEAVES", "PIXEL_PITCH", "REQUIRED", "SOURCES", "STEERING", "Leaf", "build", "missing"]

_TEM = "Acquisition_instrument.TEM"
_DETECTOR = f"{_TEM}.Detector"
_SCAN = f"{_TEM}.Scan"
_STAGE = f"{_TEM}.Stage"

PIXEL_PITCH = 55e-6
"""Side of a Timepix3 pixel in m (Poikela et al. 2014, JINST 9 C05013)."""

SOURCES = {
    "user": "`metadata=`, `set_microscope`, or an option of the reader",
    "recording": "the recording itself: counted, measured, or stored by this package",
    "written": "a file written by hand (JSON, YAML, TOML)",
    "serval": "Serval's JSON",
    "tp3_tools": "JSON of Tp3_tools (Nion Swift)",
    "emat": "text notes (EMAT)",
    "pixet": "Pixet's `.info` and `.dsc`",
    "nexus": "NeXus fields",
    "survey": "another file or signal, `metadata_from=`",
}
"""Kinds of sources in the usual order of trust, with what they are."""

# which quantities each program's files tell; people may tell all, NeXus those with a field of their own
_TELLS = {
    "serval": ("date", "time", "time_zone", "navigation_shape", "dwell_time", "detector_type", "layout", "orientation",
               "bias_voltage", "bias_enabled", "polarity", "threshold_coarse", "threshold_fine", "chip_ids",
               "chip_temperatures", "board_temperature", "exposure_time", "trigger_mode", "tdc_setting",
               "global_time_interval", "readout", "board_id", "detector_software", "detector_firmware"),
    "tp3_tools": ("navigation_shape", "bias_voltage", "exposure_time"),
    "pixet": ("date", "time", "time_zone", "detector_type", "layout", "bias_voltage", "threshold", "exposure_time",
              "readout", "board_id", "detector_software"),
    "survey": ("sample", "microscope", "beam_energy", "camera_length", "convergence_angle", "beam_current",
               "magnification", "overfocus", "scan_rotation", "scan_generator_rotation", "image_rotation",
               "tilt_alpha", "tilt_beta", "stage_x", "stage_y", "stage_z"),
}  # fmt: skip

REQUIRED = {
    "always": ("title", "original_filename", "signal_type", "quantity"),
    "angle axes": ("camera_length", "pixel_pitch"),
    "k axes": ("camera_length", "pixel_pitch", "beam_energy"),
    "LiberTEM": ("overfocus", "scan_step_x", "camera_length", "pixel_pitch", "convergence_angle", "center_y",
                 "center_x", "scan_rotation", "flip_y"),
    "abTEM": ("beam_energy", "convergence_angle", "scan_step_x", "scan_step_y", "camera_length", "pixel_pitch"),
    "TemGym": ("convergence_angle", "scan_step_x", "scan_step_y", "camera_length", "pixel_pitch"),
    "simulated patterns": ("camera_length", "pixel_pitch"),
}  # fmt: skip
"""What must be known for what. "always" is what each file tells by itself; all else may be absent."""


@dataclass(frozen=True)
class Leaf:
    """A row of the table.

    Attributes
    ----------
    leaf : str
        Place in HyperSpy's tree.
    unit : str or None
        In which the plain number is stored.
    meaning : str
    kind : {"number", "whole", "text", "flag", "date", "time", "shape", "layout", "choice", "any"}
    low, high : float
        Bounds of physical sense, in `unit`; both are allowed values.
    sources : tuple of str
        Kinds of sources that may tell it, the most trusted first; see `SOURCES`.
    many : bool
        A list of such values, one for each chip for instance.
    also : tuple of str
        Units of another dimension that mean the same: an electron's energy in kV.
    words : tuple of str
        Other names under which people and programs write it.
    tolerance : float
        Relative difference below which two sources agree.
    steers : bool
        Decides where hits go, so that a conflict is an error.
    choices : tuple of str
    example : str
        For messages and the template.
    nexus : tuple of (str, str) or None
        Field below the instrument of an NXem entry, and its unit.
    reference : str
        Where the meaning is defined.
    required : tuple of str
        For what it must be known, keys of `REQUIRED`; nothing where it is optional.
    """

    leaf: str
    unit: str | None
    meaning: str
    kind: str = "any"
    low: float = -math.inf
    high: float = math.inf
    sources: tuple = ()
    many: bool = False
    also: tuple = ()
    words: tuple = ()
    tolerance: float = 1e-3
    steers: bool = False
    choices: tuple = ()
    example: str = ""
    nexus: tuple | None = None
    reference: str = ""
    required: tuple = ()


# What reading itself finds, name: (leaf, unit, meaning). Nobody else can tell these.
_FOUND = {
    "original_filename": ("General.original_filename", None, "Name of the first file"),
    "original_files": ("General.original_files", None, "Names of all files of the acquisition, in order"),
    "signal_type": ("Signal.signal_type", None, "HyperSpy signal type"),
    "quantity": ("Signal.quantity", None, "What the values are"),
    "chips": (f"{_DETECTOR}.chips", None, "Chips with data"),
    "toa_step": (f"{_DETECTOR}.toa_step", "s", "Finest step of the time of arrival"),
    "tot_step": (f"{_DETECTOR}.tot_step", "s", "Step of the time over threshold"),
    "event_type": (f"{_DETECTOR}.event_type", None, "hits, or electrons after clustering"),
    "losses": (f"{_DETECTOR}.Losses", None, "What of the recording was lost, by kind"),
    "not_read_yet": (
        f"{_DETECTOR}.not_read_yet",
        None,
        "True until the recording is read, at the first computation: "
        "losses, measured times and numbers of events are not known before",
    ),
    "sync": (f"{_SCAN}.sync", None, "Convention by which the scan was recovered"),
    "tdc": (f"{_SCAN}.tdc", None, "Trigger input and edge"),
    "line_period": (f"{_SCAN}.line_period", "s", "Time from line to line"),
    "frame_period": (f"{_SCAN}.frame_period", "s", "Time from frame to frame"),
    "active_time": (f"{_SCAN}.active_time", "s", "Time of a line in which the beam scans"),
    "flyback_time": (f"{_SCAN}.flyback_time", "s", "Time from the end of a line to the next"),
    "scan_delay": (
        f"{_SCAN}.scan_delay",
        "s",
        "Time by which the beam lags behind the edges, as it was given and taken off; absent where none was",
    ),
    "frames": (f"{_SCAN}.frames", None, "Passes over the scan field"),
    "frames_repaired": (f"{_SCAN}.frames_repaired", None, "Frame edges put back"),
    "lines_found": (f"{_SCAN}.lines_found", None, "Line edges in the recording"),
    "lines_expected": (f"{_SCAN}.lines_expected", None, "Lines of the frames that are used"),
    "lines_placed": (f"{_SCAN}.lines_placed", None, "Lines of these frames that were recorded and have a time"),
    "lines_repaired": (f"{_SCAN}.lines_repaired", None, "Missing line edges put back"),
    "lines_lost": (f"{_SCAN}.lines_lost", None, "Lines known from the counter only; left empty"),
    "lines_left_out": (f"{_SCAN}.lines_left_out", None, "Lines outside the scan shape, or of frames not used"),
    "line_ends_repaired": (f"{_SCAN}.line_ends_repaired", None, "Missing or wrong ends of line gates replaced"),
    "pulses_found": (f"{_SCAN}.pulses_found", None, "Pixel edges in the recording"),
    "pulses_repaired": (f"{_SCAN}.pulses_repaired", None, "Missing pixel edges put back"),
    "pulses_lost": (f"{_SCAN}.pulses_lost", None, "Pixel edges known from the counter only"),
    "pulses_left_out": (f"{_SCAN}.pulses_left_out", None, "Pixel edges outside the scan shape, or of frames not used"),
    "edges_spurious": (f"{_SCAN}.edges_spurious", None, "Edges taken as glitches"),
    "edges_in_bursts": (f"{_SCAN}.edges_in_bursts", None, "Edges of bursts between frames"),
    "frame_edges": (f"{_SCAN}.frame_edges", None, "Edges on the other input that were compared with the frames"),
    "frame_edges_found": (f"{_SCAN}.frame_edges_found", None, "How many of them were recorded"),
    "frame_edges_used": (f"{_SCAN}.frame_edges_used", None, "How many of them tell where a frame begins"),
    "hits_total": (f"{_SCAN}.hits_total", None, "Hits in the recording"),
    "hits_placed": (f"{_SCAN}.hits_placed", None, "Hits at scan positions"),
    "hits_outside": (f"{_SCAN}.Hits_outside", None, "Hits without a scan position, by reason"),
    # scan distortion, repeated scans and time as an axis
    "line_jitter": (f"{_SCAN}.line_jitter", "s", "Scatter of the line starts about a regular grid"),
    "frames_used": (f"{_SCAN}.frames_used", None, "Numbers of the frames used, where not all are shown one by one"),
    "frames_summed": (f"{_SCAN}.frames_summed", None, "Frames added up at each position"),
    "time_bins_over": (f"{_SCAN}.time_bins_over", None, "What the time axis divides: dwell or recording"),
    "drift_x": (f"{_SCAN}.Drift.displacement_x", "positions", "How far right a frame's picture lay; taken away"),
    "drift_y": (f"{_SCAN}.Drift.displacement_y", "positions", "The same in y, down"),
    "drift_reference": (f"{_SCAN}.Drift.reference", None, "What the frames were compared with"),
    "drift_upsampling": (f"{_SCAN}.Drift.upsampling", None, "Cells of the aligned scan in a position of the frames"),
    "drift_visits": (f"{_SCAN}.Drift.visits", None, "Fewest and most positions of all frames in a cell"),
    "drift_events_kept": (f"{_SCAN}.Drift.events_kept", None, "Events in the field of the aligned scan"),
    "drift_events_lost": (f"{_SCAN}.Drift.events_lost", None, "Events outside of it"),
    "time_bin": (f"{_SCAN}.time_bin", "s", "Length of a bin of the time axis"),
    "calibrated_axes": (
        "General.calibrated_axes",
        None,
        "Size, scale, offset, pixels in a step and first pixel of each "
        "axis when it was calibrated, as JSON: they distinguish a later binning or crop from a scale that "
        "was measured",
    ),
    # electrons, corrections, noise
    "electrons_placed": (f"{_SCAN}.electrons_placed", None, "Electrons at scan positions"),
    "electrons_outside": (f"{_SCAN}.Electrons_outside", None, "Electrons without a scan position, by reason"),
    "clusters": (f"{_DETECTOR}.Clusters", None, "How hits became electrons, and what was excluded"),
    "corrections": (f"{_DETECTOR}.Corrections", None, "Corrections of pixels, times and energies, in their order"),
    "noise": (
        "Signal.Noise_properties.Variance_linear_model",
        None,
        "Variance of the counts of an element, for HyperSpy",
    ),
    "noise_area": (f"{_DETECTOR}.area_variance_factor", None, "Variance over mean of the counts of a large area"),
}

_HYPERSPY = "HyperSpy guide, metadata structure"
_PYXEM = "pyxem.utils.calibration"
_SERVAL = "Serval manual 3.1, JSON objects"
_SCHEMA = "LiberTEM-schema"

# What people and programs tell.
_STATED = {
    "title": Leaf("General.title", None, "Name of the recording", "text", sources=("recording",),
                  example="Au on carbon"),
    "authors": Leaf("General.authors", None, "Who recorded it", "text", words=("author", "operator"),
                    example="R. Feynman", reference=_HYPERSPY),
    "notes": Leaf("General.notes", None, "Remarks", "text", words=("comment", "comments"),
                  example="after annealing", reference=_HYPERSPY),
    "date": Leaf("General.date", None, "Day of the start", "date", sources=("recording",), example="2024-05-03",
                 reference=_HYPERSPY),
    "time": Leaf("General.time", None, "Time of day of the start", "time", sources=("recording",), example="14:03:27",
                 reference=_HYPERSPY),
    "time_zone": Leaf("General.time_zone", None, "Zone of the time: UTC, +02:00 or Europe/Berlin", "text",
                      sources=("recording",), example="UTC", reference=_HYPERSPY),
    "sample": Leaf("Sample.description", None, "Specimen", "text", words=("specimen",),
                   example="gold particles on carbon", reference=_HYPERSPY),
    "microscope": Leaf(f"{_TEM}.microscope", None, "Make and model", "text", example="Titan 80-300",
                       reference=_HYPERSPY),
    "beam_energy": Leaf(f"{_TEM}.beam_energy", "keV", "Energy of the electrons", "number", 0.1, 5000,
                        also=("kV",), words=("high_tension", "ht", "acceleration_voltage", "accelerating_voltage",
                                             "voltage"),
                        example="200 keV", nexus=("microscope/ebeam_column/electron_source/voltage", "kV"),
                        reference=_PYXEM),
    "wavelength": Leaf(f"{_TEM}.wavelength", "angstrom", "Of the electrons, relativistic, from the beam energy",
                       "number", 1e-4, 1, ("recording",), reference=_PYXEM),
    "camera_length": Leaf(f"{_TEM}.camera_length", "m", "Effective distance from specimen to detector", "number",
                          1e-3, 1e3, words=("cl",), example="100 mm",
                          nexus=("microscope/optics/camera_length", "m"), reference=_PYXEM),
    "pixel_pitch": Leaf(f"{_TEM}.physical_pixel_size", "m", "Side of a detector pixel", "number", 1e-6, 1e-3,
                        ("recording",), words=("detector_pixel_pitch", "physical_pixel_size", "pixel_size"),
                        example="55 um", nexus=("detector/x_pixel_size", "m"), reference=_PYXEM),
    "convergence_angle": Leaf(f"{_TEM}.convergence_angle", "mrad", "Convergence semi-angle of the probe", "number",
                              0, 300, words=("convergence_semi_angle", "semi_convergence_angle", "semiconv"),
                              example="20 mrad", nexus=("microscope/optics/semi_convergence_angle", "mrad"),
                              reference=_PYXEM),
    "beam_current": Leaf(f"{_TEM}.beam_current", "nA", "Current of the probe", "number", 0, 1e6,
                         words=("probe_current",), example="5 pA", nexus=("microscope/optics/probe_current", "nA"),
                         reference=_HYPERSPY),
    "magnification": Leaf(f"{_TEM}.magnification", None, "As the microscope shows it", "number", 1, 1e9,
                          words=("stem_magnification",), example="2e6", nexus=("microscope/optics/magnification", ""),
                          reference=_HYPERSPY),
    "overfocus": Leaf(f"{_TEM}.overfocus", "nm", "Height of the crossover above the specimen; negative for underfocus",
                      "number", -1e8, 1e8, example="0.5 um", reference=_SCHEMA),
    "scan_rotation": Leaf(f"{_TEM}.scan_rotation", "deg", "Turn of the scan against the detector: the angle between "
                          "both, which neither the scan generator nor the lenses tell alone", "number", -360, 360,
                          example="-12.5 deg", reference="pyxem set_experimental_parameters; LiberTEM-schema"),
    "scan_generator_rotation": Leaf(f"{_SCAN}.generator_rotation", "deg", "Rotation that was dialled into the scan "
                                    "generator; from the turn against the detector it differs by a constant of the "
                                    "instrument", "number", -360, 360,
                                    words=("dialled_scan_rotation", "scan_rotation_setting"), example="90 deg",
                                    reference="Nion Swift, rotation_deg"),
    "image_rotation": Leaf(f"{_TEM}.image_rotation", "deg", "Rotation of the image by the lenses", "number", -360, 360,
                           example="31 deg", nexus=("microscope/optics/rotation", "deg"),
                           reference="NXem_optical_system"),
    "tilt_alpha": Leaf(f"{_STAGE}.tilt_alpha", "deg", "Tilt of the stage about its axis", "number", -180, 180,
                       example="3.2 deg", reference=_HYPERSPY),
    "tilt_beta": Leaf(f"{_STAGE}.tilt_beta", "deg", "Tilt across the axis of the stage", "number", -180, 180,
                      example="-1 deg", reference=_HYPERSPY),
    "stage_x": Leaf(f"{_STAGE}.x", "mm", "Place of the stage", "number", -100, 100, example="0.1 mm",
                    reference=_HYPERSPY),
    "stage_y": Leaf(f"{_STAGE}.y", "mm", "Place of the stage", "number", -100, 100, example="0.1 mm",
                    reference=_HYPERSPY),
    "stage_z": Leaf(f"{_STAGE}.z", "mm", "Place of the stage", "number", -100, 100, example="0.1 mm",
                    reference=_HYPERSPY),
    "navigation_shape": Leaf(f"{_SCAN}.navigation_shape", None, "Scan positions (x, y) or (x, y, frames)", "shape",
                             sources=("recording",), words=("scan_shape", "scan_size"), steers=True,
                             example="[256, 256]", reference=_SERVAL),
    "dwell_time": Leaf(f"{_SCAN}.dwell_time", "s", "Time on one position", "number", 1e-9, 1e4, ("recording",),
                       words=("dwelltime", "pixel_dwell_time"), tolerance=1e-2, example="0.5 us",
                       nexus=("microscope/ebeam_column/scan_controller/dwell_time", "s"), reference=_SERVAL),
    "pattern": Leaf(f"{_SCAN}.pattern", None, "Order in which positions were visited", "choice",
                    sources=("recording",), words=("scan_strategy", "scan_pattern"), steers=True,
                    choices=("raster", "serpentine"), example="raster",
                    nexus=("microscope/ebeam_column/scan_controller/scan_schema", "")),
    "scan_step_x": Leaf(f"{_SCAN}.scan_step_x", "nm", "Distance of neighbouring positions in a line", "number", 1e-5,
                        1e7, example="0.05 nm", reference=_SCHEMA),
    "scan_step_y": Leaf(f"{_SCAN}.scan_step_y", "nm", "Distance of neighbouring lines", "number", 1e-5, 1e7,
                        example="0.05 nm", reference=_SCHEMA),
    "detector_type": Leaf(f"{_DETECTOR}.detector_type", None, "Detector chip", "text", sources=("recording",),
                          example="Timepix3", nexus=("detector/type", "")),
    "layout": Leaf(f"{_DETECTOR}.layout", None, "Arrangement of the chips", "layout", sources=("recording",),
                   steers=True, example="quad", reference=_SERVAL),
    "layout_table": Leaf(f"{_DETECTOR}.layout_table", None, "Place and readout order of each chip, where the layout "
                         "is a table", "any"),
    "gap": Leaf(f"{_DETECTOR}.gap", "px", "Extra pixels between the chips", "whole", 0, 64, ("recording",),
                steers=True, example="4 px"),
    "orientation": Leaf(f"{_DETECTOR}.orientation", None, "Turn of the whole detector", "choice",
                        sources=("recording",), words=("detector_orientation",), steers=True,
                        choices=("up", "left", "down", "right", "up_mirrored", "left_mirrored", "down_mirrored",
                                 "right_mirrored"),
                        example="up", reference=_SERVAL),
    "center_x": Leaf(f"{_DETECTOR}.center_x", "px", "Column of the undiffracted beam", "number", -1e5, 1e5,
                     words=("cx",), example="255.5 px", reference=_SCHEMA),
    "center_y": Leaf(f"{_DETECTOR}.center_y", "px", "Row of the undiffracted beam", "number", -1e5, 1e5,
                     words=("cy",), example="255.5 px", reference=_SCHEMA),
    "flip_y": Leaf(f"{_DETECTOR}.flip_y", None, "Whether the pattern is mirrored top to bottom against the scan",
                   "flag", example="false", reference=_SCHEMA),
    "sensor_material": Leaf(f"{_DETECTOR}.sensor_material", None, "Of the layer that stops the electrons", "text",
                            example="Si", nexus=("detector/sensor_material", "")),
    "sensor_thickness": Leaf(f"{_DETECTOR}.sensor_thickness", "um", "Of that layer", "number", 1, 1e4,
                             example="300 um", nexus=("detector/sensor_thickness", "um")),
    "bias_voltage": Leaf(f"{_DETECTOR}.bias_voltage", "V", "Bias of the sensor", "number", -5000, 5000,
                         words=("bias", "hv"), tolerance=2e-2, example="150 V", reference=_SERVAL),
    "bias_enabled": Leaf(f"{_DETECTOR}.bias_enabled", None, "Whether the bias was on", "flag",
                         example="true", reference=_SERVAL),
    "polarity": Leaf(f"{_DETECTOR}.polarity", None, "Sign of the collected charge", "text",
                     example="Positive", reference=_SERVAL),
    "threshold": Leaf(f"{_DETECTOR}.threshold", "keV", "Energy above which a pixel fires", "number", 0, 1e3,
                      example="3 keV", nexus=("detector/threshold_energy", "keV"), reference="Pixet manual"),
    "threshold_coarse": Leaf(f"{_DETECTOR}.threshold_coarse", None, "Setting Vthreshold_coarse of each chip", "whole",
                             0, 1 << 16, many=True, example="[7, 7, 7, 7]", reference=_SERVAL),
    "threshold_fine": Leaf(f"{_DETECTOR}.threshold_fine", None, "Setting Vthreshold_fine of each chip", "whole",
                           0, 1 << 16, many=True, example="[238, 241, 240, 236]", reference=_SERVAL),
    "chip_ids": Leaf(f"{_DETECTOR}.chip_ids", None, "Identifiers of the chips, in order of their numbers", "text",
                     many=True, example='["W12_H5"]', reference=_SERVAL),
    "chip_temperatures": Leaf(f"{_DETECTOR}.chip_temperatures", "degC", "Temperature of each chip", "number", -273.15,
                              200, many=True, tolerance=0.2, example='["41 degC", "40 degC"]',
                              reference=_SERVAL),
    "board_temperature": Leaf(f"{_DETECTOR}.board_temperature", "degC", "Temperature of the readout", "number",
                              -273.15, 200, tolerance=0.2, example="38 degC", reference=_SERVAL),
    "exposure_time": Leaf(f"{_DETECTOR}.exposure_time", "s", "Time for which the detector was open", "number", 1e-9,
                          1e7, words=("acquisition_time",), example="10 s", reference=_SERVAL),
    "trigger_mode": Leaf(f"{_DETECTOR}.trigger_mode", None, "What starts an exposure", "text",
                         example="AUTOTRIGSTART_TIMERSTOP", reference=_SERVAL),
    "tdc_setting": Leaf(f"{_DETECTOR}.tdc_setting", None, "Edges recorded on TDC1 and TDC2: P rising, N falling, and "
                        "the chips that record them", "text", many=True, example='["PN0123", ""]',
                        reference=_SERVAL),
    "global_time_interval": Leaf(f"{_DETECTOR}.global_time_interval", "s", "Time between global time stamps; none "
                                 "where it is 0 or less", "number", -1e7, 1e7, example="1 s",
                                 reference=_SERVAL),
    "readout": Leaf(f"{_DETECTOR}.readout", None, "Interface of the detector", "text", example="SPIDR",
                    reference=_SERVAL),
    "board_id": Leaf(f"{_DETECTOR}.board_id", None, "Identifier of the chip board", "text",
                     words=("chipboardid", "serial_number"), example="X00-W0000", reference=_SERVAL),
    "detector_software": Leaf(f"{_DETECTOR}.detector_software", None, "Program that ran the detector, with its "
                              "version", "text", example="Serval 3.3.2", reference=_SERVAL),
    "detector_firmware": Leaf(f"{_DETECTOR}.detector_firmware", None, "Version in the readout", "text",
                              example="0x22", reference=_SERVAL),
    "processing": Leaf("General.Processing", None, "Log of what made these data: operation, software, version, "
                       "parameters, inputs with size and checksum", "any"),
    "metadata_sources": Leaf("General.Metadata_sources", None, "Which source each quantity is from", "any"),
    "metadata_conflicts": Leaf("General.Metadata_conflicts", None, "What other sources say, where they disagree",
                               "any"),
}  # fmt: skip


def _with_sources(name: str, row: Leaf) -> Leaf:
    """A row with its sources in order of trust: the user, what was measured, what a person or a program wrote."""
    if row.kind == "any" or name == "wavelength":
        return replace(row, sources=("recording",))
    able = {"user", "written", "emat", *row.sources, *(kind for kind, names in _TELLS.items() if name in names)}
    if row.nexus or name in ("title", "date", "time", "time_zone"):
        able.add("nexus")
    order = [kind for kind in SOURCES if kind in able]
    if name == "title":
        order.append(order.pop(order.index("recording")))  # the name of a file is a title for want of a better one
    return replace(row, sources=tuple(order))


_ROWS = {**_STATED, **{name: Leaf(*row) for name, row in _FOUND.items()}}
LEAVES = {
    name: replace(
        _with_sources(name, row), required=tuple(purpose for purpose, names in REQUIRED.items() if name in names)
    )
    for name, row in _ROWS.items()
}
"""The table: name of a quantity to its `Leaf`."""

STEERING = tuple(name for name, row in LEAVES.items() if row.steers)


def missing(values: dict, purpose: str) -> list[str]:
    """Names of quantities that a purpose of `REQUIRED` needs and `values` does not have."""
    return [name for name in REQUIRED[purpose] if values.get(name) is None]


def build(values: dict) -> dict:
    """Metadata tree of plain numbers and text.

    Parameters
    ----------
    values : dict
        Keys of `LEAVES`, and ``<key>_error`` for measured values. None is omitted; other keys, such
        as messages to the user, are not metadata and are passed over.

    Returns
    -------
    dict
        Nested as HyperSpy's tree.
    """
    tree = {}
    for name, row in LEAVES.items():
        value = values.get(name)
        if value is None or (isinstance(value, dict) and not value):
            continue
        *nodes, last = row.leaf.split(".")
        branch = tree
        for node in nodes:
            branch = branch.setdefault(node, {})
        branch[last] = dict(value) if isinstance(value, dict) else value
        if row.unit is not None:
            branch[f"{last}_units"] = row.unit
        if values.get(f"{name}_error") is not None:
            branch[f"{last}_errors"] = values[f"{name}_error"]
    return tree
