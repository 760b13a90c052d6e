"""Times with units, exactly."""

from fractions import Fraction

import pint
import pytest

from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.utils.text import format_seconds
from rsciio_tpx3.utils.units import is_number, is_time, to_number, to_plain, to_ticks


@pytest.mark.parametrize(
    "value",
    ["0.5 us", "500 ns", "5e-7 s", "0.5 µs", (0.5, "us"), pint.UnitRegistry().Quantity(0.5, "us"), Fraction(1920)],
)
def test_the_same_time_in_many_words(value):
    assert to_ticks(value) == 1920


def test_decimals_stay_exact():
    assert to_ticks("40.0203 us") == Fraction(400203, 10**10) * 3_840_000_000


@pytest.mark.parametrize("value", [5, 0.5, "5", "3 m", "abc", "nan us", "inf us", "", "2px", None, "1 us us", "1 (us"])
def test_what_is_no_time_is_refused_with_an_example(value):
    with pytest.raises(UnitError, match="'2 us'"):
        to_ticks(value, "dwell_time", example="2 us")


def test_zero_and_less_need_permission():
    with pytest.raises(UnitError, match="longer than zero"):
        to_ticks("-1 us")
    assert to_ticks("-1 us", allow_negative=True) == -3840


OTHER_UNITS = ["", "px", "nm", "1/s", "$A^{-1}$", "no such unit", "%", "mrad", None, "<undefined>", "("]


@pytest.mark.parametrize("units", OTHER_UNITS)
def test_units_of_other_axes_are_no_times(units):
    assert not is_time(units)
    assert is_time("s") and is_time("us") and is_time("hour")


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.5 s"), (4.002e-5, "40.02 us"), (1.6e-7, "160 ns"), (0.0, "0 ns")]
)
def test_times_for_people(seconds, text):
    assert format_seconds(seconds) == text


LONG = 10**6
LONG_TEXTS = [
    "1" * LONG,
    "1" * LONG + " m",
    "1." + "0" * LONG + " us",
    "1" + " " * LONG + "1",
    "1 " + "m" * LONG,
    "x" * LONG,
    "1'" * LONG,
    "1 +/- " * LONG,
    "1e" + "9" * LONG,
    "(" * LONG,
]


@pytest.mark.parametrize("text", LONG_TEXTS, ids=lambda text: text[:3])
def test_the_cost_of_a_long_text_is_bounded_by_its_length(text):
    """Kind: a hang from a few bytes. A pattern with two ways to match digits takes hours for a million of them."""
    for read in (to_ticks, lambda text: to_plain(text, "m"), lambda text: to_number(text, magnified=True)):
        with pytest.raises(UnitError) as caught:
            read(text)
        assert len(str(caught.value)) < 1000
    is_number(text)  # whatever it says, it says it at once
