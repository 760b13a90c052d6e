"""NumPy's element-wise functions on sparse signals: lazy, and sparse where zero stays zero.

Without this NumPy asks a signal for its array, which makes the whole of it dense, and HyperSpy puts
the answer into a lazy signal.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import dask.array as da
import numpy as np
from hyperspy.signals import BaseSignal

from hyperspy_sparse import operands
from rsciio_tpx3.csr.memory_limit import check as check_dense_size

__all__ = ["apply"]

# What NumPy's own ufuncs reduce to, where dask knows it by another name.
_REDUCTIONS = {
    np.add: da.sum,
    np.multiply: da.prod,
    np.maximum: da.max,
    np.minimum: da.min,
    np.logical_and: da.all,
    np.logical_or: da.any,
}


def apply(
    ufunc: np.ufunc, method: str, inputs: tuple, out: tuple | None = None, where: bool = True, **options: Any
) -> Any:
    """The answer of ``ufunc.method(*inputs)`` where one of the inputs, or `out`, is a sparse signal.

    Parameters
    ----------
    ufunc : numpy.ufunc
    method : str
        As NumPy's ``__array_ufunc__`` gets it.
    inputs : tuple
        Signals, arrays and numbers. Arrays are combined element by element as NumPy does; axes of
        signals are not aligned, that is what the operators of signals do.
    out : tuple of signals or arrays, optional
    where : bool, array or signal
        Elements that are not requested keep what `out` has there, and are zero without `out`.
    **options
        The others of the ufunc.

    Returns
    -------
    A lazy signal of the first input of that shape, or several; an array where no input has the shape.
    """
    arrays = tuple(_data_of(x) for x in inputs)
    if method != "__call__":
        return _not_called(ufunc, method, arrays, out, where, options)
    answers = _answers(ufunc, arrays, options)
    answers = answers if isinstance(answers, tuple) else (answers,)
    out = (None,) * len(answers) if out is None else out
    done = tuple(
        _delivered(answer, target, _data_of(where), ufunc, inputs, options.get("casting", "same_kind"))
        for answer, target in zip(answers, out, strict=True)
    )
    return done if len(done) > 1 else done[0]


def _answers(ufunc: np.ufunc, arrays: Sequence, options: dict) -> Any:
    """As the operators of signals make them, so that ``array * signal`` is what ``signal * array`` is."""
    if not all(_is_for_operators(x) for x in arrays):
        return ufunc(*arrays, **options)
    function = functools.partial(ufunc, **options)
    function.__name__ = ufunc.__name__
    return operands.operate(function, *arrays)


def _is_for_operators(x: Any) -> bool:
    known = np.isscalar(x) or isinstance(x, np.generic | np.ndarray | da.Array)
    return known and not isinstance(x, np.ma.MaskedArray)


def _data_of(x: Any) -> Any:
    return x.data if isinstance(x, BaseSignal) else x


def _delivered(
    answer: da.Array | np.ndarray, target: Any, where: Any, ufunc: np.ufunc, inputs: Sequence, casting: str
) -> Any:
    """One answer as a signal, or in its place in `out`."""
    if where is not True:
        # NumPy leaves such elements undefined without `out`; zeros keep the frames sparse.
        before = np.zeros((), answer.dtype) if target is None else _data_of(target)
        answer = da.where(where, answer, before)
    if target is None:
        return _as_signal(answer, ufunc, inputs)
    place = _data_of(target)
    if answer.shape != place.shape:
        raise ValueError(f"out has shape {place.shape}, but {ufunc.__name__} gives {answer.shape}.")
    # dask casts whatever it is assigned; NumPy refuses here, and so do we.
    if not np.can_cast(answer.dtype, place.dtype, casting):
        raise TypeError(
            f"{ufunc.__name__} gives {answer.dtype}, which cannot be put into out of {place.dtype} with "
            f"casting={casting!r}: choose another out, or casting='unsafe'."
        )
    answer = answer.astype(place.dtype)
    if isinstance(place, np.ndarray):
        place[...] = np.asarray(answer.compute() if isinstance(answer, da.Array) else answer)
    else:
        target.data = answer
    if isinstance(target, BaseSignal):
        # Plots of the signal follow, as after HyperSpy's own operators in place.
        target.events.data_changed.trigger(obj=target)
    return target


def _as_signal(answer: da.Array | np.ndarray, ufunc: np.ufunc, inputs: Sequence) -> Any:
    signals = [x for x in inputs if isinstance(x, BaseSignal)]
    like = next((s for s in signals if s.data.shape == answer.shape and s._lazy), None)
    if like is None:
        return answer
    made = like._deepcopy_with_new_data(answer)
    # complex numbers and spectra have classes of their own
    made._assign_subclass()
    made.metadata.General.title = f"{ufunc.__name__}({', '.join(_titles(inputs))})"
    return made


def _titles(inputs: Sequence) -> Iterator:
    """As HyperSpy writes them."""
    number = 0
    for x in inputs:
        if isinstance(x, BaseSignal):
            number += 1
            yield x.metadata.General.title or f"Untitled Signal {number}"
        else:
            yield str(x)


def _not_called(ufunc: np.ufunc, method: str, arrays: Sequence, out: tuple | None, where: Any, options: dict) -> Any:
    """``reduce`` and the like: an array, as NumPy gives; reductions that dask knows stay small."""
    reduction = _REDUCTIONS.get(ufunc)
    plain = out is None and where is True and set(options) <= {"axis", "keepdims", "dtype"}
    if method == "reduce" and reduction is not None and plain:
        options = {k: v for k, v in options.items() if v is not None or k == "axis"}
        if ufunc not in (np.add, np.multiply):
            options.pop("dtype", None)
        return np.asarray(reduction(arrays[0], **{"axis": 0, **options}).compute())
    if method == "at":
        raise TypeError(f"{ufunc.__name__}.at changes elements in place, and sparse frames cannot be changed.")
    dense = tuple(_dense(x, f"{ufunc.__name__}.{method}") for x in arrays)
    if out is not None:
        options["out"] = tuple(_data_of(x) for x in out)
    if where is not True:
        options["where"] = _dense(_data_of(where), "where")
    return getattr(ufunc, method)(*dense, **options)


def _dense(x: Any, what: str) -> Any:
    if not isinstance(x, da.Array):
        return x
    check_dense_size(x.shape, x.dtype, what)
    return np.asarray(x.compute())
