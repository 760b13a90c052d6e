"""Private names of dask that the project relies on, in one place; `tests/frames/test_dask_private.py` tries each.

Checked with dask 2026.8. ``dask._task_spec`` is how graphs are written since 2024.12: its classes have no public
name yet. ``_numel_ndarray`` is what dask counts the elements of a chunk of NumPy with, for its mean and variance.
"""

from typing import Any

import numpy as np
from dask._task_spec import DataNode, List, Task, TaskRef

__all__ = ["DataNode", "List", "Task", "TaskRef", "numel_of_array"]


def numel_of_array(array: Any, **kwargs: Any) -> np.ndarray:
    """How many elements dask counts in an array along axes, in the shape that it wants."""
    from dask.array.backends import _numel_ndarray  # fills dask's own tables first, and so not at import

    return _numel_ndarray(array, **kwargs)
