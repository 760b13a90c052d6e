"""LiberTEM's `raw_csr`: a TOML description and three raw arrays, read and written."""

from rsciio_tpx3.raw_csr._api import check_file, file_reader, file_writer
from rsciio_tpx3.raw_csr.description import files_of  # noqa: F401  (rsciio_tpx3.formats asks for it)
from rsciio_tpx3.raw_csr.source import RawCsrSource

__all__ = ["RawCsrSource", "check_file", "file_reader", "file_writer"]
