"""Advacam hit lists as Pixet writes them, from columns of hits."""

import numpy as np

HEADER = "Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n"
RECORD = np.dtype([("pixel", "<u4"), ("toa", "<u8"), ("overflow", "u1"), ("ftoa", "u1"), ("tot", "<u2")])
OLD_RECORD = np.dtype([(n, "<u4" if n == "toa" else RECORD[n]) for n in RECORD.names])


def hits(n=500, seed=0, width=256, last=200_000, wrap=None):
    """Columns in nearly ascending time."""
    rng = np.random.default_rng(seed)
    toa = np.sort(rng.integers(0, last, n))
    swap = rng.integers(0, n - 1, n // 5)
    toa[swap], toa[swap + 1] = toa[swap + 1].copy(), toa[swap].copy()
    columns = {
        "pixel": rng.integers(0, width * width, n),
        "toa": toa,
        "tot": rng.integers(1, 1024, n),
        "ftoa": rng.integers(0, 31, n),
    }
    columns["written"] = toa if wrap is None else toa % (1 << wrap)
    return columns


def write_text(path, c, header=HEADER, parted="\t", ending="\n", columns=6, extra=()):
    rows = [
        (i, p, a, t, f, 0) if columns == 6 else (p, a, t)
        for i, (p, a, t, f) in enumerate(zip(c["pixel"], c["written"], c["tot"], c["ftoa"]))
    ]
    for place, row in extra:
        rows.insert(place, row)
    text = header + "".join(parted.join(map(str, row)) + "\n" for row in rows)
    path.write_bytes(text.replace("\n", ending).encode())
    return path


def write_binary(path, c, dtype=RECORD):
    out = np.zeros(len(c["toa"]), dtype)
    out["pixel"], out["toa"], out["tot"], out["ftoa"] = c["pixel"], c["written"], c["tot"], c["ftoa"]
    out.tofile(path)
    return path


def expected_ticks(c, ftoa=True):
    return 96 * c["toa"] - (6 * c["ftoa"] if ftoa else 0)
