"""Which pixels Serval's binary pixel configuration (`.bpc`) masks.

One byte for each pixel, 65,536 per chip, chips 0, 1, 2 ... one after the other; within a chip x runs fastest. A byte is
the chip's own pixel register: bit 0 masks the pixel, bits 1 to 4 adjust its threshold, bit 5 sends test pulses to it,
bits 6 and 7 are not used.

Sources: areaDetector/ADTimePix3 (documentation/PIXELCONFIG_BPC_DIFF.md and COORDINATE_MAP.md: bits as confirmed by ASI,
order of chips and pixels); GasDet-Bonn/tpx3-daq (pixel register after the chip's manual 1.9, page 44: the same bits).
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np

from rsciio_tpx3.corrections.tables import errors_of_files
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.events.grid import pixel_addresses
from rsciio_tpx3.utils.paths import need_file

if TYPE_CHECKING:
    from rsciio_tpx3.events.geometry import Layout

__all__ = ["read_pixel_config"]

_logger = logging.getLogger(__name__)

_MASKED = 0x01  # bit 0 (areaDetector/ADTimePix3, PIXELCONFIG_BPC_DIFF.md)
_MOST_CHIPS = 256  # the chip's number is one byte in the stream
_UNUSED = 0xC0  # bits 6 and 7 (the same)
_BYTES = CHIP_SIZE**2  # one for each pixel of a chip
# an adjustment bit is set in half of the pixels: more than a quarter is not a mask of bad pixels
_MOST_MASKED = 0.25


@errors_of_files
def read_pixel_config(path: str | os.PathLike, layout: Layout) -> np.ndarray:
    """The masked pixels of a `.bpc` file.

    Parameters
    ----------
    path : str or Path
    layout : rsciio_tpx3.events.geometry.Layout

    Returns
    -------
    numpy.ndarray of bool, shape (height, width)
        True where a pixel is masked; False in a gap.

    Raises
    ------
    Tpx3FormatError
        If the file has no block for each chip of the layout, or something else than masks of single pixels in it.
    """
    n_chips = max(layout.chips) + 1
    size = os.path.getsize(need_file(path))
    if size % _BYTES or not n_chips * _BYTES <= size <= _MOST_CHIPS * _BYTES:
        raise ValueError(
            f"corrections: mask: '{path}' has {size} bytes; expected {n_chips * _BYTES}, one for each pixel "
            f"of {n_chips} {'chip' if n_chips == 1 else 'chips'}."
        )
    if size > n_chips * _BYTES:
        _logger.warning(
            f"'{path}' holds the pixels of {size // _BYTES} chips, of which the layout has {n_chips}: those "
            f"of chip {', '.join(map(str, layout.chips))} are taken. Pass another file if this detector is another one."
        )
    config = np.fromfile(path, np.uint8)
    config = config.reshape(-1, _BYTES)[list(layout.chips)]
    share = np.count_nonzero(config & _MASKED) / config.size
    # A file of another kind and the right length shows itself by bits that the register does not have.
    if (config & _UNUSED).any() or share > _MOST_MASKED:
        bits = int(np.bitwise_or.reduce(config, axis=None))
        raise ValueError(
            f"corrections: mask: '{path}' masks {share:.0%} of the pixels and uses the bits {bits:#010b}. In the "
            "pixel configuration of a Timepix3 in Serval bit 0 masks, and bits 6 and 7 are not used; this may be the "
            "file of another chip or program. Give an array of the detector's shape, True where a pixel is excluded."
        )
    chip, address = pixel_addresses(layout)
    blocks = np.zeros((256, _BYTES), bool)
    blocks[list(layout.chips)] = config & _MASKED
    return (blocks[np.maximum(chip, 0), address] & (chip >= 0)).reshape(layout.sig_shape)
