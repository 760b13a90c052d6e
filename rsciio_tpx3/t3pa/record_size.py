"""Which structure the records of a binary hit list have: what every record must keep tells, not the file's size."""

import numpy as np

from rsciio_tpx3.exceptions import Tpx3FormatError

__all__ = ["RECORDS", "record_type"]

_FIELDS = ("pixel", "toa", "overflow", "ftoa", "tot")


def _record(toa: str = "<u8", offsets: tuple[int, ...] = (0, 4, 12, 13, 14), itemsize: int = 16) -> np.dtype:
    formats = ["<u4", toa, "u1", "u1", "<u2"]
    return np.dtype({"names": list(_FIELDS), "formats": formats, "offsets": list(offsets), "itemsize": itemsize})


# as Pixet writes them; an older form; the first as compilers lay it out unless they are instructed to pack it
RECORDS = (_record(), _record("<u4", (0, 4, 8, 9, 10), 12), _record("<u8", (0, 8, 16, 17, 18), 24))
"""Structures that are known, of 16, 12 and 24 bytes."""

_SAMPLE = 4096
_LEAST_SHARE = 0.9
_SECOND = 40_000_000  # steps of 25 ns
_FEW_BYTES = 192  # of 12 records of 16 bytes, or 16 of 12
_LEAST_RARE = 3  # records of 12 or 24 bytes


def record_type(first: np.ndarray, size: int, name: str) -> np.dtype:
    """The structure that fits the first bytes of a file.

    Parameters
    ----------
    first : numpy.ndarray of uint8
        The beginning, a few thousand records where there are so many.
    size : int
        Of the file.
    name : str
        For errors.

    Returns
    -------
    numpy.dtype

    Raises
    ------
    Tpx3FormatError
        If none fits, or two fit equally well.
    """
    scored = sorted(((_score(first, dtype), dtype.itemsize, dtype) for dtype in RECORDS), key=lambda one: one[0])
    (second, *_), (best, itemsize, dtype) = scored[-2:]
    if best[0] < _LEAST_SHARE:
        raise Tpx3FormatError(
            f"{name!r} has {size} bytes that are not records of 16 or 12 bytes (or 24, padded) with a time over "
            f"threshold below 1024 and a fine time below 32: at most {max(best[0], 0):.0%} of its first records are "
            "hits. The file is damaged or of another format, or the program that wrote it padded its records otherwise."
        )
    if best == second:
        raise Tpx3FormatError(
            f"the first records of {name!r} fit more than one size ({', '.join(str(d.itemsize) for d in RECORDS)} "
            "bytes) equally well, for they hold almost nothing but zeros. The file may not have been written whole."
        )
    common = itemsize == RECORDS[0].itemsize
    # one or two records of a rare size may be the beginning of a common one that was cut
    torn = not common and size < _LEAST_RARE * itemsize
    if torn or (best[2] == 0 and size < _FEW_BYTES and (itemsize == 12 or size % itemsize)):
        # the upper half of a time of 64 bits is zero, and makes a shorter record without a charge
        raise Tpx3FormatError(
            f"{name!r} has {size} bytes: too few to tell of what size its records are. As records of {itemsize} bytes "
            "they could be hits, but so could what a program left that did not write its file to the end. Take a "
            "longer recording, or export the list as text (.t3pa)."
        )
    return dtype


def _score(first: np.ndarray, dtype: np.dtype) -> tuple[float, float, float]:
    """Shares of records that can be hits, that are in order of time, and that hold a charge; the first counts most."""
    n = min(len(first) // dtype.itemsize, _SAMPLE)
    if n == 0:
        return (-1.0, 0.0, 0.0)
    found = first[: n * dtype.itemsize].view(dtype)
    # 10 bits of ToT, 5 of FToA; more than one chip has its number in bits 16 and up of the pixel, and may repeat it
    chip = found["pixel"] >> 16
    good = (found["tot"] < 1024) & (found["ftoa"] < 32) & (chip < 64) & (found["toa"] < np.uint64(1 << 55))
    plain = found["overflow"] == 0
    service = (found["overflow"] == 10) | ((found["overflow"] == 1) & (found["pixel"] < 256))
    numbered = (found["overflow"] == chip) & good
    # a service row fits by chance more easily: it is known, but speaks for nothing
    share = float(((plain | numbered) & good).sum() + 0.5 * (service & ~numbered).sum()) / n
    times = found["toa"][good].astype(np.int64)
    ordered = float((np.abs(np.diff(times)) < _SECOND).mean()) if len(times) > 1 else 0.0
    return (round(share, 3), round(ordered, 3), round(float((found["tot"] > 0).mean()), 3))
