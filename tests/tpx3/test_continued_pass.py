"""A continued pass finds what a pass over the whole finds, wherever the file ended in between."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsciio_tpx3 import simulate
from rsciio_tpx3.exceptions import Tpx3FormatError
from rsciio_tpx3.tpx3 import Tpx3Source
from rsciio_tpx3.tpx3.files import open_parts
from rsciio_tpx3.tpx3.follow import FollowPass

QUAD = {"electrons_per_position": 60, "dwell_time": "40 us", "chunk_counts": True, "edge_chips": (0, 1, 2, 3)}
KINDS = {
    "plain": {},
    "global time": {"global_time": "1 ms"},
    "no control words": {"control_words": False},
    "reset": {"stale_start": True, "global_time": "1 ms"},
    "lost and swapped": {"lost_chunks": 0.1, "swapped_chunks": 0.1, "missing_edges": [3, 9], "invalid_edges": [14]},
    "across the turn of the clock": {"start_time": "26.8410 s", "global_time": "1 ms"},
    "one chip without headers": {"layout": "single", "headerless": True, "edge_chips": (0,)},
}


@pytest.fixture(scope="module", params=list(KINDS))
def content(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("followed") / "scan.tpx3"
    options = {**QUAD, **KINDS[request.param]}
    if options.get("headerless"):
        options["chunk_counts"] = False
    simulate.recording(path, (9, 7), seed=4, n_frames=2, **options)
    return path.read_bytes()


def _index(source):
    about = asdict(source.index())
    edges = about.pop("edges")
    return about, edges


def _equal(followed, path):
    source = Tpx3Source(path, on_loss="warn")
    expected, edges = _index(source)
    found = asdict(followed.index())
    for name, column in found.pop("edges").items():
        np.testing.assert_array_equal(column, edges[name])
    assert found == expected
    blocks = followed.blocks[followed.blocks["n_hits"] > 0]
    one = source._tables.blocks
    assert blocks["n_hits"].sum() == one["n_hits"].sum()
    assert (blocks["first"] + blocks["high"]).max() == (one["first"] + one["high"]).max()


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_any_pieces_give_what_the_whole_gives(content, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("pieces") / "scan.tpx3"
    cuts = data.draw(st.lists(st.integers(8, len(content) - 1), max_size=12).map(sorted))
    followed = None
    for cut in [*cuts, len(content)]:
        path.write_bytes(content[:cut])
        part = open_parts([str(path)], follow=True)[0]
        followed = followed or FollowPass(part.headerless)
        followed.go_on(part)
    _equal(followed, path)


def test_opening_again_looks_at_what_is_new_alone(tmp_path, monkeypatch, content):
    path, looked = tmp_path / "scan.tpx3", []
    original = FollowPass.go_on

    def go_on(self, part, look=None):
        looked.append(part.n_words - self.words)
        original(self, part, look)

    monkeypatch.setattr(FollowPass, "go_on", go_on)
    for share in (0.5, 0.6, 0.6, 1.0):
        path.write_bytes(content[: int(share * len(content))])
        source = Tpx3Source(path, follow=True, on_loss="warn")
    n = len(content)
    assert looked == [int(0.5 * n) // 8, int(0.6 * n) // 8 - int(0.5 * n) // 8, 0, n // 8 - int(0.6 * n) // 8]
    assert _index(source)[0] == _index(Tpx3Source(path, on_loss="warn"))[0]
    other = bytearray(content)
    other[-5] ^= 1
    path.write_bytes(other)
    Tpx3Source(path, follow=True, on_loss="warn")
    assert looked[-1] == n // 8


def test_damage_inside_is_said(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (9, 7), seed=4, **QUAD)
    content = path.read_bytes()
    path.write_bytes(content[:800] + content[808:])
    with pytest.raises(Tpx3FormatError, match="damaged from byte"):
        FollowPass().go_on(open_parts([str(path)], follow=True)[0])
