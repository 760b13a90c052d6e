"""Rows written without an object for each, and moved to their places, against what h5py makes of them."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3.stempy.references import REFERENCE, append_rows, place_rows, read_references


def dataset(file):
    return file.create_dataset("rows", (0,), h5py.vlen_dtype(np.uint32), maxshape=(None,), chunks=(4,))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(st.lists(st.integers(1, 5), max_size=9), max_size=4),
    gaps=st.lists(st.integers(0, 9), min_size=37, max_size=37),
    seed=st.integers(0, 99),
)
def test_rows_come_to_their_places_and_empty_ones_between_them(tmp_path_factory, pieces, gaps, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("rows") / "x.h5"
    rows = [[rng.integers(0, 2**32, n, np.uint32) for n in piece] for piece in pieces]
    all_rows = [row for piece in rows for row in piece]
    places = np.cumsum(np.array(gaps[: len(all_rows)], np.int64) + 1) - 1
    n_rows = int(places[-1] + 1 if len(places) else 0) + gaps[-1]
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        made = dataset(file)
        for piece in rows:
            flat = np.concatenate([*piece, np.empty(0, np.uint32)])
            append_rows(made, flat, np.cumsum([0, *map(len, piece)]))
        place_rows(made, places, n_rows)
    expected = [[] for _ in range(n_rows)]
    for place, row in zip(places, all_rows):
        expected[place] = row.tolist()
    with h5py.File(path) as file:
        found = file["rows"]
        assert [row.tolist() for row in found[()]] == expected
        # every reference is in the file: a part that was never written would read as empty rows, too
        assert found.id.get_num_chunks() == -(-n_rows // 4)


def test_rows_of_one_length_stay_rows(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        made = dataset(file)
        append_rows(made, np.arange(6, dtype=np.uint32), np.array([0, 2, 4, 6]))
        assert [row.tolist() for row in made[()]] == [[0, 1], [2, 3], [4, 5]]


class Counted(list):
    """A list that counts how many of its items were looked at."""

    looked = 0

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.looked += len(found) if isinstance(key, slice) else 1
        return found

    def __iter__(self):
        self.looked += len(self)
        return super().__iter__()


def test_a_few_rows_do_not_look_at_all_parts_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    stored = rng.integers(0, 1 << 30, 4000).astype(np.uint32).view(REFERENCE)  # 1000 references
    sizes = rng.integers(1, 4, 400)
    firsts = np.cumsum(sizes) - sizes
    places = rng.permutation(1000)[:400] * REFERENCE.itemsize
    stored.tofile(tmp_path / "x")
    listed = [(int(f), int(p), int(n)) for f, p, n in zip(firsts, places, sizes) if f % 5 and p < 15_000]
    expected = np.zeros(sizes.sum(), REFERENCE)
    for first, place, n in listed:
        expected[first : first + n] = stored[place // 16 : place // 16 + n]
    for start, stop in [(0, 0), (0, 1), (7, 9), (300, 300), (301, 340), (len(expected) - 1, len(expected))]:
        parts = Counted(listed)
        assert np.array_equal(read_references(tmp_path / "x", parts, start, stop), expected[start:stop])
        assert parts.looked < 70
    assert np.array_equal(read_references(tmp_path / "x", listed, 0, len(expected)), expected)
