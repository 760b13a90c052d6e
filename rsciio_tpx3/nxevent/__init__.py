"""NeXus NXevent_data in one HDF5 file, read and written: the archive form."""

from rsciio_tpx3.nxevent._api import file_reader, file_writer
from rsciio_tpx3.nxevent.source import NXEventSource

__all__ = ["NXEventSource", "file_reader", "file_writer"]
