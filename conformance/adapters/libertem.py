"""LiberTEM: raw_csr."""

from importlib import metadata

import numpy as np

__all__ = ["FORMATS", "rows", "version"]

FORMATS = ("raw_csr",)
_contexts = []


def version():
    return f"LiberTEM {metadata.version('libertem')}"


def rows(case):
    from libertem.api import Context
    from libertem.udf.raw import PickUDF

    if not _contexts:
        _contexts.append(Context.make_with("inline"))
    [context] = _contexts
    dataset = context.load("raw_csr", path=str(case.paths[0]))
    frames = context.run_udf(dataset=dataset, udf=PickUDF(), roi=np.ones(tuple(dataset.shape.nav), bool))
    found = np.asarray(frames["intensity"].raw_data)
    return found.reshape(-1, *found.shape[-2:])
