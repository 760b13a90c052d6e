"""Every public method of pyXem's ElectronDiffraction2D: sparse data give the dense result.

The whole list runs on counts that were in memory; results, and the signal itself, are compared as
they are and again when they are computed. Then it runs once more, a sixteenth of it (another one) and
`IMPORTANT` for each of the ways in which signals come into being: loaded into memory, `to_sparse`,
`persist`, a recording, and the counted formats; and so it does on numbers in the other byte order.
Each origin has another sixteenth; ``METHODS_ROTATION=1`` (to 15) chooses the next ones, so that 0 and 1 together are
the whole list and 0 to 15 give all of it to each origin. ``METHODS_FROM_ALL_ORIGINS=1`` runs everything at once:

    METHODS_FROM_ALL_ORIGINS=1 python -m pytest tests/integration/test_methods.py
"""

import os
import warnings

import dask.array as da
import hyperspy.api as hs
import matplotlib
import numpy as np
import pytest
from hyperspy.io import dict2signal
from method_cases import CASES, NOT_COMPARED
from method_inputs import affine
from pyxem.signals import LazyElectronDiffraction2D
from same_results import check_computed, check_same

import hyperspy_sparse
from hyperspy_sparse.signals import finish_loading
from rsciio_tpx3 import simulate, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

pytestmark = pytest.mark.slow  # a thousand methods and options, each on dense data as well

matplotlib.use("agg")

NAV, SIG = (3, 5), (16, 12)
NAMES = [n for n in dir(LazyElectronDiffraction2D) if not n.startswith("_")]
# On dense data in memory pyXem 0.21 writes into the array of the caller; sparse chunks cannot be
# written into, so the signal keeps its values, as it should.
CHANGES_ITS_INPUT = {"correct_bad_pixels"}
CALLS = [(name, key) for name, calls in CASES.items() for key in calls]


@pytest.fixture(scope="module", autouse=True)
def quiet():
    before = hs.preferences.General.show_progressbar
    hs.preferences.General.show_progressbar = False
    yield
    hs.preferences.General.show_progressbar = before


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:16, :12]
    shift = np.linspace(-1, 1, 15).reshape(NAV)[..., None, None]
    spot = 3 * np.exp(-((y - 7.5 - shift) ** 2 + (x - 5.5 + shift) ** 2) / 6)
    return rng.poisson(spot + 0.1).astype(np.uint8)


def signal_of(data):
    names = ("y", "x", "ky", "kx")
    scales, offsets = (0.5, 0.5, 0.1, 0.1), (1.0, 2.0, -0.8, -0.6)
    units = ("nm", "nm", "1/A", "1/A")
    axes = [
        {"name": n, "size": s, "scale": c, "offset": o, "units": u, "navigate": i < 2}
        for i, (n, s, c, o, u) in enumerate(zip(names, data.shape, scales, offsets, units, strict=True))
    ]
    signal = {"General": {"title": "scan"}, "Signal": {"signal_type": "electron_diffraction"}}
    return dict2signal(
        {
            "data": data,
            "axes": axes,
            "metadata": signal,
            "original_metadata": {"recorded": {"by": "nobody"}},
            "attributes": {"_lazy": True},
        }
    )


def sparse_and_dense(counts, dtype):
    counts = counts.astype(dtype)
    ours = finish_loading(signal_of(to_dask(MemorySource.from_dense(counts), chunks=(2, 5))))
    theirs = signal_of(da.from_array(counts, chunks=(2, 5, *SIG)))
    return ours, theirs


def outcome(call, signal, tmp_path):
    """The result of a call, or the exception that it raises."""
    wants_path = call.__code__.co_argcount > 1 and "tmp_path" in call.__code__.co_varnames
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return call(signal, tmp_path) if wants_path else call(signal), None
        except Exception as error:  # noqa: BLE001  (both sides must fail alike)
            return None, error


def give_affine_back(result):
    """pyXem 0.21 turns the affine transformation of a signal around when it uses it; sparse signals keep theirs."""
    if isinstance(result, hs.signals.BaseSignal) and result.metadata.has_item("General.affine_transformation"):
        result.metadata.General.affine_transformation = affine()


def compare(name, key, ours, theirs, tmp_path):
    call = CASES[name][key]
    expected, dense_error = outcome(call, theirs, tmp_path)
    result, error = outcome(call, ours, tmp_path)
    if dense_error is not None:
        assert type(error) is type(dense_error), (error, dense_error)
        pytest.skip(f"fails on dense data too: {type(dense_error).__name__}: {dense_error}"[:150])
    if error is not None:
        raise error
    give_affine_back(expected)
    give_affine_back(theirs)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        check_same(result, expected)
        if name not in CHANGES_ITS_INPUT:
            check_same(ours, theirs, "the signal afterwards")
        check_computed(result, expected)
        if name not in CHANGES_ITS_INPUT and result is not ours:
            check_computed(ours, theirs, "the signal afterwards")


@pytest.mark.parametrize(("name", "key"), CALLS, ids=[f"{n}-{k}" for n, k in CALLS])
def test_a_method_gives_the_dense_result(counts, tmp_path, name, key):
    compare(name, key, *sparse_and_dense(counts, "float64" if key.startswith("f_") else "uint8"), tmp_path)


# -- other origins -------------------------------------------------------------------------------

IMPORTANT = [
    ("sum", "nav"),
    ("sum", "sig"),
    ("mean", "y"),
    ("map", "image"),
    ("save", "hspy"),
    ("rebin", "both"),
    ("inav", "slice"),
    ("isig", "slice"),
    ("__operators__", "mul"),
    ("__operators__", "numpy_sqrt"),
    ("get_direct_beam_position", "com"),
    ("get_azimuthal_integral1d", ""),
    ("get_integrated_intensity", "circle"),
    ("decomposition", "f_svd"),
    ("change_dtype", "complex64"),
]

ORIGINS = [
    "loaded into memory",
    "to_sparse",
    "persist",
    "recording",
    "raw_csr",
    "nxevent",
    "stempy",
    "other byte order",
]
ALL = bool(os.environ.get("METHODS_FROM_ALL_ORIGINS"))
ROTATION = int(os.environ.get("METHODS_ROTATION", "0"))  # 0 and 1 together give every call to one of the origins
ENDINGS = {"raw_csr": "toml", "nxevent": "nxevent", "stempy": "h5"}


def _share(origin, rotation=ROTATION, everything=ALL):
    """The calls for one origin: the important ones, and of the others those that fall to it."""
    parts = 2 * len(ORIGINS)
    part = (2 * ORIGINS.index(origin) + rotation) % parts
    return CALLS if everything else [c for i, c in enumerate(CALLS) if i % parts == part or c in IMPORTANT]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of 3 x 5 positions, its 16 x 12 pixels around the beam, and their counts."""
    path = tmp_path_factory.mktemp("origins") / "scan.tpx3"
    simulate.recording(path, NAV, dwell_time="50 us", electrons_per_position=3000, keep_truth=False)
    part = hs.load(path, navigation_shape=NAV[::-1], lazy=True).isig[263:275, 248:264]
    return path, part, np.asarray(part.data.compute())


def data_from(origin, recorded):
    """Sparse frames that came into being in this way, and the dense counts."""
    path, part, counts = recorded
    if origin == "recording":
        # an array of its own: calls that set elements change the array object itself
        return part.data.copy(), counts
    if origin == "loaded into memory":
        return hs.load(path, navigation_shape=NAV[::-1]).isig[263:275, 248:264].data, counts
    if origin == "to_sparse":
        return hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts)).data, counts
    if origin == "persist":
        return part.data.persist(), counts
    if origin == "other byte order":
        turned = counts.astype(">u2")
        # a native type as soon as they are frames
        return hyperspy_sparse.to_sparse(hs.signals.Signal2D(turned)).data, counts.astype("u2")
    file = path.with_name(f"{origin}.{ENDINGS[origin]}")
    if not file.exists():
        part.save(file, file_format=origin)
    return hs.load(file, file_format=origin, lazy=True).data, counts


WAYS = [(o, n, k) for o in ORIGINS for n, k in _share(o)]


@pytest.mark.parametrize(("origin", "name", "key"), WAYS, ids=[f"{o}-{n}-{k}" for o, n, k in WAYS])
def test_a_method_gives_the_dense_result_wherever_the_signal_came_from(recorded, tmp_path, origin, name, key):
    frames, counts = data_from(origin, recorded)
    if key.startswith("f_"):
        frames, counts = frames.astype("float64"), counts.astype("float64")
    ours = finish_loading(signal_of(frames))
    # cut alike: HyperSpy's lazy factorisation learns chunk by chunk, and some methods tell how the data are cut
    compare(name, key, ours, signal_of(da.from_array(counts, chunks=frames.chunks)), tmp_path)


def test_the_important_calls_are_in_the_list():
    assert set(IMPORTANT) <= set(CALLS)


def test_the_shares_of_two_days_are_the_whole_list_and_in_sixteen_each_origin_has_it():
    whole = set(_share("recording", everything=True))
    for day in (0, 7):
        assert {c for origin in ORIGINS for d in (day, day + 1) for c in _share(origin, d, False)} == whole
    for origin in ORIGINS:
        assert {c for day in range(16) for c in _share(origin, day, False)} == whole
        assert len(_share(origin, 3, False)) < len(whole) / 8


@pytest.mark.parametrize("name", NAMES)
def test_the_matrix_has_a_case_for(name):
    if name in NOT_COMPARED:
        pytest.skip(f"not compared: {NOT_COMPARED[name]}")
    if name not in CASES:
        pytest.xfail(f"untested: add calls of {name} to one of the *_cases.py")
