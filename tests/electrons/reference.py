"""Clusters by the definition: the explicit graph of all pairs, and sums in Python integers."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


def reference_labels(pixel, toa, width, corners, window, gaps=lambda row: row):
    """Number of clusters, and the cluster of each hit."""
    pixel = pixel.astype(np.int64)
    dy, dx = (np.abs(np.subtract.outer(gaps(c), gaps(c))) for c in np.divmod(pixel, width))
    near = np.maximum(dy, dx) <= 1 if corners else dy + dx <= 1
    joined = near & (np.abs(np.subtract.outer(toa, toa)) <= window)
    return connected_components(coo_array(joined), directed=False)


def reference_electrons(pixel, toa, tot, width, options, start=None, stop=None, gaps=lambda row: row):
    """Sorted list of (time, pixel, summed ToT, size) of the electrons of a span of time."""
    order = np.lexsort((tot, pixel, toa))
    pixel, toa, tot = pixel[order].astype(np.int64), toa[order], tot[order].astype(np.int64)
    y, x = np.divmod(pixel, width)
    n, label = reference_labels(pixel, toa, width, options.neighbours == 8, options.window, gaps)
    found = []
    for cluster in range(n):
        own = np.flatnonzero(label == cluster)
        if toa[own].max() - toa[own].min() > options.max_duration:
            continue
        first = own[toa[own] == toa[own].min()]
        earliest, largest = first[np.argmax(tot[first])], own[np.argmax(tot[own])]
        time = int(toa[earliest if options.time == "earliest" else largest])
        total = int(tot[own].sum())
        if (start is not None and time < start) or (stop is not None and time >= stop):
            continue
        if len(own) < options.min_size or len(own) > (options.max_size or np.inf):
            continue
        if total < options.min_tot or total > (options.max_tot or np.inf):
            continue
        place = _place(options, y, x, tot, own, earliest, largest, total, width)
        found.append((time, place, total, len(own)))
    return sorted(found)


def _place(options, y, x, tot, own, earliest, largest, total, width):
    if options.position != "centroid":
        chosen = earliest if options.position == "earliest" else largest
        return int(y[chosen] * width + x[chosen])
    fine = options.upsample
    if total == 0:
        return int((y[earliest] * fine + fine // 2) * width * fine + x[earliest] * fine + fine // 2)
    row, column = ((2 * int((c[own] * tot[own]).sum()) + total) * fine // (2 * total) for c in (y, x))
    return row * width * fine + column
