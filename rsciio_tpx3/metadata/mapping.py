"""Where each quantity goes in HyperSpy's metadata tree: the one table of keys.

A row is (leaf, unit or None, meaning). `build` puts values there, with ``<leaf>_units`` for a unit
and ``<leaf>_errors`` for one standard deviation of a measured value. What is absent stays absent.
"""

__all__ = ["LEAVES", "build"]

_DETECTOR = "Acquisition_instrument.TEM.Detector"
_SCAN = "Acquisition_instrument.TEM.Scan"

# name: (leaf, unit, meaning)
LEAVES = {
    "title": ("General.title", None, "Name of the recording"),
    "original_filename": ("General.original_filename", None, "Name of the first file"),
    "original_files": ("General.original_files", None, "Names of all files of the acquisition, in order"),
    "signal_type": ("Signal.signal_type", None, "HyperSpy signal type"),
    "quantity": ("Signal.quantity", None, "What the values are"),
    "detector_type": (f"{_DETECTOR}.detector_type", None, "Detector chip"),
    "layout": (f"{_DETECTOR}.layout", None, "Arrangement of the chips"),
    "gap": (f"{_DETECTOR}.gap", "px", "Extra pixels between the chips"),
    "orientation": (f"{_DETECTOR}.orientation", None, "Turn of the whole detector"),
    "chips": (f"{_DETECTOR}.chips", None, "Chips with data"),
    "toa_step": (f"{_DETECTOR}.toa_step", "s", "Finest step of the time of arrival"),
    "tot_step": (f"{_DETECTOR}.tot_step", "s", "Step of the time over threshold"),
    "event_type": (f"{_DETECTOR}.event_type", None, "hits, or electrons after clustering"),
    "losses": (f"{_DETECTOR}.Losses", None, "What of the recording was lost, by kind"),
    "sync": (f"{_SCAN}.sync", None, "Convention by which the scan was recovered"),
    "tdc": (f"{_SCAN}.tdc", None, "Trigger input and edge"),
    "pattern": (f"{_SCAN}.pattern", None, "Order in which positions were visited"),
    "dwell_time": (f"{_SCAN}.dwell_time", "s", "Time on one position"),
    "line_period": (f"{_SCAN}.line_period", "s", "Time from line to line"),
    "frame_period": (f"{_SCAN}.frame_period", "s", "Time from frame to frame"),
    "active_time": (f"{_SCAN}.active_time", "s", "Time of a line in which the beam scans"),
    "flyback_time": (f"{_SCAN}.flyback_time", "s", "Time from the end of a line to the next"),
    "frames": (f"{_SCAN}.frames", None, "Passes over the scan field"),
    "frames_repaired": (f"{_SCAN}.frames_repaired", None, "Frame edges put back"),
    "lines_found": (f"{_SCAN}.lines_found", None, "Line edges in the recording"),
    "lines_expected": (f"{_SCAN}.lines_expected", None, "Lines of the scan shape"),
    "lines_placed": (f"{_SCAN}.lines_placed", None, "Lines that have a place in the scan and a time"),
    "lines_repaired": (f"{_SCAN}.lines_repaired", None, "Missing line edges put back"),
    "lines_lost": (f"{_SCAN}.lines_lost", None, "Lines known from the counter only; left empty"),
    "lines_left_out": (f"{_SCAN}.lines_left_out", None, "Lines outside the scan shape"),
    "line_ends_repaired": (f"{_SCAN}.line_ends_repaired", None, "Missing or wrong ends of line gates replaced"),
    "pulses_found": (f"{_SCAN}.pulses_found", None, "Pixel edges in the recording"),
    "pulses_repaired": (f"{_SCAN}.pulses_repaired", None, "Missing pixel edges put back"),
    "pulses_lost": (f"{_SCAN}.pulses_lost", None, "Pixel edges known from the counter only"),
    "pulses_left_out": (f"{_SCAN}.pulses_left_out", None, "Pixel edges outside the scan shape"),
    "edges_spurious": (f"{_SCAN}.edges_spurious", None, "Edges taken as glitches"),
    "edges_in_bursts": (f"{_SCAN}.edges_in_bursts", None, "Edges of bursts between frames"),
    "hits_total": (f"{_SCAN}.hits_total", None, "Hits in the recording"),
    "hits_placed": (f"{_SCAN}.hits_placed", None, "Hits at scan positions"),
    "hits_outside": (f"{_SCAN}.Hits_outside", None, "Hits without a scan position, by reason"),
    # scan distortion, repeated scans and time as an axis
    "line_jitter": (f"{_SCAN}.line_jitter", "s", "Scatter of the line starts about a regular grid"),
    "frames_used": (f"{_SCAN}.frames_used", None, "Numbers of the frames used, where not all are shown one by one"),
    "frames_summed": (f"{_SCAN}.frames_summed", None, "Frames added up at each position"),
    "time_bins_over": (f"{_SCAN}.time_bins_over", None, "What the time axis divides: dwell or recording"),
    "drift_x": (f"{_SCAN}.Drift.shift_x", "positions", "Shift added to the x position of a frame's events, by frame"),
    "drift_y": (f"{_SCAN}.Drift.shift_y", "positions", "The same in y"),
    "drift_reference": (f"{_SCAN}.Drift.reference", None, "What the frames were compared with"),
    "drift_upsampling": (f"{_SCAN}.Drift.upsampling", None, "Cells of the aligned scan in a position of the frames"),
    "drift_visits": (f"{_SCAN}.Drift.visits", None, "Fewest and most positions of all frames in a cell"),
    "drift_events_kept": (f"{_SCAN}.Drift.events_kept", None, "Events in the field of the aligned scan"),
    "drift_events_lost": (f"{_SCAN}.Drift.events_lost", None, "Events outside of it"),
    "time_bin": (f"{_SCAN}.time_bin", "s", "Length of a bin of the time axis"),
    # electrons, corrections, noise
    "electrons_placed": (f"{_SCAN}.electrons_placed", None, "Electrons at scan positions"),
    "electrons_outside": (f"{_SCAN}.Electrons_outside", None, "Electrons without a scan position, by reason"),
    "clusters": (f"{_DETECTOR}.Clusters", None, "How hits became electrons, and what was left out"),
    "corrections": (f"{_DETECTOR}.Corrections", None, "Corrections of pixels, times and energies, in their order"),
    "noise": ("Signal.Noise_properties.Variance_linear_model", None, "Variance of the counts, as HyperSpy reads it"),
}


def build(values):
    """Metadata tree of plain numbers and text.

    Parameters
    ----------
    values : dict
        Keys of `LEAVES`, and ``<key>_error`` for measured values. None is left out; other keys, such
        as messages to the user, are not metadata and are passed over.

    Returns
    -------
    dict
        Nested as HyperSpy's tree.
    """
    tree = {}
    for name, (leaf, unit, _) in LEAVES.items():
        value = values.get(name)
        if value is None or (isinstance(value, dict) and not value):
            continue
        *nodes, last = leaf.split(".")
        branch = tree
        for node in nodes:
            branch = branch.setdefault(node, {})
        branch[last] = dict(value) if isinstance(value, dict) else value
        if unit is not None:
            branch[f"{last}_units"] = unit
        if values.get(f"{name}_error") is not None:
            branch[f"{last}_errors"] = values[f"{name}_error"]
    return tree
