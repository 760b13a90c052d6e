"""The other operand of an operator stays as small as it is (kind: an image in memory becomes four-dimensional)."""

import operator
import tracemalloc
from functools import partial

import dask.array as da
import hyperspy.api as hs
import numpy as np
import pytest
from hyperspy.signals import LazySignal2D
from pyxem.signals import ElectronDiffraction2D, VirtualDarkFieldImage
from scan_images import scan_image

import hyperspy_sparse
from hyperspy_sparse.mixin import SparseFramesMixin
from hyperspy_sparse.operands import operate
from hyperspy_sparse.shifted import is_shifted
from hyperspy_sparse.signals import as_sparse_twin
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

pytestmark = pytest.mark.slow  # every operator in every order

RNG = np.random.default_rng(20)
COUNTS = RNG.poisson(0.5, (3, 5, 7, 6)).astype(np.uint16)
COUNTS[1, 2] = 0
PIXELS, SCAN, WHOLE = (RNG.integers(0, 4, shape) for shape in ((7, 6), (3, 5), COUNTS.shape))


OTHERS = {
    "integers of the detector": lambda: hs.signals.Signal2D(PIXELS.astype(np.uint16)),
    "floats of the detector": lambda: hs.signals.Signal2D(PIXELS + 0.5),
    "mask of the detector": lambda: hs.signals.Signal2D(PIXELS > 1),
    "big-endian": lambda: hs.signals.Signal2D(PIXELS.astype(">i4")),
    "lazy": lambda: hs.signals.Signal2D(PIXELS).as_lazy(),
    "a gain of zero": lambda: hs.signals.Signal2D((np.arange(42).reshape(7, 6) != 5) * 2.0),
    "pyxem": lambda: ElectronDiffraction2D(PIXELS.astype(float)),
    "line": lambda: hs.signals.Signal1D(np.arange(6) + 0.5),
    "scan": lambda: scan_image(SCAN),
    "mask of the scan": lambda: scan_image(SCAN > 1),
    "lazy scan": lambda: scan_image(SCAN).as_lazy(),
    "one number": lambda: hs.signals.BaseSignal([2.0]),
    "whole": lambda: hs.signals.Signal2D(WHOLE.copy()),
}
BINARY = "add sub mul truediv floordiv mod pow lshift and xor or lt le eq ne ge gt".split()


def dense():
    return hs.signals.Signal2D(COUNTS.copy())


def sparse():
    return hyperspy_sparse.to_sparse(dense())


def outcome(function):
    """The signal, or the kind of error."""
    try:
        with np.errstate(all="ignore"):
            return function()
    except Exception as error:
        return next(k for k in (TypeError, ValueError, OverflowError, Exception) if isinstance(error, k))


def compare(ours, theirs):
    if not isinstance(theirs, hs.signals.BaseSignal):
        return ours == theirs
    values = theirs.data.compute() if theirs._lazy else theirs.data
    assert isinstance(ours, hs.signals.BaseSignal), ours
    assert ours.data.npartitions == 1
    chunk = ours.data.compute(scheduler="sync")
    np.testing.assert_array_equal(np.asarray(chunk), values)
    assert ours.data.dtype == values.dtype
    assert ours.axes_manager.shape == theirs.axes_manager.shape
    assert ours.axes_manager.signal_shape == theirs.axes_manager.signal_shape
    assert isinstance(chunk, CSRFrames) == isinstance(ours.data._meta, CSRFrames)
    keeps_frames = isinstance(chunk, CSRFrames) or is_shifted(ours.data)
    assert keeps_frames == isinstance(ours, SparseFramesMixin)
    assert ours._lazy
    return True


@pytest.mark.parametrize("name", OTHERS)
def test_every_operator_in_every_order_gives_what_dense_data_give(name):
    other, in_memory = OTHERS[name](), OTHERS[name]()
    if in_memory._lazy:
        in_memory.compute(show_progressbar=False)
    for op in BINARY[::2] if name == "integers of the detector" else ("add", "mul", "truediv"):
        apply = getattr(operator, f"__{op}__")
        for ours, theirs in (((sparse(), other), (dense(), in_memory)), ((other, sparse()), (in_memory, dense()))):
            assert compare(outcome(partial(apply, *ours)), outcome(partial(apply, *theirs))), op


@pytest.mark.parametrize("name", ["integers of the detector", "scan", "floats of the detector"])
@pytest.mark.parametrize("op", ["add", "mul", "truediv", "and"])
def test_operators_in_place_are_those_of_arrays(name, op):
    function = getattr(operator, f"__i{op}__")
    s = sparse()
    ours, theirs = outcome(lambda: function(s, OTHERS[name]())), outcome(lambda: function(dense(), OTHERS[name]()))
    assert compare(ours, theirs)
    assert ours is s or not isinstance(ours, hs.signals.BaseSignal)


@pytest.mark.parametrize("op", ["imul", "iadd", "isub", "itruediv"])
def test_operators_in_place_go_on_where_nan_of_an_image_made_the_frames_dense(op):
    gaps = np.where(np.arange(SCAN.size).reshape(SCAN.shape) % 2, np.nan, 2.0)
    ours, theirs = (signal() * scan_image(gaps) for signal in (sparse, dense))
    assert ours._lazy and not isinstance(ours, SparseFramesMixin)
    for other in (scan_image(np.full(SCAN.shape, 3.0)), hs.signals.Signal2D(np.full(PIXELS.shape, 1.5))):
        ours, theirs = (getattr(operator, op)(signal, other) for signal in (ours, theirs))
        np.testing.assert_array_equal(ours.data.compute(), theirs.data)
    for other in (2, theirs):
        with pytest.raises(AttributeError, match="Write s = s . other"):
            getattr(operator, op)(ours, other)


def test_operators_in_place_say_what_does_not_fit():
    with pytest.raises(ValueError, match="would change the shape .* write s = s"):
        operator.imul(scan_image(SCAN), sparse())
    with pytest.raises(TypeError, match='gives float64, which uint16 .* s.change_dtype."float64"'):
        operator.itruediv(sparse(), scan_image(SCAN))
    for other in (2, PIXELS, sparse()):
        with pytest.raises(AttributeError, match="Write s = s . other"):
            operator.iadd(sparse(), other)


def test_a_dense_signal_in_memory_takes_the_frames_into_its_own_array():
    d = dense()
    array = d.data
    d += sparse()
    assert d.data is array
    np.testing.assert_array_equal(array, 2 * COUNTS)


def test_divmod_gives_two_signals():
    for whole, rest, parts in ((COUNTS // 3, COUNTS % 3, divmod(sparse(), 3)),):
        for expected, signal in zip((whole, rest), parts, strict=True):
            np.testing.assert_array_equal(np.asarray(signal.data.compute()), expected)


def test_images_of_other_classes_may_stand_on_the_left():
    image = VirtualDarkFieldImage(SCAN.astype(float)).T
    ours = image * sparse()
    np.testing.assert_array_equal(np.asarray(ours.data.compute()), SCAN[:, :, None, None] * COUNTS.astype(float))
    assert ours._lazy and ours.axes_manager.signal_shape == (6, 7)
    assert compare(np.sqrt(ours), np.sqrt(image * dense()))
    assert type(ours).__name__ == "LazySparseVirtualDarkFieldImage"  # a twin, made when it is needed
    assert compare(ours.deepcopy(), image * dense())


ARRAYS = {
    "detector": lambda: PIXELS + 0.5,
    "mask": lambda: PIXELS > 1,
    "scan": lambda: SCAN[..., None, None],
    "whole": lambda: WHOLE.astype(">i4"),
    "number": lambda: np.float32(2),
    "array of one number": lambda: np.array(3),
    "lazy": lambda: da.from_array(WHOLE, chunks=2),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("function", [np.multiply, np.add, np.true_divide, np.greater, np.arctan2])
def test_arrays_may_stand_on_the_left_of_signals(name, function):
    array = ARRAYS[name]()
    values = np.asarray(array)
    for inputs, dense_inputs in (((array, sparse()), (values, COUNTS)), ((sparse(), array), (COUNTS, values))):
        with np.errstate(all="ignore"):
            made, expected = function(*inputs), function(*dense_inputs)
        chunk = made.data.compute(scheduler="sync")
        np.testing.assert_array_equal(np.asarray(chunk), expected)
        assert made.data.dtype == chunk.dtype == expected.dtype
        assert (isinstance(chunk, CSRFrames) or is_shifted(made.data)) == isinstance(made, SparseFramesMixin)
        if function is np.multiply:
            assert isinstance(made, SparseFramesMixin)
    with np.errstate(all="ignore"):
        if name != "lazy":  # dask answers `array * signal` itself
            assert isinstance(array * sparse(), SparseFramesMixin)


@pytest.mark.parametrize("function", [np.multiply, np.add, np.greater])
def test_masked_arrays_stay_masked(function):
    masked = np.ma.masked_greater(PIXELS, 2)
    expected = function(COUNTS, masked)
    chunk = CSRFrames.from_dense(COUNTS)
    lazy = sparse()
    for made in (function(lazy, masked).data, function(lazy.data, masked), function(chunk, masked)):
        made = made.compute(scheduler="sync") if isinstance(made, da.Array) else made
        assert np.ma.count_masked(made) == np.ma.count_masked(expected) > 0
        assert made.sum() == expected.sum()
    assert (lazy * masked).data.sum().compute() == (COUNTS * masked).sum()


def test_masked_values_are_not_made_counts_again():
    masked = np.ma.masked_greater(COUNTS, 2)
    by_signal = lambda a: hyperspy_sparse.to_sparse(hs.signals.Signal2D(a))  # noqa: E731
    for make in (CSRFrames.from_dense, MemorySource.from_dense, by_signal):
        with pytest.raises(ValueError, match=f"{np.ma.count_masked(masked)} of .* values are masked.*filled"):
            make(masked)
    assert CSRFrames.from_dense(np.ma.masked_greater(COUNTS, 200)).sum() == COUNTS.sum()


# -- memory: 64 x 64 positions with 256 x 256 pixels are 268 million values --------------------------------------------

SIDE, PIXEL_SIDE, PER_FRAME = 64, 256, 20


@pytest.fixture(scope="module")
def large():
    n = SIDE * SIDE
    pixels = np.sort(RNG.integers(0, PIXEL_SIDE**2 // PER_FRAME, (n, PER_FRAME)), axis=1)
    pixels = pixels + np.arange(PER_FRAME) * (PIXEL_SIDE**2 // PER_FRAME)  # ascending, no pixel twice
    parts = np.ones(n * PER_FRAME, np.uint8), pixels.ravel().astype(np.int32), np.arange(n + 1) * PER_FRAME
    frames = CSRFrames(parts, shape=(SIDE, SIDE, PIXEL_SIDE, PIXEL_SIDE))
    return as_sparse_twin(LazySignal2D(to_dask(MemorySource(frames))))


SMALL = {
    "scan": lambda: scan_image(np.full((SIDE, SIDE), 3)),
    "scan with zeros": lambda: scan_image(np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 50),
    "detector": lambda: hs.signals.Signal2D(np.full((PIXEL_SIDE, PIXEL_SIDE), 2.0)),
    "dead pixels": lambda: hs.signals.Signal2D(np.arange(PIXEL_SIDE**2).reshape(PIXEL_SIDE, PIXEL_SIDE) % 1000),
    "mask": lambda: hs.signals.Signal2D(np.eye(PIXEL_SIDE, dtype=bool)),
    "lazy scan": lambda: scan_image(np.full((SIDE, SIDE), 3)).as_lazy(),
    "view": lambda: np.broadcast_to(np.eye(PIXEL_SIDE), (SIDE, SIDE, PIXEL_SIDE, PIXEL_SIDE)),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("op", ["mul", "truediv", "rmul"])
def test_neither_operand_nor_result_is_ever_as_large_as_dense_data(large, name, op):
    other = SMALL[name]()
    if op == "rmul" and name == "view" or op == "truediv" and name in ("view", "mask"):
        pytest.skip("a division by zero nearly everywhere is dense; NumPy's ufuncs on signals are another matter")
    # 0 / 0 fills a fiftieth of the frames, or a thousandth of the pixels
    bound = 600e6 if name == "scan with zeros" and op == "truediv" else 120e6
    tracemalloc.start()
    try:
        with np.errstate(all="ignore"):
            made = other * large if op == "rmul" else getattr(operator, op)(large, other)
            total = np.nansum(np.concatenate([b.compute(scheduler="sync").data for b in made.data.blocks.ravel()]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(made, SparseFramesMixin)
    assert peak < bound, f"{peak / 1e6:.0f} MB; dense are 268 MB for each byte of a value"
    if name == "scan" and op == "truediv":
        assert total == pytest.approx(SIDE * SIDE * PER_FRAME / 3)


# -- chunks ------------------------------------------------------------------------------------------------------------


def random_operand(rng, shape):
    """An operand that broadcasts to the frames: any axes of length one, leading ones omitted, some repeated."""
    sizes = [n if rng.random() < 0.6 else 1 for n in shape][rng.integers(0, 3) :]
    values = rng.integers(-2, 4, sizes).astype(rng.choice(["i4", "f8", "u1", "?", ">i2", "f4"]))
    values = np.where(rng.random(sizes) < 0.93, values, 0).astype(values.dtype)
    return np.broadcast_to(values, shape[len(shape) - len(sizes) :]) if rng.random() < 0.3 else values


@pytest.mark.parametrize("seed", range(12))
def test_chunks_with_operands_of_any_shape(seed):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        counts = rng.poisson(0.6, (3, 4, 5, 6)).astype(rng.choice(["u1", "u4", "f4", "i2"]))
        other = random_operand(rng, counts.shape)
        function = rng.choice([np.multiply, np.true_divide, np.add, np.greater, np.minimum, np.floor_divide, np.power])
        with np.errstate(all="ignore"):
            try:
                expected = function(counts, other)
            except (TypeError, ValueError):
                continue
            frames = CSRFrames.from_dense(counts)
            made = function(frames, other)
            lazy = operate(function, da.from_array(counts, chunks=(2, 4, 5, 6)).map_blocks(CSRFrames.from_dense), other)
        if isinstance(made, CSRFrames):
            made.check()
        np.testing.assert_array_equal(np.asarray(made), expected)
        assert made.dtype == expected.dtype == lazy.dtype
        np.testing.assert_array_equal(np.asarray(lazy.compute(scheduler="sync")), expected)


def test_zeros_over_zeros_leave_frames_sparse():
    counts = RNG.poisson(0.5, (10, 20, 30, 30)).astype(np.uint8)
    per_frame = np.full((10, 20, 1, 1), 2.0)
    per_frame[3, 4] = 0
    dead = np.full((30, 30), 2.0)
    dead[5, 6:9] = 0
    for other in (per_frame, dead):
        with np.errstate(all="ignore"):
            made = CSRFrames.from_dense(counts) / other
            expected = counts / other
        assert isinstance(made, CSRFrames)
        made.check()
        np.testing.assert_array_equal(made.todense(), expected)


@pytest.mark.parametrize("function", [operator.mul, operator.sub, operator.truediv])
@pytest.mark.parametrize("of_scan", [True, False])
def test_results_do_not_follow_an_image_that_changes_later(sparse_signal, counts, function, of_scan):
    """As with ``weights /= weights.max()`` after the product: values, sums and parts stay what they were."""
    image = np.random.default_rng(4).random(counts.shape[:2] + (1, 1) if of_scan else counts.shape[2:]) + 1
    made, dense = function(sparse_signal, image), function(counts, image)
    image *= 7
    np.testing.assert_allclose(made.sum(axis=("x", "y")).data.compute(), dense.sum(axis=(0, 1)))
    np.testing.assert_allclose(made.sum(axis=("kx", "ky")).data.compute(), dense.sum(axis=(2, 3)))
    np.testing.assert_allclose(made.inav[1:].data.compute(), dense[:, 1:])
    np.testing.assert_allclose(made.data.compute(), dense)


def test_results_do_not_follow_a_whole_array_that_changes_later(sparse_signal, counts):
    whole = np.full(counts.shape, 2.0)
    made = sparse_signal * whole
    whole[:] = 9
    np.testing.assert_allclose(made.sum(axis=("x", "y")).data.compute(), 2 * counts.sum(axis=(0, 1)))
