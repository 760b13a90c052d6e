"""Where a chip's pixel lies on the detector.

A layout gives each chip one affine rule; the position is kept as one flat index
``row * width + column``, so that a kernel needs three integers per chip and no table of pixels.

Conventions: column x to the right, row y downwards as images are shown, both from 0. The chip's
own (x, y) is the one of its pixel address. The quad arrangement is that of ASI's event converters
and of HERMES, evenTem, riCOM and tpx3awkward (``docs/formats/tpx3.md``, Geometry); Serval's image
layout differs in orientation, which `orientation` or a table can express.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsciio_tpx3.exceptions import ConflictError, LimitError
from rsciio_tpx3.utils.integers import is_whole

__all__ = ["CHIP_SIZE", "LAYOUTS", "ORIENTATIONS", "Layout", "layout_for", "make_layout"]

CHIP_SIZE = 256  # pixels along a side of a Timepix3 (Poikela et al. 2014, JINST 9 C05013)
_MOST_SIDE = 1 << 14  # pixels; a detector of as many along both sides still has tables of a quarter of a GB
LAYOUTS = ("single", "quad", "strip", "strip-reversed")

# detector orientation -> (x', y') as rows of a 2 x 2 matrix; a shift brings the result back to >= 0.
# The four turns are named as in pymepix; mirrored means flipped left to right after the turn.
ORIENTATIONS = {
    "up": ((1, 0), (0, 1)),
    "left": ((0, 1), (-1, 0)),
    "down": ((-1, 0), (0, -1)),
    "right": ((0, -1), (1, 0)),
    "up_mirrored": ((-1, 0), (0, 1)),
    "left_mirrored": ((0, -1), (-1, 0)),
    "down_mirrored": ((1, 0), (0, -1)),
    "right_mirrored": ((0, 1), (1, 0)),
}

# readout order of one chip on the canvas, fast axis first; L, T are column 0 and row 0
_READOUT = {
    "LtRTtB": ((1, 0), (0, 1)),
    "RtLTtB": ((-1, 0), (0, 1)),
    "LtRBtT": ((1, 0), (0, -1)),
    "RtLBtT": ((-1, 0), (0, -1)),
    "TtBLtR": ((0, 1), (1, 0)),
    "BtTLtR": ((0, 1), (-1, 0)),
    "TtBRtL": ((0, -1), (1, 0)),
    "BtTRtL": ((0, -1), (-1, 0)),
}


@dataclass(frozen=True)
class Layout:
    """One affine rule a chip: ``flat = rules[chip] @ (1, x, y)``.

    Attributes
    ----------
    name : str
        "single", "quad", "strip", "strip-reversed" or "table".
    sig_shape : tuple of int
        Detector ``(height, width)``.
    rules : numpy.ndarray of int64, shape (256, 3)
        Offset, step for x and step for y of the flat index; offset -1 marks a chip that the layout
        does not have.
    gap : int
        Extra pixels between the chips of a quad.
    orientation : str
        One of `ORIENTATIONS`.
    """

    name: str
    sig_shape: tuple
    rules: np.ndarray
    gap: int = 0
    orientation: str = "up"

    @property
    def chips(self) -> tuple:
        """Chip numbers the layout has a place for."""
        return tuple(int(chip) for chip in np.flatnonzero(self.rules[:, 0] >= 0))

    def __reduce__(self) -> tuple:
        # rules of 256 chips are 6 kB, and a layout travels with every task of a dask graph
        chips = self.chips
        own = {chip: tuple(self.rules[chip].tolist()) for chip in chips}
        return _of_rules, (self.name, self.sig_shape, own, self.gap, self.orientation)


def _of_rules(name: str, sig_shape: tuple[int, int], own: dict[int, tuple], gap: int, orientation: str) -> Layout:
    rules = np.full((256, 3), -1, np.int64)
    for chip, rule in own.items():
        rules[chip] = rule
    return Layout(name, sig_shape, rules, gap, orientation)


def _quad(gap: int) -> tuple[tuple[int, int], dict[int, tuple]]:
    far = 2 * CHIP_SIZE - 1 + gap
    low = CHIP_SIZE + gap
    # chip: ((x', y') matrix, shift); "2 1" above "3 0" where y points up
    return (2 * CHIP_SIZE + gap,) * 2, {
        0: (((1, 0), (0, 1)), (low, 0)),
        1: (((-1, 0), (0, -1)), (far, far)),
        2: (((-1, 0), (0, -1)), (CHIP_SIZE - 1, far)),
        3: (((1, 0), (0, 1)), (0, 0)),
    }


def _strip(offsets: dict[int, int], mirrored: bool) -> tuple[tuple[int, int], dict[int, tuple]]:
    # TimeSTEM EELS camera, 1024 x 256
    if mirrored:
        chips = {c: (((-1, 0), (0, 1)), (o, 0)) for c, o in offsets.items()}
    else:
        chips = {c: (((1, 0), (0, 1)), (o, 0)) for c, o in offsets.items()}
    return (CHIP_SIZE, 4 * CHIP_SIZE), chips


def _table(rows: Iterable[Mapping], gap: int = 0) -> tuple[tuple[int, int], dict[int, tuple]]:
    """Chips from a user's table: mappings with chip, x, y and orientation (readout order), moved apart by a gap."""
    chips = {}
    for row in rows:
        entry = {str(key).lower(): value for key, value in row.items()}  # tables of other programs write "Chip" or "X"
        missing = {"chip", "x", "y"} - set(entry)
        if missing:
            raise ValueError(
                f"layout: {row!r} lacks {', '.join(sorted(missing))}. Each chip needs "
                '{"chip": 0, "x": 256, "y": 0, "orientation": "LtRTtB"}, x and y in pixels.'
            )
        name = entry.get("orientation", "LtRTtB")
        if name not in _READOUT:
            raise ValueError(f"layout: orientation {name!r} is not valid: must be one of {', '.join(_READOUT)}.")
        if not all(is_whole(entry[key]) for key in ("chip", "x", "y")):
            raise ValueError(f"layout: {row!r}: expected integers for chip, x and y.")
        chip = int(entry["chip"])
        if chip in chips or not 0 <= chip < 256:
            raise ValueError(f"layout: chip {chip} is given twice, or is not a number from 0 to 255.")
        matrix = np.array(_READOUT[name])
        # a mirrored axis starts at the far end of the chip's square
        place = np.array([int(entry["x"]), int(entry["y"])])
        if gap and (place % CHIP_SIZE).any():
            raise ValueError(
                f"gap={gap}: chip {chip} of the table lies at {tuple(place.tolist())}, off the grid of {CHIP_SIZE} "
                "pixels. Put the gap into x and y of the table."
            )
        # A row of the matrix is one output axis: a sum below zero means that it runs against the chip's own.
        shift = (matrix.sum(axis=1) < 0) * (CHIP_SIZE - 1) + place + gap * (place // CHIP_SIZE)
        chips[chip] = (_READOUT[name], tuple(int(v) for v in shift))
    if not chips:
        raise ValueError("layout: the table names no chip.")
    corners = np.array([_extent(matrix, shift) for matrix, shift in chips.values()])
    if corners[:, 0].min() < 0:
        raise ValueError("layout: a chip reaches below pixel 0; x and y must not be negative.")
    # squares of one size share pixels where both of their sides do
    apart = np.abs(corners[:, None, 0] - corners[None, :, 0]).max(axis=2)
    if (apart < CHIP_SIZE).sum() > len(corners):
        raise ValueError("layout: two chips of the table share pixels; check x and y.")
    width, height = corners[:, 1].max(axis=0) + 1
    return (int(height), int(width)), chips


def _extent(matrix: Sequence, shift: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.array([[0, 0], [CHIP_SIZE - 1] * 2]) @ np.array(matrix).T + shift
    return ends.min(axis=0), ends.max(axis=0)


def make_layout(layout: str | Sequence[Mapping] = "quad", gap: int = 0, orientation: str = "up") -> Layout:
    """Detector layout from a name or from a table of chips.

    Parameters
    ----------
    layout : {"single", "quad", "strip", "strip-reversed"} or sequence of dict
        A table has one mapping a chip: ``chip``, ``x``, ``y`` (column and row of its corner nearest
        to pixel 0, in pixels) and ``orientation`` (readout order, fast axis first, such as
        "LtRTtB" for a chip that is not turned).
    gap : int
        Extra pixels between the chips of a quad, or of a table whose chips lie side by side: 0, 2 or 4. The pixels
        at the inner edges are about three times as wide as the others, which 4 (two a side) represents.
    orientation : str
        Turn of the whole detector, one of `ORIENTATIONS`.

    Returns
    -------
    Layout

    Raises
    ------
    ValueError
        For an unknown name, a negative gap, chips that overlap or lie below pixel 0.

    Examples
    --------
    >>> from rsciio_tpx3.events.geometry import make_layout
    >>> make_layout("quad", gap=4).sig_shape
    (516, 516)
    """
    if not is_whole(gap, 0):
        raise ValueError(f"gap={gap!r}: expected a non-negative integer number of pixels.")
    if not isinstance(layout, str):
        name, (shape, chips) = "table", _table(layout, int(gap))
    elif layout == "single":
        name, (shape, chips) = layout, ((CHIP_SIZE,) * 2, {0: (((1, 0), (0, 1)), (0, 0))})
    elif layout == "quad":
        name, (shape, chips) = layout, _quad(int(gap))
    elif layout == "strip":
        # First pixel of each chip along the strip. The numbers are where a chip's own x begins: mirrored ones begin
        # at the far end.
        name, (shape, chips) = layout, _strip({0: 768, 1: 0, 2: 256, 3: 512}, mirrored=False)
    elif layout == "strip-reversed":
        name, (shape, chips) = layout, _strip({0: 255, 1: 1023, 2: 767, 3: 511}, mirrored=True)
    else:
        raise ValueError(
            f"layout={layout!r} is not valid: must be one of {', '.join(map(repr, LAYOUTS))}, or a table of chips."
        )
    if gap and name not in ("quad", "table"):
        raise ValueError(f"gap={gap} has a meaning for layout='quad' and for tables only; layout is {name!r}.")
    key = str(orientation).lower()
    if key not in ORIENTATIONS:
        raise ValueError(f"orientation={orientation!r} is not valid: must be one of {', '.join(ORIENTATIONS)}.")
    return _oriented(name, shape, chips, int(gap), key)


def _oriented(name: str, shape: tuple[int, int], chips: dict[int, tuple], gap: int, orientation: str) -> Layout:
    turn = np.array(ORIENTATIONS[orientation])
    height, width = shape
    if max(height, width) > _MOST_SIDE:
        raise LimitError(
            f"layout={name!r} with gap={gap} makes a detector of {width:,} x {height:,} pixels; up to {_MOST_SIDE:,} "
            "along a side are possible. Check x and y of the chips, and gap."
        )
    # Turn the corners, and shift so that the smallest coordinate is 0 again.
    ends = np.array([[0, 0], [width - 1, height - 1]]) @ turn.T
    back = -ends.min(axis=0)
    width, height = (int(v) for v in ends.max(axis=0) + back + 1)
    rules = np.full((256, 3), -1, np.int64)
    for chip, (matrix, shift) in chips.items():
        m = turn @ np.array(matrix)
        s = turn @ np.array(shift) + back
        rules[chip] = (s[1] * width + s[0], m[1, 0] * width + m[0, 0], m[1, 1] * width + m[0, 1])
    return Layout(name, (height, width), rules, gap, orientation)


def layout_for(
    chips_present: Iterable[int],
    layout: str | Sequence[Mapping] | None = None,
    gap: int = 0,
    orientation: str = "up",
    doubtful: Iterable[int] = (),
) -> Layout:
    """The requested layout, or the one that the chips of a file suggest.

    Chip 0 alone makes a single detector, chips up to 3 a quad; more need a table.
    A 1 x 4 strip cannot be distinguished from a quad, so it must be requested.

    Parameters
    ----------
    chips_present : sequence of int
    layout, gap, orientation
        See `make_layout`.
    doubtful : sequence of int
        Chips of `chips_present` that may be there by a damaged number alone: they suggest no layout, and need no place.
    """
    chips_present = sorted(set(chips_present) - set(doubtful))
    if layout is None:
        highest = max(chips_present, default=0)
        if highest > 3:
            raise ConflictError(
                f"The file has data of chip {highest}; only layouts of up to four chips are known "
                "by name. Pass layout=[{'chip': 0, 'x': 0, 'y': 0, 'orientation': 'LtRTtB'}, ...]."
            )
        layout = "quad" if highest > 0 else "single"
        if layout == "single" and gap > 0:
            gap = 0  # one chip has no neighbours: the default for quads does no harm
    made = make_layout(layout, gap, orientation)
    lost = sorted(set(chips_present) - set(made.chips))  # their hits would vanish without a word
    if lost:
        raise ConflictError(
            f"layout={made.name!r} has no place for chip {', '.join(map(str, lost))}, whose data are "
            "in the file. Pass layout='quad', 'strip' or a table of chips."
        )
    return made
