"""Analyses of sparse signals: what `map` knows by a kernel, sums, virtual detectors and variance run on the events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperspy.signals import LazySignal

from hyperspy_sparse import blocks, deferred, kernels, nan_masks, noise, reductions, shifted, variance
from hyperspy_sparse import line_profiles as line_profiles  # HyperSpy's Line2DROI finds it there
from hyperspy_sparse import virtual_detectors as detectors
from hyperspy_sparse.twins import choose_class, has_sparse_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import dask.array as da
    from hyperspy.signal import BaseSignal
    from numpy.typing import DTypeLike


__all__ = ["AnalysesMixin"]

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

_REDUCED_SPARSELY = _PLAIN | {f"nan{name}" for name in _PLAIN}


def _frame_by_frame(
    function: Callable, options: dict, shape: tuple[int, ...], dtype: np.dtype, chunk: Any
) -> np.ndarray:
    """The image function on every frame of a chunk that the kernel did not take."""
    out = np.empty(chunk.shape[:-2] + shape, dtype=dtype)
    for place in np.ndindex(chunk.shape[:-2]):
        out[place] = function(np.asarray(chunk[place]), **options)
    return out


def _of_host(host: Any, name: str, signal: BaseSignal) -> Callable:
    """A method that pyXem's classes have; for others an error that says so."""
    method = getattr(host, name, None)
    if method is None:
        raise AttributeError(
            f"{type(signal).__name__} has no {name}, which pyXem has for diffraction patterns. Set their "
            "type first: s.set_signal_type('electron_diffraction')."
        )
    return method


class AnalysesMixin:
    """Methods of HyperSpy and pyXem that look at every frame, answered from the events of all of them."""

    def _map_iterate(
        self,
        function: Callable,
        iterating_kwargs: dict | None = None,
        inplace: bool = True,
        ragged: bool | None = False,
        **kwargs: Any,
    ) -> BaseSignal | None:
        deferred.read_recording(self)
        # Arguments that change from frame to frame, and results of any length, have no kernel.
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
        # Lazily: the host only lays out the result, no frame is read for it.
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
        # Cheapest first: a mask of NaN over the frames, as HyperSpy's regions leave it,
        masked = None if rechunk else nan_masks.behind(data)
        masked_result = None if masked is None else nan_masks.reduced(name, masked, reduced)
        if masked_result is not None:
            return self._without(axes, masked_result, out)
        # then frames plus or minus an image,
        of_parts = None if rechunk else shifted.reduced(name, data, reduced)
        if of_parts is not None:
            return self._without(axes, of_parts, out)
        # then the frames themselves; whatever else is requested is done by HyperSpy, chunk by chunk.
        sparsely = has_sparse_chunks(self) and name in _REDUCED_SPARSELY and data.dtype.kind in "uif"
        if rechunk or reduced not in (nav, sig, nav + sig) or not sparsely:
            return host(function, axes, out=out, rechunk=rechunk)
        answer = reductions.reduced(name, data, reduced)
        if answer is not None:
            return self._without(axes, answer, out)
        if name.startswith("nan") and data.dtype.kind == "f":  # of a chunk made dense, a small one
            return host(function, axes, out=out, rechunk=rechunk)
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
            gone = gone if np.iterable(gone) else (gone,)
            new = self._with_fewer_axes(gone, data)
            if new is None:
                new = self._deepcopy_with_new_data(data)
                new._remove_axis([axis.index_in_axes_manager for axis in gone])
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
        integrate = _of_host(super(), "get_integrated_intensity", self)
        deferred.read_recording(self)
        stand_in = detectors.stand_in(self, [roi])
        return integrate(roi if stand_in is None else stand_in[0], out_signal_axes)

    def get_virtual_image(self, rois: Any, new_axis_dict: dict | None = None, normalize: bool = False) -> BaseSignal:
        make = _of_host(super(), "get_virtual_image", self)
        deferred.read_recording(self)
        rois = [rois] if callable(rois) else list(rois)
        if not rois or not detectors.can_stand_in(self, rois):
            return make(rois, new_axis_dict, normalize)
        few = rois if normalize or len(rois) < 3 else rois[:2]
        images = make(detectors.stand_in(self, few), new_axis_dict, normalize)
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
            Pairs of different electrons show the specimen without the noise of single ones: no correction that
            is subtracted afterwards, and no bias at 0.02 electrons per pixel. The variance as pyXem has it where
            omitted.
        **kwargs
            As `mask` and `radial_range`, for the azimuthal integration; and options of `map`.

        Returns
        -------
        signal
            NaN with fewer than two electrons. Two signals with `spatial`.

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
        of_pyxem = _of_host(super(), "get_variance", self)
        variance.check_options(npt, method, gain, spatial, shot_noise, kwargs)
        deferred.read_recording(self)
        if shot_noise is None:
            return of_pyxem(npt, method, gain, spatial, navigation_axes, **kwargs)
        return variance.without_shot_noise(self, npt, method, gain, spatial, navigation_axes, kwargs)
