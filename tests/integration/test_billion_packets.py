"""A recording of 10^9 packets: 8 GB on the disk, some minutes. Skipped unless RSCIIO_TPX3_PACKETS=1e9 asks for it.

Any number may be asked for. Results are compared with what was written, and the memory with a bound that does not
depend on the length of the recording.
"""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PACKETS = int(float(os.environ.get("RSCIIO_TPX3_PACKETS", "0")))
NAV, DIFFERENT = (512, 512), 32
MOST_MIB = 700  # beyond the imports: blocks of two threads, and tables of a recording of ten times the length

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PACKETS == 0, reason="RSCIIO_TPX3_PACKETS=1e9 asks for it: 8 GB on the disk, and minutes"),
    pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="benchmarks are in the repository only"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc"),
]

_STEPS = """
import sys, warnings
warnings.simplefilter("ignore")
import hyperspy.api as hs, numpy as np, hyperspy_sparse, pyxem.signals
from benchmarks.measure import peak_memory
hs.preferences.General.show_progressbar = False

def steps(path, shape):
    s = hs.load(path, navigation_shape=shape, lazy=True, cache=False, progress=False)
    pattern = np.asarray(s.sum(axis=(0, 1)).data.compute())
    counts = np.asarray(s.sum(axis=(2, 3)).data.compute())
    image = np.asarray(s.get_integrated_intensity(hs.roi.CircleROI(256, 256, 60, 20)).data.compute())
    hits = s.metadata.Acquisition_instrument.TEM.Scan.hits_total
    return pattern, counts, image, hits

steps(sys.argv[2], (32, 32))  # compiled and imported
before = peak_memory()
pattern, counts, image, hits = steps(sys.argv[1], (512, 512))
np.savez(sys.argv[3], pattern=pattern, counts=counts, image=image)
result = [int(hits), peak_memory() - before]
"""


def test_open_sum_and_detector_of_a_billion_packets_in_bounded_memory(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import recordings
    from benchmarks.measure import fresh

    if 9 * PACKETS > shutil.disk_usage(tmp_path).free:
        pytest.skip(f"the disk has no room for {8 * PACKETS / 1e9:.0f} GB")
    path = recordings.write(tmp_path / "large.tpx3", PACKETS, NAV, different=DIFFERENT)
    small = recordings.write(tmp_path / "small.tpx3", 10**5, (32, 32))
    try:
        environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        (hits, peak), _ = fresh(_STEPS, path, small, tmp_path / "found.npz", environment=environment)
    finally:
        os.remove(path)
    per_line = PACKETS // NAV[0]
    assert hits == per_line * NAV[0]
    with np.load(tmp_path / "found.npz") as found:
        counts, pattern, image = found["counts"], found["pattern"], found["image"]
    assert counts.sum() == pattern.sum()
    # lines that were written again have the same counts as the first ones, in every period of the clock
    assert (counts == counts[np.arange(NAV[0]) % DIFFERENT]).all()
    assert (image == image[np.arange(NAV[0]) % DIFFERENT]).all()
    y, x = np.mgrid[:512, :512] - 256
    ring = (np.hypot(y, x) > 20) & (np.hypot(y, x) <= 60)
    assert image.sum() == pytest.approx(pattern[ring].sum(), rel=0.03)  # the border of the ring is HyperSpy's
    assert peak < MOST_MIB
