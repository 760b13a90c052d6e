"""Numbers that look random and are the same in every run: drawn from what they belong to, in any order of work."""

import numpy as np

from rsciio_tpx3.utils.compiled import njit

__all__ = ["mixed"]


@njit(nogil=True, cache=True)
def mixed(state: np.uint64) -> np.uint64:
    """Bits that look random and depend on every bit of the state: the finaliser of SplitMix64 [1]_.

    References
    ----------
    .. [1] G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014, 453.
    """
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
