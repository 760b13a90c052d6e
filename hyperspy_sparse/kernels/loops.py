"""The loops of the kernels, compiled by Numba; plain arrays in, results written to `out`."""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = [
    "center_of_mass",
    "center_of_mass_of_bytes",
    "first_pixels_without",
    "first_rows_without",
    "label_sums",
    "line_point",
    "ring_moments",
    "ring_pairs",
    "times_columns",
    "times_rows",
    "update_factors",
    "weighted_means",
    "weighted_sums",
]

_jit = njit(nogil=True, cache=True, error_model="numpy")


@_jit
def label_sums(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, labels: np.ndarray, scratch: np.ndarray, out: np.ndarray
) -> None:
    """Add each entry to ``out[row, label of its pixel]``.

    `scratch`, shape (4, labels), holds zeros. Neighbours add to different rows of it: a sum that
    had to wait for the one before it would take three times as long.
    """
    one, two, three, four = scratch[0], scratch[1], scratch[2], scratch[3]
    for row in range(indptr.size - 1):
        start, stop = indptr[row], indptr[row + 1]
        counts, pixels = data[start:stop], indices[start:stop]
        in_fours = counts.size // 4 * 4
        for entry in range(0, in_fours, 4):
            one[labels[np.uint64(pixels[entry])]] += counts[entry]
            two[labels[np.uint64(pixels[entry + 1])]] += counts[entry + 1]
            three[labels[np.uint64(pixels[entry + 2])]] += counts[entry + 2]
            four[labels[np.uint64(pixels[entry + 3])]] += counts[entry + 3]
        for entry in range(in_fours, counts.size):
            one[labels[np.uint64(pixels[entry])]] += counts[entry]
        for label in range(out.shape[1]):
            out[row, label] = one[label] + two[label] + three[label] + four[label]
            one[label], two[label], three[label], four[label] = 0, 0, 0, 0


@_jit
def weighted_sums(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    start: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    out: np.ndarray,
) -> None:
    """Product of the frames with a sparse matrix given by pixel: ``out`` is (rows, columns), and may hold anything."""
    for row in range(indptr.size - 1):
        sums = out[row]
        # Fresh memory that is read before it is written to costs two page faults, one for the system's page of zeros.
        sums[:] = 0.0
        counts = data[indptr[row] : indptr[row + 1]]
        pixels = indices[indptr[row] : indptr[row + 1]]
        for entry in range(counts.size):
            pixel = np.uint64(pixels[entry])
            value = float(counts[entry])
            for k in range(start[pixel], start[pixel + np.uint64(1)]):
                sums[column[k]] += value * weight[k]


@_jit
def weighted_means(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    start: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    divisor: float,
    out: np.ndarray,
) -> None:
    """The same, divided, for a matrix of few pixels: most of a row is nothing, and is written once."""
    n_columns = out.shape[1]
    sums, last_row = np.empty(n_columns), np.full(n_columns, -1)
    touched = np.empty(n_columns, np.int64)
    for row in range(indptr.size - 1):
        counts = data[indptr[row] : indptr[row + 1]]
        pixels = indices[indptr[row] : indptr[row + 1]]
        n = 0
        for entry in range(counts.size):
            pixel = np.uint64(pixels[entry])
            value = float(counts[entry])
            for k in range(start[pixel], start[pixel + np.uint64(1)]):
                c = column[k]
                # Not by whether the sum is zero: what was added may have cancelled.
                if last_row[c] != row:
                    last_row[c], sums[c], touched[n] = row, 0.0, c
                    n += 1
                sums[c] += value * weight[k]
        made = out[row]
        made[:] = 0.0
        for i in range(n):
            made[touched[i]] = sums[touched[i]] / divisor


COLUMNS = 2
"""Columns that `times_columns` and `times_rows` take: a second one costs little compared with the first, since it lies
next to it, and more would make steps that lead less far."""


@_jit
def times_columns(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, scale: np.ndarray, columns: np.ndarray, out: np.ndarray
) -> None:
    """Product of the frames, each times its `scale`, with ``columns`` (pixels, 2): ``out`` is (rows, 2)."""
    for row in range(indptr.size - 1):
        one, two = 0.0, 0.0  # in registers, which elements of an array are not
        for entry in range(indptr[row], indptr[row + 1]):
            value, pixel = float(data[entry]), np.uint64(indices[entry])
            one += value * columns[pixel, 0]
            two += value * columns[pixel, 1]
        out[row, 0], out[row, 1] = one * scale[row], two * scale[row]


@_jit
def times_rows(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, scale: np.ndarray, rows: np.ndarray, out: np.ndarray
) -> None:
    """Product of the turned frames, each times its `scale`, with `rows` (rows, 2), added to ``out`` (pixels, 2)."""
    for row in range(indptr.size - 1):
        one, two = rows[row, 0] * scale[row], rows[row, 1] * scale[row]
        for entry in range(indptr[row], indptr[row + 1]):
            value, pixel = float(data[entry]), np.uint64(indices[entry])
            out[pixel, 0] += value * one
            out[pixel, 1] += value * two


@_jit
def first_rows_without(
    indices: np.ndarray,
    indptr: np.ndarray,
    order: np.ndarray,
    candidates: np.ndarray,
    seen: np.ndarray,
    out: np.ndarray,
) -> None:
    """For each pixel, the first row of `order` in which it has no entry; ``out`` (pixels) holds -1 for none.

    `candidates` are all pixels, and `seen` (pixels) holds -1. After a row at most its own pixels are left, so that no
    more is done than to look at each entry twice, and far less as a rule: rows differ.
    """
    n = candidates.size
    for row in order:
        if n == 0:
            return
        for entry in range(indptr[row], indptr[row + 1]):
            seen[indices[entry]] = row
        left = 0
        for i in range(n):
            pixel = candidates[i]
            if seen[pixel] == row:
                candidates[left] = pixel
                left += 1
            else:
                out[pixel] = row
        n = left


@_jit
def first_pixels_without(
    indices: np.ndarray, indptr: np.ndarray, order: np.ndarray, seen: np.ndarray, out: np.ndarray
) -> None:
    """For each row, the first pixel of `order` of which it has no entry; ``out`` (rows) holds -1 for none.

    `seen` (pixels) holds -1.
    """
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            seen[indices[entry]] = row
        for pixel in order:
            if seen[pixel] != row:
                out[row] = pixel
                break


@_jit
def update_factors(
    products: np.ndarray,
    gram: np.ndarray,
    forget: float,
    smallest: float,
    factors: np.ndarray,
    numerators: np.ndarray,
    denominators: np.ndarray,
) -> None:
    """Update non-negative factors (pixels, n), and what they are quotients of, by the loadings of a batch.

    `products` (pixels, n) is of the turned rows with the loadings, `gram` (n, n) of the loadings with themselves.
    """
    n = gram.shape[0]
    before = np.empty(n)
    for pixel in range(factors.shape[0]):
        for k in range(n):
            before[k] = factors[pixel, k]
        for k in range(n):
            below = 0.0
            for j in range(n):
                below += gram[k, j] * before[j]
            above = forget * numerators[pixel, k] + products[pixel, k] * before[k]
            below = forget * denominators[pixel, k] + (below if below != 0 else smallest)
            numerators[pixel, k], denominators[pixel, k] = above, below
            value = above / below
            factors[pixel, k] = value if value >= 2.220446049250313e-16 else 0.0


@_jit
def line_point(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    place: np.ndarray,
    along_y: np.ndarray,
    along_x: np.ndarray,
    rounding: int,
    largest: float,
    sample: np.ndarray,
    touched: np.ndarray,
    seen: np.ndarray,
    total: np.ndarray,
    summed: np.ndarray,
    pixels: np.ndarray,
) -> int:
    """Add up the samples of one point of a line over the scan into `total`, shape (pixels,).

    `place` (y, x) has the row of each position; the samples have weights `along_y` (samples, y) and `along_x`. Each is
    rounded for itself: 0 not at all, 1 to the nearest of 0 to `largest`, 2 to the nearest of the signed integers up to
    `largest`, 3 towards zero. The other arrays are of the detector, `sample`, `touched`, `total` and `summed` with
    zeros, the first two of them after, too.
    Returns how many pixels of `total` were written to; `pixels` says which.
    """
    # The samples of a point are rounded one by one, as HyperSpy does, so they cannot be one sum over weights.
    n = 0
    for k in range(along_y.shape[0]):
        n_seen = 0
        for y in range(place.shape[0]):
            if along_y[k, y] == 0:
                continue
            for x in range(place.shape[1]):
                if along_x[k, x] == 0:
                    continue
                row = place[y, x]
                for entry in range(indptr[row], indptr[row + 1]):
                    pixel = indices[entry]
                    if not touched[pixel]:
                        touched[pixel] = True
                        # What was written to: to look for it would cost a frame for each sample.
                        seen[n_seen] = pixel
                        n_seen += 1
                    sample[pixel] += float(data[entry]) * along_y[k, y] * along_x[k, x]
        for i in range(n_seen):
            pixel = seen[i]
            value = sample[pixel]
            sample[pixel], touched[pixel] = 0.0, False
            if rounding == 1:
                value = min(np.floor(value + 0.5), largest) if value > 0 else 0.0
            elif rounding == 2:
                value = np.trunc(value + 0.5) if value > 0 else np.trunc(value - 0.5)
                value = min(max(value, -largest - 1.0), largest)
            elif rounding == 3:
                value = np.trunc(value)
            if not summed[pixel]:
                summed[pixel] = True
                pixels[n] = pixel
                n += 1
            total[pixel] += value
    return n


@_jit
def center_of_mass(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    width: int,
    weights: np.ndarray,
    threshold: float,
    n_pixels: int,
    out: np.ndarray,
) -> None:
    """First moments (x, y) of each row.

    `weights` (pixels,), or length 1 for none, multiply the counts; then entries below
    ``threshold * mean of the frame`` are dropped, where `threshold` is not NaN.
    """
    weighted = weights.size > 1
    # Multiplying is ten times faster than dividing integers; half a pixel more keeps the product
    # away from integers by far more than it is rounded.
    inverse = 1.0 / width
    for row in range(indptr.size - 1):
        start, stop = indptr[row], indptr[row + 1]
        cut = -1.0
        # Not NaN: the mean is over all pixels of the frame, and needs a pass of its own.
        if threshold == threshold:
            total = 0.0
            for entry in range(start, stop):
                value = float(data[entry])
                total += value * weights[indices[entry]] if weighted else value
            cut = total / n_pixels * threshold
        mass, along_x, along_y = 0.0, 0.0, 0.0
        for entry in range(start, stop):
            pixel = indices[entry]
            value = float(data[entry])
            if weighted:
                value *= weights[pixel]
            if threshold == threshold and value < cut:
                continue
            y = int((pixel + 0.5) * inverse)
            mass += value
            along_x += value * (pixel - y * width)
            along_y += value * y
        # NaN for a frame without entries: the error model is NumPy's, and nothing is raised.
        out[row, 0] = along_x / mass
        out[row, 1] = along_y / mass


LONGEST_SIDE = 4096
"""Rows or columns that a detector may have for `center_of_mass_of_bytes`."""

MOST_PIXELS = 2**20
"""Pixels that it may have: half a pixel more is exact in single precision, see there."""


@_jit
def center_of_mass_of_bytes(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, width: int | np.int32, out: np.ndarray
) -> None:
    """First moments (x, y) of each row of counts of one byte, exactly.

    All numbers have 32 bits, so that the processor takes many at a time. 2048 counts of at most
    255, each times a coordinate below 4096, stay below 2**32. Half a pixel more keeps the quotient
    by the width at least ``0.5 / width`` away from integers; single precision is off by
    ``height / 2**23``, less as long as there are no more than 2**20 pixels.
    """
    inverse = np.float32(1.0) / np.float32(width)
    width = np.int32(width)
    for row in range(indptr.size - 1):
        mass, along_x, along_y = 0.0, 0.0, 0.0
        for start in range(indptr[row], indptr[row + 1], 2048):
            stop = min(start + 2048, indptr[row + 1])
            counts, pixels = data[start:stop], indices[start:stop]
            part, part_x, part_y = np.uint32(0), np.uint32(0), np.uint32(0)
            for entry in range(counts.size):
                pixel, value = np.int32(pixels[entry]), np.uint32(counts[entry])
                y = np.int32((np.float32(pixel) + np.float32(0.5)) * inverse)
                x = np.int32(pixel - y * width)
                part = np.uint32(part + value)
                part_x = np.uint32(part_x + np.uint32(value * np.uint32(x)))
                part_y = np.uint32(part_y + np.uint32(value * np.uint32(y)))
            mass += part
            along_x += part_x
            along_y += part_y
        out[row, 0] = along_x / mass
        out[row, 1] = along_y / mass


@_jit
def ring_moments(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    start: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    gain: float,
    out: np.ndarray,
) -> None:
    """Add ``w n``, ``w**2 n`` and ``w n (n - 1)`` of each entry to ``out[row, 1:, column]``, n being value / gain."""
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            pixel, n = np.uint64(indices[entry]), data[entry] / gain
            for k in range(start[pixel], start[pixel + np.uint64(1)]):
                w = weight[k]
                out[row, 1, column[k]] += w * n
                out[row, 2, column[k]] += w * w * n
                out[row, 3, column[k]] += w * n * (n - 1)


_FAR = 40.0  # electrons times node: what lies beyond weighs exp(-40)


@_jit
def ring_pairs(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    start: np.ndarray,
    column: np.ndarray,
    weight: np.ndarray,
    gain: float,
    nodes: np.ndarray,
    steps: np.ndarray,
    out: np.ndarray,
) -> None:
    """What `ring_moments.ring_pairs` gives, without the area.

    With M electrons of a ring kept, each with chance w, ``1 / (M (M - 1))`` for a pair that is kept is the integral
    over s from 0 to 1 of s times the product over all others of ``1 - w s``: the lots need not be drawn.
    """
    n_columns, n_nodes = out.shape[2], nodes.size
    expected, whole = np.empty(n_columns), np.empty(n_columns)
    nobody, single, pairs = np.empty(n_columns), np.empty(n_columns), np.empty(n_columns, np.bool_)
    product, inner = np.empty((n_columns, n_nodes)), np.empty((n_columns, n_nodes))
    for row in range(indptr.size - 1):
        # First pass: electrons expected in each ring, and the chance that none, or one, is kept.
        expected[:], whole[:], nobody[:], single[:], pairs[:] = 0.0, 0.0, 1.0, 0.0, False
        for entry in range(indptr[row], indptr[row + 1]):
            pixel, n = np.uint64(indices[entry]), data[entry] / gain
            for k in range(start[pixel], start[pixel + np.uint64(1)]):
                w, c = weight[k], column[k]
                expected[c] += w * n
                # Those that are certainly kept are counted apart: 1 - w, a divisor below, is zero for them.
                if w > 1 - 1e-9:
                    whole[c] += n
                else:
                    nobody[c] *= (1 - w) ** n
                    single[c] += n * w / (1 - w)
                # A pair is of electrons in one pixel.
                if n > 1:
                    pairs[c] = True
        any_pairs = False
        for c in range(n_columns):
            if pairs[c]:
                any_pairs = True
                product[c], inner[c] = 1.0, 0.0
            # chance that at least two are kept
            missing = nobody[c] * (1 + single[c]) if whole[c] == 0 else nobody[c] if whole[c] == 1 else 0.0
            out[row, 1, c] = max(1 - missing, 0.0) if whole[c] + single[c] > 0 else 0.0
        if not any_pairs:
            continue
        for entry in range(indptr[row], indptr[row + 1]):
            # Second pass: the integrand at the nodes, in rings that have pairs.
            pixel, n = np.uint64(indices[entry]), data[entry] / gain
            for k in range(start[pixel], start[pixel + np.uint64(1)]):
                w, c = weight[k], column[k]
                # A single electron that is certainly kept is in no pair, and its factor comes at the end.
                if not pairs[c] or (w > 1 - 1e-9 and n <= 1):
                    continue
                w, width = min(w, 1.0), min(1.0, _FAR / expected[c])
                for i in range(n_nodes):
                    rest = 1 - w * width * (nodes[i] + 0.5)
                    if w <= 1 - 1e-9:
                        product[c, i] *= rest**n
                    if n > 1:
                        inner[c, i] += w * n * (n - 1) / (rest * rest)
        for c in range(n_columns):
            if pairs[c]:
                width = min(1.0, _FAR / expected[c])
                for i in range(n_nodes):
                    # The factors of all that are certainly kept, as one power.
                    s = width * (nodes[i] + 0.5)
                    out[row, 0, c] += width * steps[i] * s * product[c, i] * (1 - s) ** whole[c] * inner[c, i]
