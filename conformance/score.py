"""Compare another program's hit list with the expected one, and name what it does differently.

``python -m conformance.score EXPECTED FOUND`` takes `.npy`, `.npz` or `.csv` files with columns x, y, toa and tot
(tot may be absent). Times are in ticks of 25/96 ns, or in the unit that ``--unit`` names. NumPy only.
"""

import argparse
import csv
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

__all__ = ["UNITS", "Score", "compare_hits", "compare_rows", "read_hits"]

UNITS = {"ticks": 1.0, "1.5625ns": 6.0, "25ns": 96.0, "ns": 96 / 25, "us": 96_000 / 25, "s": 96e9 / 25}
"""Ticks of 25/96 ns in each unit of time."""

_COLUMNS = ("x", "y", "toa", "tot")
_NAMES = {"t": "toa", "time": "toa", "ToT": "tot", "ToA": "toa", "toa_ns": "toa"}
_PERIOD = (1 << 30) * 96
_PLACES = {
    "axes swapped": lambda x, y, w, h: (y, x),
    "mirrored left to right": lambda x, y, w, h: (w - 1 - x, y),
    "mirrored top to bottom": lambda x, y, w, h: (x, h - 1 - y),
    "turned by 180 degrees": lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    "turned by 90 degrees": lambda x, y, w, h: (y, w - 1 - x),
    "turned by 270 degrees": lambda x, y, w, h: (h - 1 - y, x),
    "axes swapped and turned by 180 degrees": lambda x, y, w, h: (h - 1 - y, w - 1 - x),
}
"""What another program may have done to the coordinates."""


@dataclass
class Score:
    """What a comparison found.

    Attributes
    ----------
    passed : bool
        The same hits, in any order.
    says : list of str
        What is different, the largest first; "equal" if nothing is.
    """

    passed: bool
    says: list = field(default_factory=list)

    def __str__(self):
        return "; ".join(self.says)


def read_hits(path, unit="ticks"):
    """Columns x, y, toa (ticks) and tot (None if absent) of a `.npy`, `.npz` or `.csv` file."""
    path = Path(path)
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = list(csv.reader(file))
        table = dict(zip(rows[0], np.array(rows[1:], float).T)) if len(rows) > 1 else dict.fromkeys(rows[0], ())
    else:
        loaded = np.load(path)
        table = {name: loaded[name] for name in getattr(loaded, "files", None) or loaded.dtype.names}
    table = {_NAMES.get(name.strip(), name.strip()): column for name, column in table.items()}
    missing = {"x", "y", "toa"} - set(table)
    if missing:
        raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; found {', '.join(table)}.")
    return columns_of(table, unit)


def columns_of(table, unit="ticks"):
    """The four columns of any table of hits, as integers and ticks."""
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r} is not valid: must be one of {', '.join(UNITS)}.")
    toa = np.asarray(table["toa"])
    if unit == "ticks" and toa.dtype.kind in "iu":
        toa = toa.astype(np.int64)
    elif toa.dtype.kind in "iu" and UNITS[unit].is_integer():
        toa = toa.astype(np.int64) * int(UNITS[unit])
    else:
        toa = np.rint(toa.astype(np.float64) * UNITS[unit]).astype(np.int64)
    tot = table.get("tot") if isinstance(table, dict) else table["tot"]
    whole = [np.asarray(table[name]).astype(np.int64) for name in ("x", "y")]
    return {"x": whole[0], "y": whole[1], "toa": toa, "tot": None if tot is None else np.asarray(tot).astype(np.int64)}


def compare_hits(expected, found, shape, unit="ticks"):
    """Compare two lists of hits.

    Parameters
    ----------
    expected : numpy.ndarray or dict
        x, y, toa in ticks, tot; in order of time.
    found : numpy.ndarray or dict
        The same; toa in `unit`, tot may be None.
    shape : tuple of int
        Detector ``(height, width)``.
    unit : str
        One of `UNITS`.

    Returns
    -------
    Score
    """
    true, other = columns_of(expected), columns_of(found, unit)
    says = []
    if other["tot"] is None:
        says.append("no time over threshold")
        true = {**true, "tot": np.zeros_like(true["tot"])}
        other["tot"] = np.zeros_like(other["toa"])
    if _same(true, other):
        in_order = bool(np.all(np.diff(other["toa"]) >= 0)) or not np.all(np.diff(true["toa"]) >= 0)
        says.append("equal" if in_order else "equal but for the order")
        return Score(True, says)
    if not len(other["toa"]):
        return Score(False, [*says, f"all {len(true['toa']):,} hits are missing"])
    best = _best_explanation(true, other, shape)
    if best is None:
        return Score(
            False, [*says, f"nothing in common: {len(true['toa']):,} hits expected, {len(other['toa']):,} found"]
        )
    names, missing, extra = best
    says += names
    if missing:
        says.append(f"{missing:,} of {len(true['toa']):,} hits missing")
    if extra:
        says.append(f"{extra:,} {_hits(extra)} not in the file")
    return Score(False, says)


def _packed(hits):
    """All hits as one structured array, sorted."""
    out = np.zeros(len(hits["toa"]), [(name, "<i8") for name in _COLUMNS])
    for name in _COLUMNS:
        out[name] = hits[name]
    return np.sort(out, order=("toa", "y", "x", "tot"))


def _same(a, b):
    return len(a["toa"]) == len(b["toa"]) and np.array_equal(_packed(a), _packed(b))


def _left_over(predicted, other):
    """Hits that only one of the lists has, each as often as it has more of it."""
    both, inverse = np.unique(np.concatenate([_packed(predicted), _packed(other)]), return_inverse=True)
    n = len(predicted["toa"])
    difference = np.bincount(inverse[:n], minlength=len(both)) - np.bincount(inverse[n:], minlength=len(both))
    return int(difference[difference > 0].sum()), int(-difference[difference < 0].sum())


def _best_explanation(true, other, shape):
    """Names of the deviation that leaves the fewest hits over, and the hits missing and extra; None for nothing."""
    best, fewest = None, 0.8 * (len(true["toa"]) + len(other["toa"]))
    for names, predicted, against in _explanations(true, other, shape):
        missing, extra = _left_over(predicted, against)
        # the simplest of several equal explanations comes first
        if missing + extra < fewest:
            best, fewest = (names, missing, extra), missing + extra
        if not fewest:
            break
    return best


def _explanations(true, other, shape):
    """Every deviation that is known: its names, the hits it would give, and what to compare them with."""
    for place_name, place in _placements(shape):
        x, y = place(true["x"], true["y"])
        placed = {**true, "x": x, "y": y}
        for tot_name, candidate, against in _tots(placed, other):
            for time_name, toa in _times(candidate, against):
                names = [text for text in (place_name, tot_name, time_name) if text]
                yield names, {**candidate, "toa": toa}, against


def _tots(true, other):
    """What may have been done to the times over threshold."""
    yield "", true, other
    if np.any(other["tot"]):
        yield "time over threshold in ns", {**true, "tot": 25 * true["tot"]}, other
    # compared without it: both lists get the same value
    yield "another time over threshold", *({**hits, "tot": 0 * hits["tot"]} for hits in (true, other))


def _placements(shape):
    """What may have been done to the coordinates: nothing, a turn, or another gap between the chips of a quad."""
    height, width = shape
    yield "", lambda x, y: (x, y)
    for name, place in _PLACES.items():
        yield name, lambda x, y, place=place: place(x, y, width, height)
    gap = width - 512
    if width == height and gap in (0, 2, 4):
        for other in {0, 2, 4} - {gap}:
            step = other - gap
            half = 256 + gap // 2

            def moved(x, y, step=step, half=half):
                return x + step * (x >= half), y + step * (y >= half)

            side = 512 + other
            yield f"gap of {other} pixels in place of {gap}", moved
            for name, place in _PLACES.items():
                yield (
                    f"gap of {other} pixels in place of {gap}, {name}",
                    lambda x, y, moved=moved, place=place, side=side: place(*moved(x, y), side, side),
                )


def _times(candidate, other):
    """What may have been done to the times: a name, and the times that follow."""
    yield "", candidate["toa"]
    pairs = _paired(candidate, other)
    if pairs is None:
        return
    i, j = pairs
    found = other["toa"][j]
    yield from _clocks(candidate, candidate["toa"], i, found)
    turns = np.rint((found - candidate["toa"][i]) / _PERIOD).astype(np.int64)
    n_turned = int(np.count_nonzero(turns))
    if n_turned and len(np.unique(turns)) > 1:
        toa = candidate["toa"].copy()
        toa[i] += turns * _PERIOD
        name = f"{n_turned:,} {_hits(n_turned)} in another turn of the clock (26.8 s)"
        for other_name, times in (("", toa), *_clocks(candidate, toa, i, found)):
            yield ", ".join(text for text in (name, other_name) if text), times


def _clocks(candidate, toa, which, found):
    """Times after one change of the clock; `found` is known of some hits."""
    coarse = -(-toa // 96) * 96
    bases = {
        "": toa,
        "fine time (FToA) dropped": coarse,
        "fine time (FToA) added in place of subtracted": coarse + (coarse - toa),
        "rollovers not followed": toa % _PERIOD,
        "rollovers not followed and fine time (FToA) dropped": coarse % _PERIOD,
        "times as multiples of 1 ns, cut": toa * 25 // 96 * 96 // 25,
    }
    for name, base in bases.items():
        if name and np.array_equal(base, toa):
            continue
        offset = _mode(found - base[which])
        yield ", ".join(text for text in (name, _offset_name(offset)) if text), base + offset
    yield from _phases(candidate, toa, which, found - toa[which])


def _hits(n):
    return "hit" if n == 1 else "hits"


def _phases(candidate, toa, which, difference):
    """Times with a phase that depends on the column alone, and rounded ones; `difference` is known of some hits."""
    most = np.abs(difference).max()
    if not most or most > 200:
        return
    for axis, name in (("x", "column"), ("y", "row")):
        place = candidate[axis]
        phase = np.zeros(int(place.max()) + 1, np.int64)
        for number in np.unique(place[which]):
            phase[number] = _mode(difference[place[which] == number])
        found = phase[place[which]]
        if len(np.unique(found)) > 2:
            yield (
                f"a phase by {name}, {found.min() / 6:g} to {found.max() / 6:g} steps of 1.5625 ns",
                toa + phase[place],
            )
    if most <= 8:
        near = toa.copy()
        near[which] += difference
        yield f"times rounded by up to {most * 25 / 96:.2f} ns", near


def _offset_name(offset):
    ns = offset * 25 / 96
    if offset == 0:
        return ""
    if offset == 90:
        return "later by a constant 23.4375 ns (15 - FToA in place of -FToA)"
    amount = f"{abs(ns) / 1e9:.9g} s" if abs(ns) >= 1e6 else f"{abs(ns):.6g} ns"
    return f"{'later' if ns > 0 else 'earlier'} by a constant {amount}"


def _paired(a, b):
    """Indices of hits that can be nothing but the same hit: pixel and time over threshold are unique in both lists."""
    keys = [(hits["x"] << 40) + (hits["y"] << 20) + np.minimum(hits["tot"], (1 << 20) - 1) for hits in (a, b)]
    unique = []
    for key in keys:
        _, first, n = np.unique(key, return_index=True, return_counts=True)
        unique.append(first[n == 1])
    _, i, j = np.intersect1d(keys[0][unique[0]], keys[1][unique[1]], return_indices=True)
    return None if not len(i) else (unique[0][i], unique[1][j])


def _mode(values):
    numbers, n = np.unique(values, return_counts=True)
    return int(numbers[np.argmax(n)])


def compare_rows(expected, found, sig_shape):
    """Compare frames.

    Parameters
    ----------
    expected : tuple of numpy.ndarray
        indptr, indices, values.
    found : tuple of numpy.ndarray, or numpy.ndarray
        The same, in any order within a row and with pixels named twice, or dense frames ``(positions, y, x)``.
    sig_shape : tuple of int

    Returns
    -------
    Score
    """
    n_rows, size = len(expected[0]) - 1, int(np.prod(sig_shape))
    if not isinstance(found, tuple):
        flat = np.asarray(found).reshape(-1, int(np.prod(np.shape(found)[-2:])))
        if np.shape(found)[-2:] != tuple(sig_shape):
            return Score(False, [f"frames of {np.shape(found)[-2:]} in place of {tuple(sig_shape)} pixels"])
        row, indices = np.nonzero(flat)
        found = np.searchsorted(row, np.arange(len(flat) + 1)), indices, flat[row, indices]
    if len(found[0]) - 1 != n_rows:
        return Score(False, [f"{len(found[0]) - 1:,} frames in place of {n_rows:,}"])
    (key, values), (other_key, other) = (_entries(*csr, size) for csr in (expected, found))
    if np.array_equal(key, other_key) and np.array_equal(values, other):
        return Score(True, ["equal"])
    return Score(False, _rows_differ(key, values, other_key, other, sig_shape, n_rows))


def _entries(indptr, indices, values, size):
    """Entries as ``row * size + pixel`` in ascending order, each once and without zeros."""
    row = np.repeat(np.arange(len(indptr) - 1, dtype=np.int64), np.diff(np.asarray(indptr, np.int64)))
    key, which = np.unique(row * size + np.asarray(indices, np.int64), return_inverse=True)
    total = np.zeros(len(key), np.result_type(values, np.int64) if values.dtype.kind in "iu" else np.float64)
    np.add.at(total, which, values)
    return key[total != 0], total[total != 0]


def _rows_differ(key, values, other_key, other, sig_shape, n_rows):
    height, width = sig_shape
    size = height * width
    row, pixel = np.divmod(key, size)
    y, x = np.divmod(pixel, width)
    if height == width and _same_entries(row * size + x * width + y, values, other_key, other):
        return ["axes of the detector swapped"]
    shift = _shift(row, n_rows, other_key // size)
    if shift and _same_entries(np.clip(row + shift, 0, n_rows - 1) * size + pixel, values, other_key, other):
        return [f"frames shifted by {shift:+,} positions"]
    says = []
    if np.array_equal(key, other_key):
        says.append(f"{int((values != other).sum()):,} of {len(key):,} values differ")
    else:
        total, other_total = values.sum(), other.sum()
        moved = 1 - len(np.intersect1d(key, other_key)) / max(len(key), 1)
        says.append(f"{moved:.0%} of the entries elsewhere or missing")
        if total != other_total:
            says.append(f"sum {other_total:,} in place of {total:,}")
    return says


def _same_entries(key, values, other_key, other):
    order = np.argsort(key, kind="stable")
    return np.array_equal(key[order], other_key) and np.array_equal(values[order], other)


def _shift(row, n_rows, other_row):
    """Positions by which most frames have moved, by the counts of entries."""
    a, b = (np.bincount(r, minlength=n_rows)[:n_rows] for r in (row, other_row))
    best = min(range(-n_rows + 1, n_rows), key=lambda s: (np.abs(_moved(a, s) - b).sum(), abs(s)), default=0)
    return int(best)


def _moved(a, s):
    out = np.zeros_like(a)
    if s >= 0:
        out[s:] = a[: len(a) - s]
    else:
        out[:s] = a[-s:]
    return out


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m conformance.score", description=__doc__.splitlines()[0])
    parser.add_argument("expected", help="NAME.hits.npy of the kit")
    parser.add_argument("found", help="columns x, y, toa, tot as .csv, .npz or .npy")
    parser.add_argument("--unit", default="ticks", choices=UNITS, help="of toa in FOUND")
    parser.add_argument("--shape", default="512,512", help="detector height,width (default: 512,512)")
    options = parser.parse_args(arguments)
    shape = tuple(int(n) for n in options.shape.split(","))
    score = compare_hits(read_hits(options.expected), read_hits(options.found, options.unit), shape)
    print(score)
    return 0 if score.passed else 1


if __name__ == "__main__":
    sys.exit(main())
