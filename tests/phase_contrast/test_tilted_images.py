"""Tilted images are sums over groups of pixels: the same from every source, whatever the blocks."""

import dask
import hyperspy.api as hs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparse_scans import sparse_scan

import hyperspy_sparse
from hyperspy_sparse.phase_contrast.groups import Disk, find_disk, make_groups
from hyperspy_sparse.phase_contrast.tilted import groups_of_stack
from rsciio_tpx3 import simulate
from rsciio_tpx3.frames.event_frames import EventFrames

NAV, SIG = (7, 11), (23, 19)
DISK = {"center": (8.6, 11.2), "radius": 6.3}


def _reference(counts, stack):
    """Sums over pixels by the definition: squares over a disk, a few lines of NumPy."""
    node = stack.metadata.Tilted_images
    y, x = np.mgrid[: counts.shape[-2], : counts.shape[-1]]
    y, x = y - node.center[1], x - node.center[0]
    inside = np.hypot(y, x) <= node.radius
    images = []
    for i in range(len(node.y)):
        near = (np.abs(y - node.y[i]) <= node.width) & (np.abs(x - node.x[i]) <= node.width)
        cell = (np.floor(y / node.width + 0.5 * odd(node)) == node.row[i]) & (
            np.floor(x / node.width + 0.5 * odd(node)) == node.column[i]
        )
        assert not (cell & inside & ~near).any()
        images.append((counts * (cell & inside)).sum(axis=(-2, -1), dtype=np.int64))
    return np.stack(images, axis=-3)


def odd(node):
    return np.ceil(2 * node.radius / node.width - 1e-9) % 2


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    return rng.poisson(0.4, (*NAV, *SIG)).astype(np.uint8)


@pytest.mark.parametrize("across", [1, 4, 5, 16])
@pytest.mark.parametrize("chunks", ["auto", 2])
def test_images_are_sums_over_squares_of_the_disk(counts, across, chunks):
    stack = hyperspy_sparse.tilted_images(sparse_scan(counts, chunks), across, **DISK)
    assert stack._lazy and stack.axes_manager.signal_shape == NAV[::-1]
    found = np.asarray(stack.data)
    assert found.shape == (len(stack.metadata.Tilted_images.y), *NAV)
    np.testing.assert_array_equal(found, _reference(counts, stack))


def test_groups_divide_the_disk_and_nothing_else():
    groups = make_groups(Disk(11.2, 8.6, 6.3), SIG, 5)
    y, x = np.mgrid[: SIG[0], : SIG[1]]
    inside = np.hypot(y - 11.2, x - 8.6) <= 6.3
    assert ((groups.labels < len(groups)) == inside).all()
    np.testing.assert_array_equal(np.bincount(groups.labels[inside]), groups.pixels)
    for i in range(len(groups)):
        here = groups.labels == i
        assert groups.y[i] == pytest.approx((y[here] - 11.2).mean())
        assert groups.x[i] == pytest.approx((x[here] - 8.6).mean())


@settings(max_examples=40)
@given(
    y=st.floats(12, 26),
    x=st.floats(12, 20),
    radius=st.floats(6, 10.5),
    level=st.floats(20, 400),
    seed=st.integers(0, 99),
)
def test_disk_is_found_to_a_tenth_of_a_pixel(y, x, radius, level, seed):
    fine = 8
    rows, columns = ((np.arange(n * fine) + 0.5) / fine - 0.5 for n in (39, 33))
    disk = (np.hypot(rows[:, None] - y, columns - x) < radius).astype(float)
    pattern = disk.reshape(39, fine, 33, fine).mean(axis=(1, 3)) + 0.02
    found = find_disk(np.random.default_rng(seed).poisson(level * pattern))
    # scatter of a pixel of the edge, spread over the circumference
    noise = 0.1 + 2.0 / np.sqrt(level * radius)
    assert abs(found.y - y) < noise and abs(found.x - x) < noise and abs(found.radius - radius) < noise


def test_gap_between_chips_does_not_move_the_disk():
    y, x = np.mgrid[:60, :56]
    pattern = np.random.default_rng(1).poisson(300.0 * (np.hypot(y - 30.4, x - 27.7) < 14))
    pattern[28:32] = 0
    pattern[:, 33] = 0
    found = find_disk(pattern)
    assert (found.y, found.x, found.radius) == pytest.approx((30.4, 27.7, 14), abs=0.5)


def test_what_is_no_disk_is_refused(counts):
    stripe = np.zeros((40, 50))
    stripe[18:21, 5:45] = 100
    with pytest.raises(ValueError, match="not a disk.*center="):
        find_disk(stripe)
    with pytest.raises(ValueError, match="no counts"):
        hyperspy_sparse.tilted_images(sparse_scan(counts * 0))
    with pytest.raises(ValueError, match="across='x'"):
        hyperspy_sparse.tilted_images(sparse_scan(counts), "x", **DISK)
    with pytest.raises(ValueError, match="no pixel of the detector"):
        hyperspy_sparse.tilted_images(sparse_scan(counts), center=(90, 90), radius=3)
    with pytest.raises(ValueError, match="to_sparse"):
        hyperspy_sparse.tilted_images(hs.signals.Signal2D(counts))
    with pytest.raises(ValueError, match="1 scan axes"):
        hyperspy_sparse.tilted_images(sparse_scan(counts[0]), **DISK)
    with pytest.raises(ValueError, match="center="):
        hyperspy_sparse.tilted_images(sparse_scan(counts), center=3, radius=3)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("tilted") / "scan.tpx3"
    simulate.recording(
        path, (12, 17), n_frames=3, dwell_time="3 us", frame_flyback="1 ms", electrons_per_position=60, layout="single",
        seed=2,
    )  # fmt: skip
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("cluster", [None, True])
def test_recordings_of_several_frames_give_the_same_as_their_dense_form(recorded, lazy, cluster, tmp_path):
    options = {"cluster": cluster} if cluster else {}
    s = hs.load(recorded, navigation_shape=(17, 12, 3), lazy=lazy, **options)
    stack = hyperspy_sparse.tilted_images(s, 6)
    dense = np.asarray(s.data.compute().todense())
    assert stack.axes_manager.navigation_shape == (len(stack.metadata.Tilted_images.y), 3)
    np.testing.assert_array_equal(np.asarray(stack.data), _reference(dense, stack))
    # a part, the sum of the frames, and a counted file
    disk = {"center": tuple(stack.metadata.Tilted_images.center), "radius": stack.metadata.Tilted_images.radius}
    for part, array in (
        (s.inav[3:11, 2:9, 1], dense[1, 2:9, 3:11]),
        (s.inav[:, :, 0].isig[40:, 30:], dense[0, :, :, :][..., 30:, 40:]),
        (s.sum(axis=2), dense.sum(axis=0)),
    ):
        found = hyperspy_sparse.tilted_images(part, 6, **disk) if array.shape[-1] == 256 else None
        found = found or hyperspy_sparse.tilted_images(
            part, 6, center=(disk["center"][0] - 40, disk["center"][1] - 30), radius=disk["radius"]
        )
        np.testing.assert_array_equal(np.asarray(found.data), _reference(array, found))
    file = str(tmp_path / "counted.toml")
    s.inav[:, :, 1].save(file)
    again = hyperspy_sparse.tilted_images(hs.load(file, lazy=True), 6, **disk)
    np.testing.assert_array_equal(np.asarray(again.data), _reference(dense[1], again))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_every_scheduler_gives_the_same(counts, scheduler):
    stack = hyperspy_sparse.tilted_images(sparse_scan(counts, 2), 5, **DISK)
    with dask.config.set(scheduler=scheduler):
        np.testing.assert_array_equal(np.asarray(stack.data.compute()), _reference(counts, stack))


def test_results_of_other_steps_and_other_types_of_numbers(counts):
    s = sparse_scan(counts) * 3
    np.testing.assert_array_equal(
        np.asarray(hyperspy_sparse.tilted_images(s, 5, **DISK).data),
        3 * _reference(counts, hyperspy_sparse.tilted_images(sparse_scan(counts), 5, **DISK)),
    )
    for dtype in (bool, np.uint16, np.int32, np.float32):
        values = (counts > 0) if dtype is bool else counts.astype(dtype) * dtype(300)
        stack = hyperspy_sparse.tilted_images(sparse_scan(values), 5, **DISK)
        np.testing.assert_array_equal(np.asarray(stack.data), _reference(values.astype(np.int64), stack))


def test_sums_above_the_smallest_type_are_right():
    counts = np.zeros((3, 4, 8, 9), np.uint16)
    counts[1, 2, 3:5, 4:6] = 40_000
    stack = hyperspy_sparse.tilted_images(sparse_scan(counts), 1, center=(4.5, 3.5), radius=2.0)
    assert int(np.asarray(stack.data)[0, 1, 2]) == 160_000


def test_events_are_not_read_before_they_are_needed(recorded, monkeypatch):
    s = hs.load(recorded, navigation_shape=(17, 12, 3), lazy=True)

    monkeypatch.setattr(EventFrames, "frames", lambda *a, **k: pytest.fail("events were read"))
    hyperspy_sparse.tilted_images(s, 6, center=(127.5, 127.5), radius=20)


def test_groups_come_back_from_the_metadata(counts):
    stack = hyperspy_sparse.tilted_images(sparse_scan(counts), 5, **DISK)
    groups = groups_of_stack(stack)
    made = make_groups(Disk(11.2, 8.6, 6.3), SIG, 5)
    np.testing.assert_array_equal(groups.y, made.y)
    np.testing.assert_array_equal(groups.row, made.row)
    assert groups.disk == made.disk and groups_of_stack(sparse_scan(counts)) is None
