"""Objects that travel with every task of a graph: their tables are compressed on the way."""

import zlib
from typing import Any

import numpy as np

__all__ = ["Packed"]


class Packed:
    """Base of dataclasses with one entry for each pixel: most of them repeat, so that little is left of them."""

    def __getstate__(self) -> dict:
        return {name: _packed(value) if isinstance(value, np.ndarray) else value for name, value in vars(self).items()}

    def __setstate__(self, state: dict) -> None:
        # not by attribute: the dataclasses are frozen
        self.__dict__.update(
            {name: _unpacked(*value[1:]) if _is_packed(value) else value for name, value in state.items()}
        )


_MARK = "zlib"


def _packed(array: np.ndarray) -> tuple:
    return _MARK, zlib.compress(np.ascontiguousarray(array).tobytes(), 1), array.dtype.str, array.shape


def _is_packed(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 4 and value[0] == _MARK


def _unpacked(data: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)
