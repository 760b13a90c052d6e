"""HyperSpy's `decomposition` from the entries: products of frames with a few columns are all that it takes.

A truncated singular value decomposition needs the matrix (positions x pixels) only where it is multiplied by a few
vectors. Neither scaling for Poisson noise nor subtracting a mean changes that: scales of rows and columns go into the
vectors, and a mean is one more product. Non-negative factors are fitted by scikit-learn, which takes sparse rows as
they are. What is stored, and how it is rescaled, plotted and exported, is HyperSpy's.

References
----------
.. [1] J. Baglama, L. Reichel, "Augmented implicitly restarted Lanczos bidiagonalization methods", SIAM J. Sci.
   Comput. 27, 19 (2005).
.. [2] M. R. Keenan, P. G. Kotula, Surf. Interface Anal. 36, 203 (2004).
"""

from __future__ import annotations

import inspect
import logging
import math
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse
from dask.utils import format_bytes
from hyperspy.signals import LazySignal

from hyperspy_sparse import blocks, deferred, operands, recipes, reductions, shifted
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.online_nmf import OnlineNMF
from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.csr.dtypes import countable
from rsciio_tpx3.csr.memory_limit import DenseMemoryError, get_limit
from rsciio_tpx3.csr.memory_limit import check as check_dense_size
from rsciio_tpx3.frames.dask_array import source_of
from rsciio_tpx3.frames.in_memory import held_in_memory
from rsciio_tpx3.frames.write import known_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hyperspy.signal import BaseSignal


__all__ = [
    "DecompositionMixin",
    "Matrix",
    "check_memory",
    "options_of",
    "poisson_scaled",
    "reprojected_factors",
    "reprojected_loadings",
    "sparse_rows",
    "svd",
    "truncated_svd",
]

MORE = 10
"""Columns beyond those that are wanted: the last ones converge slowly."""

TOGETHER = 4
"""Products of blocks, each an array of pixels x columns, that are in memory before they are added up."""

COLUMNS = loops.COLUMNS
"""Columns that the loops take at once, and that one step adds where the entries are in memory."""

TOLERANCE = 1e-6
"""What a vector may differ from its image under the matrix, relative to its value: vectors are as exact as that, times
the distance to the next value, and values as its square."""

MOST_STEPS = 60
"""Steps after which an answer is taken as it is, where the entries are in memory."""

MOST_READINGS = 12
"""The same where each step reads them twice."""

ROUNDING = 1e-13
"""Share of the largest value below which nothing can be told from rounding."""


def truncated_svd(matrix: Matrix, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The largest singular values with their vectors, from products alone.

    Block Lanczos with thick restarts [1]_: the matrix is multiplied by few columns at a time, whose images join a
    basis, and a full basis starts again from its best. Many steps with few columns find more than few steps with many
    columns in the same time.

    Parameters
    ----------
    matrix : Matrix
    n : int
        Number of singular values.
    seed : int
        Of the first columns.

    Returns
    -------
    left : numpy.ndarray, shape (rows, n)
    values : numpy.ndarray, shape (n,)
        Descending; as exact as rounding allows where `n` and ten more are half as many as the shorter side of the
        matrix, else to about 1e-12, and the vectors to 1e-6, for values that stand out; less for those in a crowd of
        equals.
    right : numpy.ndarray, shape (columns, n)
    """
    if matrix.shape[0] > matrix.shape[1]:  # the basis is kept orthogonal: the shorter side is
        right, values, left = truncated_svd(matrix.turned(), n, seed)
        return left, values, right
    width, steps = (COLUMNS, MOST_STEPS) if matrix.in_memory else (n + MORE, MOST_READINGS)
    if _room(n, width) + width >= matrix.shape[0]:
        basis = np.eye(matrix.shape[0])
    else:
        basis = _searched(matrix, n, width, steps, np.random.default_rng(seed))
    # Of the image itself: its square would have half of the digits.
    right, values, weights = np.linalg.svd(matrix.turned_times(basis), full_matrices=False)
    return basis @ weights[:n].T, values[:n], right[:, :n]


def _searched(matrix: Matrix, n: int, width: int, steps: int, random: np.random.Generator) -> np.ndarray:
    """Orthonormal columns that hold the vectors of the `n` largest values of a matrix times itself turned."""
    kept, room = n + MORE // 2, _room(n, width)
    basis, squares, used = np.empty((room, matrix.shape[0])), np.zeros((room, room)), 0
    coupled, settled = np.zeros((width, 0)), None
    found, vectors = np.zeros(0), np.zeros((0, 0))
    new = np.linalg.qr(matrix.times(random.standard_normal((matrix.shape[1], width))))[0]
    for _ in range(steps):
        if used + width > room:
            basis[:kept], squares[:kept, :kept] = vectors[:, :kept].T @ basis[:used], np.diag(found[:kept])
            coupled, used = coupled @ vectors[:, :kept], kept
        before, used = used, used + width
        added = matrix.turned_times(new)
        basis[before:used] = new.T
        squares[before:used, :before], squares[:before, before:used] = coupled, coupled.T
        squares[before:used, before:used] = added.T @ added
        found, vectors = (x[..., ::-1] for x in np.linalg.eigh(squares[:used, :used]))
        found = np.maximum(found, 0)
        # The images of earlier columns lie within the basis: what is left over is of those that were added last.
        new, left_over = _beyond(matrix.times(added), basis[:used], random)
        coupled = np.hstack([np.zeros((width, before)), left_over])
        nothing = ROUNDING * found[0]
        apart = np.linalg.norm(coupled @ vectors[:, :n], axis=0)
        enough = used >= n and bool(np.all(apart <= np.maximum(TOLERANCE * found[:n], nothing)))
        if np.abs(left_over).max() > nothing:
            if enough and settled is None:
                break
            continue
        # Nothing is left over: of equal values no more are seen than there are first columns, and others may see more.
        if enough and settled is not None and np.allclose(found[:n], settled, rtol=1e-9, atol=nothing):
            break
        settled = np.pad(found, (0, n))[:n]
    _logger.debug(f"block Lanczos with {width} columns: found {found[:n]}, apart by {apart}")
    return (vectors[:, :kept].T @ basis[:used]).T


def _room(n: int, width: int) -> int:
    """Columns of the basis before it starts again from its best."""
    return 2 * (n + MORE) + 2 * width


def _beyond(columns: np.ndarray, basis: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns for what a basis, whose vectors are rows here, lacks of some columns; and amounts of them.

    Where a column brings nothing new, one at random stands in for it.
    """
    new, amounts = np.linalg.qr(_less_basis(columns, basis))
    there = np.abs(np.diag(amounts)) > ROUNDING * np.linalg.norm(columns)
    if not there.all():
        new = np.linalg.qr(_less_basis(np.where(there, new, random.standard_normal(new.shape)), basis))[0]
    new, again = np.linalg.qr(_less_basis(new, basis))  # twice, since once loses digits
    return new, np.where(there[:, None], again @ amounts, 0)


def _less_basis(columns: np.ndarray, basis: np.ndarray) -> np.ndarray:
    # in this order: BLAS takes four times as long for a tall matrix times a narrow one
    return columns - ((basis @ columns).T @ basis).T


class Matrix:
    """Frames as the rows of a matrix, scaled and shifted, of which only products are ever made.

    The matrix is ``rows * frames * columns``, less ``outer(of_rows, of_columns)``.

    Parameters
    ----------
    frames : dask.array.Array of CSRFrames
    rows : numpy.ndarray, shape (positions,)
        Scale of each row; 0 for those that are masked.
    columns : numpy.ndarray, shape (pixels,)
    """

    def __init__(self, frames: da.Array, rows: np.ndarray, columns: np.ndarray) -> None:
        self.frames, self.rows, self.columns = frames, rows, columns
        self.of_rows, self.of_columns = np.zeros(rows.size), np.zeros(columns.size)
        self._tasks: list | None = None

    @classmethod
    def of(cls, data: da.Array) -> Matrix | None:
        """The matrix of an array: of frames, or of what was made of them by images; None for others."""
        parts = shifted.behind(data)
        if parts is not None:
            made = cls.of(parts.frames)
            image = np.asarray(parts.image).ravel()
            if made is None or made.of_rows.any():
                return None
            made.rows = made.rows * parts.frames_sign
            ones = np.ones(made.shape[parts.kind == "scan"])
            of_image = -parts.image_sign * image
            made.of_rows, made.of_columns = (of_image, ones) if parts.kind == "scan" else (ones, of_image)
            return made
        if not recipes.is_frames(data) or data.ndim < 3:
            return None
        recipe = recipes.recipe_of(data)
        if recipe is not None and recipe.function.__name__ == "astype" and _holds(data.dtype, recipe.operands[0].dtype):
            return cls.of(recipe.operands[0])
        found = recipes.frames_and_image(recipe, data.ndim)
        name = "" if recipe is None else recipe.function.__name__
        scales = name in ("mul", "multiply") or (name in ("truediv", "divide") and found is not None and found[3])
        if not scales or found is None or data.dtype != np.float64 or not isinstance(found[1], np.ndarray):
            positions, pixels = math.prod(data.shape[:-2]), math.prod(data.shape[-2:])
            return cls(data, np.ones(positions), np.ones(pixels))
        frames, image, kind, _ = found
        made = cls.of(frames)
        if made is None:
            return None
        image = np.broadcast_to(image, data.shape[:-2] if kind == "scan" else data.shape[-2:]).ravel().astype(float)
        image = image if name in ("mul", "multiply") else 1 / image
        if not np.isfinite(image).all():  # what becomes of a pixel without an entry
            positions, pixels = math.prod(data.shape[:-2]), math.prod(data.shape[-2:])
            return cls(data, np.ones(positions), np.ones(pixels))
        if kind == "scan":
            made.rows = made.rows * image
        else:
            made.columns = made.columns * image
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Positions and pixels."""
        return self.rows.size, self.columns.size

    def masked(self, rows: np.ndarray | None, columns: np.ndarray | None) -> Matrix:
        """The matrix with zeros in rows and columns that are True."""
        made = Matrix(self.frames, self.rows, self.columns)
        made.of_rows, made.of_columns = self.of_rows, self.of_columns
        if rows is not None:
            made.rows, made.of_rows = np.where(rows, 0, made.rows), np.where(rows, 0, made.of_rows)
        if columns is not None:
            made.columns, made.of_columns = np.where(columns, 0, made.columns), np.where(columns, 0, made.of_columns)
        return made

    def less(self, of_rows: np.ndarray, of_columns: np.ndarray) -> Matrix:
        """The matrix less an outer product, where nothing was subtracted before."""
        made = Matrix(self.frames, self.rows, self.columns)
        made.of_rows, made.of_columns = of_rows, of_columns
        return made

    @property
    def in_memory(self) -> bool:
        """Whether a product costs no reading."""
        return getattr(source_of(self.frames), "in_memory", False)

    def held(self) -> Matrix:
        """The same with its entries in memory, in one piece, where they fit: they are read for each product."""
        entries = known_entries(self.frames)
        size = None if entries is None else entries * (self.frames.dtype.itemsize + 4)
        if size is None or size > get_limit() // 2:
            return self
        made = self.masked(None, None)
        made.frames = held_in_memory(self.frames)
        return made

    def turned(self) -> _Turned:
        """The matrix with rows and columns exchanged."""
        return _Turned(self)

    def times(self, columns: np.ndarray) -> np.ndarray:
        """Product with columns, shape (pixels, n): (positions, n)."""
        panels = _panels(columns * self.columns[:, None])
        products = dask.compute(*(_delayed(_times)(block, self.rows[rows], panels) for block, rows in self._parts()))
        made = np.zeros((self.shape[0], columns.shape[1]))
        for (_, rows), product in zip(self._parts(), products, strict=True):
            made[rows] = product[:, : columns.shape[1]]
        if self.of_rows.any():
            made -= np.outer(self.of_rows, self.of_columns @ columns)
        return made

    def turned_times(self, rows: np.ndarray) -> np.ndarray:
        """Product of the turned matrix with rows, shape (positions, n): (pixels, n)."""
        tasks = [_delayed(_turned_times)(block, self.rows[part], rows[part]) for block, part in self._parts()]
        total = None
        for start in range(0, len(tasks), TOGETHER):
            for product in dask.compute(*tasks[start : start + TOGETHER]):
                total = product if total is None else np.add(total, product, out=total)
        if total is None:
            return np.zeros((self.shape[1], rows.shape[1]))
        total = np.concatenate(total, axis=1)[:, : rows.shape[1]] * self.columns[:, None]
        if self.of_rows.any():
            total -= np.outer(self.of_columns, self.of_rows @ rows)
        return total

    def _parts(self) -> list:
        """Blocks, each with the positions that it has."""
        if self._tasks is None:
            cut = blocks.in_blocks(self.frames)
            numbers = np.arange(self.shape[0]).reshape(self.frames.shape[:-2])
            self._tasks = [
                (cut.blocks[(*place, 0, 0)].to_delayed().item(), _span(numbers[spans].ravel()))
                for place, spans in reductions.spans_of(cut)
            ]
        return self._tasks


class _Turned:
    """A matrix with rows and columns exchanged."""

    def __init__(self, matrix: Matrix) -> None:
        self.shape, self.in_memory = matrix.shape[::-1], matrix.in_memory
        self.times, self.turned_times = matrix.turned_times, matrix.times


def _span(rows: np.ndarray) -> Any:
    """Ascending numbers as a slice, which takes no copy, where they follow each other."""
    return slice(rows[0], rows[-1] + 1) if rows.size and rows[-1] - rows[0] == rows.size - 1 else rows


def _delayed(function: Callable) -> Any:
    return dask.delayed(function, pure=False, traverse=False)


def _panels(columns: np.ndarray) -> np.ndarray:
    """Columns as the loops take them, some side by side: (panels, rows, `COLUMNS`), filled up with zeros."""
    rows, n = columns.shape
    out = np.zeros((-(-n // COLUMNS), rows, COLUMNS))
    for i in range(n):
        out[i // COLUMNS, :, i % COLUMNS] = columns[:, i]
    return out


def _holds(dtype: np.dtype, counted: np.dtype) -> bool:
    """Whether floats of a type are the counts that they were cast from."""
    return dtype.kind == "f" and counted.kind in "bu" and (dtype.itemsize == 8 or counted.itemsize <= 2)


def _frames_of(chunk: Any) -> tuple:
    frames = chunk if isinstance(chunk, CSRFrames) else CSRFrames.from_dense(chunk)
    return frames, (countable(frames.data), frames.indices, frames.indptr)


def _times(chunk: Any, scale: np.ndarray, panels: np.ndarray) -> np.ndarray:
    frames, parts = _frames_of(chunk)
    out = np.empty((frames.n_frames, len(panels), COLUMNS))
    for i, columns in enumerate(panels):
        loops.times_columns(*parts, scale, columns, out[:, i])
    return out.reshape(frames.n_frames, -1)


def _turned_times(chunk: Any, scale: np.ndarray, rows: np.ndarray) -> np.ndarray:
    frames, parts = _frames_of(chunk)
    panels = _panels(rows)
    out = np.zeros((len(panels), frames.n_pixels, COLUMNS))
    for some, sums in zip(panels, out, strict=True):
        loops.times_rows(*parts, scale, some, sums)
    return out


# -- what HyperSpy asks for ------------------------------------------------------------------------


_logger = logging.getLogger(__name__)
_SIGNATURE = inspect.signature(LazySignal.decomposition)


def options_of(args: tuple, kwargs: dict) -> dict:
    """The arguments of a call of ``decomposition``, by name."""
    given = _SIGNATURE.bind_partial(None, *args, **kwargs)
    given.apply_defaults()
    return given.arguments


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
        return _room(n, COLUMNS) + 2 * (n + MORE) + TOGETHER * COLUMNS
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
    kept = [np.ones(size, bool) if mask is None else ~mask for size, mask in zip(matrix.shape, (rows, columns))]
    plain = matrix.held().masked(rows, columns)
    mean, used = _centred(plain, centre, *kept)
    left, values, right = truncated_svd(used, min(n, *(int(k.sum()) for k in kept)))
    return {
        "loadings": (left * values)[kept[0]],
        "factors": right[kept[1]],
        "explained_variance": values**2 / int(kept[0].sum()),
        "mean": mean,
        "nav_mask_1d": rows,
        "sig_mask_1d": columns,
        "navigation_mask": of_scan,
        "signal_mask": of_detector,
        "_navigation_mask_for_reproject": of_scan,
        "_D_unfolded": None,
    }


def _centred(matrix: Matrix, centre: str | None, rows: np.ndarray, columns: np.ndarray) -> tuple:
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
    kept = slice(None) if mask is None else ~mask
    whole = np.zeros((matrix.shape[1], factors.shape[1]))
    whole[kept] = factors
    loadings = matrix.times(whole)
    if mean is not None and centre == "navigation":
        loadings = loadings - np.asarray(mean).ravel() @ factors
    return loadings / np.einsum("ij,ij->j", factors, factors)


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
    kept = np.ones(matrix.shape[0], bool) if rows is None else ~rows
    used = loadings[kept] if len(loadings) == kept.size else loadings
    inverse = np.zeros((kept.size, used.shape[1]))
    inverse[kept] = np.linalg.pinv(used).T
    factors = matrix.turned_times(inverse)
    if mean is not None:
        flat = np.asarray(mean).ravel()
        if centre == "signal":  # HyperSpy takes it for a mean of pixels
            return factors - flat @ inverse[kept]
        whole = np.zeros(matrix.shape[1])
        whole[slice(None) if columns is None or flat.size == whole.size else ~columns] = flat
        factors = factors - np.outer(whole, inverse.sum(axis=0))
    return factors


def poisson_scaled(signal: BaseSignal, navigation_mask: Any, signal_mask: Any) -> tuple | None:
    """The data divided by the roots of the counts of each position and each pixel [2]_, and both roots.

    What is masked is divided, too; HyperSpy leaves it as it is, and out of the decomposition. None where HyperSpy has
    to do it.

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
        frames = dask.compute(data.blocks[(*place, 0, 0)])[0]
        frames = frames if isinstance(frames, CSRFrames) else CSRFrames.from_dense(frames)
        made = _Rows((frames.data, frames.indices, frames.indptr), shape=(frames.n_frames, n_pixels))
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
