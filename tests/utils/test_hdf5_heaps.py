"""What looks like a reference to a text, and is one or none."""

from types import SimpleNamespace

import numpy as np
import pytest

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.utils.hdf5.heaps import _check_references

_HEAPS = {2048: (np.array([1, 0]), np.array([16, 2552]))}
_STAMP = SimpleNamespace(size=300_000, name="x.nxevent")


def _content(number):
    """A number that is too large for a length, the address of a heap, and the number of an object."""
    content = np.full(64, 255, np.uint8)
    content[20:24] = 0xFF, 0xFF, 0x2C, 0x69
    content[24:36] = 0, 8, 0, 0, 0, 0, 0, 0, number, 0, 0, 0
    return content


def test_a_length_beyond_the_file_is_refused():
    with pytest.raises(Tpx3FormatError, match="1764556799 items in a text of 16 bytes"):
        _check_references(_content(1), _HEAPS, _STAMP)


def test_nothing_refers_to_free_space():
    """The checksum of a list of chunks, and an address of 2048 in a row of zeros behind it, in a good file."""
    _check_references(_content(0), _HEAPS, _STAMP)
