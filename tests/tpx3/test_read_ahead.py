"""Words of a file with the next ones read meanwhile: each word once, in order, from the file that was opened."""

import contextlib
import threading

import numpy as np
import pytest

from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3.files import open_parts, read_ahead
from rsciio_tpx3.tpx3.packets import encode_header, encode_hits


@pytest.fixture
def parts(tmp_path):
    """Two files of 41 and 24 words."""
    paths = []
    for number, n in enumerate((40, 23)):
        path = tmp_path / f"part_{number}.tpx3"
        hits = encode_hits(np.arange(n), 6 * np.arange(n), np.full(n, 5))
        path.write_bytes(encode_header(0, n).tobytes() + hits.tobytes())
        paths.append(str(path))
    return open_parts(paths)


@pytest.mark.parametrize("step", [1, 2, 7, 20, 41, 100])
@pytest.mark.parametrize(("start", "stop"), [(0, 41), (3, 38), (5, 5), (40, 41)])
def test_every_word_comes_once_and_in_order(parts, start, stop, step):
    expected = np.fromfile(parts[0].path, "<u8")
    found = [(words.copy(), first) for words, first in read_ahead(parts[0], start, stop, step)]
    assert [first for _, first in found] == list(range(start, stop, step))
    np.testing.assert_array_equal(np.concatenate([words for words, _ in found] or [expected[:0]]), expected[start:stop])


def test_words_are_numbered_over_all_files(parts):
    second = np.concatenate([words.copy() for words, _ in read_ahead(parts[1], 41 + 2, 41 + 24, 5)])
    np.testing.assert_array_equal(second, np.fromfile(parts[1].path, "<u8")[2:])


def test_a_change_while_reading_is_noticed(parts):
    with contextlib.closing(read_ahead(parts[0], 0, 41, 4)) as windows:
        next(windows)
        with open(parts[0].path, "ab") as file:
            file.write(b"12345678")
        with pytest.raises(Tpx3FormatError, match="changed since it was opened"):
            list(windows)


def test_abandoned_reading_leaves_no_thread(parts):
    before = threading.active_count()
    with contextlib.closing(read_ahead(parts[0], 0, 41, 4)) as windows:
        next(windows)
    assert threading.active_count() == before
