"""The table from image functions to the kernels that answer for all frames of a chunk."""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from dask.base import normalize_token

from rsciio_tpx3.csr.csr_frames import CSRFrames

__all__ = ["Kernel", "find_kernel", "known_kernels", "register_kernel"]

_TABLE: dict[Callable, tuple] = {}

# Ours are entered on the first question, because they import pyXem, which takes seconds.
_BUILT_IN = [f"hyperspy_sparse.kernels.{name}" for name in ("center_of_mass", "integration", "ring_moments")]


class Kernel:
    """An image function's sparse twin with its options settled.

    Picklable if its parts are; it travels once in a dask graph.

    Parameters
    ----------
    function : callable
        ``function(frames, **options)``, see `register_kernel`.
    options : dict
        Keyword arguments for it.
    additive : bool
        See `register_kernel`.
    """

    def __init__(self, function: Callable, options: dict, additive: bool = False) -> None:
        self.function = function
        self.options = options
        self.additive = additive
        self.any_type = getattr(function, "any_type", False)

    def __call__(self, frames: CSRFrames) -> np.ndarray:
        """Answers for frames of shape (n, height, width): an ndarray (n, ...)."""
        return self.function(frames, **self.options)

    def __dask_tokenize__(self) -> Any:
        return (
            "hyperspy_sparse.Kernel",
            normalize_token(self.function),
            normalize_token(self.options),
        )

    def output_of(self, sig_shape: tuple[int, ...], dtype: np.dtype) -> tuple[tuple[int, ...], np.dtype] | None:
        """Shape and dtype of the answer for one frame, found by asking about an empty one."""
        empty = np.zeros(0, dtype), np.zeros(0, np.int32), np.zeros(2, np.int64)
        with np.errstate(all="ignore"):
            answer = self(CSRFrames._make(*empty, (1, *sig_shape)))
        if answer is NotImplemented:
            return None
        return answer.shape[1:], answer.dtype


def register_kernel(
    image_function: Callable,
    kernel: Callable | None = None,
    *,
    prepare: Callable | None = None,
    additive: Callable | None = None,
) -> Callable:
    """Make `map` run a kernel for an image function on sparse frames.

    Parameters
    ----------
    image_function : callable
        The function of one image that is passed to ``signal.map``.
    kernel : callable
        ``kernel(frames, **options)`` with `CSRFrames` of shape (n, height, width) and the keyword
        arguments of ``map``. Returns an ndarray of shape (n, ...), in the dtype that
        `image_function` gives, or ``NotImplemented`` to decline, and then the image function runs
        on each frame. Without it, this is a decorator.
    prepare : callable, optional
        ``prepare(sig_shape, dtype, **options)``, called once before the chunks. Returns the
        options for `kernel` (a matrix of weights, say), or None to decline.
    additive : callable, optional
        ``additive(**options)``, with the options for `kernel`: whether its answer, a sum of whole
        numbers, is the same for hits in any order, equal pixels apart. It then gets recordings that
        way, in two thirds of the time.

    Returns
    -------
    callable
        The kernel, or the decorator.

    Raises
    ------
    TypeError
        If one of the arguments cannot be called.

    Examples
    --------
    The brightest pixel of each frame. Counts are positive, so the entries alone decide:

    >>> import numpy as np
    >>> import hyperspy_sparse
    >>> def brightest(image):
    ...     return image.max()
    >>> @hyperspy_sparse.register_kernel(brightest)
    ... def brightest_of_frames(frames):
    ...     return frames.max(axis=(1, 2))
    >>> s = hyperspy_sparse.data.disks()
    >>> peak = s.map(brightest, inplace=False)
    >>> peak.compute(show_progressbar=False)
    >>> bool((peak.data == s.max(axis=(2, 3)).data.compute()).all())
    True
    """
    if kernel is None:
        return lambda kernel: register_kernel(image_function, kernel, prepare=prepare, additive=additive)
    for what, part in (("image_function", image_function), ("kernel", kernel)):
        if not callable(part):
            raise TypeError(f"{what} is {part!r}, which cannot be called.")
    _TABLE[image_function] = (kernel, prepare, additive)
    return kernel


def find_kernel(image_function: Callable, sig_shape: tuple[int, ...], dtype: np.dtype, options: dict) -> Kernel | None:
    """The `Kernel` for an image function with these options, or None.

    Parameters
    ----------
    image_function : callable
    sig_shape : tuple of int
        ``(height, width)``.
    dtype : numpy.dtype
        Type of the counts.
    options : dict
        Keyword arguments of ``map`` that are the same for all frames.
    """
    _load_built_in()
    try:
        entry = _TABLE.get(image_function)
    except TypeError:  # a callable that does not hash is in no table
        return None
    if entry is None:
        return None
    kernel, prepare, additive = entry
    if prepare is None:
        return Kernel(kernel, options, additive is not None and additive(**options))
    question = *entry, tuple(sig_shape), np.dtype(dtype)
    for earlier, options_then, answer in _PREPARED:
        if earlier == question and _same_options(options_then, options):
            return answer
    prepared = prepare(sig_shape, dtype, **options)
    if prepared is None:
        return None
    answer = Kernel(kernel, prepared, additive is not None and additive(**prepared))
    _PREPARED.append((question, _copied(options), answer))
    return answer


# The last kernels that were prepared: to arrange the weights of a geometry takes a tenth of a
# second.
_PREPARED: deque[tuple] = deque(maxlen=8)

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def _can_change(array: object) -> bool:
    """Whether the values of an array may be others later: it is writeable, or shows one that is."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return True
        array = array.base
    return array is not None  # a buffer of someone else's


def _copied(options: dict) -> dict:
    """Options to compare with later: arrays that may change are copied."""
    return {k: v.copy() if isinstance(v, np.ndarray) and _can_change(v) else v for k, v in options.items()}


def _same_options(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(_same(v, other[k]) for k, v in one.items())


def _same(one: object, other: object) -> bool:
    """Whether an option is what it was. Lists, signals and other objects may have changed since, so they are not."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        if one is other:
            return not _can_change(one)
        # Large arrays that are not the very same are not worth the comparison.
        small = one.size <= 10**6 and one.shape == other.shape and one.dtype == other.dtype
        return small and one.dtype != object and np.array_equal(one, other)
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and isinstance(one, _PLAIN) and bool(one == other)


def known_kernels() -> list[Callable]:
    """The image functions that have a kernel, as a list."""
    _load_built_in()
    return list(_TABLE)


def _load_built_in() -> None:
    while _BUILT_IN:
        importlib.import_module(_BUILT_IN[-1])
        _BUILT_IN.pop()
