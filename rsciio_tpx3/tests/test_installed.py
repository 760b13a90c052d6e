"""A simulated recording is read as it was made, every counted format keeps it, and sources keep their contracts."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rsciio

from rsciio_tpx3 import file_info, file_reader, nxevent, raw_csr, read_hits, simulate, stempy
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.testing import check_event_source, check_frame_source
from rsciio_tpx3.tpx3 import Tpx3Source

NAV = (5, 7)
WRITERS = {"a.toml": raw_csr, "a.nxevent": nxevent, "a.h5": stempy}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("installed") / "scan.tpx3"
    return simulate.recording(path, NAV, dwell_time="5 us", electrons_per_position=40, seed=3)


@pytest.fixture
def signal(truth: Any) -> Any:
    return file_reader(truth.paths[0], navigation_shape=NAV[::-1], lazy=True, cache=False, show_progressbar=False)[0]


def _assert_equal(signal: Any, truth: Any) -> None:
    frames = signal["data"].compute(scheduler="sync")
    for found, expected in zip((frames.indptr, frames.indices, frames.data), truth.csr(), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_format_is_known_to_rosettasciio() -> None:
    names = {plugin["api"] for plugin in rsciio.IO_PLUGINS}
    assert {f"rsciio_tpx3.{name}" for name in ("tpx3", "t3pa", "raw_csr", "nxevent", "stempy")} <= names


def test_a_recording_is_read_as_it_was_simulated(signal: Any, truth: Any) -> None:
    assert signal["data"].shape == (*NAV, *truth.sig_shape)
    _assert_equal(signal, truth)


def test_hits_of_a_recording_are_those_that_were_simulated(truth: Any) -> None:
    assert sum(len(batch) for batch in read_hits(truth.paths[0])) == truth.n_hits
    assert file_info(truth.paths[0])


@pytest.mark.parametrize("name", WRITERS)
def test_a_counted_format_keeps_every_count(name: str, signal: Any, truth: Any, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    WRITERS[name].file_writer(path, signal)
    found = WRITERS[name].file_reader(path, lazy=True)[0]
    _assert_equal(found, truth)
    check_frame_source(source_of(found["data"]))


def test_sources_of_events_and_frames_keep_their_contracts(signal: Any, truth: Any) -> None:
    check_event_source(Tpx3Source(truth.paths[0]))
    check_frame_source(source_of(signal["data"]))


@pytest.mark.slow
def test_the_command_line_describes_a_recording(truth: Any) -> None:
    command = [sys.executable, "-m", "rsciio_tpx3", "info", str(truth.paths[0])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "hits" in done.stdout
