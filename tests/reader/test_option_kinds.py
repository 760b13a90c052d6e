"""Kind: a raw error for an odd option, or one that comes only when something is computed.

Every option of the event readers meets every value of one long list. Allowed is a result that can be computed, or an
error of ours that names the option.
"""

import inspect
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from rsciio_tpx3 import exceptions, simulate, t3pa, tpx3

ODD = [
    *(
        None,
        True,
        False,
        float("nan"),
        float("inf"),
        -1,
        0,
        1,
        3,
        1.5,
        2.0,
        10**9,
        10**30,
        -(10**30),
        1j,
        Ellipsis,
        int,
    ),
    *(
        "",
        "x",
        "1",
        "sum",
        "nan us",
        "1e300 us",
        "-1 us",
        "0 us",
        "1 ps",
        "1e9 s",
        "1 m",
        "é\x00",
        b"x",
        "a" * 999,
        "::0",
    ),
    *(
        [],
        [1],
        [1, 2],
        (1, 2, 3),
        (3, 2, 1, 1),
        [None],
        ["a", "b"],
        (float("nan"), 2),
        (2.5, 2),
        (10**9, 10**9),
        (0, 0),
    ),
    *(
        (-1, 4),
        (True, True),
        ("8", "6"),
        ["sum", [0]],
        ["sum", None],
        ("sum", "x"),
        set(),
        frozenset([1]),
    ),
    *({}, {"a": 1}, {"over": "dwell", "number": 10**9}, {"over": "recording", "width": "1 ps"}),
    *({"over": ["x"], "number": 1}, {"over": "recording", "number": "x"}, {"window": "1e9 s"}, {"upsample": 10**9}),
    *({"mask": {"contrast": "x"}}, {"columns": "x"}, {"time_walk": 3}, {"min_size": "x"}),
    *([{"chip": 0, "x": 10**9, "y": 0}], [{"chip": 0, "x": "a", "y": 0}], [{"chip": 999, "x": 0, "y": 0}], [{}]),
    *(np.int64(3), np.float32(2.5), np.uint8(7), np.bool_(True), np.array(3), np.array([8, 6]), np.zeros(0)),
    *(np.array([[1, 2], [3, 4]]), np.array(["a"]), np.array([1.5, np.nan]), np.ma.masked, np.datetime64("NaT")),
    *(np.timedelta64(1, "us"), slice(0, 2), slice(None, None, 0), slice("a", "b"), range(3), Fraction(1, 3), object()),
    *("<u2", "O", "M8[ns]", "V3", "f8", np.float32, Path("/nonexistent")),
]
OURS = (
    exceptions.FormatError,
    exceptions.ConflictError,
    exceptions.UnitError,
    exceptions.LimitError,
)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    simulate.recording(folder / "a.tpx3", (6, 11), electrons_per_position=5, seed=1)
    rng = np.random.default_rng(3)
    rows = [f"{i}\t{rng.integers(65536)}\t{400 * i}\t10\t{rng.integers(16)}\t0" for i in range(100)]
    (folder / "a.t3pa").write_text("\n".join(["Index\tMatrix Index\tToA\tToT\tFToA\tOverflow", *rows, ""]))
    return folder


def _names(reader):
    own = ("filename", "kwds", "metadata", "metadata_from", "calibrate", "show_progressbar")
    return [name for name in inspect.signature(reader).parameters if name not in own]


CASES = [("tpx3", name) for name in _names(tpx3.file_reader)] + [("t3pa", name) for name in _names(t3pa.file_reader)]


@pytest.mark.slow
@pytest.mark.parametrize(("format", "name"), CASES, ids=lambda case: case)
def test_an_odd_option_gives_a_result_or_an_error_that_names_it(recordings, monkeypatch, format, name):
    monkeypatch.setenv("RSCIIO_TPX3_CACHE", str(recordings / "cache"))
    reader, path = (tpx3.file_reader, "a.tpx3") if format == "tpx3" else (t3pa.file_reader, "a.t3pa")
    base = {"navigation_shape": (11, 6), "lazy": True, "show_progressbar": False}
    if format == "t3pa":
        base["dwell_time"] = "10 us"
    wrong = {}
    for value in ODD if format == "tpx3" else ODD[::3]:
        try:
            [found] = reader(recordings / path, **{**base, name: value})
        except (*OURS, ValueError, TypeError, FileNotFoundError) as error:
            # a list of files is the recording itself: its errors name the file
            if name not in str(error) and name != "all_parts":
                wrong[repr(value)[:60]] = repr(error)
            continue
        except Exception as error:
            wrong[repr(value)[:60]] = repr(error)
            continue
        # what loads can be computed, whatever was asked for
        assert found["data"].shape[-2:] == found["data"].sum(axis=tuple(range(found["data"].ndim - 2))).shape
        np.asarray(found["data"].sum().compute(scheduler="sync"))
    assert not wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"navigation_shape": (10**9, 10**9)}, "navigation_shape.*positions"),
        ({"navigation_shape": (11, 6), "chunks": (7, 7)}, "chunks"),
        ({"navigation_shape": (11, 6), "layout": "quad", "gap": 10**9}, "gap"),
        ({"navigation_shape": (11, 6), "time_bins": 10**9}, "time_bins.*positions"),
        ({"navigation_shape": (11, 6), "time_bins": {"over": "recording", "number": 10**9}}, "time_bins"),
        ({"navigation_shape": (11, 6), "time_bins": {"over": "recording", "width": "1 ps"}}, "time_bins"),
        ({"navigation_shape": (11, 6), "scan_delay": "1000 s"}, "scan_delay"),
        ({"signal": "frames", "frame_time": "1 ps"}, "frame_time"),
        ({"navigation_shape": (11, 6), "lines_per_row": 10**9, "sync": "shared-clock", "dwell_time": "1 ms"}, "lines"),
    ],
    ids=str,
)
def test_what_would_fill_the_memory_is_refused_before_the_work(recordings, options, words):
    with pytest.raises(ValueError, match=words):
        tpx3.file_reader(recordings / "a.tpx3", lazy=True, show_progressbar=False, **options)


def test_chunks_are_bounded_before_a_graph_is_made(recordings):
    # 0.7 ms in frames of a step of the pixels' clock
    with pytest.raises(exceptions.LimitError, match="chunks=.*auto"):
        tpx3.file_reader(
            recordings / "a.tpx3", signal="frames", frame_time="1.6 ns", lazy=True, show_progressbar=False, chunks=1
        )
