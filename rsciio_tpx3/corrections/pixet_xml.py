"""The calibration of a chip in Pixet's XML configuration.

Under the root stands an element named like the chip ("J07-W0167"), and in it ``caliba``, ``calibb``, ``calibc`` and
``calibt``: each 65,536 doubles, little-endian, row by row, in base64.

Sources: a script of Pixet's developer that writes the text matrices from such a file (D. Turecek, 2016,
extract_calib_from_xml.py); a user's program (pixet2pixelHit) with the same elements and eight bytes per pixel, which it
takes for pairs of floats, and says itself that the numbers look wrong.
"""

import base64
import os
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from rsciio_tpx3.corrections.tables import errors_of_files
from rsciio_tpx3.events.geometry import CHIP_SIZE
from rsciio_tpx3.exceptions import LimitError, Tpx3FormatError
from rsciio_tpx3.utils.paths import need_file

__all__ = ["read_pixet_xml"]

_MOST_BYTES = 1 << 27
_NAMES = {letter: f"calib{letter}" for letter in "abct"}
_HELP = "Save the matrices as text in Pixet (Detector settings, More, Chips) and pass that folder, or a dictionary."


@errors_of_files
def read_pixet_xml(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], str]:
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
    Tpx3FormatError
        If the file is not XML, holds no or more than one calibrated chip, or numbers of another kind.
    """
    name = need_file(path)
    if os.path.getsize(name) > _MOST_BYTES:
        raise LimitError(
            f"corrections: energy: '{name}' has {os.path.getsize(name)} bytes, where the configuration of a detector "
            f"has some MB: at most {_MOST_BYTES} are read. {_HELP}"
        )
    with open(name, "rb") as file:
        text = file.read()
    try:
        # Entities can make a small file expand without bound ("billion laughs"); the format has no use for them.
        _refuse_entities(text, name)
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, expat.ExpatError, LookupError, RecursionError) as error:
        raise ValueError(f"corrections: energy: '{name}' is not XML: {error}.") from None
    # Elements of chips are called after the wafer, such as J07-W0167; those without calibration are other settings.
    chips = [item for item in root if "-W" in item.tag and any(item.find(tag) is not None for tag in _NAMES.values())]
    if len(chips) != 1:
        named = f": {', '.join(item.tag for item in chips)}" if chips else ""
        raise ValueError(
            f"corrections: energy: '{name}' has {len(chips)} calibrated chips{named}; expected one, an element such "
            f"as <J07-W0167> with {', '.join(_NAMES.values())}. {_HELP}"
        )
    matrices = {letter: _matrix(chips[0], tag, name) for letter, tag in _NAMES.items()}
    return matrices, chips[0].tag


def _refuse_entities(text: bytes, name: str) -> None:
    """Refuse a document type: Pixet writes none, and the entities in one can grow without end."""

    def refuse(*declared: object) -> None:
        raise Tpx3FormatError(
            f"corrections: energy: '{name}' declares a document type (DOCTYPE), which no file of Pixet does, and "
            f"is not read. {_HELP}"
        )

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)


def _matrix(chip: ElementTree.Element, tag: str, name: str) -> np.ndarray:
    item = chip.find(tag)
    text = "" if item is None else "".join((item.text or "").split())
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:  # binascii.Error is one, and letters beyond ASCII are another
        raise ValueError(f"corrections: energy: '{name}': {tag} is not base64: {error}. {_HELP}") from None
    if len(data) != 8 * CHIP_SIZE**2:
        raise ValueError(
            f"corrections: energy: '{name}': {tag} has {len(data)} bytes; expected {8 * CHIP_SIZE**2}, a double for "
            f"each pixel. {_HELP}"
        )
    return np.frombuffer(data, "<f8").reshape(CHIP_SIZE, CHIP_SIZE)
