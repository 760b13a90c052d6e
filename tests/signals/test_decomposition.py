"""Decompositions from the entries compared with NumPy's and scikit-learn's on the dense matrix."""

import hyperspy.api as hs
import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import MiniBatchNMF

import hyperspy_sparse
from hyperspy_sparse import decomposition, frame_matrix
from hyperspy_sparse.block_lanczos import truncated_svd
from hyperspy_sparse.frame_matrix import Matrix
from hyperspy_sparse.kernels import loops
from hyperspy_sparse.online_nmf import OnlineNMF
from hyperspy_sparse.small_matrix import SmallMatrix, is_better_dense
from rsciio_tpx3 import CSRFrames, to_dask
from rsciio_tpx3.frames.memory_source import MemorySource

NAV, SIG, N = (9, 7), (11, 6), 3
RNG = np.random.default_rng(8)
_Y, _X = np.mgrid[:11, :6]
PARTS = np.stack([np.exp(-((_Y - y) ** 2 + (_X - x) ** 2) / 4) for y, x in ((3, 2), (8, 4), (5, 1))])
AMOUNTS = RNG.random((*NAV, 3)) * (6, 4, 2.5)
COUNTS = RNG.poisson(np.tensordot(AMOUNTS, PARTS, 1)).astype(np.uint8)
NAV_MASK, SIG_MASK = RNG.random(NAV) < 0.2, (_Y == 0) | (_X == 5)


@pytest.fixture
def signal():
    made = hyperspy_sparse.to_sparse(hs.signals.Signal2D(COUNTS))
    made.data = to_dask(MemorySource.from_dense(COUNTS), chunks=(2, 7))
    made.change_dtype(float)  # as HyperSpy wants it
    return made


def dense_signal():
    made = hs.signals.Signal2D(COUNTS.astype(float)).as_lazy()
    made.data = made.data.rechunk((2, 7, 11, 6))
    return made


def decomposed(signal, **options):
    signal.decomposition(output_dimension=N, print_info=False, **options)
    return signal.learning_results


def same_up_to_sign(made, dense, tolerance=1e-5):
    made, dense = np.asarray(made), np.asarray(dense)
    there = ~np.isnan(dense).any(axis=1)
    np.testing.assert_array_equal(np.isnan(made), np.isnan(dense))
    signs = np.sign((made[there] * dense[there]).sum(axis=0))
    np.testing.assert_allclose(made[there] * signs, dense[there], atol=tolerance * np.abs(dense[there]).max())


MASKS = {
    "no masks": {},
    "mask of the scan": {"navigation_mask": NAV_MASK.T},
    "mask of the detector": {"signal_mask": hs.signals.Signal2D(SIG_MASK)},
    "signals as masks": {
        "navigation_mask": hs.signals.BaseSignal(NAV_MASK).T,
        "signal_mask": hs.signals.Signal2D(SIG_MASK),
    },
}


def choose(monkeypatch, dense):
    monkeypatch.setattr(frame_matrix, "is_better_dense", lambda *sizes: dense)


@pytest.mark.slow
@pytest.mark.parametrize("dense_matrix", [True, False])
@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("centre", [None, "navigation", "signal", "poisson"])
@pytest.mark.parametrize("reproject", [None, "navigation", "signal", "both"])
def test_svd_equals_the_dense_one(signal, masks, centre, reproject, dense_matrix, monkeypatch):
    choose(monkeypatch, dense_matrix)
    options = {"normalize_poissonian_noise": True} if centre == "poisson" else {"centre": centre}
    options |= MASKS[masks]
    flat_nav = NAV_MASK.ravel() if "navigation_mask" in options else np.zeros(63, bool)
    flat_sig = SIG_MASK.ravel() if "signal_mask" in options else np.zeros(66, bool)
    whole = COUNTS.reshape(63, 66).astype(float)
    part = whole[~flat_nav][:, ~flat_sig]
    by_row, by_column, mean = np.ones(63), np.ones(66), np.zeros((1, 1))
    if centre == "poisson":
        by_row[~flat_nav] = np.sqrt(np.where(part.sum(axis=1) == 0, 1, part.sum(axis=1)))
        by_column[~flat_sig] = np.sqrt(np.where(part.sum(axis=0) == 0, 1, part.sum(axis=0)))
    scaled = whole / by_row[:, None] / by_column
    used = scaled[~flat_nav][:, ~flat_sig]
    if centre in ("navigation", "signal"):
        mean = used.mean(axis=0 if centre == "navigation" else 1, keepdims=True)
    left, values, right = np.linalg.svd(used - mean, full_matrices=False)
    with monkeypatch.context() as patch:
        patch.setattr(CSRFrames, "todense", None)
        found = decomposed(signal, reproject=reproject, **options)
    rows, columns = np.full((63, N), np.nan), np.full((66, N), np.nan)
    rows[~flat_nav], columns[~flat_sig] = (left * values)[:, :N], right[:N].T
    if reproject in ("navigation", "both"):
        rows = scaled[:, ~flat_sig] @ right[:N].T - (mean @ right[:N].T if centre == "navigation" else 0)
    if reproject in ("signal", "both"):
        shift = np.zeros((1, 66))
        if centre == "navigation":
            shift[:, ~flat_sig] = mean
        shift = mean if centre == "signal" else shift
        columns = (np.linalg.pinv(rows[~flat_nav]) @ (scaled[~flat_nav] - shift)).T
    np.testing.assert_allclose(found.explained_variance, values[:N] ** 2 / len(used), rtol=1e-9)
    signs = np.sign(np.nansum(np.asarray(found.factors) * columns * by_column[:, None], axis=0))
    for made, dense, scale in ((found.loadings, rows, by_row), (found.factors, columns, by_column)):
        np.testing.assert_allclose(made * signs, dense * scale[:, None], rtol=1e-5, atol=1e-5)


def of_parts(shape, rng=0):
    """Counts of three parts in noise, for a scan and a detector of any shape."""
    rng = np.random.default_rng(rng)
    y, x = np.mgrid[: shape[2], : shape[3]]
    places = ((0.3, 0.3), (0.7, 0.6), (0.5, 0.1))
    parts = [np.exp(-((y / shape[2] - a) ** 2 + (x / shape[3] - b) ** 2) * 20) for a, b in places]
    return rng.poisson(np.tensordot(rng.random((*shape[:2], 3)) * (4, 2, 1), parts, 1)).astype(np.uint8)


SIZES = {  # of the scan and the detector: around the border, and with either side the shorter one
    "small": (9, 11, 17, 13),
    "fewer pixels": (31, 33, 12, 7),
    "below the border": (19, 20, 31, 29),
    "above the border": (38, 40, 41, 43),
}


def test_the_border_lies_between_the_sizes_that_are_tried():
    entries = {name: int(np.count_nonzero(of_parts(shape))) for name, shape in SIZES.items()}
    chosen = {
        name: is_better_dense((shape[0] * shape[1], shape[2] * shape[3]), entries[name], N)
        for name, shape in SIZES.items()
    }
    assert chosen == {name: name != "above the border" for name in SIZES}
    assert not is_better_dense((1500, 1600), 400_000, 5)
    assert is_better_dense((1500, 1600), 400_000, 500)
    assert not is_better_dense((10, 10**8), 10**9, 5)  # faster, but too large


def test_the_dense_matrix_takes_a_share_of_the_memory_limit():
    assert is_better_dense((400, 800), 60_000, 5)
    hyperspy_sparse.set_limit("40 MB")
    try:
        assert not is_better_dense((400, 800), 60_000, 5)
    finally:
        hyperspy_sparse.set_limit(None)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"centre": "signal"}, {"centre": "navigation", "masked": True}])
def test_both_ways_give_the_same_with_the_same_signs(size, options, monkeypatch):
    shape, options = SIZES[size], dict(options)
    counts = of_parts(shape)
    if options.pop("masked", False):
        rng = np.random.default_rng(4)
        options["navigation_mask"] = hs.signals.BaseSignal(rng.random(shape[:2]) < 0.2).T
        options["signal_mask"] = hs.signals.Signal2D(rng.random(shape[2:]) < 0.2)
    found = []
    for dense in (True, False):
        choose(monkeypatch, dense)
        made = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts))
        made.change_dtype(float)
        found.append(decomposed(made, **options))
    for name in ("factors", "loadings", "explained_variance"):
        one, two = (getattr(results, name) for results in found)
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(one)))


@pytest.mark.parametrize("dense_matrix", [True, False])
def test_signs_are_those_of_lazy_signals_of_hyperspy(dense_matrix, monkeypatch):
    choose(monkeypatch, dense_matrix)
    values = np.tensordot(AMOUNTS, PARTS, 1)  # without noise, in which HyperSpy's random columns find less
    found = decomposed(hyperspy_sparse.to_sparse(hs.signals.Signal2D(values)))
    like = decomposed(hs.signals.Signal2D(values).as_lazy())
    for made, dense in ((found.factors, like.factors), (found.loadings, like.loadings)):
        np.testing.assert_allclose(made, np.asarray(dense), atol=1e-6 * np.abs(made).max())


def test_a_small_set_takes_no_kernel_of_block_lanczos(signal, monkeypatch):
    """They would have to be compiled first."""
    for name in ("times_columns", "times_rows"):
        monkeypatch.setattr(loops, name, None)
    found = decomposed(signal, centre="navigation")
    assert found.factors.shape == (66, N)


def test_products_of_frames_in_memory_take_no_tasks(signal, monkeypatch):
    """Each would take dask as long as a million entries."""
    choose(monkeypatch, False)
    matrix, calls = Matrix.of(signal.data).held(), []
    compute = frame_matrix.dask.compute
    monkeypatch.setattr(frame_matrix.dask, "compute", lambda *tasks: calls.append(tasks) or compute(*tasks))
    truncated_svd(matrix, N)
    assert len(calls) == 1


def test_where_squares_lose_digits_products_find_the_values():
    rng = np.random.default_rng(5)
    values = np.geomspace(1, 1e-9, 12)
    left, right = (np.linalg.qr(rng.standard_normal((size, 12)))[0] for size in (70, 90))
    matrix = SmallMatrix(left * values @ right.T)
    assert matrix.largest(8) is None
    assert matrix.largest(3) is not None
    u, found, v = decomposition.largest_components(matrix, 8)
    np.testing.assert_allclose(found, values[:8], rtol=1e-6)
    np.testing.assert_allclose(u * found @ v.T, matrix.values, atol=1e-6)
    assert SmallMatrix(np.full((3, 4), np.nan)).largest(2) is None


@pytest.mark.parametrize("options", [{}, {"normalize_poissonian_noise": True}, MASKS["signals as masks"]])
def test_nmf_equals_the_dense_one(signal, options, monkeypatch):
    dense = dense_signal()
    options = {"algorithm": "NMF", "random_state": 0, **options}
    like = decomposed(dense, **options)
    monkeypatch.setattr(CSRFrames, "todense", None)
    found = decomposed(signal, **options)
    np.testing.assert_allclose(found.factors, like.factors, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.loadings, like.loadings, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_nmf_keeps_its_name_and_gives_its_estimator(signal, capsys):
    estimator = signal.decomposition(algorithm="NMF", output_dimension=N, return_info=True, random_state=0)
    assert signal.learning_results.decomposition_algorithm == "NMF"
    assert isinstance(estimator, MiniBatchNMF)
    assert "algorithm" in capsys.readouterr().out
    with pytest.raises(TypeError, match="wrong"):
        signal.decomposition(algorithm="NMF", output_dimension=N, wrong=3)


BATCHES = {
    "sparse": lambda rows: scipy.sparse.csr_matrix(rows.astype(float)),
    "of 32 bits": lambda rows: scipy.sparse.csr_matrix(rows.astype(np.float32)),
    "dense": lambda rows: rows.astype(float),
}
ESTIMATES = {
    "plain": {},
    "regularised": {"alpha_W": 1e-3},
    "of another loss": {"beta_loss": 1.5},
    "few steps": {"fresh_restarts_max_iter": 3, "transform_max_iter": 5, "forget_factor": 0.5},
    "no tolerance": {"tol": 0},
}


@pytest.mark.parametrize("kinds", [("sparse",) * 3, ("of 32 bits",) * 3, ("dense", "sparse", "dense")])
@pytest.mark.parametrize("options", ESTIMATES)
def test_online_nmf_is_scikit_learns(kinds, options):
    options = {"n_components": N, "random_state": 2, **ESTIMATES[options]}
    rows = COUNTS.reshape(3, 21, 66)
    ours, like = OnlineNMF(**options), MiniBatchNMF(**options)
    for kind, batch in zip(kinds, rows, strict=True):
        for estimator in (ours, like):
            estimator.partial_fit(BATCHES[kind](batch))
    tolerance = {"rtol": 1e-3, "atol": 1e-5} if kinds[0] == "of 32 bits" else {"rtol": 1e-7, "atol": 1e-12}
    np.testing.assert_allclose(ours.components_, like.components_, **tolerance)
    found, expected = (estimator.transform(BATCHES[kinds[1]](rows[1])) for estimator in (ours, like))
    np.testing.assert_allclose(found, expected, **tolerance)
    assert ours.get_params() == like.get_params()
    with pytest.raises(ValueError, match="NaN"):
        ours.partial_fit(scipy.sparse.csr_matrix(np.full((4, 66), np.nan)))


@pytest.mark.parametrize("algorithm", ["PCA", "ORPCA", "ORNMF"])
def test_other_algorithms_take_dense_chunks_as_before(signal, algorithm):
    dense = dense_signal()
    options = {"algorithm": algorithm} if algorithm == "PCA" else {"algorithm": algorithm, "random_state": 0}
    try:
        like = decomposed(dense, **options)
    except TypeError:
        pytest.skip("no seed to compare with")
    same_up_to_sign(decomposed(signal, **options).factors, like.factors, 1e-5)


def test_differences_and_products_are_decomposed_from_the_entries(signal, monkeypatch):
    weight = np.linspace(0.5, 2, 63).reshape(NAV)
    dense = COUNTS * weight[..., None, None]
    dense = (dense - dense.mean(axis=(0, 1))).reshape(63, 66)
    made = signal * hs.signals.BaseSignal(weight).T
    made = made - made.mean(axis=(0, 1))
    monkeypatch.setattr(CSRFrames, "todense", None)
    found = decomposed(made)
    left, values, right = np.linalg.svd(dense, full_matrices=False)
    same_up_to_sign(found.factors, right[:N].T)
    same_up_to_sign(found.loadings, (left * values)[:, :N])


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 40), st.integers(2, 40), st.integers(1, 6), st.integers(0, 99))
def test_truncated_svd_of_any_shape(n_rows, height, n, seed):
    counts = np.random.default_rng(seed).poisson(0.4, (n_rows, height, 3)).astype(np.uint16)
    matrix = Matrix.of(hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts)).data)
    n = min(n, n_rows, height * 3)
    exact = np.linalg.svd(counts.reshape(n_rows, -1).astype(float), compute_uv=False)[:n]
    for one in (matrix, SmallMatrix.of(matrix)):
        left, values, right = decomposition.largest_components(one, n)
        np.testing.assert_allclose(values, exact, rtol=1e-6, atol=1e-6)
        product = counts.reshape(n_rows, -1) @ right
        np.testing.assert_allclose(product, left * values, atol=1e-5 * max(values[0], 1))


def test_a_crowd_of_values_converges(monkeypatch):
    counts = np.random.default_rng(1).poisson(0.3, (150, 13, 12)).astype(np.uint8)
    matrix = Matrix.of(hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts)).data)
    _, values, _ = truncated_svd(matrix, 5)
    exact = np.linalg.svd(counts.reshape(150, -1).astype(float), compute_uv=False)[:5]
    np.testing.assert_allclose(values, exact, rtol=1e-5)


class Dense:
    """A dense matrix as `truncated_svd` takes one."""

    in_memory = True

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def times(self, columns):
        return self.values @ columns

    def turned_times(self, rows):
        return self.values.T @ rows

    def turned(self):
        return Dense(self.values.T)


VALUES = {
    "several equal": [5] * 6 + [3] * 4 + [1] * 10,
    "fewer than wanted": [7, 2, 2, 2, 1],
    "none": [0],
    "many orders": np.geomspace(1, 1e-9, 12),
    "all equal": [1] * 90,
    "two equal above noise": [9, 9, 9, *np.linspace(1, 0.5, 80)],
}


@pytest.mark.parametrize("read_anew", [False, True])
@pytest.mark.parametrize("shape", [(200, 300), (310, 150)])
@pytest.mark.parametrize("values", VALUES)
def test_equal_and_vanishing_values_are_found_as_often_as_they_are(values, shape, read_anew):
    rng = np.random.default_rng(3)
    values = np.asarray(VALUES[values], float)
    left, right = (np.linalg.qr(rng.standard_normal((size, values.size)))[0] for size in shape)
    matrix = Dense(left * values @ right.T)
    matrix.in_memory = not read_anew
    u, found, v = truncated_svd(matrix, 10)
    exact = np.linalg.svd(matrix.values, compute_uv=False)[:10]
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-12 * max(values[0], 1))
    np.testing.assert_allclose(matrix.values @ v, u * found, atol=1e-3 * max(values[0], 1))
    n = min(10, np.count_nonzero(values))
    np.testing.assert_allclose((u.T @ u)[:n, :n], np.eye(n), atol=1e-12)


def test_recordings_are_read_once_for_all_products(sparse_signal, tmp_path, monkeypatch):
    path = tmp_path / "scan.toml"
    sparse_signal.save(path)
    lazy = hs.load(path, lazy=True)
    matrix = Matrix.of(lazy.data)
    assert not matrix.in_memory
    assert matrix.held().in_memory
    columns = RNG.random((matrix.shape[1], 5))
    np.testing.assert_allclose(matrix.held().times(columns), matrix.times(columns), rtol=1e-12)
    monkeypatch.setattr(frame_matrix, "get_limit", lambda: 1)
    assert not matrix.held().in_memory


def test_what_does_not_fit_is_refused_before_anything_is_read(signal):
    hyperspy_sparse.set_limit("4 kB")
    try:
        with pytest.raises(
            hyperspy_sparse.DenseMemoryError, match=r"decomposition\(output_dimension=3\).*smaller output_dimension"
        ):
            signal.decomposition(output_dimension=3)
    finally:
        hyperspy_sparse.set_limit(None)


def test_scaled_counts_are_those_of_keenan_and_kotula(signal):
    dense = dense_signal()
    signal.normalize_poissonian_noise()
    dense.normalize_poissonian_noise()
    assert isinstance(signal.data._meta, CSRFrames)
    np.testing.assert_allclose(np.asarray(signal.data.compute()), dense.data.compute(), rtol=1e-12)


def test_negative_values_are_no_counts():
    signal = hyperspy_sparse.to_sparse(hs.signals.Signal2D(COUNTS.astype(np.int16) - 1))
    with pytest.raises(ValueError, match="Negative values"):
        signal.normalize_poissonian_noise()


@pytest.mark.parametrize("dense_matrix", [True, False])
@pytest.mark.parametrize("reproject", ["navigation", "both"])
def test_components_beyond_the_rank_have_loadings_of_zero(dense_matrix, reproject, monkeypatch):
    choose(monkeypatch, dense_matrix)
    counts = np.zeros((6, 7, 4, 5))
    counts[2, 3, 1, 2] = 1
    signal = hyperspy_sparse.to_sparse(hs.signals.Signal2D(counts)).as_lazy()
    mask = np.zeros((4, 5), bool)
    mask[0], mask[:, 4] = True, True
    options = {"centre": "navigation", "signal_mask": hs.signals.Signal2D(mask), "reproject": reproject}
    signal.decomposition(output_dimension=13, print_info=False, **options)
    loadings = np.asarray(signal.learning_results.loadings)
    assert np.isfinite(loadings).all()
    np.testing.assert_allclose(loadings[:, 1:], 0, atol=1e-10)
    np.testing.assert_allclose(np.ptp(np.abs(loadings[:, 0])), 40 / 42, atol=1e-10)
