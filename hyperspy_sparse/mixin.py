"""What the sparse signal classes do differently from their parents, and nothing else.

Five things: the class follows the chunks, functions that `map` knows by a sparse kernel run on
the events, the whole signal becomes dense only within the memory limit, one frame is read for
one picture, and a recording may wait to be read.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from hyperspy.signals import LazySignal

from hyperspy_sparse import (
    assigned_data,
    blocks,
    deferred,
    expansion,
    interpolation,
    kernels,
    nan_masks,
    navigator,
    noise,
    operands,
    recipes,
    reductions,
    saving,
    selection,
    shifted,
    slicing,
    ufuncs,
    variance,
)
from hyperspy_sparse import frame_cache as frames
from hyperspy_sparse import line_profiles as line_profiles  # HyperSpy's Line2DROI finds it there
from hyperspy_sparse import virtual_detectors as detectors
from hyperspy_sparse.calibration_cache import remember_geometries
from hyperspy_sparse.decomposition import DecompositionMixin
from hyperspy_sparse.summary import Summary, recording_summary
from hyperspy_sparse.twins import choose_class, densified, has_sparse_chunks, host_type, keep_twin, sparsified
from rsciio_tpx3.csr.memory_limit import check as check_dense_size
from rsciio_tpx3.frames.in_memory import held_in_memory
from rsciio_tpx3.utils.logs import follow_host

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from hyperspy.signal import BaseSignal
    from numpy.typing import DTypeLike


__all__ = ["SparseFramesMixin"]

# Arguments of map that are not for the image function.
_MAP_OPTIONS = {
    "show_progressbar",
    "lazy_output",
    "num_workers",
    "navigation_chunks",
    "output_signal_size",
    "output_dtype",
}

_PLAIN = {"sum", "mean", "max", "amax", "min", "amin", "std", "var"}

# By kind of number. Floats may be NaN, and then the nan-functions need a dense chunk, a small one.
_REDUCED_SPARSELY = {kind: _PLAIN | {f"nan{name}" for name in _PLAIN} for kind in "ui"}
_REDUCED_SPARSELY["f"] = _PLAIN


def _frame_by_frame(
    function: Callable, options: dict, shape: tuple[int, ...], dtype: np.dtype, chunk: Any
) -> np.ndarray:
    """The image function on every frame of a chunk that the kernel did not take."""
    out = np.empty(chunk.shape[:-2] + shape, dtype=dtype)
    for place in np.ndindex(chunk.shape[:-2]):
        out[place] = function(np.asarray(chunk[place]), **options)
    return out


class SparseFramesMixin(DecompositionMixin):
    """Methods of the sparse signal classes; stands before the host's class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        follow_host()
        self._leave_sparse_type()
        self._remember_geometries()

    def _remember_geometries(self) -> None:
        remember_geometries(self)

    def _leave_sparse_type(self) -> None:
        """After ``set_signal_type("sparse_...")``: keep the host's type, make the chunks sparse."""
        signal_type = self.metadata.get_item("Signal.signal_type", "")
        if not signal_type.startswith("sparse_"):
            return
        self.metadata.Signal.signal_type = host_type(signal_type)
        if isinstance(self._data, da.Array) and not has_sparse_chunks(self) and self._data.ndim > 2:
            self._data = sparsified(self._data)

    # -- recordings that wait for the first computation ------------------------------------------

    @property
    def metadata(self) -> Any:
        """The metadata of the signal; complete as soon as its recording has been read."""
        deferred.complete(self)
        return self._metadata

    @property
    def original_metadata(self) -> Any:
        """The original metadata of the signal; complete as soon as its recording has been read."""
        deferred.complete(self)
        return self._original_metadata

    # -- what the signal says of itself --------------------------------------------------------------

    @property
    def recording(self) -> Summary:
        """Where the events of the recording went, and what the frames take in memory.

        It prints as a few lines, and ``s.recording.plot()`` draws it; see `hyperspy_sparse.recording_summary`.
        """
        return recording_summary(self)

    def __repr__(self) -> str:
        if not has_sparse_chunks(self):
            return super().__repr__()
        return f"{super().__repr__()}\n{recording_summary(self, read=False).indented()}"

    def __str__(self) -> str:
        return super().__repr__()  # one line: messages and lists name a signal by it

    def _repr_html_(self) -> str:
        shown = super()._repr_html_()
        return recording_summary(self, read=False)._repr_html_() + shown if has_sparse_chunks(self) else shown

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
            new = super()._deepcopy_with_new_data(None, copy_variance, **kwargs)
            new._data = np.atleast_1d(data)
            choose_class(new)
        else:
            # The caller may still have axes to remove, so only the chunks tell here.
            new = super()._deepcopy_with_new_data(data, copy_variance, **kwargs)
        navigator.hand_on(self, new)
        deferred.hand_on(self, new, copy_variance)
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
            if isinstance(signal, SparseFramesMixin):
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

    # -- speed -----------------------------------------------------------------------------------

    def _map_iterate(
        self,
        function: Callable,
        iterating_kwargs: dict | None = None,
        inplace: bool = True,
        ragged: bool | None = False,
        **kwargs: Any,
    ) -> BaseSignal | None:
        deferred.read_recording(self)
        kernel = None
        if not iterating_kwargs and not ragged and has_sparse_chunks(self):
            kernel = self._kernel_for(function, kwargs)
        if kernel is None:
            return super()._map_iterate(
                function,
                iterating_kwargs=iterating_kwargs,
                inplace=inplace,
                ragged=ragged,
                **kwargs,
            )
        return self._map_with_kernel(function, kernel, inplace, kwargs)

    def _kernel_for(self, function: Callable, kwargs: dict) -> tuple | None:
        """The kernel for an image function with its output, or None to take the ordinary path."""
        options = {k: v for k, v in kwargs.items() if k not in _MAP_OPTIONS}
        shape, dtype = self.data.shape[-2:], self.data.dtype
        kernel = kernels.find_kernel(function, shape, dtype, options)
        output = kernel.output_of(shape, dtype) if kernel else None
        if output is None:
            return None
        requested = kwargs.get("output_signal_size"), kwargs.get("output_dtype")
        if requested[0] is not None and tuple(requested[0]) != output[0]:
            return None
        return kernel, output[0], np.dtype(requested[1] or output[1])

    def _map_with_kernel(self, function: Callable, kernel: tuple, inplace: bool, kwargs: dict) -> BaseSignal:
        """The host makes the signal (axes, class, metadata); the kernel makes its data."""
        kernel, shape, dtype = kernel
        lazy = kwargs.get("lazy_output")
        options = {k: v for k, v in kwargs.items() if k not in _MAP_OPTIONS}
        one_by_one = partial(_frame_by_frame, function, options, shape, dtype)
        answers = blocks.apply_kernel(self.data, kernel, shape, dtype, one_by_one)
        host = {**kwargs, "lazy_output": True, "output_signal_size": shape, "output_dtype": dtype}
        signal = super()._map_iterate(function, inplace=inplace, ragged=False, **host)
        signal.data = answers.reshape(signal.data.shape)
        if lazy is False:
            # Not self.compute, which guards against sparse signals becoming dense: this is one
            # that is dense already.
            workers = kwargs.get("num_workers")
            settings = {} if workers is None else {"num_workers": workers}
            LazySignal.compute(signal, show_progressbar=kwargs.get("show_progressbar"), **settings)
        return signal

    def _apply_function_on_data_and_remove_axis(
        self, function: Callable, axes: Any, out: BaseSignal | None = None, rechunk: bool = False
    ) -> BaseSignal | None:
        result = self._reduced(function, axes, out, rechunk)
        summed = self.axes_manager[axes]
        summed = summed if np.iterable(summed) else (summed,)
        if function.__name__ in ("sum", "nansum") and set(self.axes_manager.signal_axes) <= set(summed):
            noise.of_area(result if out is None else out, self, nan_masks.n_pixels(self._data))
        return result

    def _reduced(self, function: Callable, axes: Any, out: BaseSignal | None, rechunk: bool) -> BaseSignal | None:
        deferred.read_recording(self)
        host = super()._apply_function_on_data_and_remove_axis
        reduced = self.axes_manager[axes]
        reduced = reduced if np.iterable(reduced) else (reduced,)
        reduced = tuple(sorted(axis.index_in_array for axis in reduced))
        data, n_nav = self._data, self._data.ndim - 2
        nav, sig = tuple(range(n_nav)), (n_nav, n_nav + 1)
        name = function.__name__
        masked = None if rechunk else nan_masks.behind(data)
        masked_result = None if masked is None else nan_masks.reduced(name, masked, reduced)
        if masked_result is not None:
            return self._without(axes, masked_result, out)
        parts = None if rechunk else shifted.behind(data)
        of_parts = None if parts is None else shifted.reduced(name, parts, reduced)
        if of_parts is not None:
            return self._without(axes, of_parts, out)
        sparsely = has_sparse_chunks(self) and name in _REDUCED_SPARSELY.get(data.dtype.kind, ())
        if rechunk or reduced not in (nav, sig, nav + sig) or not sparsely:
            return host(function, axes, out=out, rechunk=rechunk)
        answer = reductions.reduced(name, data, reduced)
        if answer is not None:
            return self._without(axes, answer, out)
        try:
            # These never make a chunk dense, so they may have larger ones.
            self._data = blocks.in_blocks(data)
            return host(function, axes, out=out, rechunk=rechunk)
        finally:
            self._data = data

    def _without(self, axes: Any, data: da.Array, out: BaseSignal | None) -> BaseSignal | None:
        """What the host makes of data that it has reduced over `axes`: a signal, or its `out` with other data."""
        data = data if data.ndim else data.reshape((1,))
        if out is None:
            gone = self.axes_manager[axes]
            new = self._deepcopy_with_new_data(data)
            new._remove_axis([axis.index_in_axes_manager for axis in (gone if np.iterable(gone) else (gone,))])
            return new
        if out.data.shape != data.shape:
            raise ValueError(
                f"out has data of shape {out.data.shape}, but the result has {data.shape} (NumPy order). Make `out` by "
                "the same call without it."
            )
        out.data = data
        out.events.data_changed.trigger(obj=out)
        return None

    def rebin(
        self,
        new_shape: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        crop: bool = False,
        dtype: DTypeLike | None = None,
        out: BaseSignal | None = None,
        rechunk: bool = False,
    ) -> BaseSignal | None:
        data = self._data
        result = super().rebin(new_shape=new_shape, scale=scale, crop=crop, dtype=dtype, out=out, rechunk=rechunk)
        # The host leaves self.data as the array that it binned, cropped or rechunked or not.
        self._data = data
        target = result if out is None else out
        factors = self._whole_factors(new_shape, scale)
        if factors is not None:
            places = (axis.index_in_array for axis in self.axes_manager.signal_axes)
            noise.after_binning(target, self, [factors[place] for place in places])
        if factors is not None and has_sparse_chunks(self):
            binned = blocks.binned(data, factors, target.data.dtype)
            if binned is not None and binned.shape == target.data.shape:
                target.data = binned
                choose_class(target)
        return result

    def _whole_factors(
        self, new_shape: Sequence[float] | None, scale: Sequence[float] | None
    ) -> tuple[int, ...] | None:
        """How many elements become one, per axis of the array; None if not integers."""
        factors = self._validate_rebin_args_and_get_factors(new_shape=new_shape, scale=scale)
        factors = np.asarray(factors, dtype=float)
        whole = np.rint(factors)
        return None if (factors != whole).any() or (whole < 1).any() else tuple(whole.astype(int))

    def get_integrated_intensity(self, roi: Any, out_signal_axes: Any = None) -> BaseSignal:
        deferred.read_recording(self)
        stand_in = detectors.stand_in(self, [roi])
        roi = roi if stand_in is None else stand_in[0]
        return super().get_integrated_intensity(roi, out_signal_axes)

    def get_virtual_image(self, rois: Any, new_axis_dict: dict | None = None, normalize: bool = False) -> BaseSignal:
        deferred.read_recording(self)
        rois = [rois] if callable(rois) else list(rois)
        if not rois or not detectors.can_stand_in(self, rois):
            return super().get_virtual_image(rois, new_axis_dict, normalize)
        few = rois if normalize or len(rois) < 3 else rois[:2]
        images = super().get_virtual_image(detectors.stand_in(self, few), new_axis_dict, normalize)
        if len(few) < len(rois):
            detectors.fill_stack(images, self, rois)
        return images

    def get_variance(
        self,
        npt: int,
        method: str = "Omega",
        gain: float | None = None,
        spatial: bool = False,
        navigation_axes: Any = None,
        shot_noise: str | None = None,
        **kwargs: Any,
    ) -> BaseSignal | tuple[BaseSignal, BaseSignal]:
        """Variance of the diffracted intensity; of the specimen alone with ``shot_noise="remove"``.

        Parameters
        ----------
        npt : int
            Number of rings.
        method : {"Omega", "r", "re", "VImage"}
            What varies: means over rings from position to position; pixels in a ring at each position ("r"), or with
            means over positions taken before they are divided ("re"); or each pixel from position to position. See
            `pyxem.signals.Diffraction2D.get_variance`.
        gain : float, optional
            Value of one electron; 1 where shot noise is removed and it is omitted.
        spatial : bool
            With method "r", the variance at each position too.
        navigation_axes : optional
            Over which the variance is taken: all by default.
        shot_noise : {"remove"}, optional
            Pairs of different electrons tell of the specimen without the noise of single ones: no correction that
            is subtracted afterwards, and no bias at 0.02 electrons per pixel. The variance as pyXem has it where
            omitted.
        **kwargs
            As `mask` and `radial_range`, for the azimuthal integration; and options of `map`.

        Returns
        -------
        signal
            NaN where fewer than two electrons tell. Two signals with `spatial`.

        Raises
        ------
        ValueError
            If an option is not valid.

        Notes
        -----
        Each count has to be an electron of its own: load recordings with ``cluster=True``. Without shot noise the
        result is that of pyXem. At low dose "re" and "Omega", which divide sums over the scan, have the
        smallest errors.

        References
        ----------
        .. [1] T. L. Daulton, K. S. Bondi, K. F. Kelton, Ultramicroscopy 110, 1279 (2010).

        Examples
        --------
        >>> import hyperspy_sparse
        >>> s = hyperspy_sparse.data.disks()
        >>> noisy = s.get_variance(npt=4, method="re")
        >>> s.get_variance(npt=4, method="re", shot_noise="remove")
        <LazyElectronDiffraction1D, title: Simulated disks, dimensions: (|4)>
        """
        variance.check_options(npt, method, gain, spatial, shot_noise, kwargs)
        deferred.read_recording(self)
        if shot_noise is None:
            return super().get_variance(npt, method, gain, spatial, navigation_axes, **kwargs)
        return variance.without_shot_noise(self, npt, method, gain, spatial, navigation_axes, kwargs)

    def plot(self, *args: Any, **kwargs: Any) -> None:
        deferred.read_recording(self)
        navigator.drop_if_outdated(self)
        computed = self.navigator is None
        super().plot(*args, **kwargs)
        if computed:
            navigator.note_as_ours(self)

    plot.__doc__ = LazySignal.plot.__doc__

    def _get_cache_dask_chunk(self, indices: tuple) -> np.ndarray:
        frame = frames.one_frame(self, indices)
        return super()._get_cache_dask_chunk(indices) if frame is None else frame

    # -- memory ----------------------------------------------------------------------------------

    def compute(
        self,
        close_file: bool = False,
        show_progressbar: bool | None = None,
        memory_limit: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the whole signal dense in memory, if it fits below the memory limit.

        Where that takes many times the memory of the events, a warning names both sizes, once in a session.

        Parameters
        ----------
        close_file, show_progressbar, **kwargs
            As in HyperSpy.
        memory_limit : int, str or None
            Bytes, or text as "8 GiB"; None takes `hyperspy_sparse.get_limit`.

        Raises
        ------
        hyperspy_sparse.DenseMemoryError
            If the dense array would be larger than the limit.
        """
        check_dense_size(self.data.shape, self.data.dtype, "compute()", memory_limit)
        deferred.read_recording(self)
        expansion.warn_once(self.data, "compute()")
        self.data = densified(self.data)  # and the class is the stock one from here on
        LazySignal.compute(self, close_file=close_file, show_progressbar=show_progressbar, **kwargs)

    def to_dense(self, memory_limit: int | str | None = None, show_progressbar: bool | None = None) -> BaseSignal:
        """A dense copy of the signal in memory, in the host's own class.

        Parameters
        ----------
        memory_limit : int, str or None
            Largest size that is allowed; None takes `hyperspy_sparse.get_limit`.

        Returns
        -------
        hyperspy.api.signals.BaseSignal
            Not lazy; a `pyxem.signals.ElectronDiffraction2D`, for instance.

        Raises
        ------
        hyperspy_sparse.DenseMemoryError
            If the dense array would be larger than the limit.
        """
        check_dense_size(self.data.shape, self.data.dtype, "to_dense()", memory_limit)
        deferred.read_recording(self)
        new = self._deepcopy_with_new_data(densified(self.data), copy_variance=True)
        new.compute(show_progressbar=show_progressbar)
        return new

    def save(
        self,
        filename: str | os.PathLike | None = None,
        overwrite: bool | None = None,
        extension: str | None = None,
        file_format: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the signal; formats for dense data are written chunk by chunk.

        The file holds the host's signal type and class, so it opens where this package is not
        installed. Formats of `rsciio_tpx3` keep the frames sparse.

        Parameters
        ----------
        filename, overwrite, extension, file_format, **kwargs
            As in :meth:`hyperspy.api.signals.BaseSignal.save`.
        """
        saving.check_arguments(filename, overwrite, extension, file_format)
        deferred.read_recording(self)
        options = {"overwrite": overwrite, "file_format": file_format, **kwargs}
        if saving.keeps_frames(filename, extension, file_format):
            return super().save(filename, extension=extension, **options)
        stock = saving.in_stock_class(self)
        stock.save(filename, extension=extension, **options)
        self.tmp_parameters = stock.tmp_parameters

    def persist(self, **kwargs: Any) -> None:
        """Read everything once and keep the sparse frames in memory, in place.

        They are one piece there, whatever the chunks, so that analyses cut it as they like; where a cluster is
        connected, its workers keep the chunks.

        Parameters
        ----------
        **kwargs
            Passed to :meth:`dask.array.Array.persist`.
        """
        deferred.read_recording(self)
        before = self.data.name
        self.data = (
            recipes.held(self.data, **kwargs) if shifted.is_shifted(self.data) else held_in_memory(self.data, **kwargs)
        )
        navigator.renamed(self, before)
        self.events.data_changed.trigger(obj=self)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the frames are sparse: a dense array is always a copy.")
        check_dense_size(self.data.shape, np.dtype(dtype or self.data.dtype), "numpy.asarray")
        dense = np.asarray(densified(self.data).compute())
        return dense if dtype is None else dense.astype(dtype, copy=False)
