"""CSRFrames compared with the dense array it stands for: same values, same dtype, same shape."""

import pickle

import numpy as np
import pytest
import scipy.sparse
import sparse

from rsciio_tpx3 import CSRFrames


@pytest.fixture(scope="module")
def dense():
    counts = np.random.default_rng(0).poisson(0.1, (3, 5, 16, 12)).astype(np.uint8)
    counts[1, 2] = 0
    counts[0, 0, 3, 4] = 255
    counts[2, 0, 3, 4] = 255
    return counts


@pytest.fixture(scope="module")
def frames(dense):
    return CSRFrames.from_dense(dense)


def same(ours, numpys):
    ours, numpys = np.asarray(ours), np.asarray(numpys)
    assert ours.shape == numpys.shape
    assert ours.dtype == numpys.dtype
    if numpys.dtype.kind == "f":
        np.testing.assert_allclose(ours, numpys, rtol=1e-5 if ours.itemsize < 8 else 1e-12)
    else:
        np.testing.assert_array_equal(ours, numpys)


KEYS = [
    1,
    (1, 2),
    (-1, -2),
    slice(1),
    (0, slice(None), 3),
    (..., 3),
    (..., slice(2, 5), slice(None, None, -1)),
    [0, 2],
    ([0, 2], [1, 1]),
    (slice(None), [1, 3]),
    None,
    (slice(None), None),
    (..., [1, 2]),
    (slice(None, None, -1), slice(1, 4, 2), slice(2, 9, 3), slice(1, -1)),
    (0, 0, 0, 0),
    (slice(0, 0),) * 4,
    (1, 2, slice(1, 3), None),
    ([0, 1], 1, slice(None), 2),
    np.arange(15).reshape(3, 5) % 4 == 0,
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_an_index_means_what_it_means_to_numpy(frames, dense, key):
    same(frames[key], dense[key])


def test_one_frame_is_a_fresh_writable_ndarray(frames, dense):
    frame = frames[1, 1]
    assert type(frame) is np.ndarray and frame.flags.writeable
    frame[:] = 9
    same(frames, dense)


def test_a_slice_of_rows_shares_memory(frames):
    assert np.shares_memory(frames[1:].data, frames.data)


def test_an_index_outside_is_refused(frames):
    with pytest.raises(IndexError):
        frames[3, 0]
    with pytest.raises(IndexError):
        frames[0, 0, 0, 12]


AXES = [None, 0, 1, 2, -1, (0, 1), (2, 3), (0, 2), (1, 3), (0, 1, 2), (0, 1, 2, 3), (-2, -1)]
REDUCTIONS = "sum prod max min mean std var any all median nansum nanmax nanmin nanmean nanstd"


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "bool", "int32", "float32", "float64"])
@pytest.mark.parametrize("name", [*REDUCTIONS.split(), "count_nonzero", "argmax", "ptp"])
def test_a_reduction_is_numpys(frames, dense, name, dtype):
    if dtype == "bool" and name in ("median", "ptp"):
        pytest.skip("NumPy refuses booleans here")
    function, ours, theirs = getattr(np, name), frames.astype(dtype), dense.astype(dtype)
    for axis in AXES:
        if name == "argmax" and isinstance(axis, tuple):
            continue
        for keepdims in (False, True):
            same(
                function(ours, axis=axis, keepdims=keepdims),
                function(theirs, axis=axis, keepdims=keepdims),
            )


def test_negative_and_nan_entries_take_part_in_extremes():
    dense = np.zeros((4, 3, 5))
    dense[0, 0, 0], dense[1, 0, 0], dense[:, 1, 1], dense[2, 2, 2] = -1, 3, -4, np.nan
    frames = CSRFrames.from_dense(dense)
    for axis in (None, 0, (1, 2)):
        for name in ("min", "max", "sum", "mean", "nanmax", "nansum"):
            same(getattr(np, name)(frames, axis=axis), getattr(np, name)(dense, axis=axis))


def test_a_sum_of_bytes_is_as_wide_as_numpys(frames, dense):
    assert frames.sum().dtype == np.uint64
    assert frames.sum(axis=(0, 1))[3, 4] == 510 == int(dense[..., 3, 4].astype(int).sum())


UNARY = [np.negative, np.sqrt, np.exp, np.sign, np.abs, np.isnan, np.logical_not, np.sin, np.square]


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda f: f.__name__)
def test_an_elementwise_function_is_numpys(frames, dense, ufunc):
    same(ufunc(frames.astype(float)), ufunc(dense.astype(float)))


BINARY = "add subtract multiply true_divide floor_divide power greater less equal not_equal maximum"


@pytest.mark.parametrize("name", [*BINARY.split(), "minimum", "bitwise_and", "logical_or", "mod"])
def test_arithmetic_is_numpys(frames, dense, name):
    ufunc = getattr(np, name)
    others = [0, 1, 2, np.uint8(3), np.ones((16, 12), np.uint16), dense[:, :, :1, :1] + 1]
    if name != "bitwise_and":
        others += [1.5, np.nan, np.inf, np.linspace(0, 1, 12), dense.astype(float)]
    with np.errstate(all="ignore"):
        for other in others:
            same(ufunc(frames, other), ufunc(dense, other))
            same(ufunc(other, frames), ufunc(other, dense))
        same(ufunc(frames, frames[::-1]), ufunc(dense, dense[::-1]))
        same(ufunc(frames, frames * 2), ufunc(dense, dense * 2))
        with pytest.raises(ValueError):
            ufunc(frames, np.ones((16, 13), np.uint8))


def test_zero_to_zero_stays_sparse_and_the_rest_does_not(frames):
    for stays in (frames * 2, frames / 3, frames > 2, frames * frames, frames.astype(float) ** 2):
        assert isinstance(stays, CSRFrames)
    for fills in (frames + 1, frames == 0, frames * np.nan, frames.astype(float) / 0):
        assert type(fills) is np.ndarray


def test_results_hold_no_stored_zeros(frames, dense):
    assert (frames > 2).nnz == np.count_nonzero(dense > 2)


FUNCTIONS = [
    lambda a: a.reshape(15, 16, 12),
    lambda a: a.reshape(-1, 192),
    lambda a: a.reshape(1, 3, 5, 16, 12),
    lambda a: np.transpose(a, (1, 0, 2, 3)),
    lambda a: a.transpose(2, 3, 0, 1),
    lambda a: a.T,
    lambda a: np.moveaxis(a, 0, 1),
    lambda a: np.swapaxes(a, 0, 1),
    lambda a: np.swapaxes(a, -1, -2),
    lambda a: np.rollaxis(a, 1),
    lambda a: np.expand_dims(a, 0),
    lambda a: np.expand_dims(a, (0, 5)),
    lambda a: np.squeeze(a[:1]),
    lambda a: np.flip(a),
    lambda a: np.flip(a, (0, 2)),
    lambda a: np.roll(a, 3, axis=3),
    lambda a: np.concatenate([a, a[1:]], axis=0),
    lambda a: np.concatenate([a, a[:, :2]], axis=1),
    lambda a: np.concatenate([a, a[:, :, :3]], axis=2),
    lambda a: np.concatenate([a[..., 5:], a], axis=-1),
    lambda a: np.concatenate([a, a.astype(np.int32)]),
    lambda a: np.stack([a, a], axis=1),
    lambda a: np.stack([a, a], axis=-1),
    lambda a: np.broadcast_to(a, (2, 3, 5, 16, 12)),
    lambda a: np.take(a, [2, 0], axis=0),
    lambda a: np.take(a, 1, axis=1),
    lambda a: np.where(a > 1, a, 0),
    lambda a: np.where(np.eye(16, 12, dtype=bool), a, 0),
    lambda a: np.where(np.eye(16, 12, dtype=bool), np.nan, a),
    lambda a: np.where(np.eye(16, 12, dtype=bool), 0, a),
    lambda a: np.clip(a, 0, 2),
    lambda a: np.clip(a, 1, 2),
    lambda a: np.round(a * 0.37, 1),
    lambda a: np.nan_to_num(a * 1.5),
    lambda a: np.zeros_like(a),
    lambda a: np.ones_like(a, dtype=float),
    lambda a: np.full_like(a, 3),
    lambda a: np.percentile(a, [25, 75]),
    lambda a: np.histogram(a, bins=4)[0],
    lambda a: np.tensordot(a, np.ones((16, 12)), axes=([2, 3], [0, 1])),
    lambda a: np.einsum("ijkl,kl->ij", a, np.ones((16, 12))),
    lambda a: np.diff(a, axis=3),
    lambda a: np.cumsum(a, axis=1),
    lambda a: np.pad(a, ((0, 0), (1, 0), (2, 2), (0, 0))),
    lambda a: np.array(a.tolist()),
    lambda a: np.apply_along_axis(np.sum, 0, a),
    lambda a: np.add.reduce(a),
    lambda a: np.add.accumulate(a, axis=1),
    lambda a: np.multiply.outer(a[0, 0], a[0, 1]),
    lambda a: np.maximum.reduce(a, axis=(0, 1)),
    lambda a: np.array([frame.sum() for row in a for frame in row]),
    lambda a: a.ravel(),
    lambda a: a.astype(np.float32),
    lambda a: np.asarray(a, dtype=np.float32),
]


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_a_numpy_function_gives_numpys_answer(frames, dense, function):
    same(function(frames), function(dense))


def test_nothing_leads_to_the_functions_of_sparse(frames):
    assert not hasattr(frames, "__array_namespace__")
    assert not hasattr(frames, "__array_interface__")


def test_it_cannot_be_changed_but_its_copy_can(frames, dense):
    with pytest.raises(ValueError, match="copy"):
        frames[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        np.add(frames, 1, out=frames)
    copy, expected = frames.copy(), dense.copy()
    copy[0, :, 2:5] = 7
    expected[0, :, 2:5] = 7
    same(copy, expected)
    same(frames, dense)
    again = frames
    again += 1
    same(again, dense + 1)
    same(frames, dense)


def test_pickling_a_slice_carries_the_slice_only(frames, dense):
    few = pickle.dumps(frames[:1])
    assert len(few) < len(pickle.dumps(frames)) / 2
    same(pickle.loads(few), dense[:1])


def test_scipy_shares_the_arrays_both_ways(frames, dense):
    matrix = frames.to_scipy()
    assert np.shares_memory(matrix.data, frames.data)
    assert np.shares_memory(matrix.indices, frames.indices)
    back = CSRFrames.from_scipy(matrix, (3, 5), (16, 12))
    assert np.shares_memory(back.indices, matrix.indices)
    same(back, dense)


def test_scipy_duplicates_are_added_without_changing_the_owner():
    matrix = scipy.sparse.csr_array(([1, 2, 3], [4, 0, 4], [0, 3]), shape=(1, 6))
    frames = CSRFrames.from_scipy(matrix, (1,), (2, 3))
    frames.check()
    same(frames, np.array([[[2, 0, 0], [0, 4, 0]]]))
    assert matrix.nnz == 3


@pytest.mark.slow
def test_sparse_arrays_convert_both_ways(frames, dense):
    same(frames.tocoo().todense(), dense)
    same(frames.to_gcxs().todense(), dense)
    same(CSRFrames(sparse.COO.from_numpy(dense)), dense)
    same(CSRFrames(sparse.GCXS.from_numpy(dense, compressed_axes=(3,))), dense)
    same(CSRFrames(dense), dense)
    assert isinstance(frames, sparse.GCXS)


@pytest.mark.parametrize("nav", [(), (7,), (2, 3), (2, 1, 3), (2, 1, 3, 2), (0,), (0, 3)])
def test_any_number_of_navigation_axes(nav):
    dense = np.random.default_rng(1).poisson(0.5, (*nav, 4, 3)).astype(np.uint16)
    frames = CSRFrames.from_dense(dense)
    assert (frames.nav_shape, frames.sig_shape, frames.n_nav) == (nav, (4, 3), len(nav))
    same(frames, dense)
    same(frames[...], dense)
    same(frames.sum(axis=(-2, -1)), dense.sum(axis=(-2, -1)))
    same(frames.sum(), dense.sum())
    if nav:
        axes = tuple(range(len(nav)))
        same(frames.sum(axis=axes), dense.sum(axis=axes))
        same(frames.sum(axis=0), dense.sum(axis=0))


def test_the_other_constructors_of_sparse(frames, dense):
    same(CSRFrames.from_coo(frames.tocoo()), dense)
    same(CSRFrames.from_numpy(dense), dense)
    same(
        CSRFrames.from_iter({(0, 1, 2): 5}, shape=(2, 3, 4)),
        np.eye(24, dtype=int)[6].reshape(2, 3, 4) * 5,
    )
    with pytest.raises(ValueError, match="from_scipy"):
        CSRFrames.from_scipy_sparse(frames.to_scipy())


def test_wrong_parts_are_refused_with_what_to_do():
    parts = np.ones(3, np.uint8), np.arange(3), np.array([0, 1, 3])
    with pytest.raises(ValueError, match="describes 2 frames but nav_shape .* needs 3"):
        CSRFrames(parts, shape=(3, 2, 2))
    with pytest.raises(ValueError, match="needs shape"):
        CSRFrames(parts)
    with pytest.raises(ValueError, match="two of the detector"):
        CSRFrames(parts, shape=(2,))
    with pytest.raises(ValueError, match="number of entries"):
        CSRFrames((parts[0], parts[1], np.array([0, 1, 2])), shape=(2, 2, 2))
    with pytest.raises(ValueError, match="detector"):
        CSRFrames((parts[0], np.array([0, 1, 9]), parts[2]), shape=(2, 2, 2)).check()
    with pytest.raises(ValueError, match="twice"):
        CSRFrames((parts[0], np.array([0, 1, 1]), parts[2]), shape=(2, 2, 2)).check()


def test_check_accepts_empty_frames_everywhere():
    counts = np.zeros((6, 2, 3), np.uint8)
    counts[2, 1, 2] = counts[3, 0, 0] = counts[4, 0, 0] = 1
    CSRFrames.from_dense(counts).check()
    CSRFrames.from_dense(counts[:1]).check()
