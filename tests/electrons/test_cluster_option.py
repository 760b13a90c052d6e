"""The options `cluster` and `values` of the readers, from file to frames."""

import numpy as np
import pytest
import scipy.sparse
from electrons.reference import reference_electrons

import rsciio_tpx3
from rsciio_tpx3 import simulate, t3pa
from rsciio_tpx3.electrons.clusters import ClusterOptions
from rsciio_tpx3.exceptions import UnitError
from rsciio_tpx3.reader.scan import scan_options
from rsciio_tpx3.scan.scan import place_hits
from rsciio_tpx3.scan.sync import build_scan
from rsciio_tpx3.tpx3 import Tpx3Source

NAV = (11, 7)  # (x, y)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A short scan with realistic hits on a quad with a gap, and the file's truth."""
    path = tmp_path_factory.mktemp("clusters") / "scan.tpx3"
    options = {"dwell_time": "12 us", "flyback_electrons": True, "edge_chips": (0, 1, 2, 3), "seed": 4}
    truth = simulate.recording(path, NAV[::-1], hits="realistic", gap=4, electrons_per_position=9, **options)
    return str(path), truth


def load(path, **options):
    [found] = rsciio_tpx3.file_reader(
        path, lazy=True, navigation_shape=NAV, layout="quad", gap=4, show_progressbar=False, **options
    )
    return found


def expected_frames(truth, path, options, values="counts"):
    """CSR rows of the reference's electrons, each at the scan position of its time, and their number."""
    width = truth.sig_shape[1]
    found = reference_electrons(
        truth.hit_pixel, truth.hit_time, truth.hit_tot, width, options, gaps=lambda k: np.where(k > 255, k - 4, k)
    )
    time, pixel, tot, _ = np.array(found, np.int64).T
    scan = build_scan(Tpx3Source(path).index(), scan_options(navigation_shape=NAV))
    position = np.empty(len(time), np.int64)
    place_hits(time, *scan.columns(), position)
    inside = position >= 0
    weights = tot[inside] if values == "tot" else np.ones(inside.sum(), np.int64)
    shape = scan.n_positions, truth.sig_shape[0] * width * options.upsample**2
    return scipy.sparse.coo_array(
        (weights, (position[inside], pixel[inside])), shape=shape
    ).tocsr().sorted_indices(), len(time)


def same_rows(found, expected):
    """Equal arrays of CSR, of chunks or of scipy."""
    np.testing.assert_array_equal(found.indptr, expected.indptr)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.data, expected.data)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cluster, options",
    [
        (True, {}),
        ({"window": "60 ns", "neighbours": 4, "time": "largest", "min_size": 2}, {"min_size": 2}),
        ({"position": "centroid", "upsample": 2, "min_tot": 40}, {"min_tot": 40}),
    ],
)
@pytest.mark.parametrize("values", ["counts", "tot"])
def test_frames_hold_the_electrons_of_the_reference(recording, cluster, options, values):
    path, truth = recording
    plain = {} if cluster is True else {k: v for k, v in cluster.items() if k != "window"}
    window = {"60 ns": 230, None: 768}[None if cluster is True else cluster.get("window")]
    chosen = ClusterOptions(window=window, **(plain | options))
    expected, n = expected_frames(truth, path, chosen, values)
    found = load(path, cluster=cluster, values=values)
    same_rows(found["data"].compute(), expected)
    detector = found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]
    assert detector["event_type"] == "electrons"
    assert detector["Clusters"]["electrons"] == n
    assert found["metadata"]["Signal"]["quantity"] == {
        "counts": "Counts (electrons)", "tot": "Time over threshold (25 ns)"
    }[values]  # fmt: skip


@pytest.mark.slow
def test_result_does_not_depend_on_chunks_or_scheduler(recording):
    path, _ = recording
    requested = {"cluster": {"position": "centroid"}, "values": "tot"}
    whole = load(path, **requested, chunks=NAV[1])["data"].compute(scheduler="synchronous")
    assert whole.dtype == np.uint32 and whole.nnz > 400
    for chunks in (1, 3, NAV[1]):
        for scheduler in ("threads", "processes"):
            for workers in (1, 2):
                if scheduler == "processes" and (chunks, workers) != (1, 2):
                    continue  # starting processes costs seconds
                data = load(path, **requested, chunks=chunks)["data"]
                found = data.compute(scheduler=scheduler, num_workers=workers)
                same_rows(found, whole)


def test_axes_of_a_finer_detector_keep_the_pixel_as_their_unit(recording):
    path, truth = recording
    found = load(path, cluster={"position": "centroid", "upsample": 4})
    ky, kx = found["axes"][-2:]
    assert (ky["size"], kx["size"], ky["scale"], ky["offset"]) == (4 * 516, 4 * 516, 0.25, -0.375)
    # the middles of the four fine pixels lie around the middle of the first pixel
    assert np.mean(ky["offset"] + ky["scale"] * np.arange(4)) == 0
    assert load(path)["axes"][-1]["offset"] == 0


def test_summed_tot_of_hits_is_the_truth(recording):
    path, truth = recording
    found = load(path, values="tot")
    indptr, indices, data = truth.csr("hits", "tot")
    inside = truth.hit_position >= 0
    assert found["data"].dtype == np.uint16
    total = np.asarray(found["data"].sum(axis=(2, 3)).compute()).ravel()
    counts = np.bincount(truth.hit_position[inside], truth.hit_tot[inside], minlength=77)
    # time walk moves a few hits to the next position
    assert np.abs(total - counts).sum() < 0.01 * counts.sum()
    assert total.sum() <= truth.hit_tot.sum()


@pytest.mark.parametrize("cluster", [None, True])
def test_hits_without_energy_are_no_entries(recording, cluster):
    path, _ = recording
    threshold = 60
    table = [(0, 0), (threshold, 0), (threshold + 100, 50)]
    chunk = load(path, values="energy", corrections={"energy": table}, cluster=cluster)["data"].compute()
    tot = load(path, values="tot", cluster=cluster)["data"].compute()
    assert 0 < len(chunk.data) < len(tot.data)
    assert (chunk.data > 0).all()


def test_noise_model_says_poisson_for_electrons_and_measures_hits(recording):
    path, truth = recording
    size = np.bincount(truth.hit_electron[truth.hit_electron >= 0])
    factor = (size**2).sum() / size.sum()
    for cluster, area in ((None, factor), (True, 1)):
        metadata = load(path, cluster=cluster)["metadata"]
        # of an element, as HyperSpy reads it: a pixel gets at most one hit of an electron
        model = metadata["Signal"]["Noise_properties"]["Variance_linear_model"]
        assert (model["gain_factor"], model["gain_offset"], model["correlation_factor"]) == (1, 0, 1)
        detector = metadata["Acquisition_instrument"]["TEM"]["Detector"]
        assert detector["area_variance_factor"] == pytest.approx(area, rel=0.05)


def test_hit_lists_have_the_same_options(tmp_path, recording):
    _, truth = recording
    rng = np.random.default_rng(0)
    toa = np.sort(rng.integers(0, 40_000, 300))
    pixel = 256 * rng.integers(90, 96, 300) + rng.integers(30, 36, 300)
    tot, ftoa = rng.integers(1, 50, 300), rng.integers(0, 16, 300)
    lines = [f"{i}\t{p}\t{a}\t{t}\t{f}\t0" for i, (p, a, t, f) in enumerate(zip(pixel, toa, tot, ftoa))]
    path = tmp_path / "list.t3pa"
    path.write_text("Index\tMatrix Index\tToA\tToT\tFToA\tOverflow\n" + "\n".join(lines) + "\n")
    options = {"signal": "frames", "frame_time": "1 ms", "lazy": True, "show_progressbar": False}
    [found] = t3pa.file_reader(path, cluster={"window": "400 ns"}, **options)
    expected = reference_electrons(pixel, toa * 96 - 6 * ftoa, tot, 256, ClusterOptions(window=1536))
    assert int(found["data"].sum().compute()) == len(expected)
    assert found["metadata"]["Acquisition_instrument"]["TEM"]["Detector"]["Clusters"]["electrons"] == len(expected)
    assert t3pa.available_signals(path, cluster=True)[-1]["signal"] == "frames"


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"cluster": {"window": 100}}, UnitError, "window=100 has no unit"),
        ({"cluster": {"windw": "1 ns"}}, TypeError, "unknown parameter 'windw'"),
        ({"cluster": "yes"}, TypeError, "True, or a dictionary"),
        ({"cluster": {"neighbours": 6}}, ValueError, "neighbours=6 is not valid: must be one of 8, 4"),
        ({"cluster": {"position": "mean"}}, ValueError, "position='mean' is not valid: must be one of"),
        ({"cluster": {"upsample": 2}}, ValueError, "needs position='centroid'"),
        ({"cluster": {"upsample": 0.5}}, ValueError, "an integer from 1 on"),
        ({"cluster": {"upsample": 100, "position": "centroid"}}, ValueError, "more than can be numbered"),
        ({"cluster": {"window": "15 us"}}, ValueError, "'15 us' is not shorter than max_duration='10 us' .the def"),
        ({"cluster": {"window": "2 us", "max_duration": "2 us"}}, ValueError, "'2 us' is not shorter .* of several"),
        ({"cluster": {"min_size": 3, "max_size": 2}}, ValueError, "min_size=3 is larger than max_size=2: no clus"),
        ({"cluster": {"min_tot": 9, "max_tot": 8}}, ValueError, "min_tot=9 is larger than max_tot=8: no clust"),
        ({"values": "sum"}, ValueError, "values='sum' is not valid: must be one of"),
        ({"values": "tot", "dtype": "float32"}, ValueError, "an unsigned integer type"),
    ],
)
def test_wrong_options_are_refused_with_help(recording, options, error, words):
    with pytest.raises(error, match=words):
        load(recording[0], **options)


def test_information_takes_the_options_of_the_reader(recording):
    info = rsciio_tpx3.file_info(recording[0], cluster=True, values="tot")
    assert info["hits"] == recording[1].n_hits
    with pytest.raises(ValueError, match="values='no'"):
        rsciio_tpx3.available_signals(recording[0], values="no")
