"""Kind: one wrong time decides how many frames a recording has, where no edge tells; and false alarms about it."""

import logging

import numpy as np
import pytest

from rsciio_tpx3.reader.report import report_losses
from rsciio_tpx3.tpx3 import file_reader, packets
from rsciio_tpx3.utils.clock import TICKS_PER_SECOND as S

CLOCK = {"sync": "shared-clock", "navigation_shape": (4, 5), "dwell_time": "50 us"}  # frames of 1 ms


def _read(path, seconds, **options):
    ticks = np.round(np.asarray(seconds) * S).astype(np.int64) // 6 * 6
    hits = packets.encode_hits(np.arange(len(ticks)), ticks, np.full(len(ticks), 20))
    with open(path, "wb") as file:
        for begin in range(0, len(hits), 100):
            part = hits[begin : begin + 100]
            file.write(packets.encode_header(0, len(part)).tobytes() + part.tobytes())
    [signal] = file_reader(str(path), cache=False, show_progressbar=False, **options)
    return signal["data"].shape[0]


@pytest.mark.parametrize("options", [CLOCK, {"signal": "frames", "frame_time": "1 ms"}])
@pytest.mark.parametrize("far", [0.0155, 0.05, 2.0])
def test_single_far_hit_that_makes_frames_is_said(tmp_path, caplog, options, far):
    seconds = np.linspace(1e-5, 7e-3, 1000)
    seconds[500] = far
    assert _read(tmp_path / "a.tpx3", seconds, **options) > 7
    assert "All but 1 of 1000 hits" in caplog.text


@pytest.mark.parametrize("options", [CLOCK, {"signal": "frames", "frame_time": "1 ms"}])
def test_recordings_without_far_hits_are_not_warned_about(tmp_path, caplog, options):
    caplog.set_level(logging.WARNING)
    rng = np.random.default_rng(1)
    for n in (30, 300, 3000):
        seconds = np.sort(rng.uniform(0, 0.04, n))
        _read(tmp_path / "a.tpx3", seconds, **options)
    assert caplog.text == ""


def test_piece_that_begins_late_on_a_shared_clock_has_no_far_hits(tmp_path, caplog):
    _read(tmp_path / "a.tpx3", np.linspace(0.0021, 0.004, 300), **CLOCK)
    assert caplog.text == ""


def test_shared_clock_with_hits_in_very_few_frames_is_said(tmp_path, caplog):
    seconds = np.concatenate([np.linspace(1e-5, 1e-3, 40), 2 + np.linspace(0, 1e-3, 60)])
    _read(tmp_path / "a.tpx3", seconds, **CLOCK)
    assert "frames have hits" in caplog.text


def test_flyback_of_the_last_line_is_no_line(caplog, monkeypatch):
    monkeypatch.setattr("rsciio_tpx3.reader.report._report_corrections", lambda tally: None)

    def warns(after, in_flyback, placed):
        caplog.clear()
        outside = {"in flyback": in_flyback, "after the last line": after}
        report_losses(None, None, np.array([placed]), outside, False, frames=3, lines=12)
        return "after the last line" in caplog.text

    assert not warns(2, 11, 41)
    assert warns(60, 110, 1200)
    assert warns(20, 0, 120)
