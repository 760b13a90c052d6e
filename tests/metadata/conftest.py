"""A small recording, next to which descriptions are written."""

import pytest

from rsciio_tpx3 import simulate


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scan.tpx3"
    simulate.recording(path, (7, 11), dwell_time="5 us", electrons_per_position=5, layout="single")
    return path


@pytest.fixture
def scan(path):
    return path
