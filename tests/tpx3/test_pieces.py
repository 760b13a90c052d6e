"""Acquisitions that are numbered like pieces of one recording: refused, where real pieces are read as one."""

import pytest

from rsciio_tpx3 import read_hits, simulate
from rsciio_tpx3.exceptions import ConflictError


def n_hits(path, **options):
    return sum(len(hits) for hits in read_hits(path, **options))


@pytest.mark.parametrize("dwell_time", ["5 us", "300 us"])
@pytest.mark.parametrize("ending", ["tpx3", "TPX3"])
def test_separate_acquisitions_are_not_glued(tmp_path, dwell_time, ending):
    paths = [tmp_path / f"scan_00000{i}.{ending}" for i in (1, 2, 3)]
    truth = [
        simulate.recording(path, (12, 16), dwell_time=dwell_time, electrons_per_position=5, seed=i)
        for i, path in enumerate(paths)
    ]
    for call in ({"filename": paths[0], "all_parts": True}, {"filename": paths}):
        with pytest.raises(ConflictError, match="scan_000002.*clock begins anew.*load each by itself"):
            n_hits(call.pop("filename"), **call)
    assert [n_hits(path) for path in paths] == [one.n_hits for one in truth]


def test_pieces_that_go_on_are_one_recording(tmp_path):
    whole = tmp_path / "whole.tpx3"
    truth = simulate.recording(whole, (40, 32), dwell_time="20 us", electrons_per_position=10)
    content, cuts, at = whole.read_bytes(), [0], 0
    while at < len(content):
        at += 8 + int.from_bytes(content[at + 6 : at + 8], "little")
        if at - cuts[-1] > len(content) // 5 or at == len(content):
            cuts.append(at)
    for i, (a, b) in enumerate(zip(cuts[:-1], cuts[1:])):
        (tmp_path / f"scan_{i:06d}.TPX3").write_bytes(content[a:b])
    assert len(cuts) > 4
    assert n_hits(tmp_path / "scan_000000.TPX3", all_parts=True) == truth.n_hits
