"""dask's private names in `rsciio_tpx3.utils.dask_private` do what they are relied on for."""

import dask
import numpy as np

from rsciio_tpx3.utils.dask_private import DataNode, List, Task, TaskRef, numel_of_array


def test_tasks_of_a_graph_take_values_and_lists_of_other_tasks():
    graph = {
        "a": DataNode("a", (1, 2)),
        "b": Task("b", sum, TaskRef("a")),
        "c": Task("c", sum, List(TaskRef("b"), TaskRef("b"))),
    }
    assert dask.get(graph, "c") == 6


def test_number_of_elements_along_axes():
    found = numel_of_array(np.zeros((2, 3, 4)), axis=(1, 2), keepdims=True, dtype=float)
    assert np.broadcast_to(found, (2, 1, 1)).tolist() == [[[12.0]], [[12.0]]]
