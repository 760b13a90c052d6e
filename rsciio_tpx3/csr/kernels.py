"""Loops over the three CSR arrays that NumPy has no fast word for.

Every function takes plain arrays (counts `data`, pixel numbers `indices`, row starts `indptr` of
type int64), writes into arrays that the caller made, and releases the GIL, so dask's threads run
them side by side. Numba compiles each once per combination of types and keeps the result on disk.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = [
    "align_rows",
    "crop_rows",
    "fill_dense",
    "max_columns",
    "max_counts",
    "max_rows",
    "max_values",
    "merge_rows",
    "min_columns",
    "min_rows",
    "powers_columns",
    "powers_rows",
    "row_numbers",
    "sort_rows",
    "squares_columns",
    "squares_rows",
    "sum_columns",
    "sum_lines",
    "sum_rows",
    "sum_rows_of_floats",
    "sum_spans",
    "weighted_columns",
    "weighted_rows",
]

_jit = njit(nogil=True, cache=True, error_model="numpy")


@_jit
def fill_dense(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    """Write the rows into `out`, shape (rows, pixels), which holds zeros."""
    for row in range(indptr.size - 1):
        frame = out[row]
        for entry in range(indptr[row], indptr[row + 1]):
            frame[indices[entry]] = data[entry]


@_jit
def row_numbers(indptr: np.ndarray, out: np.ndarray) -> None:
    """Write the row of every entry into `out`, shape (entries,)."""
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            out[entry] = row


@_jit
def sum_columns(data: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """Add every entry to its pixel of `out`, shape (pixels,).

    The smaller the type of `out`, the more of it stays in the cache, and that decides the speed.
    """
    for entry in range(data.size):
        # An index without a sign needs no look whether it counts from the end.
        out[np.uint64(indices[entry])] += data[entry]


@_jit
def sum_rows_of_floats(data: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    """Add up each row of floats into `out`, shape (rows,), four neighbours side by side: a sum waits for the last."""
    for row in range(indptr.size - 1):
        counts = data[indptr[row] : indptr[row + 1]]
        one, two, three, four = out[row], 0.0, 0.0, 0.0
        in_fours = counts.size // 4 * 4
        for entry in range(0, in_fours, 4):
            one += counts[entry]
            two += counts[entry + 1]
            three += counts[entry + 2]
            four += counts[entry + 3]
        for entry in range(in_fours, counts.size):
            one += counts[entry]
        out[row] = (one + two) + (three + four)


@_jit
def sum_spans(data: np.ndarray, indices: np.ndarray, first: np.ndarray, last: np.ndarray, out: np.ndarray) -> None:
    """Add the entries ``first[i]`` to ``last[i]`` of every span to their pixels of `out`, shape (pixels,)."""
    for span in range(first.size):
        for entry in range(first[span], last[span]):
            out[np.uint64(indices[entry])] += data[entry]


@_jit
def sum_rows(data: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    """Add up each row into `out`, shape (rows,)."""
    for row in range(indptr.size - 1):
        total = out[row]
        counts = data[indptr[row] : indptr[row + 1]]
        for entry in range(counts.size):
            total += counts[entry]
        out[row] = total


@_jit
def weighted_columns(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:
    """Add every entry, times the weight of its row, to its pixel of `out`, shape (pixels,)."""
    for row in range(indptr.size - 1):
        weight = weights[row]
        if weight == 0:
            continue
        for entry in range(indptr[row], indptr[row + 1]):
            out[np.uint64(indices[entry])] += data[entry] * weight


@_jit
def weighted_rows(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, weights: np.ndarray, out: np.ndarray
) -> None:
    """Add up each row, every entry times the weight of its pixel, into `out`, shape (rows,)."""
    for row in range(indptr.size - 1):
        total = out[row]
        for entry in range(indptr[row], indptr[row + 1]):
            total += data[entry] * weights[np.uint64(indices[entry])]
        out[row] = total


@_jit
def sum_lines(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, width: int, along_y: bool, out: np.ndarray
) -> None:
    """Add up one detector axis: `out` is (rows, width) if `along_y`, else (rows, height)."""
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            pixel = indices[entry]
            out[row, pixel % width if along_y else pixel // width] += data[entry]


@_jit
def max_columns(data: np.ndarray, indices: np.ndarray, out: np.ndarray, stored: np.ndarray) -> None:
    """Largest stored entry of each pixel, and how many entries each pixel has."""
    for entry in range(data.size):
        pixel = indices[entry]
        value = data[entry]
        # The second comparison is true for NaN alone, which wins over all numbers as in NumPy.
        if stored[pixel] == 0 or value > out[pixel] or value != value:
            out[pixel] = value
        stored[pixel] += 1


@_jit
def max_counts(data: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """Largest entry of each pixel, for numbers without a sign: no entry is below the zero in `out`."""
    for entry in range(data.size):
        pixel = np.uint64(indices[entry])
        # Most counts are no news: a branch that is nearly always the same costs less than writing each time.
        if data[entry] > out[pixel]:
            out[pixel] = data[entry]


@_jit
def max_values(data: np.ndarray, indices: np.ndarray, out: np.ndarray) -> None:
    """The same where values are of many kinds, so that a branch would often be guessed wrong; NaN wins."""
    for entry in range(data.size):
        pixel = np.uint64(indices[entry])
        value, largest = data[entry], out[pixel]
        out[pixel] = value if value > largest or value != value else largest


@_jit
def min_columns(data: np.ndarray, indices: np.ndarray, out: np.ndarray, stored: np.ndarray) -> None:
    """Smallest stored entry of each pixel, and how many entries each pixel has."""
    for entry in range(data.size):
        pixel = indices[entry]
        value = data[entry]
        if stored[pixel] == 0 or value < out[pixel] or value != value:
            out[pixel] = value
        stored[pixel] += 1


@_jit
def max_rows(data: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    """Largest stored entry of each row; rows without entries keep what `out` holds."""
    for row in range(indptr.size - 1):
        first = True
        for entry in range(indptr[row], indptr[row + 1]):
            value = data[entry]
            if first or value > out[row] or value != value:
                out[row] = value
            first = False


@_jit
def min_rows(data: np.ndarray, indptr: np.ndarray, out: np.ndarray) -> None:
    """Smallest stored entry of each row; rows without entries keep what `out` holds."""
    for row in range(indptr.size - 1):
        first = True
        for entry in range(indptr[row], indptr[row + 1]):
            value = data[entry]
            if first or value < out[row] or value != value:
                out[row] = value
            first = False


@_jit
def squares_columns(data: np.ndarray, indices: np.ndarray, table: np.ndarray) -> None:
    """How many entries each pixel has, their mean, and their squared distances from it: `table`, shape (pixels, 3).

    Updated with each entry [1]_, which keeps the digits, and needs no pass for the mean before.

    References
    ----------
    .. [1] B. P. Welford, Technometrics 4 (1962) 419.
    """
    for entry in range(data.size):
        pixel = np.uint64(indices[entry])
        n = table[pixel, 0] + 1.0
        before = data[entry] - table[pixel, 1]
        mean = table[pixel, 1] + before / n
        table[pixel, 0], table[pixel, 1] = n, mean
        table[pixel, 2] += before * (data[entry] - mean)


@_jit
def powers_columns(data: np.ndarray, indices: np.ndarray, sums: np.ndarray) -> None:
    """Sums of the entries and of their squares for each pixel, side by side: (pixels, 2)."""
    for entry in range(data.size):
        pixel = np.uint64(indices[entry])
        value = np.int64(data[entry])
        sums[pixel, 0] += value
        sums[pixel, 1] += value * value


@_jit
def powers_rows(data: np.ndarray, indptr: np.ndarray, total: np.ndarray, squares: np.ndarray) -> None:
    """Sums of the entries and of their squares for each row, int64."""
    for row in range(indptr.size - 1):
        one, two = np.int64(0), np.int64(0)
        counts = data[indptr[row] : indptr[row + 1]]
        for entry in range(counts.size):
            value = np.int64(counts[entry])
            one += value
            two += value * value
        total[row] = one
        squares[row] = two


@_jit
def squares_rows(data: np.ndarray, indptr: np.ndarray, mean: np.ndarray, out: np.ndarray) -> None:
    """Squared distances of the stored entries from the mean of their row."""
    for row in range(indptr.size - 1):
        total = 0.0
        for entry in range(indptr[row], indptr[row + 1]):
            distance = data[entry] - mean[row]
            total += distance * distance
        out[row] = total


@_jit
def crop_rows(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    rows: np.ndarray,
    place: np.ndarray,
    counts: np.ndarray,
    out: np.ndarray,
    pixels: np.ndarray,
) -> int:
    """Keep the entries of `rows` whose pixel lies in a cut-out of the detector.

    `place`, shape (pixels,), is the pixel that each pixel becomes, or -1 outside the cut-out. `out` and `pixels` have
    room for all entries of the rows. Returns the number of entries kept; `counts` (rows,) takes those of each row.
    """
    n_out = 0
    for k in range(rows.size):
        before = n_out
        for entry in range(indptr[rows[k]], indptr[rows[k] + 1]):
            pixel = place[np.uint64(indices[entry])]
            # each is written, and written over where it was not to be kept, so that nothing has to be decided
            out[n_out] = data[entry]
            pixels[n_out] = pixel
            n_out += pixel >= 0
        counts[k] = n_out - before
    return n_out


@_jit
def merge_rows(
    data: np.ndarray,
    indices: np.ndarray,
    indptr: np.ndarray,
    group_rows: np.ndarray,
    group_start: np.ndarray,
    scratch: np.ndarray,
    counts: np.ndarray,
    out: np.ndarray,
    pixels: np.ndarray,
) -> int:
    """Add up groups of rows; `out` and `pixels` have room for all their entries.

    Group `g` holds ``group_rows[group_start[g]:group_start[g + 1]]``; `scratch` (pixels,) holds
    zeros before and after. Pixels of a group come out in the order of their first entry: the
    caller sorts.
    """
    # A sum may come to zero, so that `scratch` alone does not show which pixels were met.
    seen = np.zeros(scratch.size, dtype=np.bool_)
    n_out = 0
    for group in range(group_start.size - 1):
        before = n_out
        # Only what was touched is cleared: clearing the whole detector for each group would cost more than adding up.
        for k in range(group_start[group], group_start[group + 1]):
            for entry in range(indptr[group_rows[k]], indptr[group_rows[k] + 1]):
                pixel = indices[entry]
                if not seen[pixel]:
                    seen[pixel] = True
                    pixels[n_out] = pixel
                    n_out += 1
                scratch[pixel] += data[entry]
        for k in range(before, n_out):
            out[k] = scratch[pixels[k]]
            scratch[pixels[k]] = 0
            seen[pixels[k]] = False
        counts[group] = n_out - before
    return n_out


@_jit
def sort_rows(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> None:
    """Sort each row by pixel, in place."""
    for row in range(indptr.size - 1):
        start, stop = indptr[row], indptr[row + 1]
        # Most rows are sorted already, and looking is a fraction of sorting.
        in_order = True
        for entry in range(start + 1, stop):
            if indices[entry] < indices[entry - 1]:
                in_order = False
                break
        if in_order:
            continue
        order = np.argsort(indices[start:stop])
        indices[start:stop] = indices[start:stop][order]
        data[start:stop] = data[start:stop][order]


@_jit
def align_rows(
    indices_a: np.ndarray,
    indptr_a: np.ndarray,
    indices_b: np.ndarray,
    indptr_b: np.ndarray,
    from_a: np.ndarray,
    from_b: np.ndarray,
    pixels: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Walk two sorted arrays together and write the union of their pixels.

    `from_a` and `from_b` take the number of the entry in each array, or -1 where it has none.
    Returns the number of pixels in the union.
    """
    n = 0
    for row in range(indptr_a.size - 1):
        before = n
        a, end_a = indptr_a[row], indptr_a[row + 1]
        b, end_b = indptr_b[row], indptr_b[row + 1]
        while a < end_a or b < end_b:
            # Both are taken where the pixels are equal, one otherwise: a merge of two sorted lists.
            take_a = b >= end_b or (a < end_a and indices_a[a] <= indices_b[b])
            take_b = a >= end_a or (b < end_b and indices_b[b] <= indices_a[a])
            pixels[n] = indices_a[a] if take_a else indices_b[b]
            from_a[n] = a if take_a else -1
            from_b[n] = b if take_b else -1
            if take_a:
                a += 1
            if take_b:
                b += 1
            n += 1
        counts[row] = n - before
    return n
