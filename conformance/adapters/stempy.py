"""stempy: its counted files."""

from importlib import metadata

__all__ = ["FORMATS", "rows", "version"]

FORMATS = ("stempy",)


def version():
    return f"stempy {metadata.version('stempy')}"


def rows(case):
    from stempy.io import SparseArray

    # without it the last column of the scan counts as flyback
    dense = SparseArray.from_hdf5(str(case.paths[0]), keep_flyback=True).to_dense()
    return dense.reshape(-1, *dense.shape[-2:])
