"""What dask must know about the chunk class: its size, how to join it, which functions fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import dask.array  # noqa: F401  (fills its own tables first)
import numpy as np
from dask.array.backends import percentile_lookup
from dask.array.dispatch import (
    concatenate_lookup,
    divide_lookup,
    einsum_lookup,
    empty_lookup,
    nannumel_lookup,
    numel_lookup,
    take_lookup,
    tensordot_lookup,
    to_numpy_dispatch,
)
from dask.sizeof import sizeof

from rsciio_tpx3.csr.base import dense_all
from rsciio_tpx3.utils.dask_private import numel_of_array

if TYPE_CHECKING:
    from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["register_with_dask"]


def register_with_dask(kind: type[CSRFrames]) -> None:
    """Enter `kind` into dask's tables; called when the class is made, in every process."""
    sizeof.register(kind, lambda frames: frames.nbytes + 400)
    concatenate_lookup.register(kind, _concatenate)
    tensordot_lookup.register(kind, _densely(np.tensordot))
    einsum_lookup.register(kind, _densely(np.einsum))
    percentile_lookup.register(kind, _densely(percentile_lookup.dispatch(np.ndarray)))
    divide_lookup.register(kind, divide_lookup.dispatch(np.ndarray))
    empty_lookup.register(kind, np.empty)
    numel_lookup.register(kind, numel_of_array)
    nannumel_lookup.register(kind, _nannumel)
    take_lookup.register(kind, np.take)
    to_numpy_dispatch.register(kind, lambda frames, **kwargs: frames.todense())


def _concatenate(arrays: Iterable, axis: int = 0, **kwargs: Any) -> CSRFrames | np.ndarray:
    # dask joins lists of one in drop_axis and blockwise; NumPy would copy them.
    arrays = list(arrays)
    if len(arrays) == 1:
        return arrays[0]
    return np.concatenate(arrays, axis=axis, **kwargs)


def _nannumel(frames: CSRFrames, **kwargs: Any) -> np.ndarray:
    """How many elements are numbers: all but the entries that are NaN."""
    dtype = kwargs.pop("dtype", np.float64)
    all_elements = numel_of_array(frames, dtype=dtype, **kwargs)
    if frames.dtype.kind not in "fc":
        return all_elements
    return (all_elements - np.asarray(np.sum(np.isnan(frames), **kwargs))).astype(dtype)


def _densely(function: Callable) -> Callable:
    def on_dense(*args: Any, **kwargs: Any) -> Any:
        return function(*dense_all(args), **dense_all(kwargs))

    return on_dense
