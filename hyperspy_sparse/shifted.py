"""Frames plus or minus an image, as after the mean was subtracted: sparse frames and an image, side by side.

``signal - signal.mean()`` has no zeros to leave out. But its sums, extremes and virtual images follow from those of the
frames and of the image, and the two are still there, in the recipe of the array. So the difference is made chunk by
chunk where its values are wanted, and nowhere else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np

from hyperspy_sparse import recipes, reductions
from hyperspy_sparse.image_extremes import extremes

if TYPE_CHECKING:
    from numpy.typing import DTypeLike


__all__ = ["Shifted", "behind", "is_shifted", "reduced", "under_masks"]

NOT_KNOWN = (
    "virtual images of frames plus or minus a lazy image: there is NaN in the {} where a detector sums, and it is not "
    "known before which pixels are to be skipped. Compute the image first, image.compute(), and subtract it then."
)
_SIGNS = {"add": (1, 1), "sub": (1, -1), "subtract": (1, -1)}


class Shifted(NamedTuple):
    """``frames_sign * frames + image_sign * image``.

    Attributes
    ----------
    frames : dask.array.Array of CSRFrames
    image : numpy.ndarray or dask.array.Array
        Of the shape of the scan or of the detector, in `dtype`.
    kind : str
        "scan" or "detector".
    frames_sign, image_sign : int
        1 or -1.
    dtype : numpy.dtype
        Of floats.
    """

    frames: da.Array
    image: Any
    kind: str
    frames_sign: int
    image_sign: int
    dtype: np.dtype


def behind(data: Any) -> Shifted | None:
    """The frames and the image that an array of floats is the sum or the difference of; None for other arrays."""
    recipe = recipes.recipe_of(data)
    if recipe is None or recipes.is_frames(data) or data.dtype.kind != "f":
        return None
    signs = _SIGNS.get(recipe.function.__name__)
    found = recipes.frames_and_image(recipe, data.ndim)
    if signs is None or found is None or found[0].dtype.kind not in "uif":
        return None
    frames, image, kind, frames_first = found
    shape = data.shape[:-2] if kind == "scan" else data.shape[-2:]
    # As NumPy converts operands: an image of uint8 can be neither turned negative nor multiplied by a number of frames.
    image = image.astype(data.dtype, copy=False)
    if image.shape != shape:
        image = (np if isinstance(image, np.ndarray) else da).broadcast_to(image, shape)
    return Shifted(frames, image, kind, *(signs if frames_first else signs[::-1]), data.dtype)


def is_shifted(data: Any) -> bool:
    """Whether an array is of frames plus or minus an image, which the sparse classes may have."""
    return behind(data) is not None


def reduced(name: str, data: Any, axes: tuple[int, ...]) -> da.Array | None:
    """A reduction of frames plus or minus an image over the scan, the detector or both, from the two.

    Parameters
    ----------
    name : str
        Of NumPy's function: "sum", "mean", "max", "min", "var" or "std", with "nan" before it or not.
    data : dask.array.Array
        Any.
    axes : tuple of int

    Returns
    -------
    dask.array.Array
        None for other arrays, and where only the array itself can answer.
    """
    shifted, n_nav = behind(data), data.ndim - 2
    nav, sig = tuple(range(n_nav)), (n_nav, n_nav + 1)
    if shifted is None or axes not in (nav, sig, nav + sig):
        return None
    plain = {"amax": "max", "amin": "min"}.get(name, name).removeprefix("nan")
    along = axes == (sig if shifted.kind == "scan" else nav)  # the image is the same for all that are reduced
    if plain in ("max", "min"):
        return _extreme(name, plain, shifted, axes, along)
    if name.startswith("nan") and not _skips_alike(shifted, along):
        return _skipping(shifted, axes, plain == "mean") if plain in ("sum", "mean") else None
    if plain in ("sum", "mean"):
        found = _sum(shifted, axes, along, plain == "mean")
        if name == "nansum" and along and found is not None:  # of values that are all skipped
            found = da.where(da.isnan(shifted.image), found.dtype.type(0), found)
        return found
    if plain in ("var", "std"):
        spread = _variance(shifted, axes, along)
        spread = da.sqrt(spread) if spread is not None and plain == "std" else spread
        return None if spread is None else spread.astype(shifted.dtype)
    return None


def _extreme(name: str, plain: str, shifted: Shifted, axes: tuple[int, ...], along: bool) -> da.Array | None:
    if not along or shifted.frames.dtype.kind not in "ui":
        return extremes(f"nan{plain}" if name.startswith("nan") else plain, shifted, axes)
    # The image is one number for all that are compared; an image less the frames is highest where they are lowest.
    turned = plain if shifted.frames_sign > 0 else {"max": "min", "min": "max"}[plain]
    found = reductions.reduced(turned, shifted.frames, axes)
    return None if found is None else _joined(shifted, found.astype(shifted.dtype), shifted.image)


def _skips_alike(shifted: Shifted, along: bool) -> bool:
    """Whether of all values that are reduced to one either all are NaN or none is."""
    if shifted.frames.dtype.kind not in "ui":
        return False
    return along or (isinstance(shifted.image, np.ndarray) and bool(np.isfinite(shifted.image).all()))


def _joined(shifted: Shifted, of_frames: Any, of_image: Any) -> da.Array:
    return shifted.frames_sign * of_frames + shifted.image_sign * of_image


def _sum(shifted: Shifted, axes: tuple[int, ...], along: bool, is_mean: bool) -> da.Array | None:
    total = reductions.reduced("sum", shifted.frames, axes, for_floats=True)
    if total is None:
        return None
    n = math.prod(shifted.frames.shape[axis] for axis in axes)
    if along:
        of_image = shifted.image.astype(np.float64) * n
    else:
        of_image = shifted.image.sum(dtype=np.float64) * (n // math.prod(shifted.image.shape))
    # float64, also for frames of float32: the sum of the image alone may need its digits.
    whole = _joined(shifted, total.astype(np.float64), of_image)
    return (whole / n if is_mean else whole).astype(shifted.dtype)


def _skipping(shifted: Shifted, axes: tuple[int, ...], is_mean: bool) -> da.Array | None:
    """Sum or mean of what is not NaN, where the image varies among what is reduced; of counts, which are never NaN."""
    frames, image = shifted.frames, shifted.image.astype(np.float64)
    if frames.dtype.kind not in "ui":
        return None
    there = ~np.isnan(image)
    total = _weighted(shifted, there.astype(np.float64), axes)
    if total is None:
        return None
    repeats = math.prod(frames.shape[axis] for axis in axes) // math.prod(image.shape)
    whole = _joined(shifted, total, np.where(there, image, 0).sum() * repeats)
    if not is_mean:
        return whole.astype(shifted.dtype)
    number = there.sum() * repeats
    return (whole / da.where(number == 0, np.nan, number)).astype(shifted.dtype)


def _weighted(shifted: Shifted, weights: np.ndarray | da.Array, axes: tuple[int, ...]) -> da.Array | None:
    """Sum of the frames with weights of the shape of the image, which varies along `axes`."""
    frames, n_nav = shifted.frames, shifted.frames.ndim - 2
    if len(axes) < frames.ndim:
        return reductions.weighted(frames, weights, axes, np.dtype(np.float64))
    # Over the scan and the detector: what is weighted alike is added up first.
    others = (n_nav, n_nav + 1) if shifted.kind == "scan" else tuple(range(n_nav))
    total = reductions.reduced("sum", frames, others, for_floats=True)
    return None if total is None else (total * weights).sum()


def _variance(shifted: Shifted, axes: tuple[int, ...], along: bool) -> da.Array | None:
    """The variance of a sum: of both, and twice what they have in common."""
    frames, image = shifted.frames, shifted.image
    spread = reductions.reduced("var", frames, axes)
    if spread is None:
        return None
    if along:  # a number that is added to all does not spread them, where it is one: infinity less infinity is not
        return da.where(da.isfinite(image), spread, np.nan)
    # The covariance needs one more pass over the frames, weighted with the distance of the image from its mean.
    apart = image.astype(np.float64) - image.mean(dtype=np.float64)
    n = math.prod(frames.shape[axis] for axis in axes)
    common = _weighted(shifted, apart, axes)
    if common is None:
        return None
    sign = 2 * shifted.frames_sign * shifted.image_sign
    return spread + sign * common / n + (apart**2).mean()


def under_masks(shifted: Shifted, sums: da.Array, masks: np.ndarray, dtype: DTypeLike) -> da.Array:
    """Sums under masks of the detector, of frames plus or minus an image that is of the scan, or lazy.

    Parameters
    ----------
    shifted : Shifted
        With an image of the scan, of which NaN is skipped, or a lazy one of the detector, where NaN is refused.
    sums : dask.array.Array, shape nav_shape + (n_masks,)
        Those of the frames.
    masks : numpy.ndarray of bool, shape (n_masks, height, width)
    dtype : numpy.dtype

    Returns
    -------
    dask.array.Array
        As `sums`.
    """
    if shifted.kind == "detector":
        of_image = shifted.image.rechunk(-1).map_blocks(
            _known_sums, masks, chunks=((len(masks),),), drop_axis=[0, 1], new_axis=[0], dtype=np.float64
        )
        return _joined(shifted, sums.astype(np.float64), of_image).astype(dtype)
    sizes = np.count_nonzero(masks, axis=(1, 2))
    image = shifted.image[..., None]
    # Where the image is NaN all values are, and a sum that skips NaN is zero; an empty mask has no part of infinity.
    made = _joined(shifted, sums.astype(np.float64), da.where(sizes > 0, image * sizes, 0))
    return da.where(da.isnan(image), 0, made).astype(dtype)


def _known_sums(image: np.ndarray, masks: np.ndarray) -> np.ndarray:
    if (masks & np.isnan(image)).any():
        raise ValueError(NOT_KNOWN.format("image"))
    return np.array([image[mask].sum(dtype=np.float64) for mask in masks])
