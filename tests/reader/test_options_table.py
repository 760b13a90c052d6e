"""One table of options: signatures, defaults and docstrings of all readers agree with it."""

import inspect

import pytest

from rsciio_tpx3 import nxevent, raw_csr, stempy, t3pa, tpx3
from rsciio_tpx3.reader.options import OPTIONS
from rsciio_tpx3.scan.options import ScanOptions

READERS = {"tpx3": tpx3, "t3pa": t3pa, "raw_csr": raw_csr, "nxevent": nxevent, "stempy": stempy}
OTHERWISE = {("t3pa", "sync"): "shared-clock", ("nxevent", "values"): "auto"}


@pytest.mark.parametrize("name", READERS)
def test_options_of_a_reader_have_the_defaults_of_the_table_and_a_text(name):
    reader = READERS[name].file_reader
    for option, parameter in inspect.signature(reader).parameters.items():
        if option in ("filename", "kwds"):
            continue
        assert parameter.default == OTHERWISE.get((name, option), OPTIONS[option].default), option
        assert f"\n    {option} : " in reader.__doc__ or f"\n{option} : " in reader.__doc__, option
    assert "<" not in reader.__doc__.split("Returns")[0].replace("<=", "")


def test_defaults_of_a_scan_stand_in_scan_options_alone():
    usual = ScanOptions()
    for name in ("sync", "tdc", "active_fraction", "lines_per_row", "first_line", "skip_lines"):
        assert OPTIONS[name].default is getattr(usual, name) or OPTIONS[name].default == getattr(usual, name)
