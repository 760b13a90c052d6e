"""The loops of the kernels, compiled by Numba; plain arrays in, results written to `out`."""

import numba

__all__ = ["center_of_mass", "label_sums", "weighted_sums"]

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def label_sums(data, indices, indptr, labels, out):
    """Add each entry to ``out[row, label of its pixel]``."""
    for row in range(indptr.size - 1):
        for entry in range(indptr[row], indptr[row + 1]):
            out[row, labels[indices[entry]]] += data[entry]


@_jit
def weighted_sums(data, indices, indptr, start, column, weight, out):
    """Product of the frames with a sparse matrix given by pixel: ``out`` is (rows, columns)."""
    for row in range(indptr.size - 1):
        sums = out[row]
        for entry in range(indptr[row], indptr[row + 1]):
            pixel = indices[entry]
            for k in range(start[pixel], start[pixel + 1]):
                sums[column[k]] += data[entry] * weight[k]


@_jit
def center_of_mass(data, indices, indptr, width, weights, threshold, n_pixels, out):
    """First moments (x, y) of each row.

    `weights` (pixels,), or length 1 for none, multiply the counts; then entries below
    ``threshold * mean of the frame`` are dropped, where `threshold` is not NaN.
    """
    weighted = weights.size > 1
    # Multiplying is ten times faster than dividing integers; half a pixel more keeps the product
    # away from whole numbers by far more than it is rounded.
    inverse = 1.0 / width
    for row in range(indptr.size - 1):
        start, stop = indptr[row], indptr[row + 1]
        cut = -1.0
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
        out[row, 0] = along_x / mass
        out[row, 1] = along_y / mass
