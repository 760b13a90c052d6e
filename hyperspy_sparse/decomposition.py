"""HyperSpy's `decomposition` from the entries: products of frames with a few columns are all that it takes.

A truncated singular value decomposition needs the matrix (positions x pixels) only where it is multiplied by a few
vectors (a small one is faster dense, see `small_matrix`). Neither scaling for Poisson noise nor subtracting a mean
changes that: scales of rows and columns go into the vectors, and a mean is one more product (`frame_matrix`,
`block_lanczos`). Non-negative factors are fitted by scikit-learn, which takes sparse rows as they are. What is stored,
and how it is rescaled, plotted and exported, is HyperSpy's.

References
----------
.. [1] M. R. Keenan, P. G. Kotula, Surf. Interface Anal. 36, 203 (2004).
"""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse
from dask.utils import format_bytes
from hyperspy.signals import LazySignal

from hyperspy_sparse import deferred, operands, recipes, reductions
from hyperspy_sparse.block_lanczos import MORE, basis_size, truncated_svd
from hyperspy_sparse.frame_matrix import TOGETHER, Matrix
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.online_nmf import OnlineNMF
from hyperspy_sparse.small_matrix import SmallMatrix, one_thread
from hyperspy_sparse.twins import as_frames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.csr.memory_limit import DenseMemoryError, get_limit
from rsciio_tpx3.csr.memory_limit import check as check_dense_size
from rsciio_tpx3.frames.dask_array import with_its_own_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyperspy.signal import BaseSignal


__all__ = [
    "DecompositionMixin",
    "check_memory",
    "options_of",
    "poisson_scaled",
    "reprojected_factors",
    "reprojected_loadings",
    "sparse_rows",
    "svd",
]

ZERO = 1e-4
"""Sums of a vector of length one that are no more than what it may be inexact by."""

_SIGNATURE = inspect.signature(LazySignal.decomposition)


def options_of(args: tuple, kwargs: dict) -> dict:
    """The arguments of a call of ``decomposition``, by name."""
    bound = _SIGNATURE.bind_partial(None, *args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


def check_memory(data: da.Array, options: dict) -> None:
    """Refuse a decomposition that cannot fit, before anything is read.

    Parameters
    ----------
    data : dask.array.Array
    options : dict
        See `options_of`.

    Raises
    ------
    hyperspy_sparse.DenseMemoryError
        If what is in memory at once would be larger than the limit.
    """
    algorithm, n = options["algorithm"], options["output_dimension"]
    whole = not isinstance(algorithm, str) and not hasattr(algorithm, "partial_fit")
    if whole or (algorithm == "SVD" and options["svd_solver"] == "full"):
        name = "svd_solver='full'" if algorithm == "SVD" else "an estimator without partial_fit"
        check_dense_size(data.shape, np.dtype(float), f"decomposition() with {name}")
    elif isinstance(n, int) and not isinstance(n, bool) and n > 0:
        sides = math.prod(data.shape[:-2]), math.prod(data.shape[-2:])
        needed = 8 * _columns_at_once(algorithm, min(n, *sides)) * sum(sides)
        if needed > (allowed := get_limit()):
            raise DenseMemoryError(
                f"decomposition(output_dimension={n}) of {sides[0]} positions x {sides[1]} pixels needs about "
                f"{format_bytes(needed)} for vectors of both (limit {format_bytes(allowed)}). Take a smaller "
                "output_dimension; crop or rebin first; or raise the limit with hyperspy_sparse.set_limit(...)."
            )


def _columns_at_once(algorithm: Any, n: int) -> int:
    """Columns of both sides that are in memory at the peak, about."""
    if algorithm == "SVD":  # the basis, images of what is best in it, their vectors, and products to be added up
        return basis_size(n, loops.COLUMNS) + 2 * (n + MORE) + TOGETHER * loops.COLUMNS
    return 6 * n  # factors, numerators, denominators and the next ones


def _flat(mask: Any) -> np.ndarray | None:
    """A mask in the order of the array as a flat array of bool."""
    if mask is None:
        return None
    mask = mask.compute() if isinstance(mask, da.Array) else mask
    return np.asarray(mask).astype(bool).ravel()


def in_array_order(mask: Any, navigation: bool) -> Any:
    """A mask as HyperSpy takes it: signals are in the order of the array, arrays of the scan are turned."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray | da.Array) and hasattr(mask, "axes_manager"):
        return mask.data
    return mask.T if navigation and hasattr(mask, "T") else mask


def svd(signal: BaseSignal, centre: str | None, n: int, navigation_mask: Any, signal_mask: Any) -> dict | None:
    """What HyperSpy's ``_decomposition_svd_matrix`` gives for its randomised solver; None where it has to do it.

    Parameters
    ----------
    signal : LazySignal
    centre : str or None
        "navigation" for the mean of all positions, "signal" for the mean of each.
    n : int
    navigation_mask, signal_mask : signal, array or None
        As HyperSpy takes them.
    """
    matrix = Matrix.of(signal.data)
    if matrix is None or (centre is not None and matrix.of_rows.any()):
        return None
    of_scan, of_detector = in_array_order(navigation_mask, True), in_array_order(signal_mask, False)
    rows, columns = _flat(of_scan), _flat(of_detector)
    unmasked = [np.ones(size, bool) if mask is None else ~mask for size, mask in zip(matrix.shape, (rows, columns))]
    n = min(n, *(int(k.sum()) for k in unmasked))
    mean, used = _centred(matrix.for_svd(n).masked(rows, columns), centre, *unmasked)
    left, values, right = largest_components(used, n)
    return {
        "loadings": (left * values)[unmasked[0]],
        "factors": right[unmasked[1]],
        "explained_variance": values**2 / int(unmasked[0].sum()),
        "mean": mean,
        "nav_mask_1d": rows,
        "sig_mask_1d": columns,
        "navigation_mask": of_scan,
        "signal_mask": of_detector,
        "_navigation_mask_for_reproject": of_scan,
        "_D_unfolded": None,
    }


def largest_components(matrix: Matrix | SmallMatrix, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest singular values with their vectors, whose signs are those that HyperSpy's lazy signals have.

    Parameters
    ----------
    matrix : Matrix or SmallMatrix
    n : int

    Returns
    -------
    left, values, right : numpy.ndarray
        See `block_lanczos.truncated_svd`; `right` adds up to no less than zero.
    """
    with one_thread():
        found = matrix.largest(n) if isinstance(matrix, SmallMatrix) else None
        left, values, right = truncated_svd(matrix, n) if found is None else found
    signs = _signs(right)
    return left * signs, values, right * signs


def _signs(vectors: np.ndarray) -> np.ndarray:
    """Of the sums, as dask takes them; of what is zero but for rounding, those of sums with weights."""
    sums = vectors.sum(axis=0)
    weighted = np.random.default_rng(0).standard_normal(len(vectors)) @ vectors
    return np.where(np.where(np.abs(sums) < ZERO, weighted, sums) < 0, -1.0, 1.0)


def _centred(matrix: Matrix | SmallMatrix, centre: str | None, rows: np.ndarray, columns: np.ndarray) -> tuple:
    """The mean that is subtracted, as HyperSpy keeps it, and the matrix less it."""
    if centre == "navigation":
        mean = matrix.turned_times(rows[:, None].astype(float))[:, 0] / max(rows.sum(), 1)
        return mean[columns][None, :], matrix.less(rows.astype(float), mean)
    if centre == "signal":
        mean = matrix.times(columns[:, None].astype(float))[:, 0] / max(columns.sum(), 1)
        return mean[rows][:, None], matrix.less(mean, columns.astype(float))
    return None, matrix


def reprojected_loadings(
    signal: BaseSignal, factors: np.ndarray, mean: Any, centre: str | None, mask: np.ndarray | None
) -> np.ndarray | None:
    """Loadings of all positions, also of those that were masked; None where HyperSpy has to make them.

    Parameters
    ----------
    signal : LazySignal
    factors : numpy.ndarray, shape (pixels that are not masked, n)
    mean : numpy.ndarray or None
    centre : str or None
    mask : numpy.ndarray of bool or None
        Flat, of the detector.
    """
    matrix = Matrix.of(signal.data)
    if matrix is None:
        return None
    unmasked = slice(None) if mask is None else ~mask
    whole = np.zeros((matrix.shape[1], factors.shape[1]))
    whole[unmasked] = factors
    loadings = matrix.times(whole)
    if mean is not None and centre == "navigation":
        loadings = loadings - np.asarray(mean).ravel() @ factors
    # of a component beyond the rank of the data nothing may be left in the pixels that are not masked
    squares = np.einsum("ij,ij->j", factors, factors)
    return np.divide(loadings, squares, out=np.zeros_like(loadings), where=squares > ZERO**2)


def reprojected_factors(
    signal: BaseSignal,
    loadings: np.ndarray,
    mean: Any,
    centre: str | None,
    rows: np.ndarray | None,
    columns: np.ndarray | None,
) -> np.ndarray | None:
    """Factors of all pixels, also of those that were masked; None where HyperSpy has to make them.

    Parameters
    ----------
    signal : LazySignal
    loadings : numpy.ndarray
        Of the positions that are not masked, or of all.
    mean : numpy.ndarray or None
    centre : str or None
    rows, columns : numpy.ndarray of bool or None
        Flat masks of the scan and the detector.
    """
    matrix = Matrix.of(signal.data)
    if matrix is None:
        return None
    unmasked = np.ones(matrix.shape[0], bool) if rows is None else ~rows
    used = loadings[unmasked] if len(loadings) == unmasked.size else loadings
    inverse = np.zeros((unmasked.size, used.shape[1]))
    inverse[unmasked] = np.linalg.pinv(used).T
    factors = matrix.turned_times(inverse)
    if mean is not None:
        flat = np.asarray(mean).ravel()
        if centre == "signal":  # HyperSpy takes it for a mean of pixels
            return factors - flat @ inverse[unmasked]
        whole = np.zeros(matrix.shape[1])
        whole[slice(None) if columns is None or flat.size == whole.size else ~columns] = flat
        factors = factors - np.outer(whole, inverse.sum(axis=0))
    return factors


def poisson_scaled(signal: BaseSignal, navigation_mask: Any, signal_mask: Any) -> tuple | None:
    """The data divided by the roots of the counts of each position and each pixel [1]_, and both roots.

    What is masked is divided, too. HyperSpy leaves it as it is, which matters with ``reproject`` alone: it projects
    counts onto components of scaled counts, so that the model of a masked frame is not that frame even without noise.
    None where HyperSpy has to do it.

    Parameters
    ----------
    signal : LazySignal
        Of sparse frames.
    navigation_mask, signal_mask : signal, array or None
        As HyperSpy takes them.

    Raises
    ------
    ValueError
        If counts are negative, or all of them masked.
    """
    matrix = Matrix.of(signal.data)
    if matrix is None or matrix.of_rows.any():
        return None
    rows, columns = _flat(in_array_order(navigation_mask, True)), _flat(in_array_order(signal_mask, False))
    if signal.data.dtype.kind not in "bu" and _smallest(signal.data) < 0:
        raise ValueError("Negative values found in data!\nAre you sure that the data follow a Poisson distribution?")
    used = matrix.masked(rows, columns)
    of_rows = used.times(np.ones((matrix.shape[1], 1)))[:, 0]
    of_columns = used.turned_times(np.ones((matrix.shape[0], 1)))[:, 0]
    if of_rows.sum() == 0:
        raise ValueError("All the data are masked, change the mask.")
    shapes = signal.data.shape[:-2], signal.data.shape[-2:]
    roots = [np.sqrt(np.where(x == 0, 1, x)).reshape(shape) for x, shape in zip((of_rows, of_columns), shapes)]
    scaled = operands.operate(np.true_divide, signal.data, roots[0][..., None, None])
    return operands.operate(np.true_divide, scaled, roots[1]), *(da.from_array(root) for root in roots)


def _smallest(data: da.Array) -> Any:
    least = reductions.reduced("min", data, tuple(range(data.ndim)))
    return (data.min() if least is None else least).compute()


class _Rows(scipy.sparse.csr_matrix):
    """Rows that HyperSpy may put one below the other as it does with arrays."""

    def __array_function__(self, function: Callable, types: tuple, args: tuple, kwargs: dict) -> Any:
        if function is not np.concatenate:
            return NotImplemented
        return _Rows(scipy.sparse.vstack(args[0], format="csr"))


def sparse_rows(signal: BaseSignal, navigation_mask: Any, signal_mask: Any) -> Iterator:
    """Chunk by chunk, the frames that are not masked as a sparse matrix, as HyperSpy's ``_block_iterator`` does.

    Parameters
    ----------
    signal : LazySignal
        Of sparse frames.
    navigation_mask, signal_mask : signal, array or None
        In the order of the array.
    """
    data, n_pixels = signal.data, math.prod(signal.data.shape[-2:])
    rows, columns = (_flat(getattr(mask, "data", mask) if hasattr(mask, "axes_manager") else mask)
                     for mask in (navigation_mask, signal_mask))  # fmt: skip
    for place, spans in reductions.spans_of(data):
        (frames,) = dask.compute(with_its_own_tasks(data.blocks[(*place, 0, 0)]))
        frames = as_frames(frames)
        made = _Rows((countable(frames.data), frames.indices, frames.indptr), shape=(frames.n_frames, n_pixels))
        if rows is not None:
            made = made[np.flatnonzero(~rows.reshape(data.shape[:-2])[spans].ravel())]
        yield _Rows(made if columns is None else made[:, np.flatnonzero(~columns)])


class DecompositionMixin:
    """The steps of HyperSpy's lazy ``decomposition`` that would make frames dense."""

    _takes_sparse_rows = False
    _decomposing = False

    def decomposition(self, *args: Any, **kwargs: Any) -> Any:
        deferred.read_recording(self)
        if not isinstance(self.data, da.Array) or Matrix.of(self.data) is None:
            return super().decomposition(*args, **kwargs)
        options = options_of(args, kwargs)
        check_memory(self.data, options)
        self._decomposing = True
        self._takes_sparse_rows = options["algorithm"] == "NMF" and recipes.is_frames(self.data)
        try:
            if self._takes_sparse_rows and options["output_dimension"] is not None:
                estimator = OnlineNMF(n_components=options["output_dimension"], **options.pop("kwargs"))
                options.pop("self")
                with one_thread():
                    return super().decomposition(**{**options, "algorithm": estimator})
            return super().decomposition(*args, **kwargs)
        finally:
            del self._decomposing, self._takes_sparse_rows

    decomposition.__doc__ = LazySignal.decomposition.__doc__

    def normalize_poissonian_noise(self, navigation_mask: Any = None, signal_mask: Any = None) -> None:
        deferred.read_recording(self)
        no_mask = navigation_mask is None and signal_mask is None
        scaled = None
        if recipes.is_frames(self.data) and (no_mask or self._decomposing):
            scaled = poisson_scaled(self, navigation_mask, signal_mask)
        if scaled is None:
            super().normalize_poissonian_noise(navigation_mask, signal_mask)
        else:
            self.data = scaled[0]
            vars(self).update(zip(("_root_aG", "_root_bH"), scaled[1:], strict=True))  # as HyperSpy scales results back

    normalize_poissonian_noise.__doc__ = LazySignal.normalize_poissonian_noise.__doc__

    def _decomposition_svd_matrix(
        self, svd_solver: str, centre: str | None, output_dimension: int | None, navigation_mask: Any, signal_mask: Any
    ) -> dict:
        found = None
        if svd_solver == "randomized" and output_dimension is not None:
            found = svd(self, centre, output_dimension, navigation_mask, signal_mask)
        if found is None:
            found = super()._decomposition_svd_matrix(
                svd_solver, centre, output_dimension, navigation_mask, signal_mask
            )
        return found

    def _decomposition_reproject_navigation(self, *args: Any) -> tuple:
        reproject, algorithm, svd_solver, loadings, factors, mean, centre, unfolded, mask = args[:9]
        if isinstance(algorithm, OnlineNMF) and loadings is not None and (reproject is None or args[13] is None):
            return loadings, reproject in ("navigation", "both")  # HyperSpy would project what it has just projected
        ours = algorithm == "SVD" and svd_solver == "randomized" and unfolded is None
        if not ours or reproject not in ("navigation", "both"):
            return super()._decomposition_reproject_navigation(*args)
        return reprojected_loadings(self, factors, mean, centre, mask), True

    def _decomposition_reproject_signal(self, *args: Any) -> np.ndarray:
        algorithm, svd_solver, _, loadings, _, mean, centre = args[:7]
        of_detector, of_scan = args[10:12]
        factors = None
        if not (algorithm == "SVD" and svd_solver == "full"):
            factors = reprojected_factors(self, np.asarray(loadings), mean, centre, of_scan, of_detector)
        return super()._decomposition_reproject_signal(*args) if factors is None else factors

    def _store_decomposition_results(self, **results: Any) -> Any:
        if isinstance(results["algorithm"], OnlineNMF):  # what the user called for
            results["algorithm"] = "NMF"
        return super()._store_decomposition_results(**results)

    def _block_iterator(
        self, flat_signal: bool = True, get: Any = None, navigation_mask: Any = None, signal_mask: Any = None
    ) -> Iterator:
        if flat_signal and self._takes_sparse_rows and recipes.is_frames(self.data):
            return sparse_rows(self, navigation_mask, signal_mask)
        return super()._block_iterator(flat_signal, get, navigation_mask, signal_mask)
