"""Where the pixel with a matrix index lies: in one matrix of 256 or 512 columns, or chip by chip.

A quad is known in two numberings: ``y * 512 + x`` of one matrix, and ``chip * 65536 + y * 256 + x``. Nothing in a file
says which it is; but one electron fires neighbouring pixels, and their numbers differ by the width of the matrix.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from rsciio_tpx3.events.geometry import CHIP_SIZE, make_layout
from rsciio_tpx3.exceptions import ConflictError
from rsciio_tpx3.t3pa.index import PLACE_OF_CHIPS

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout
    from rsciio_tpx3.events.losses import Losses


__all__ = ["SIDES", "is_by_chip", "matrix_layout", "matrix_name", "matrix_table"]

_logger = logging.getLogger(__name__)

SIDES = {"single": CHIP_SIZE, "quad": 2 * CHIP_SIZE}
_BY_CHIP = ("strip", "strip-reversed")
_CLEAR = 10  # pairs more, and three times as many, as chance gives of the other kind
_FEW = 1e-3  # of the hits: wrong rows may be that many without a say in the size of the matrix


def is_by_chip(layout: Any) -> bool:
    """Whether a layout places chips whose pixels are numbered one chip after the other."""
    return layout is not None and (not isinstance(layout, str) or layout in _BY_CHIP)


def matrix_layout(layout: Any, orientation: str = "up") -> Layout:
    """The `Layout` of one chip, of four in the order of one matrix ("quad"), or of chips as they are described."""
    if is_by_chip(layout):
        return make_layout(layout, orientation=orientation)
    if layout not in SIDES:
        raise ValueError(
            f"layout={layout!r} is not valid: must be one of 'single' (256 x 256), 'quad' (a matrix of 512 x 512), "
            f"{', '.join(map(repr, _BY_CHIP))}, or a table of chips."
        )
    chips = [{"chip": y * 2 + x, "x": x * CHIP_SIZE, "y": y * CHIP_SIZE} for y in (0, 1) for x in (0, 1)]
    return make_layout("single" if layout == "single" else chips, orientation=orientation)


def matrix_table(layout: Layout, by_chip: bool) -> np.ndarray:
    """Flat pixel of each matrix index, -1 where there is none.

    Parameters
    ----------
    layout : rsciio_tpx3.events.geometry.Layout
    by_chip : bool

    Returns
    -------
    numpy.ndarray of int32
    """
    if by_chip:
        return np.concatenate([_of_chip(layout.rules[chip]).ravel() for chip in range(max(layout.chips) + 1)])
    chips = range(layout.sig_shape[0] // CHIP_SIZE)
    rows = [np.concatenate([_of_chip(layout.rules[y * 2 + x]) for x in chips], axis=1) for y in chips]
    return np.concatenate(rows).ravel()


def _of_chip(rule: np.ndarray) -> np.ndarray:
    """Flat pixel of each pixel of a chip, -1 for a chip that the layout does not have."""
    if rule[0] < 0:
        return np.full((CHIP_SIZE, CHIP_SIZE), -1, np.int32)
    offset, along_x, along_y = map(int, rule)
    own = np.arange(CHIP_SIZE, dtype=np.int32)
    return offset + along_x * own + along_y * own[:, None]


def matrix_name(layout: Any, sidecar: dict, found: dict, n_hits: int, losses: Losses, name: str) -> str:
    """What a file's matrix is: as requested, as its sidecar has it, or as its pixels show.

    Parameters
    ----------
    layout : str, sequence of dict, or None
    sidecar : dict
        With ``width`` where the `.dsc` has it.
    found : dict
        Of `rsciio_tpx3.t3pa.index.build_index`.
    n_hits : int
    losses : rsciio_tpx3.events.losses.Losses
        Counts "hits_outside", where the user lets pixels go that are not on the detector.
    name : str
        Of the file, for messages.

    Returns
    -------
    str or sequence of dict
    """
    if is_by_chip(layout):
        _need_places(layout, found["largest_pixel"], name)
        return layout
    chosen = layout or {side: key for key, side in SIDES.items()}.get(sidecar.get("width"))
    matrix_layout(chosen or "single")  # refuses what is none
    above, width = found["above_one_chip"], _width(found)
    few = 0 < above <= max(1, _FEW * n_hits) and n_hits > 1 and width != 2 * CHIP_SIZE
    if chosen is None:
        chosen = "quad" if above and not (few and width == CHIP_SIZE) else "single"
        _ask(chosen, above, width, name)
    elif chosen == "quad" and above and width == CHIP_SIZE:
        _logger.warning(
            f"{name!r}: neighbouring hits differ by 256 in their matrix index, as where pixels are numbered chip by "
            f"chip; it is read as a matrix of 512 columns, as requested. {PLACE_OF_CHIPS}"
        )
    if chosen == "single" and above:
        _outside(above, found["largest_pixel"], few, losses, name)
    return chosen


def _need_places(layout: Any, largest_pixel: int, name: str) -> None:
    highest = largest_pixel >> 16
    if highest not in matrix_layout(layout).chips:
        raise ConflictError(f"layout has no place for chip {highest}, whose hits are in {name!r}. {PLACE_OF_CHIPS}")


def _width(found: dict[str, int]) -> int | None:
    """256 or 512 as neighbouring hits show, None where they do not."""
    narrow, wide = found["neighbours_256"], found["neighbours_512"]
    if narrow > 3 * wide + _CLEAR:
        return CHIP_SIZE
    return 2 * CHIP_SIZE if wide > 3 * narrow + _CLEAR else None


def _ask(name_found: str, above: int, width: int | None, name: str) -> None:
    """Refuse, or say, what pixels alone do not tell."""
    if name_found == "single" and width == 2 * CHIP_SIZE:
        raise ConflictError(
            f"{name!r}: no pixel is beyond those of one chip, but neighbouring hits differ by 512 in their matrix "
            "index, as in the lower half of a matrix of 512 columns. Pass layout='quad', or 'single' if it is one chip."
        )
    if name_found == "quad" and width == CHIP_SIZE:
        raise ConflictError(
            f"{name!r}: {above} hits are beyond the pixels of one chip, but neighbouring hits differ by 256 in their "
            f"matrix index: pixels are numbered chip by chip, not in a matrix of 512 columns. {PLACE_OF_CHIPS}"
        )
    if name_found == "quad" and width is None:
        _logger.warning(
            f"{name!r} is read as a quad with a matrix of 512 columns; its hits do not show whether pixels are "
            "numbered so, or chip by chip. Pass layout='quad', or a table of chips."
        )


def _outside(above: int, largest_pixel: int, few: bool, losses: Losses, name: str) -> None:
    text = (
        f"{name!r} holds pixel {largest_pixel}, but a detector of {CHIP_SIZE} x {CHIP_SIZE} has pixels 0 to "
        f"{CHIP_SIZE**2 - 1}"
    )
    if not few:
        raise ConflictError(f"{text}. Pass layout='quad'.")
    losses.add("hits_outside", above, f"{text}, and so few hits ({above}) are beyond them that they must be damaged.")
