"""tpx3awkward: hits. It takes a file as words, and every detector for a quad of 512 x 512 pixels."""

from importlib import metadata

import numpy as np

from conformance.cases import NotOffered

__all__ = ["FORMATS", "hits", "version"]

FORMATS = ("tpx3",)


def version():
    return f"tpx3awkward {metadata.version('tpx3awkward')}"


def hits(case):
    from tpx3awkward.processing.decoding import decode_tpx3_binary

    about = case.about
    if about["layout"] == "quad" and about["gap"]:
        raise NotOffered("hits have no gap between the chips")
    # files are whole words for it; several are one after the other
    content = b"".join(path.read_bytes() for path in case.paths)
    words = np.frombuffer(content[: len(content) // 8 * 8], "<u8")
    table = decode_tpx3_binary(words)
    table = table[0] if isinstance(table, tuple) else table
    x, y, t, tot = (table[name].to_numpy() for name in ("x", "y", "t", "ToT"))
    # chip 0 of a quad begins at column 256; its time over threshold is in ns
    x = x.astype(np.int64) - (256 if about["layout"] == "single" else 0)
    return {"x": x, "y": y, "toa": t.astype(np.int64), "tot": tot // 25, "unit": "1.5625ns"}
