"""Private names of HyperSpy and pyXem that the project relies on: the one place that says which, and why.

Checked with HyperSpy 2.5.0 and pyXem 0.21.0. A host may change them without notice; `tests/signals/test_hosts.py` then
says which one, and fails too where our code uses a private name that has no row here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hyperspy.misc._signal_tools import are_signals_aligned, broadcast_signals
from pyxem.utils._azimuthal_integrations import _get_control_points as sector_corners
from pyxem.utils._azimuthal_integrations import _slice_radial_integrate as slice_radial_integrate
from pyxem.utils._azimuthal_integrations import _slice_radial_integrate1d as slice_radial_integrate1d

if TYPE_CHECKING:
    import numpy as np
    from hyperspy.signal import BaseSignal

__all__ = [
    "CHECKED_WITH",
    "PRIVATE_NAMES",
    "PrivateName",
    "are_signals_aligned",
    "broadcast_signals",
    "current_frame",
    "sector_corners",
    "slice_radial_integrate",
    "slice_radial_integrate1d",
]

CHECKED_WITH = {"hyperspy": "2.5.0", "pyxem": "0.21.0"}


class PrivateName(NamedTuple):
    """A private attribute of a host's class.

    Attributes
    ----------
    name : str
    owner : str
        ``module:class`` that has it, on the class or on its instances.
    parameters : tuple of str or None
        The first parameters of a method that we call or override; None for what is not a method.
    reason : str
        Why no public name serves.
    """

    name: str
    owner: str
    parameters: tuple[str, ...] | None
    reason: str


_BASE, _LAZY, _AXES = "hyperspy.signal:BaseSignal", "hyperspy._signals.lazy:LazySignal", "hyperspy.axes:AxesManager"

PRIVATE_NAMES = (
    PrivateName("_assign_subclass", _BASE, (), "chooses the class of every result: here the chunks have their say"),
    PrivateName(
        "_deepcopy_with_new_data", _BASE, ("data", "copy_variance"), "makes every result: its data decide its class"
    ),
    PrivateName("_lazy", _BASE, None, "what the class of a signal is chosen by"),
    PrivateName("_data", _BASE, None, "the property `data` may read a recording; this looks at what is there"),
    PrivateName("_data_aligned_with_axes", _BASE, None, "operators broadcast by axes, not by the order of the array"),
    PrivateName("_binary_operator_ruler", _BASE, ("other", "op_name"), "all operators of signals go through it"),
    PrivateName(
        "_apply_function_on_data_and_remove_axis",
        _BASE,
        ("function", "axes"),
        "sums and means go through it",
    ),
    PrivateName("_repr_html_", _LAZY, (), "what notebooks show: the summary of the recording stands above it"),
    PrivateName("_map_iterate", _LAZY, ("function",), "where `map` runs a function on every image: kernels stand in"),
    PrivateName("_map_all", _LAZY, ("function",), "the same for functions of all images at once"),
    PrivateName("_get_cache_dask_chunk", _LAZY, ("indices",), "one frame for one picture, not the chunk around it"),
    PrivateName(
        "_get_current_data",
        _BASE,
        ("axes_manager", "fft_shift", "as_numpy"),
        "the frame that a plot draws, for benchmarks: `get_current_signal` wraps it in a signal, which costs more",
    ),
    PrivateName("_slicer", _BASE, ("slices",), "what `inav` and `isig` call: parts come from the source of the whole"),
    PrivateName(
        "_validate_rebin_args_and_get_factors", _BASE, ("new_shape", "scale"), "the factors that `rebin` would use"
    ),
    PrivateName("_to_dictionary", _BASE, (), "a signal as the dictionary that writers take, as `save` makes it"),
    PrivateName(
        "_get_axes_dicts", _AXES, (), "the axes of a copy, which HyperSpy makes by changing the signal meanwhile"
    ),
    PrivateName("_ragged", _AXES, None, "the same for what a copy is made of"),
    PrivateName("_remove_axis", _BASE, ("axes",), "an image of the scan has no axes of the detector"),
    PrivateName("_axes", _AXES, None, "all axes in the order of the array; the public order is another"),
    PrivateName("_sort_axes", _AXES, (), "axes in the order of an array that operators broadcast"),
    PrivateName("_get_array_slices", "hyperspy.misc.slicing:FancySlicing", ("slices",), "HyperSpy's slices as NumPy's"),
    PrivateName("_get_index", "hyperspy.axes:BaseDataAxis", ("value",), "the index of a value, as HyperSpy rounds it"),
    PrivateName(
        "_decomposition_svd_matrix",
        _LAZY,
        ("svd_solver", "centre", "output_dimension", "navigation_mask", "signal_mask"),
        "the randomised solver, which multiplies dense chunks: here products of the entries",
    ),
    PrivateName(
        "_decomposition_reproject_navigation",
        _LAZY,
        ("reproject", "algorithm", "svd_solver", "loadings", "factors", "mean", "centre", "_D_unfolded", "sig_mask_1d"),
        "the same for loadings of masked positions",
    ),
    PrivateName(
        "_decomposition_reproject_signal",
        _LAZY,
        ("algorithm", "svd_solver", "reproject", "loadings", "factors", "mean", "centre", "_D_unfolded", "nav_mask_1d"),
        "the same for factors of masked pixels, which HyperSpy collects densely",
    ),
    PrivateName("_store_decomposition_results", _LAZY, ("explained_variance",), "the name of an algorithm of ours"),
    PrivateName(
        "_block_iterator", _LAZY, ("flat_signal", "get", "navigation_mask", "signal_mask"), "rows for scikit-learn"
    ),
    PrivateName(
        "_line_profile_coordinates",
        "hyperspy.roi:Line2DROI",
        ("src", "dst", "linewidth"),
        "where a line is sampled, as HyperSpy places the samples",
    ),
    PrivateName(
        "_parse_axes", "hyperspy.roi:BaseInteractiveROI", ("axes", "axes_manager"), "the axes that a region is over"
    ),
    PrivateName("_signal_dimension", _BASE, None, "the dimension that a class is registered for"),
    PrivateName(
        "_get_slices_and_factors",
        "pyxem.utils.calibration:Calibration",
        ("npt",),
        "the overlaps of pixels with sectors, which take seconds: made once for a geometry",
    ),
    PrivateName(
        "_get_radial_range", "pyxem.utils.calibration:Calibration", (), "the range that an integral takes by default"
    ),
)
"""Every private attribute of HyperSpy's and pyXem's classes that `hyperspy_sparse` calls, overrides or reads."""


def current_frame(signal: BaseSignal) -> np.ndarray:
    """The frame at the present indices of the navigation axes, as plotting gets it."""
    return signal._get_current_data(as_numpy=True)
