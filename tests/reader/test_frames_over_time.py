"""Kind: an axis that counts from what happens to be first; a moment has one value on the axis of frames over time."""

import numpy as np
import pytest

from rsciio_tpx3.events import packets
from rsciio_tpx3.events.clock import TICKS_PER_SECOND as S
from rsciio_tpx3.tpx3 import file_reader

FRAME = 1e-3  # s


def _read(path, ticks, pixels):
    words = packets.encode_hits(pixels, ticks, np.full(len(ticks), 20))
    with open(path, "wb") as file:
        for begin in range(0, len(words), 100):
            part = words[begin : begin + 100]
            file.write(packets.encode_header(0, len(part)).tobytes() + part.tobytes())
    [signal] = file_reader(str(path), signal="frames", frame_time="1 ms", cache=False, show_progressbar=False)
    return signal["axes"][0], signal["data"].compute(scheduler="sync")


@pytest.mark.parametrize("lost", [0, 1, 7, 60, 150])
@pytest.mark.parametrize("begin", [0.0002, 3.21])
def test_a_moment_has_the_same_time_whether_or_not_the_first_hits_were_lost(tmp_path, begin, lost):
    seconds = begin + np.sort(np.random.default_rng(lost).uniform(0, 0.02, 300))
    ticks = np.round(seconds * S).astype(np.int64) // 6 * 6
    pixels = np.arange(300)
    axis, frames = _read(tmp_path / "a.tpx3", ticks[lost:], pixels[lost:])
    assert (axis["name"], axis["units"], axis["navigate"]) == ("time", "s", True)
    assert axis["scale"] == pytest.approx(FRAME) and axis["offset"] == pytest.approx(ticks[lost] / S, abs=2e-9)
    rows, places = frames.to_scipy().nonzero()
    found = np.full(300, -1)
    found[places] = rows
    assert (found[:lost] == -1).all() and (found[lost:] >= 0).all()
    slice_begins = axis["offset"] + found[lost:] * axis["scale"]
    apart = ticks[lost:] / S - slice_begins
    assert (apart > -1e-8).all() and (apart < FRAME + 1e-8).all()
