"""What the library says of a full disk, in the words of the system."""

import errno
import os

import pytest

from rsciio_tpx3.utils.files import system_errors

WORDS = (
    "unable to extend file properly (file write failed: time = now\n, filename = 'x', errno = 28, error message = '?')"
)


@pytest.mark.parametrize("error", [RuntimeError(WORDS), OSError(WORDS), OSError(errno.ENOSPC, WORDS)])
def test_a_full_disk_is_reported_with_the_name_of_the_file(error):
    with pytest.raises(OSError) as found, system_errors("a.h5"):
        raise error
    assert found.value.errno == errno.ENOSPC
    assert "make room" in str(found.value)
    assert "extend" not in str(found.value)
    assert found.value.filename == "a.h5"


def test_errors_of_the_system_stay_as_they_are():
    error = OSError(errno.EACCES, os.strerror(errno.EACCES), "b")
    with pytest.raises(OSError) as found, system_errors("a.h5"):
        raise error
    assert found.value is error
