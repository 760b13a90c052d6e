"""Where one measurement of a hit list ends and the next, appended to the same file, begins.

The row number tells: within a measurement each number comes once. It may lack some (rows were lost), come out of order
(a person sorted the rows), or begin again at 0 after 24 bits; a new measurement repeats numbers, or goes back in time
together with them.
"""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["SeriesFinder"]

_NUMBERS = 1 << 24  # the device counts so many rows
_FAR = 1 << 16  # further than rows are ever out of order, or lost at a stretch
_AGAIN = 16  # fewer numbers that come twice are rows that were put in
_SECOND = 40_000_000  # steps of 25 ns
_PERIODS = (1 << 28, 1 << 30)
_NONE = -1


class SeriesFinder:
    """Finds the first row of each further measurement, in blocks that follow each other."""

    def __init__(self) -> None:
        # lowest and highest number, how many rows, time of the row before, a number that leapt ahead
        self._state = np.array([0, _NONE, 0, 0, _NONE], np.int64)

    def first_rows(self, index: np.ndarray, toa: np.ndarray) -> list[int]:
        """Rows of the next block at which another measurement begins.

        Parameters
        ----------
        index, toa : numpy.ndarray of int64, shape (n,)

        Returns
        -------
        list of int
        """
        found = np.empty(len(index), np.int64)
        return found[: _find(index, toa, self._state, found)].tolist()


@njit(nogil=True, cache=True)
def _find(index: np.ndarray, toa: np.ndarray, state: np.ndarray, found: np.ndarray) -> int:
    # Numbers go up by one for each row, a little out of order. Where one falls, the
    # counter may have wrapped, or a measurement begun.
    low, high, rows, before, ahead = state
    n, n_found = len(index), 0
    for i in range(n):
        number = index[i]
        follows = index[i + 1] if i + 1 < n else _NONE
        if high == _NONE:
            low = high = number
            rows = 1
        elif number > high:
            # one number far ahead is damage: it counts when the next one goes on from it
            if number - high <= _FAR or (ahead != _NONE and 0 < number - ahead <= _FAR):
                high, ahead = number, _NONE
            else:
                ahead = number
            rows += 1
        elif _wraps(number, high, toa[i] - before):
            low = high = number
            rows = 1
        elif _begins(number, follows, low, high, rows, toa[i] < before):
            found[n_found] = i
            n_found += 1
            low = high = number
            rows, ahead = 1, _NONE
        else:
            rows += 1
        before = toa[i]
    state[0], state[1], state[2], state[3], state[4] = low, high, rows, before, ahead
    return n_found


@njit(nogil=True, cache=True)
def _wraps(number: int, high: int, step: int) -> bool:
    """Whether the number began again for its 24 bits: close to both ends, and time goes on."""
    if not (number < _FAR and _NUMBERS - _FAR <= high < _NUMBERS):
        return False
    if step >= -_SECOND:
        return True
    for period in _PERIODS:
        if 0 <= step + period <= _SECOND:
            return True
    return False


@njit(nogil=True, cache=True)
def _begins(number: int, follows: int, low: int, high: int, rows: int, goes_back: bool) -> bool:
    """Whether a number that is not above all before it is the first of another measurement."""
    if low == high == number and (follows == number or (follows == _NONE and rows > 1)):
        return False  # a column of one number tells nothing
    if follows != _NONE and abs(follows - (number + 1)) >= abs(follows - (high + 2)):
        return False  # one damaged number: the next goes on where the last stopped
    complete = rows == high - low + 1  # each number was there already
    if number == 0:
        return goes_back or low == 0 or high > 1000
    return (complete and number >= low and high - number > _AGAIN) or high - number > _FAR
