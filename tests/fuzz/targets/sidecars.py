"""What lies next to a recording: text of every kind that is looked for."""

import hashlib
import tempfile
from pathlib import Path

import numpy as np

from rsciio_tpx3.raw_csr import file_writer
from rsciio_tpx3.tpx3 import file_reader
from tests.fuzz.case import Target, Verdict, compare_dense
from tests.fuzz.mutate import change_text
from tests.fuzz.targets.making import NAV, recording

__all__ = ["Sidecars"]

_EXAMPLES = Path(__file__).resolve().parents[2] / "metadata" / "sidecars"
_NEXT_TO = {
    "serval3.json": "a.json",
    "serval4.json": "a.tpx3.json",
    "tp3_tools.json": "a.json",
    "comment.txt": "comment.txt",
    "hand.metadata.toml": "a.metadata.toml",
}
_YAML = b"""beam_energy: 200 keV
camera_length: 100 mm
convergence_angle: 20 mrad
scan_step: [0.1 nm, 0.1 nm]
center: [120 px, 130 px]
sample: &name {name: "gold", thickness_um: 3.5}
again: *name
notes: [1, 2, {a: b}]
"""
_JSON = b"""{"beam_energy": "300 kV", "probe_current": "5 pA", "scan_rotation": "12 deg",
 "dwell_time": "5 us", "x": {"y": [1, null, true]}}"""


class Sidecars(Target):
    """The recording is whole; whatever lies next to it, its frames stay the same, or the reason is said."""

    name = "sidecars"

    def seeds(self):
        main = recording()
        texts = [(name, (_EXAMPLES / example).read_bytes()) for example, name in _NEXT_TO.items()]
        texts += [("a.metadata.yaml", _YAML), ("a.metadata.json", _JSON)]
        return [{"a.tpx3": main, name: content} for name, content in texts]

    def mutate(self, rng, files):
        return {n: c if n == "a.tpx3" else change_text(rng, c) for n, c in files.items()}

    def read(self, folder):
        folder = Path(folder)
        options = {
            "navigation_shape": NAV[::-1],
            "dwell_time": "5 us",
            "layout": "single",
            "orientation": "up",
            "gap": 0,
        }
        [signal] = file_reader(folder / "a.tpx3", lazy=True, cache=False, show_progressbar=False, **options)
        content = b"".join(p.read_bytes() for p in sorted(folder.iterdir()))
        if hashlib.blake2b(content).digest()[0] < 64:  # the way out as well, for a quarter of them
            file_writer(str(folder / "out.toml"), signal, show_progressbar=False)
        return _summed(signal["data"])

    def judge(self, found, files, seed):
        wanted = _truth()
        return compare_dense(found, wanted) if wanted is not None else Verdict("equal")


def _summed(data):
    """Counts per position, and the sum pattern, behind each other."""
    sparse = data.compute()
    over_signal = np.asarray(sparse.sum(axis=(-2, -1))).ravel()
    return np.concatenate([over_signal, np.asarray(sparse.sum(axis=(0, 1))).ravel()]).astype(np.int64)


_known = []


def _truth():
    """The same of the recording with nothing next to it."""
    if not _known:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.tpx3"
            path.write_bytes(recording())
            [signal] = file_reader(
                path, navigation_shape=NAV[::-1], layout="single", lazy=True, cache=False, show_progressbar=False
            )
            _known.append(_summed(signal["data"]))
    return _known[0]
