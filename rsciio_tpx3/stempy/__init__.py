"""Counted HDF5 files of stempy and the 4D Camera, versions 1 to 3, read and written."""

from rsciio_tpx3.stempy._api import file_reader, file_writer
from rsciio_tpx3.stempy.source import StempySource

__all__ = ["StempySource", "file_reader", "file_writer"]
