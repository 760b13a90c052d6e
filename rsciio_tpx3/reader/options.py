"""The table of options: what each is called, its default, the values it takes, and its documentation.

The readers' signatures and docstrings, what `rsciio_tpx3.read_hits` and `rsciio_tpx3.find_scan_delay` take, the command
line and the checks before a file is opened (`rsciio_tpx3.reader.option_checks`) all come from here. A new option is a
row here, and the place that uses it.
"""

import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rsciio_tpx3.reader.option_kinds import (
    anything,
    automatic_flag,
    bins,
    calibration,
    changed_corrections,
    changed_paths,
    chunks,
    frames,
    layout,
    positions,
    source,
    sources,
)  # fmt: skip
from rsciio_tpx3.scan.options import ScanOptions
from rsciio_tpx3.utils.checks import (
    MOST,
    dtype,
    fraction,
    pair_of_lines,
    parts,
    path_in_file,
    seconds_or_flag,
    shape,
    time,
    whole,
)  # fmt: skip
from rsciio_tpx3.utils.checks import check_flag as flag
from rsciio_tpx3.utils.checks import check_word as word

__all__ = [
    "OPTIONS",
    "Option",
    "documented",
    "list_of_words",
    "names_of",
]


@dataclass(frozen=True)
class Option:
    """One option of readers.

    Attributes
    ----------
    name : str
    default : object
        What a reader takes where the user says nothing; a format may have another one.
    group : {"array", "scan", "source", "events", "metadata", "file"}
        Who uses it: the dask array, `ScanOptions`, the event source, electrons and corrections, metadata, or the reader
        of one counted format alone.
    check : callable
        Takes name and value, and raises for a value of another kind.
    kind : str
        The values it takes, as numpydoc writes types.
    text : str
        What it does, for the docstrings of the readers.
    paths : callable, optional
        ``paths(value, change)`` gives the value with ``change(path)`` for each path in it, of an option that names
        files: what a sidecar names has to lie next to it.
    """

    name: str
    default: Any
    group: str
    check: Callable[[str, Any], None] = anything
    kind: str = ""
    text: str = ""
    paths: Callable[[Any, Callable], Any] | None = None


_usual = ScanOptions()  # the layer below has the defaults of a scan

OPTIONS: Mapping[str, Option] = {
    option.name: option
    for option in (
        Option(
            "lazy",
            False,
            "array",
            flag,
            "bool",
            "True decodes on demand. False decodes now and keeps the sparse frames in memory; a dense 4D "
            "array is never made.",
        ),
        Option(
            "navigation_shape",
            None,
            "scan",
            shape("expected two or three positive integers, (x, y) or (x, y, frames)", lengths=(2, 3)),
            "tuple of int, optional",
            "Scan positions as ``(x, y)`` or ``(x, y, frames)``. Found from the trigger edges where they tell "
            "it. It may differ from what was set at the microscope: a line is sampled with as many columns as "
            "you like.",
        ),
        Option(
            "dwell_time",
            None,
            "scan",
            time("0.5 us"),
            "str or quantity, optional",
            'Time on one position, such as "0.5 us". Follows from the edges of a line gate.',
        ),
        Option(
            "signal",
            "scan",
            "scan",
            word,
            '{"scan", "frames"}',
            '"frames" makes a stack of frames of equal length over time, without trigger edges.',
        ),
        Option(
            "frame_time",
            None,
            "scan",
            time("1 ms"),
            "str or quantity",
            'Length of a frame, for ``signal="frames"``.',
        ),
        Option(
            "sync",
            _usual.sync,
            "scan",
            word,
            '{"auto", "line-gate", "line-start", "periodic-line", "pixel-trigger", "frame-trigger", "shared-clock"}',
            "What the trigger edges mean; see the guide on scan synchronisation.",
        ),
        Option(
            "tdc",
            _usual.tdc,
            "scan",
            word,
            '{"auto", "tdc1-rise", "tdc1-fall", "tdc2-rise", "tdc2-fall"}',
            "Which edges mark the scan; the start of the line for a line gate.",
        ),
        Option(
            "pattern",
            None,
            "scan",
            word,
            '{"raster", "serpentine"}',
            "Whether every other line runs backwards; raster unless a sidecar says otherwise.",
        ),
        Option(
            "positions",
            None,
            "scan",
            positions,
            "array of int or path, optional",
            "For pixel triggers: flat position ``y * nx + x`` of each pulse; a `.npy` or text file.",
            paths=changed_paths,
        ),
        Option(
            "active_fraction",
            _usual.active_fraction,
            "scan",
            fraction,
            "float, optional",
            "Share of the line period in which the beam scans, where `dwell_time` is not known.",
        ),
        Option(
            "line_flyback",
            None,
            "scan",
            time("0.5 us", allow_negative=True),
            "str or quantity, optional",
            'Pause after each line and frame, for "shared-clock" and "frame-trigger".',
        ),
        Option(
            "frame_flyback",
            None,
            "scan",
            time("0.5 us", allow_negative=True),
            "str or quantity, optional",
            'Pause after each line and frame, for "shared-clock" and "frame-trigger".',
        ),
        Option(
            "lines_per_row",
            _usual.lines_per_row,
            "scan",
            whole(1, 1 << 20),
            "int",
            "Trigger lines added up to one row.",
        ),
        Option(
            "first_line",
            _usual.first_line,
            "scan",
            whole(0, MOST),
            "int",
            "Lines to pass over before the scan.",
        ),
        Option(
            "skip_lines",
            _usual.skip_lines,
            "scan",
            pair_of_lines,
            "tuple of int",
            "Lines to leave out at the beginning and the end of each frame.",
        ),
        Option(
            "scan_delay",
            None,
            "scan",
            time("0.5 us", allow_negative=True),
            "str or quantity, optional",
            "Time by which the beam lags behind the edges; may be negative.",
        ),
        Option(
            "time_bins",
            None,
            "scan",
            bins,
            "int or dict, optional",
            "Time as a further navigation axis, the last one in HyperSpy's order. A number cuts the dwell "
            'time into as many equal bins; ``{"over": "recording", "number": 10}`` or ``{"over": "recording", '
            '"width": "1 s"}`` cuts the time of the recording, with the frames of a repeated scan added up in '
            'each bin unless `frames` is "separate".',
        ),
        Option(
            "frames",
            None,
            "scan",
            frames,
            '"separate", "sum", int, slice or list of int, or ("sum", these), optional',
            "Which passes of a repeated scan: each for itself, added up, some of them, or some added up. Left "
            "out, they are separate.",
        ),
        Option(
            "layout",
            None,
            "source",
            layout,
            '{"single", "quad", "strip", "strip-reversed"} or list of dict, optional',
            "Arrangement of the chips; from the chips in the file by default (a strip must be requested).",
        ),
        Option(
            "gap",
            None,
            "source",
            whole(0, 64, none=True),
            "int",
            "Extra pixels between the chips of a quad: 0, 2 or 4; 0 unless a sidecar says otherwise.",
        ),
        Option(
            "orientation",
            None,
            "source",
            word,
            "str",
            'Turn of the whole detector: "up", "left", "down", "right", and with "_mirrored"; "up" unless a '
            "sidecar says otherwise.",
        ),
        Option(
            "cluster",
            None,
            "events",
            anything,
            "bool or dict, optional",
            'True makes one electron of neighbouring hits; a dictionary sets ``window`` ("200 ns"), '
            '``neighbours`` (8 or 4), ``position`` ("largest", "centroid", "earliest"), ``time`` ("earliest", '
            '"largest"), ``upsample`` (finer detector pixels, for centroids), ``min_size``, ``max_size``, '
            "``min_tot``, ``max_tot``, ``max_duration``; see the guide on hits and electrons.",
        ),
        Option(
            "corrections",
            None,
            "events",
            anything,
            "dict, optional",
            "What to correct before electrons are found; see the guide on hits and electrons.",
            paths=changed_corrections,
        ),
        Option(
            "values",
            "counts",
            "events",
            word,
            '{"counts", "tot", "energy"}',
            "What is added up at each pixel: events, their time over threshold in steps of 25 ns, or their "
            "energy in keV.",
        ),
        Option(
            "all_parts",
            False,
            "source",
            parts,
            "bool or sequence",
            "True takes all files whose names differ in the running number only; a sequence names them.",
            paths=changed_paths,
        ),
        Option(
            "toa_bits",
            None,
            "source",
            whole(1, 64, none=True),
            "{28, 30, 64}, optional",
            "Bits of the device's clock: AdvaPIX quad, AdvaPIX, MiniPIX. By default the fewest that hold "
            "every time in the file.",
        ),
        Option(
            "measurement",
            None,
            "source",
            whole(0, MOST, none=True),
            "int, optional",
            "Which of several measurements appended to one file, from 0.",
        ),
        Option(
            "chunks",
            "auto",
            "array",
            chunks,
            '"auto" or int',
            "Scan lines in one chunk.",
        ),
        Option(
            "dtype",
            None,
            "array",
            dtype,
            "numpy.dtype, optional",
            "Unsigned type of the counts; by default the smallest that a pixel cannot overflow.",
        ),
        Option(
            "metadata",
            None,
            "metadata",
            sources,
            "dict, path, or list of these, optional",
            'What you know about the microscope, with units: ``{"beam_energy": "200 keV", "camera_length": '
            '"100 mm", "scan_step": "0.05 nm"}``, or a JSON, YAML or TOML file of such keys. Files next to the '
            "recording are found by their name. See the guide on metadata.",
        ),
        Option(
            "metadata_from",
            None,
            "metadata",
            source,
            "path or signal, optional",
            "A file or signal whose microscope node is copied, such as an image recorded next to it.",
            paths=changed_paths,
        ),
        Option(
            "calibrate",
            "auto",
            "metadata",
            calibration,
            '{"auto", "angle", "k", None}',
            "Detector axes in mrad or 1/nm, where camera length (and beam energy) are known and the axes have no "
            'scale yet; "auto" takes mrad.',
        ),
        Option(
            "on_loss",
            "raise",
            "source",
            word,
            '{"raise", "warn"}',
            "For damaged files: refuse, or read what can be read and count the rest.",
        ),
        Option(
            "before_reset",
            "exclude",
            "source",
            word,
            '{"exclude", "keep"}',
            "Hits and edges from before the detector's clock was reset, which some recordings begin with: "
            "leave them out (and count them), or keep them, at times before those of the new clock.",
        ),
        Option(
            "cache",
            "auto",
            "source",
            automatic_flag,
            'bool or "auto"',
            "Keep what opening finds out (less than 1 % of the file) in the user's cache folder, so that the "
            'next opening takes no time. "auto" does so from 256 MB on.',
        ),
        Option(
            "follow",
            False,
            "source",
            flag,
            "bool",
            "The recording is still being written. What is there now is loaded; an incomplete end is not "
            "damage, and the file may grow. `hyperspy_sparse.refresh` gives a new signal with what came "
            "since.",
        ),
        Option(
            "show_progressbar",
            None,
            "source",
            flag,
            "bool, optional",
            "None shows a bar for work that takes longer than two seconds, unless HyperSpy's preference "
            "(``hs.preferences.General.show_progressbar``) is without.",
        ),
        Option(
            "progress",
            None,
            "array",
            flag,
            "bool, optional",
            "The same as `show_progressbar`, by a name that reaches the reader: ``hs.load`` keeps the other one.",
        ),
        Option(
            "signal_shape",
            None,
            "file",
            shape("expected two positive integers, (x, y) in pixels", lengths=(2,)),
            "tuple of int, optional",
            "Detector ``(x, y)`` in pixels, where a counted file does not have it.",
        ),
        Option(
            "sync_offset",
            0,
            "file",
            whole(-(1 << 48), 1 << 48),
            "int",
            "Frames of a raw_csr data set to skip at the start; where negative, blank frames to insert there.",
        ),
        Option(
            "dataset_path",
            None,
            "file",
            path_in_file,
            "str, optional",
            "Of the NXevent_data group, where a file has several.",
        ),
        Option(
            "keep_flyback",
            True,
            "file",
            flag,
            "bool",
            "False leaves out the last column of a stempy file, in which the 4D Camera has the flyback.",
        ),
        Option(
            "allow_external",
            False,
            "file",
            flag,
            "bool",
            "Follow links, external storage and virtual data sets into other files. False refuses them: a file from "
            "elsewhere could show any file of yours as counts.",
        ),
        Option(
            "guard",
            False,
            "file",
            seconds_or_flag,
            "bool or float",
            "Read the structure of the file in another process first, which is stopped after 60 s (or that many "
            "seconds): some damaged files keep the HDF5 library busy forever. `rsciio_tpx3.convert.check` always does.",
        ),
    )
}
"""Every option by its name, in the order in which readers take them."""


def list_of_words(option: Option) -> tuple[str, ...]:
    """Words that an option takes, where its documentation lists them all, such as ``{"raise", "warn"}``; else none."""
    listed = re.match(r"\{(.*?)\}(, optional)?$", option.kind)
    found = re.findall(r'"([^"]*)"', listed[1]) if listed else []
    return tuple(found)


def names_of(*groups: str) -> tuple[str, ...]:
    """Names of the options of some groups, in order."""
    return tuple(name for name, option in OPTIONS.items() if option.group in groups)


def documented(name: str, kind: str | None = None, text: str | None = None, width: int = 110) -> str:
    """The entry of an option in a numpydoc section, from the table where it is not given."""
    kind = OPTIONS[name].kind if kind is None else kind
    text = OPTIONS[name].text if text is None else text
    head = f"{name} : {kind}"
    return f"{head}\n{textwrap.indent(textwrap.fill(text, width), '    ')}" if text else head
