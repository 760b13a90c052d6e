"""Data of sparse signals: the class follows the chunks, and parts, copies, products and casts stay sparse."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from hyperspy_sparse import (
    assigned_data,
    deferred,
    interpolation,
    nan_masks,
    navigator,
    operands,
    recipes,
    selection,
    shifted,
    slicing,
    ufuncs,
)
from hyperspy_sparse.twins import choose_class, has_sparse_chunks, keep_twin

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hyperspy.signal import BaseSignal


__all__ = ["DataMixin"]


def _description(signal: BaseSignal, with_variance: bool, axes: Sequence[int] | None) -> dict:
    """What HyperSpy makes a signal of, without data, navigator and results of learning; all else copied."""
    metadata, original = (tree.as_dictionary() for tree in (signal.metadata, signal.original_metadata))
    for name in ("_sig_navigator", "navigator"):  # HyperSpy marks signals in dictionaries
        metadata.get("_HyperSpy", {}).pop(name, None)
    if not with_variance:
        metadata.get("Signal", {}).pop("Noise_properties", None)
    described = signal.axes_manager._get_axes_dicts()
    return {
        "data": None,
        "axes": described if axes is None else [described[i] for i in axes],
        "metadata": copy.deepcopy(metadata),
        "original_metadata": copy.deepcopy(original),
        "attributes": {"_lazy": signal._lazy, "ragged": signal.axes_manager._ragged},
    }


class DataMixin:
    """What is assigned to a signal, cut from it, and computed with it element by element."""

    # -- class -----------------------------------------------------------------------------------

    @property
    def data(self) -> Any:
        """The frames as a :class:`dask.array.Array`.

        Whatever is assigned decides about the class: sparse frames of any kind keep the sparse
        class, a dense array makes it the stock class, still lazy.
        """
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        assigned_data.assign(self, value)

    def _assign_subclass(self, *args: Any, **kwargs: Any) -> None:
        super()._assign_subclass(*args, **kwargs)
        (keep_twin if assigned_data.keeps_class(self._data) else choose_class)(self)

    def _deepcopy_with_new_data(self, data: Any = None, copy_variance: bool = False, **kwargs: Any) -> BaseSignal:
        if isinstance(data, np.ndarray):
            # The host goes on to a class in memory; a lazy one wraps the array by itself.
            new = self._copy_of_rest(None, copy_variance, **kwargs)
            new._data = np.atleast_1d(data)
            choose_class(new)
        else:
            # The caller may still have axes to remove, so only the chunks decide here.
            new = self._copy_of_rest(data, copy_variance, **kwargs)
        navigator.hand_on(self, new)
        deferred.hand_on(self, new, copy_variance)
        return new

    def _copy_of_rest(
        self, data: Any, copy_variance: bool = False, axes: Sequence[int] | None = None, **kwargs: Any
    ) -> BaseSignal:
        """A copy with other data and all the rest, and of the axes those of these numbers alone.

        HyperSpy takes the data away from the signal for as long as it copies the rest. Another thread that asks for
        them meanwhile, a second reduction of the same signal, say, would find none.
        """
        if any(kwargs.values()) or self.metadata.has_item("Markers"):
            return super()._deepcopy_with_new_data(data, copy_variance, **kwargs)
        new = type(self)(**_description(self, copy_variance, axes))
        whole = self.axes_manager._axes
        for i, axis in zip(range(len(whole)) if axes is None else axes, new.axes_manager._axes, strict=True):
            if axis.navigate != whole[i].navigate:  # the class takes the last two for those of the detector
                axis.navigate = whole[i].navigate
        new.data = data
        return new

    def _with_fewer_axes(self, gone: Sequence, data: da.Array) -> BaseSignal | None:
        """A copy with other data and without some axes, none of which is made; None where that is not possible.

        An axis takes HyperSpy a millisecond to make, and another to remove: as long as a sum over ten million entries.
        """
        axes = self.axes_manager._axes
        left = [i for i, axis in enumerate(axes) if not any(axis is other for other in gone)]
        # the class is that of images, and made for two axes at least
        if len(left) < 2 or self.axes_manager.signal_dimension != 2 or self.metadata.has_item("Markers"):
            return None
        new = self._copy_of_rest(data, axes=left)
        deferred.hand_on(self, new, False)
        # the class gives names to axes without names that it takes for those of the detector
        for i, axis in zip(left, new.axes_manager._axes, strict=True):
            for trait in ("name", "units"):
                if getattr(axis, trait) != getattr(axes[i], trait):
                    setattr(axis, trait, getattr(axes[i], trait))
        if new.axes_manager.signal_dimension != 2:
            new._assign_subclass()
        return new

    def __deepcopy__(self, memo: dict) -> BaseSignal:
        new = super().__deepcopy__(memo)
        if isinstance(new._data, da.Array):
            # dask changes the array object itself at ``signal.inav[3] = 0``, and HyperSpy 2.5 hands on the same object
            new._data = new._data.copy()
            recipes.hand_on(self._data, new._data)
        if has_sparse_chunks(new):  # data are missing where another copy is being made
            navigator.hand_on(self, new)
            deferred.hand_on(self, new, True)
        return new

    def _map_all(self, function: Callable, inplace: bool = True, **kwargs: Any) -> BaseSignal | None:
        result = super()._map_all(function, inplace=inplace, **kwargs)
        made = self if inplace else result
        if isinstance(made._data, da.Array):  # in a class for data in memory
            made._data = np.asarray(made._data.compute())
        return result

    def _slicer(
        self, slices: Any, isNavigation: bool | None = None, out: BaseSignal | None = None
    ) -> BaseSignal | None:
        if isNavigation and out is None and selection.is_mask(slices):
            return selection.select(self, slices)
        result = super()._slicer(slices, isNavigation, out)
        part = result if out is None else out
        if isinstance(part._data, da.Array):
            key = self._get_array_slices(slices, isNavigation)
            part._data = slicing.from_source(self._data, key, part._data)
            nan_masks.remember(part._data)
            if shifted.is_shifted(part._data):
                keep_twin(part)
        return result

    def change_dtype(self, dtype: Any, rechunk: bool = False) -> None:
        """Change the type of the values, as HyperSpy does; frames stay sparse, and known to be frames.

        Parameters
        ----------
        dtype : str or numpy.dtype
            One of RGB makes pixels of the last axis, as in HyperSpy.
        rechunk : bool
            As in HyperSpy: whether dask may choose other chunks.

        Examples
        --------
        >>> import hyperspy_sparse
        >>> s = hyperspy_sparse.data.disks()
        >>> s.change_dtype("float32")
        >>> s.data.dtype
        dtype('float32')
        """
        data = self._data
        super().change_dtype(dtype, rechunk=rechunk)
        same_chunks = recipes.is_frames(data) and recipes.is_frames(self._data) and self._data.chunks == data.chunks
        if same_chunks and self._data.dtype != data.dtype:
            self._data = operands.cast(data, self._data.dtype)

    def crop(self, axis: Any, start: Any = None, end: Any = None, convert_units: bool = False) -> None:
        place, data = self.axes_manager[axis].index_in_array, self._data
        # Before the host crops the axis, since the indices are of the axis as it is now.
        first, last = (self.axes_manager[axis]._get_index(value) for value in (start, end))
        super().crop(axis, start, end, convert_units)
        if isinstance(self._data, da.Array):
            key = (*(slice(None) for _ in range(place)), slice(first, last))
            self._data = slicing.from_source(data, key, self._data)

    # -- operators -------------------------------------------------------------------------------

    def _binary_operator_ruler(self, other: Any, op_name: str) -> Any:
        return operands.binary(self, other, op_name)

    # -- functions of NumPy ----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        for signal in (*inputs, *kwargs.get("out", ())):
            if isinstance(signal, DataMixin):
                deferred.read_recording(signal)
        return ufuncs.apply(ufunc, method, inputs, **kwargs)

    def __array_wrap__(
        self, array: np.ndarray, context: tuple | None = None, return_scalar: bool = False
    ) -> BaseSignal:
        signal = super().__array_wrap__(array, context, return_scalar)
        signal.data = assigned_data.in_chunks(signal.data)
        return signal

    def interpolate_on_axis(
        self, new_axis: Any, axis: Any = 0, inplace: bool = False, degree: int = 1
    ) -> BaseSignal | None:
        deferred.read_recording(self)
        # The host interpolates one line of zeros, which gives the new axis and its checks; the data follow by chunks.
        data, old = self._data, self.axes_manager[axis]
        place, before = old.index_in_array, np.array(old.axis)
        try:
            self._data = interpolation.single_line(data, place)
            result = super().interpolate_on_axis(new_axis, axis, inplace=inplace, degree=degree)
        finally:
            self.data = data
        target = self if inplace else result
        after = target.axes_manager._axes[place].axis
        target.data = interpolation.interpolated(data, place, before, after, degree)
        return result
