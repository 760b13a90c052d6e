"""How an array was made of frames and images, element by element, so that it can be made again in other pieces.

``signal * weights`` has the chunks of the signal, which are small for the worst case, a step that makes them dense; and
a sum of it is better taken from larger blocks, or from the frames and the weights side by side without the product. A
part of it is better made of the parts. dask's graph has all of that in it, but not in a form that can be searched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import dask.array as da
import numpy as np

from rsciio_tpx3.csr.csr_frames import CSRFrames
from rsciio_tpx3.frames.in_memory import held_in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["Recipe", "attach", "frames_and_image", "hand_on", "held", "is_frames", "recipe_of"]


class Recipe(NamedTuple):
    """How an array was made.

    Attributes
    ----------
    make : callable
        Takes `function` and operands; gives the array.
    function : callable
        Of one element of each operand.
    operands : tuple
        Dask arrays of frames of the shape of the result, and what NumPy broadcasts to it.
    """

    make: Callable
    function: Callable
    operands: tuple

    def again(self, operands: Sequence) -> Any:
        """The same of other operands."""
        return self.make(self.function, *operands)


def attach(array: Any, recipe: Recipe) -> Any:
    """The array, which knows from now on how it was made."""
    shapes = [x.shape for x in recipe.operands if is_frames(x)]
    if isinstance(array, da.Array) and array.ndim > 2 and all(shape == array.shape for shape in shapes):
        array._recipe = array.name, recipe
    return array


def held(array: da.Array, **options: Any) -> da.Array:
    """The same array, made of frames and images that are read once and held in memory.

    Parameters
    ----------
    array : dask.array.Array
        With a recipe.
    **options
        Passed to :meth:`dask.array.Array.persist`.
    """
    recipe = recipe_of(array)
    if recipe is None:
        return array.persist(**options)
    operands = (x.persist(**options) if isinstance(x, da.Array) and not is_frames(x) else x for x in recipe.operands)
    return recipe.again([held_in_memory(x, **options) if is_frames(x) else x for x in operands])


def recipe_of(array: Any) -> Recipe | None:
    """How an array was made; None where that is not known."""
    if not isinstance(array, da.Array):
        return None
    # dask changes the array object itself, and its name, where elements are set
    name, recipe = vars(array).get("_recipe", (None, None))
    return recipe if name == array.name else None


def hand_on(before: Any, after: Any) -> None:
    """What is known of an array is true for its copy, too."""
    recipe = recipe_of(before)
    if recipe is not None:
        attach(after, recipe)


def is_frames(x: Any) -> bool:
    """Whether this is a dask array of sparse frames."""
    return isinstance(x, da.Array) and isinstance(x._meta, CSRFrames)


def frames_and_image(recipe: Recipe | None, ndim: int) -> tuple[da.Array, Any, str, bool] | None:
    """Frames and the other operand of a function of two, where that is an image of the scan or of the detector.

    Parameters
    ----------
    recipe : Recipe or None
    ndim : int
        Axes of the result.

    Returns
    -------
    frames : dask.array.Array of CSRFrames
    image : numpy.ndarray or dask.array.Array
        Of the shape of the scan, or of the detector; some of its axes may have a length of 1.
    kind : str
        "scan" or "detector".
    frames_first : bool

    None for other recipes.
    """
    if recipe is None or len(recipe.operands) != 2 or sum(map(is_frames, recipe.operands)) != 1:
        return None
    first = is_frames(recipe.operands[0])
    frames, image = recipe.operands if first else recipe.operands[::-1]
    if not isinstance(image, da.Array):
        image = np.asarray(image)
    if image.ndim > ndim or image.dtype.kind not in "biuf":
        return None
    image = image.reshape((1,) * (ndim - image.ndim) + image.shape)
    if image.shape[:-2] == (1,) * (ndim - 2):
        return frames, image.reshape(image.shape[-2:]), "detector", first
    return (frames, image[..., 0, 0], "scan", first) if image.shape[-2:] == (1, 1) else None
