"""Files about pixels: masks of Serval, and calibrations of Pixet."""

import base64
import io
from collections import Counter
from pathlib import Path

import numpy as np

from rsciio_tpx3.recording import open_recording
from tests.fuzz.case import Target, Verdict
from tests.fuzz.mutate import change_bytes, change_text, some
from tests.fuzz.targets.making import recording

__all__ = ["PixelFiles"]


_VALUES = {
    b"@" + k.encode(): base64.b64encode(np.full(65536, v).tobytes()) for k, v in zip("abct", (1.0, 5.0, 1.0, 0.5))
}
"""The long values of a calibration, and short signs for them: damage is to meet what stands between them as well."""


def _xml():
    parts = b"".join(b"<calib%s>%s</calib%s>" % (sign[1:], value, sign[1:]) for sign, value in _VALUES.items())
    return b'<?xml version="1.0"?><xml><J01-W0001>' + parts + b"</J01-W0001></xml>"


def _change_structure(rng, content):
    for sign, value in _VALUES.items():
        content = content.replace(value, sign)
    content = change_text(rng, content)
    for sign, value in _VALUES.items():
        content = content.replace(sign, value, 2)
    return content


class PixelFiles(Target):
    """A mask or a calibration may take hits away; it never adds one, or moves one."""

    name = "pixel-files"
    plain_errors = False

    def seeds(self):
        mask = np.zeros(65536, np.uint8)
        mask[::997] = 31
        table = "\n".join(" ".join(map(str, row)) for row in (mask.reshape(256, 256) > 0).astype(int)).encode()
        array = io.BytesIO()
        np.save(array, mask.reshape(256, 256) > 0)
        named = {"m.bpc": mask.tobytes(), "m.txt": table, "m.npy": array.getvalue(), "e.xml": _xml()}
        return [{"a.tpx3": recording(), name: content} for name, content in named.items()]

    def mutate(self, rng, files):
        changes = (change_bytes, change_text, _change_structure, _change_structure) if "e.xml" in files else ()
        change = change_bytes if "m.bpc" in files else some(rng, changes or (change_bytes, change_text))
        return {n: c if n == "a.tpx3" else change(rng, c) for n, c in files.items()}

    def read(self, folder):
        [path] = [p for p in Path(folder).iterdir() if p.name != "a.tpx3"]
        corrections = {"energy" if path.suffix == ".xml" else "mask": str(path)}
        options = {"layout": "single", "show_progressbar": False}
        source, *_ = open_recording(Path(folder) / "a.tpx3", {**options, "corrections": corrections})
        plain, *_ = open_recording(Path(folder) / "a.tpx3", options)
        return [Counter(zip(h.pixel.tolist(), h.toa.tolist())) for h in (source.hits(), plain.hits())]

    def judge(self, found, files, seed):
        invented = found[0] - found[1]
        return Verdict("silent", f"{invented.total()} hits that were not there") if invented else Verdict("equal")
