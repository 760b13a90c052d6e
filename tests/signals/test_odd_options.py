"""Kind: odd values of the options of public functions. Each is an error that names the option, before any work."""

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse

ODD = [
    *(float("nan"), float("inf"), -1, 10**30, 1j, 1.5, "x", "1,5", b"x", int, object(), {1}, np.timedelta64(1, "s")),
    *([], [None], ["a", "b"], (1, 2, 3), {"a": 1}, np.zeros((3, 3)), np.array("x"), slice(0, 2)),
]


@pytest.fixture(scope="module")
def frames():
    counts = np.random.default_rng(0).poisson(1, (2, 9, 10, 8, 7)).astype(np.uint8)
    s = hyperspy_sparse.to_sparse(hs.signals.Signal2D(da.from_array(counts)).as_lazy())
    for axis, name in zip(s.axes_manager._axes, ("frame", "y", "x")):
        axis.name = name
    return s


CALLS = {
    ("set_microscope", "metadata"): set(),
    ("set_microscope", "center"): set(),
    ("one_pass", "sum_pattern"): set(),
    ("one_pass", "detectors"): set(),
    ("virtual_images", "detectors"): set(),
    ("find_drift", "detector"): set(),
    ("find_drift", "reference"): set(),
    ("find_drift", "upsample_factor"): set(),
    ("find_drift", "smoothing"): {1.5},
    ("align_frames", "drift"): set(),
    ("align_frames", "field"): set(),
    ("align_frames", "upsampling"): set(),
}


@pytest.mark.slow
@pytest.mark.parametrize(("function", "option"), CALLS)
def test_an_odd_value_is_refused_by_the_name_of_its_option(frames, function, option):
    wrong = []
    for value in ODD:
        if isinstance(value, float) and value in CALLS[function, option]:
            continue
        if isinstance(value, dict) and option == "metadata":
            continue
        try:
            signal = frames if "frames" in function or "drift" in function else hyperspy_sparse.data.disks()
            getattr(hyperspy_sparse, function)(signal, **{option: value})
            wrong.append((value, "taken"))
        except (ValueError, TypeError) as error:
            if option.rstrip("s") not in str(error):
                wrong.append((value, repr(error)))
    assert not wrong


@pytest.mark.parametrize("function", ["set_microscope", "one_pass", "find_drift", "align_frames"])
@pytest.mark.parametrize("value", [None, 3, "x", np.zeros((3, 3))], ids=repr)
def test_what_is_no_signal_is_refused(function, value):
    with pytest.raises((TypeError, ValueError), match="signal"):
        getattr(hyperspy_sparse, function)(value)
