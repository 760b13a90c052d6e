import math

import pytest

from rsciio_tpx3.utils.text import format_seconds, format_spread


@pytest.mark.parametrize(
    ("seconds", "error", "expected"),
    [
        (11.9827e-6, 389.515e-9, "11.98 +- 0.39 us"),
        (-2.5e-3, 4e-6, "-2.5000 +- 0.0040 ms"),
        (3e-9, 40e-9, "3 +- 40 ns"),
        (1.5, 0.0, "1.5000 +- 0.0000 s"),
        (1.5e-6, math.inf, "1.5000 +- inf us"),
    ],
)
def test_error_has_the_unit_of_its_time_and_two_digits(seconds, error, expected):
    assert format_spread(seconds, error) == expected


def test_time_has_the_unit_that_leaves_no_zeros():
    assert [format_seconds(t) for t in (2, 40.02e-6, -1e-3, 0, 25e-9)] == ["2 s", "40.02 us", "-1 ms", "0 ns", "25 ns"]
