"""Indices of many ranges at once."""

import numpy as np

__all__ = ["ranges"]


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """All indices of the ranges, one range after the other.

    Parameters
    ----------
    starts, lengths : numpy.ndarray of int64, shape (n,)

    Returns
    -------
    numpy.ndarray of int64, shape (lengths.sum(),)

    Examples
    --------
    >>> ranges(np.array([5, 20, 7]), np.array([2, 0, 3])).tolist()
    [5, 6, 7, 8, 9]
    """
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.arange(lengths.sum()) + np.repeat(shift, lengths)
