"""The calibration of a chip in Pixet's XML configuration.

Under the root stands an element named like the chip ("J07-W0167"), and in it ``caliba``, ``calibb``, ``calibc`` and
``calibt``: each 65,536 doubles, little-endian, row by row, in base64.

Sources: a script of Pixet's developer that writes the text matrices from such a file (D. Turecek, 2016,
extract_calib_from_xml.py); a user's program (pixet2pixelHit) with the same elements and eight bytes a pixel, which it
takes for pairs of floats, and says itself that the numbers look wrong.
"""

import base64
import binascii
import os
from xml.etree import ElementTree

import numpy as np

from rsciio_tpx3.events.geometry import CHIP_SIZE

__all__ = ["read_pixet_xml"]

_NAMES = {letter: f"calib{letter}" for letter in "abct"}
_HELP = "Save the matrices as text in Pixet (Detector settings, More, Chips) and pass that folder, or a dictionary."


def read_pixet_xml(path):
    """Matrices of the only chip in a file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    matrices : dict of numpy.ndarray of float64, shape (256, 256)
        ``a``, ``b``, ``c`` and ``t``.
    chip : str
        Name of the chip.

    Raises
    ------
    ValueError
        If the file is no XML, holds no or more than one calibrated chip, or numbers of another kind.
    """
    name = os.fspath(path)
    try:
        root = ElementTree.parse(name).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"corrections: energy: '{name}' is no XML: {error}.") from None
    chips = [item for item in root if "-W" in item.tag and any(item.find(tag) is not None for tag in _NAMES.values())]
    if len(chips) != 1:
        named = f": {', '.join(item.tag for item in chips)}" if chips else ""
        raise ValueError(
            f"corrections: energy: '{name}' has {len(chips)} calibrated chips{named}; one is needed, an element such "
            f"as <J07-W0167> with {', '.join(_NAMES.values())}. {_HELP}"
        )
    matrices = {letter: _matrix(chips[0], tag, name) for letter, tag in _NAMES.items()}
    return matrices, chips[0].tag


def _matrix(chip, tag, name):
    item = chip.find(tag)
    text = "" if item is None else "".join((item.text or "").split())
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"corrections: energy: '{name}': {tag} is not base64: {error}. {_HELP}") from None
    if len(data) != 8 * CHIP_SIZE**2:
        raise ValueError(
            f"corrections: energy: '{name}': {tag} has {len(data)} bytes; {8 * CHIP_SIZE**2} are needed, a double for "
            f"each pixel. {_HELP}"
        )
    return np.frombuffer(data, "<f8").reshape(CHIP_SIZE, CHIP_SIZE)
