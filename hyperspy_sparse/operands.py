"""Operators between sparse frames and another operand, which never takes the shape of the whole.

HyperSpy broadcasts the *data* of two signals before it operates on them. An image of the detector or of the scan in
memory becomes a view of four dimensions, which dask then hashes and copies: gigabytes for a mask of 64 kB. So the
axes are taken from HyperSpy's broadcasting, done on stand-ins without data, and the data are left to dask, which
broadcasts chunk by chunk. The left operand decides on the class and the metadata of the result, as in HyperSpy.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from hyperspy.signal import INPLACE_OPERATORS, BaseSignal

from hyperspy_sparse import deferred, recipes, shifted, twins
from hyperspy_sparse.hosts import are_signals_aligned, broadcast_signals
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import is_stored
from rsciio_tpx3.csr.elementwise import FILLED_SHARE, compact, probe
from rsciio_tpx3.frames.dask_array import empty_meta, sources_of, without_empty_chunks

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["Cast", "binary", "cast", "operate"]

_EXACT_SHARE = 16
"""An operand in memory this many times smaller than the frames is checked as a whole for what becomes of zeros."""


def binary(left: BaseSignal, right: int | BaseSignal, op_name: str) -> BaseSignal:
    """What ``left.<op_name>(right)`` gives; at least one of the two has sparse frames.

    Parameters
    ----------
    left : hyperspy.api.signals.BaseSignal
    right : hyperspy.api.signals.BaseSignal, array or number
    op_name : str
        As HyperSpy names its operators: "__mul__", "__imul__", "__lt__".

    Returns
    -------
    hyperspy.api.signals.BaseSignal
        Lazy, sparse where zeros stay zeros. `left` itself, changed, for operators in place. Two signals for
        ``divmod``.

    Raises
    ------
    ValueError
        If the axes do not fit, or an operator in place would change the shape.
    TypeError
        If the operator is not defined for these types, or its result does not fit the type in place.
    AttributeError
        If a lazy signal is to be changed in place by a number, an array or a signal of its own shape: as in HyperSpy.
    """
    template = None
    if op_name in INPLACE_OPERATORS:
        _refuse_in_place(left, right, op_name)
    # A number or an array: NumPy broadcasts it to the array, as HyperSpy does.
    if not isinstance(right, BaseSignal):
        a, b = left.data, right
    elif _same_shape(left, right):
        a, b = left._data_aligned_with_axes, right._data_aligned_with_axes
    elif _has_all_axes_of(left, right):
        n_sig = left.axes_manager.signal_dimension
        a, b = (_with_signal_axes(signal, n_sig) for signal in (left, right))
    else:
        if not are_signals_aligned(left, right):
            raise ValueError("Invalid dimensions for this operation.")
        # Axes of the result are HyperSpy's business, and come from signals without data: copies of both would be dense.
        template, _ = broadcast_signals(_without_data(left), _without_data(right))
        n_sig = template.axes_manager.signal_dimension
        a, b = (_with_signal_axes(signal, n_sig) for signal in (left, right))
    function = _function(op_name)
    if op_name in INPLACE_OPERATORS:
        return _in_place(left, operate(function, a, b), op_name)
    made = operate(function, a, b)
    # divmod has two results.
    if isinstance(made, tuple):
        return tuple(_signal(left, right, template, part) for part in made)
    return _signal(left, right, template, made)


def _same_shape(left: BaseSignal, right: BaseSignal) -> bool:
    a, b = left.axes_manager, right.axes_manager
    return a.navigation_shape == b.navigation_shape and a.signal_shape == b.signal_shape


def _has_all_axes_of(left: BaseSignal, right: BaseSignal) -> bool:
    """Whether the right operand is an image of the scan or the detector of the left one, which has the result's axes.

    HyperSpy broadcasts them to each other by copies of both, which takes longer than a sum over the scan.
    """
    a, b = left.axes_manager, right.axes_manager
    shapes = (b.navigation_shape, a.navigation_shape), (b.signal_shape, a.signal_shape)
    one_of_two = [bool(b.navigation_shape), bool(b.signal_shape)].count(True) == 1
    return twins.has_sparse_chunks(left) and one_of_two and all(part in ((), whole) for part, whole in shapes)


def _refuse_in_place(left: BaseSignal, right: BaseSignal, op_name: str) -> None:
    """What dask arrays do not do, HyperSpy's lazy signals do not either, with the same class of error."""
    if left._lazy and not (isinstance(right, BaseSignal) and not _same_shape(left, right)):
        raise AttributeError(
            f"{op_name}: lazy signals are changed in place by images of the scan or the detector only, not by numbers, "
            "arrays and whole signals. Write s = s + other instead of s += other."
        )


def _without_data(signal: BaseSignal) -> BaseSignal:
    """The signal as it is where its frames are sparse; else one with the same axes, which takes no memory."""
    if twins.has_sparse_chunks(signal):
        return signal
    shape = signal.data.shape
    return signal._deepcopy_with_new_data(da.zeros(shape, dtype=signal.data.dtype, chunks=shape))


def _with_signal_axes(signal: BaseSignal, n_sig: int) -> da.Array | np.ndarray:
    """The data with `n_sig` signal axes, as HyperSpy inserts them; NumPy's rules do the rest."""
    data, manager = signal._data_aligned_with_axes, signal.axes_manager
    if manager.signal_dimension + manager.navigation_dimension == 0:
        data = data[0]  # a single number has an array of one element
    missing = n_sig - manager.signal_dimension
    place = (slice(None),) * manager.navigation_dimension + (None,) * missing + (Ellipsis,)
    return data[place]


def _function(op_name: str) -> Callable:
    if op_name in INPLACE_OPERATORS:
        op_name = "__" + op_name[3:]
    return getattr(operator, op_name, divmod)


def _signal(left: BaseSignal, right: int | BaseSignal, template: BaseSignal | None, data: da.Array) -> BaseSignal:
    """The result as HyperSpy would make it from the left operand, in the class that its chunks need."""
    if template is None:
        signal = left._deepcopy_with_new_data(data)
        signal.axes_manager._sort_axes()
    else:
        signal = template._deepcopy_with_new_data(data)
    if template is None and twins.has_sparse_chunks(left) and _is_sparse(data) and data.dtype.kind != "c":
        twins.choose_class(signal)  # nothing that HyperSpy's classes depend on has changed
    else:
        _take_class(signal)
    for operand in (left, right):
        if isinstance(operand, BaseSignal):
            deferred.hand_on(operand, signal, False)
    return signal


def _take_class(signal: BaseSignal) -> None:
    if isinstance(signal.data, da.Array):
        signal._lazy = True
    signal._assign_subclass()
    (twins.keep_twin if shifted.is_shifted(signal._data) else twins.choose_class)(signal)


def _in_place(signal: BaseSignal, made: da.Array, op_name: str) -> BaseSignal:
    data = signal._data_aligned_with_axes
    if made.shape != data.shape:
        raise ValueError(
            f"{op_name} would change the shape of {signal} to {made.shape}. Operators in place keep the shape: "
            "write s = s * other instead of s *= other."
        )
    if not np.can_cast(made.dtype, data.dtype, "same_kind"):
        raise TypeError(
            f"{op_name} gives {made.dtype}, which {data.dtype} of {signal} cannot hold. Write s = s * other instead of "
            f's *= other, or s.change_dtype("{made.dtype}") first.'
        )
    made = made.astype(data.dtype)
    if isinstance(data, da.Array):
        signal.data = made
        signal.axes_manager._sort_axes()
        _take_class(signal)
    else:  # HyperSpy's own signal in memory: its array is what others may look at
        da.store(_dense(made), data, lock=False)
    return signal


def operate(function: Callable, *operands: Any) -> da.Array:
    """An operator or ufunc over dask arrays of `CSRFrames` and other operands, broadcast chunk by chunk.

    Parameters
    ----------
    function : callable
        From the module `operator`, or a NumPy ufunc with one result for each element.
    *operands : dask.array.Array, numpy.ndarray or number
        At least one is a dask array of `CSRFrames`.

    Returns
    -------
    dask.array.Array
        All chunks are of the kind that its meta says: frames where zeros stay zeros, or nearly all of them, else
        dense.

    Examples
    --------
    >>> import operator, numpy as np, hyperspy_sparse
    >>> s = hyperspy_sparse.data.disks()
    >>> type(operate(operator.mul, s.data, np.eye(32))._meta).__name__
    'CSRFrames'
    >>> type(operate(operator.add, s.data, np.ones(32))._meta).__name__
    'ndarray'
    """
    operands = [without_empty_chunks(x) if _is_sparse(x) else x for x in operands]
    sparse = [x for x in operands if _is_sparse(x)]
    largest = max(sparse, key=lambda x: x.ndim, default=None)
    if largest is None:
        return _checked(function(*operands), function, operands)
    small = [_own(compact(x, largest.shape), largest.shape) if _is_plain(x) else x for x in operands]
    made = _checked(function(*(_in_chunks(x, largest) for x in small)), function, operands)
    if not isinstance(made, da.Array) or isinstance(made._meta, np.ma.MaskedArray):
        return made
    if len(sparse) == 1 and all(np.ndim(x) == 0 for x in small if x is not largest):
        made = made if _is_sparse(made) else _dense(made)
    else:
        made = _frames(made) if _zeros_stay(function, small, largest) else _dense(made)
    return recipes.attach(made, recipes.Recipe(operate, function, tuple(small)))


class Cast:
    """A function of one element: the same in another type."""

    __name__ = "astype"

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __call__(self, values: Any) -> Any:
        return values.astype(self.dtype)


def cast(data: da.Array, dtype: DTypeLike) -> da.Array:
    """Frames in another type, which know what they were; of the chunks of `data`."""
    dtype = np.dtype(dtype)
    return recipes.attach(data.astype(dtype), recipes.Recipe(operate, Cast(dtype), (data,)))


def _checked(made: da.Array, function: Callable, operands: Sequence) -> da.Array:
    if made is NotImplemented:
        types = " and ".join(str(getattr(x, "dtype", type(x).__name__)) for x in operands)
        raise TypeError(f"{function.__name__} is not defined for {types}.")
    return made


def _is_sparse(x: Any) -> bool:
    return isinstance(x, da.Array) and isinstance(x._meta, CSRFrames)


def _is_plain(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.ndim > 0 and not isinstance(x, np.ma.MaskedArray)


def _own(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | da.Array:
    """The values as they are now: an image is copied, an array of the whole size is what dask copies of it.

    What is made later must not follow when the user's array changes, as with ``weights /= weights.max()``.
    """
    return da.from_array(x, chunks=-1) if x.shape == shape else x.copy()


def _in_chunks(x: Any, frames: da.Array) -> da.Array | int:
    """An operand that dask takes from either side, in chunks that do not cut those of the frames."""
    if _is_plain(x):
        return da.from_array(x, chunks=-1)
    if not isinstance(x, da.Array) or _is_sparse(x):
        return x
    places = range(1, min(x.ndim, frames.ndim) + 1)
    return x.rechunk({x.ndim - i: frames.chunks[-i] for i in places if x.shape[-i] == frames.shape[-i] != 1})


def _zeros_stay(function: Callable, operands: Sequence, frames: da.Array) -> bool | np.bool_:
    """Whether the result has no more than a few values where the frames have none."""
    examples, known = [], True
    for x in operands:
        if _is_sparse(x):
            examples.append(np.zeros(1, x.dtype))
        elif isinstance(x, da.Array) or np.size(x) * _EXACT_SHARE > frames.size and np.ndim(x):
            examples.append(probe(x.dtype))
            known = False
        else:
            examples.append(x)
    with np.errstate(all="ignore"):
        try:
            answer = np.asarray(function(*examples))
        except Exception:  # no answer in memory: the chunks will say what is wrong
            return False
    if not is_stored(answer.dtype):
        return False
    if known:
        return np.count_nonzero(answer) <= FILLED_SHARE * answer.size  # NaN counts as nonzero
    return not np.any(answer[~np.isnan(answer)])


def _frames(data: da.Array) -> da.Array:
    meta = empty_meta(data.dtype, data.ndim - 2)
    return data.map_blocks(twins.as_frames, dtype=data.dtype, meta=meta)


def _dense(data: da.Array) -> da.Array:
    return twins.densified(data) if isinstance(data, da.Array) else data


_host_ruler = BaseSignal._binary_operator_ruler


def _ruler(self: BaseSignal, other: Any, op_name: str) -> Any:
    """HyperSpy's, which does not ask the right operand: where that has sparse frames, ours answers.

    Frames that an image with NaN made dense are changed in place as they were before: of a lazy signal, HyperSpy asks
    dask's array for ``__imul__``, which it does not have.

    A method of ours for the right operand (`__rmul__`) would not do: Python asks it first only where its class is
    derived from the left one's, which does not hold for a `pyxem.signals.VirtualDarkFieldImage`, say.
    """
    if isinstance(other, BaseSignal) and twins.has_sparse_chunks(other):
        return binary(self, other, op_name)
    if op_name in INPLACE_OPERATORS and self._lazy and sources_of(self._data):
        return binary(self, other, op_name)
    return _host_ruler(self, other, op_name)


BaseSignal._binary_operator_ruler = _ruler
