"""Types of numbers that compiled loops do not know (kind: let in, and failing late): turned, carried, or refused."""

import hyperspy.api as hs
import numpy as np
import pytest

import hyperspy_sparse
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

pytestmark = pytest.mark.slow  # every type, and seconds for each

RNG = np.random.default_rng(30)
COUNTS = RNG.poisson(0.7, (3, 4, 6, 5))
TYPES = "? b >i2 >u2 >u4 >i8 >u8 e >e >f4 >f8 >c8 D".split()
REFUSED = ["g", "G", "O", "M8[s]", "m8[s]", "S3", "U2", [("counts", "i4"), ("gain", "f4")]]

STEPS = {
    "sum": lambda a: np.sum(a, axis=(0, 1)),
    "counts": lambda a: np.sum(a, axis=(2, 3)),
    "along a line": lambda a: np.sum(a, axis=2),
    "some positions": lambda a: np.asarray(np.sum(a, axis=1)),
    "mean": lambda a: np.mean(a, axis=(2, 3)),
    "largest": lambda a: np.max(a, axis=(0, 1)),
    "smallest": lambda a: np.min(a, axis=(2, 3)),
    "any": lambda a: np.any(a, axis=(2, 3)),
    "variance": lambda a: np.var(a, axis=(0, 1)),
    "count_nonzero": lambda a: np.count_nonzero(a, axis=(0, 1)),
    "cropped": lambda a: a[1:, ::2, 1:4, ::-1],
    "joined": lambda a: np.concatenate([a, a], axis=-1),
    "flipped": lambda a: np.flip(a, -2),
    "added": lambda a: a + a,
    "masked": lambda a: a * (np.arange(30).reshape(6, 5) % 2 == 0),
    "real": lambda a: a.real,
    "as big-endian": lambda a: a.astype(">f4"),
    "as half": lambda a: a.astype("f2"),
    "as long": lambda a: a.astype("g"),
    "root": np.sqrt,
}


def outcome(step, array):
    try:
        with np.errstate(all="ignore"):
            return np.asarray(step(array))
    except TypeError as error:
        return type(error).__module__.partition(".")[0]  # numba's error is a TypeError too


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("kind", TYPES)
def test_every_type_gives_the_numbers_of_dense_data(kind):
    frames = CSRFrames.from_dense(COUNTS.astype(kind))
    native = COUNTS.astype(frames.dtype)
    assert frames.dtype == np.dtype(kind).newbyteorder("=") and frames.data.dtype.isnative
    for name, step in STEPS.items():
        found, expected = outcome(step, frames), outcome(step, native)
        if isinstance(expected, str) or isinstance(found, str):
            assert found is expected or found == expected, name
            continue
        assert found.dtype == expected.dtype.newbyteorder("="), name
        # NumPy adds half floats up in half precision, pairwise
        np.testing.assert_allclose(found, expected, rtol=5e-3 if frames.dtype == np.float16 else 1e-6, err_msg=name)


@pytest.mark.parametrize("kind", REFUSED)
def test_other_types_are_refused_where_frames_are_made(kind):
    dtype = np.dtype(kind)
    words = str(dtype).split("[")[0].strip("<>|")
    for make in (
        lambda: CSRFrames.from_dense(np.zeros((2, 3, 4), dtype)),
        lambda: CSRFrames((np.zeros(1, dtype), np.array([0]), np.array([0, 1])), shape=(1, 3, 4)),
        lambda: MemorySource.from_dense(np.zeros((2, 3, 4), dtype)),
    ):
        with pytest.raises(TypeError, match="cannot be sparse frames") as caught:
            make()
        assert words in str(caught.value)
    signal = hs.signals.Signal2D(np.zeros((2, 3, 4), dtype))
    with pytest.raises(ValueError, match="cannot be sparse frames"):
        hyperspy_sparse.to_sparse(signal)


@pytest.mark.parametrize("indices", "b B >i2 H i >i4 I >u4 q >i8 Q >u8".split())
@pytest.mark.parametrize("indptr", ["i4", ">i8", "u8", ">u2"])
def test_pixel_numbers_and_rows_of_any_integer_type(indices, indptr):
    parts = np.array([3, 1, 2], ">u2"), np.array([1, 5, 0]).astype(indices), np.array([0, 2, 3]).astype(indptr)
    frames = CSRFrames(parts, shape=(2, 2, 4))
    frames.check()
    assert frames.indices.dtype in (np.int32, np.int64) and frames.indptr.dtype == np.int64
    np.testing.assert_array_equal((frames + frames).sum(axis=(1, 2)), [8, 4])


def test_strided_and_read_only_arrays_are_taken():
    values, pixels = np.arange(8, dtype=np.uint16), np.repeat(np.array([1, 5, 0, 7]), 2)
    parts = [values[::2], pixels[::2], np.array([0, 9, 2, 9, 4])[::2]]
    for part in parts:
        part.flags.writeable = False
    frames = CSRFrames(parts, shape=(2, 2, 4))
    np.testing.assert_array_equal(frames.todense(), [[[0, 0, 0, 0], [0, 2, 0, 0]], [[4, 0, 0, 0], [0, 0, 0, 6]]])


@pytest.mark.parametrize(
    "parts, words",
    [
        ((np.ones(1), np.zeros(1), np.array([0, 1])), "pixel numbers must be integers"),
        ((np.ones(1), np.zeros(1, int), np.array([0.0, 1.0])), "starts of rows must be integers"),
        ((np.ones(1), np.array([-1]).astype("u8"), np.array([0, 1])), "byte order the right ones"),
    ],
)
def test_index_arrays_that_cannot_be_right_are_refused(parts, words):
    with pytest.raises(ValueError, match=words):
        CSRFrames(parts, shape=(1, 3, 4))


@pytest.mark.parametrize("kind", [">u2", ">f4", "f2", "?"])
@pytest.mark.parametrize("lazy", [False, True])
def test_signals_made_sparse_from_every_type(tmp_path, kind, lazy):
    counts = COUNTS.astype(kind)
    dense = hs.signals.Signal2D(counts)
    s = hyperspy_sparse.to_sparse(dense.as_lazy() if lazy else dense)
    native = counts.astype(s.data.dtype)
    assert s.data.dtype == np.dtype(kind).newbyteorder("=")
    detector = hyperspy_sparse.virtual_images(s, [np.arange(30).reshape(6, 5) % 3 == 0])
    expected = native[..., np.arange(30).reshape(6, 5) % 3 == 0].sum(axis=-1)
    np.testing.assert_allclose(detector.data.compute()[0], expected, rtol=1e-3)
    np.testing.assert_allclose(s.rebin(scale=(2, 1, 5, 2)).data.sum().compute(), native.sum(), rtol=2e-3)
    turned = s.deepcopy()
    turned.change_dtype(">f8")
    assert turned.data.dtype == np.float64 and turned.data.compute().data.dtype.isnative
    s.save(tmp_path / "saved.hspy")
    again = hs.load(tmp_path / "saved.hspy")
    np.testing.assert_array_equal(again.data, native)


def test_a_graph_of_the_other_byte_order_has_native_chunks():
    array = to_dask(MemorySource.from_dense(COUNTS.astype(">u4")))
    assert array.dtype == np.uint32 == array.compute().dtype
    assert array.astype(">u2").compute().dtype == np.uint16 == array.astype(">u2").dtype


@pytest.mark.parametrize("dtype", ["u1", "u2", "u8", "i2", "i8", "f4", "f8", "?"])
@pytest.mark.parametrize("kind", ["few", "full", "negative", "nan", "large"])
def test_extremes_sums_and_spreads_of_values_of_every_kind(dtype, kind):
    rng = np.random.default_rng(11)
    values = rng.integers(1, 9, (4, 3, 5, 7)) * (rng.random((4, 3, 5, 7)) < (0.2 if kind == "few" else 0.9))
    if kind in ("full", "negative"):
        values = np.where(values == 0, 3, values)
    values = values.astype(dtype)
    if kind == "negative":
        if np.dtype(dtype).kind not in "if":
            pytest.skip("has no negative numbers")
        values = -values
        values[0, 0, 1] *= -1
    if kind == "nan":
        if np.dtype(dtype).kind != "f":
            pytest.skip("has no NaN")
        values = -values
        values[1, 2, 3, 4] = values[2, 0, 0, 0] = np.nan
    if kind == "large" and dtype != "?":
        top = 10**6 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max // 2**8 if dtype in ("u8", "i8") else 200
        values = (values * 0 + np.asarray(top, dtype) * (values > 3)).astype(dtype)
    frames = CSRFrames.from_dense(values)
    for axes in ((0, 1), (2, 3), (0, 1, 2, 3)):
        for name in ("max", "min", "sum", "var", "mean"):
            found, wanted = getattr(np, name)(frames, axis=axes), getattr(np, name)(values, axis=axes)
            exact = name in ("max", "min") or np.asarray(wanted).dtype.kind in "uib"
            rtol = 0 if exact else 1e-6 if np.asarray(wanted).dtype == np.float32 else 1e-12
            np.testing.assert_allclose(found, wanted, rtol=rtol, atol=0 if exact else 1e-9, err_msg=f"{name} {axes}")
            assert np.asarray(found).dtype == np.asarray(wanted).dtype
