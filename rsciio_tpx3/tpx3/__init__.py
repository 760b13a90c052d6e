from rsciio_tpx3.tpx3.source import Tpx3Source
