"""Phases against a wave simulation that shares nothing with them, and each method against its formula in NumPy."""

import json
import logging

import numpy as np
import phase_object as po
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hyperspy_sparse
from hyperspy_sparse.phase_contrast import phase, tilted_images, transform
from hyperspy_sparse.phase_contrast.groups import Disk, make_groups
from hyperspy_sparse.phase_contrast.optics import Known, Optics
from hyperspy_sparse.phase_contrast.tilted import NODE
from hyperspy_sparse.phase_contrast.transform import METHODS, phase_of_images

# -- the physics: sign, scale, handedness --------------------------------------------------------------

LINEAR = ("ssb", "obf", "ls", "icom")
ABERRATIONS = {"C10": -150.0, "C12": 60.0, "phi12": 25.0, "C21": 3e3, "phi21": 40.0, "C23": 2.5e3, "phi23": -20.0,
               "C30": 5e5}  # fmt: skip


def _quantities(aberrations):
    return {k: f"{v} angstrom" if k.startswith("C") else f"{v} deg" for k, v in aberrations.items()}


def _stack(across=16, electrons=4e5, metadata=None, **options):
    """Tilted images of a simulation without noise."""
    patterns, center = po.patterns(**options)
    counts = np.rint(patterns * electrons).astype(np.uint32)
    signal = po.scan_steps_only(po.as_signal(counts, **(metadata or {})))
    disk = {"center": center[::-1], "radius": po.ALPHA / po.pixel_angle()}
    return tilted_images(signal, across, **disk)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270, 37])
def test_known_phase_comes_back_for_every_orientation_of_scan_and_detector(rotation, flip):
    known = {"scan_rotation": f"{rotation} deg", "flip_y": flip}
    stack = _stack(rotation=rotation, flip=flip, metadata=known)
    true = po.truth(rotation=rotation)
    found = {method: phase(stack, method, eps=1e-3 if method == "ls" else None).data for method in LINEAR}
    assert po.correlation(found["ls"], true) > 0.999
    assert po.slope(found["ls"], true) == pytest.approx(1, abs=0.02)
    assert po.correlation(found["icom"], true) > 0.98
    assert po.correlation(found["obf"], true) > 0.93 and po.correlation(found["ssb"], true) > 0.87
    # another orientation is another picture, or one of the wrong sign
    for turn, mirror in ((rotation + 180, flip), (rotation + 90, flip), (rotation, not flip)):
        other = phase(stack, "icom", rotation=f"{turn} deg", flip=mirror).data
        assert po.correlation(other, true) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(("rotation", "flip"), [(0, False), (37, True), (-70, False)])
def test_aberrations_are_taken_out_in_the_coordinates_of_the_scan(rotation, flip):
    stack = _stack(26, aberrations=ABERRATIONS, rotation=rotation, flip=flip)
    requested_ = {"rotation": f"{rotation} deg", "flip": flip}
    true = po.truth(rotation=rotation)
    right = phase(stack, "ls", aberrations=_quantities(ABERRATIONS), eps=1e-3, **requested_).data
    assert po.correlation(right, true) > 0.995
    assert po.slope(right, true) == pytest.approx(1, abs=0.06)
    wdd = phase(stack, "wdd", aberrations=_quantities(ABERRATIONS), eps=1e-6, **requested_).data
    assert po.correlation(wdd, true) > 0.95
    # each of them matters, and so does its sign
    for name in ("C10", "C12", "C21", "C23", "C30"):
        wrong = {**ABERRATIONS, name: -ABERRATIONS[name]}
        other = phase(stack, "ls", aberrations=_quantities(wrong), eps=1e-3, **requested_).data
        assert np.std(other - right) > 0.1 * np.std(true), name


@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
def test_parallax_moves_images_the_way_a_defocused_probe_sees_them(sign):
    step = (0.45, 0.4)
    stack = _stack(aberrations={"C10": sign * 600.0}, nav_shape=(44, 50), step=step)
    true = po.truth((44, 50))
    found = {s: phase(stack, "parallax", aberrations={"C10": f"{s * 600} angstrom"}).data for s in (-1, 1)}
    assert po.correlation(found[sign], true) > 0.6
    assert po.correlation(found[sign], true) > po.correlation(found[-sign], true) + 0.3
    # overfocus of the metadata is C10
    known = _stack(aberrations={"C10": sign * 600.0}, nav_shape=(44, 50), metadata={"overfocus": f"{sign * 60} nm"})
    np.testing.assert_allclose(phase(known, "parallax").data, found[sign], atol=1e-4 * np.abs(found[sign]).max())


@pytest.mark.slow
def test_a_pure_tilt_of_the_phase_is_a_shift_of_the_patterns():
    """A ramp moves the disk by its slope over 2 pi: the sign that ties the detector to the scan."""
    period = 64 * 0.3

    def wave(y, x):
        return 0.05 * np.sin(2 * np.pi * (2 * x - y) / period)

    nav, step = (48, 64), (0.4, 0.3)  # both sides are one period, as the transform takes it
    patterns, center = po.patterns(nav, phase=wave, step=step)
    y, x = np.mgrid[:64, :64]
    scale = po.pixel_angle() * 1e-3 / po.wavelength()  # 1/angstrom
    shift = [(patterns * (axis - c)).sum(axis=(2, 3)) * scale for axis, c in ((y, center[0]), (x, center[1]))]
    there = po.positions(nav, step=step)
    slope = 0.05 * 2 * np.pi / period * np.cos(2 * np.pi * (2 * there[..., 1] - there[..., 0]) / period)
    assert po.correlation(shift[1], 2 * slope) > 0.999 and po.correlation(shift[0], -slope) > 0.999
    counts = np.rint(patterns * 4e5).astype(np.uint32)
    signal = po.as_signal(counts, scan_step_y="0.4 angstrom", scan_step_x="0.3 angstrom")
    for axis, size in zip(signal.axes_manager.navigation_axes, (0.03, 0.04)):
        axis.scale, axis.units = size, "nm"
    found = phase(signal, "ls", eps=1e-4, center=center[::-1], radius=po.ALPHA / po.pixel_angle()).data
    true = wave(there[..., 0], there[..., 1])
    assert po.correlation(found, true) > 0.9995
    assert po.slope(found, true) == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_strong_phases_come_back_from_the_wigner_distribution():
    def strong(y, x):
        return 6 * po.blobs(y, x)

    nav, step = (48, 48), (0.4, 0.4)
    stack = _stack(30, phase=strong, nav_shape=nav, step=step)
    for axis in stack.axes_manager.signal_axes:
        axis.scale = 0.04
    true = po.truth(nav, phase=strong, step=step)
    found = {method: phase(stack, method, eps=1e-6).data for method in ("wdd", "ls")}
    assert po.correlation(found["wdd"], true) > 0.98
    assert po.slope(found["wdd"], true) == pytest.approx(1, abs=0.25)


def test_more_pixels_than_positions():
    coarse = (0.8, 0.75)
    defocus = {"C10": -100.0}
    patterns, center = po.patterns((22, 26), step=coarse, aberrations=defocus)
    signal = po.as_signal(np.rint(patterns * 4e5).astype(np.uint32))
    for axis, size in zip(signal.axes_manager.navigation_axes, (0.075, 0.08)):
        axis.scale, axis.units = size, "nm"
    stack = tilted_images(signal, 20, center=center[::-1], radius=po.ALPHA / po.pixel_angle())
    found = phase(stack, "ls", upsampling=2, eps=1e-2, aberrations=_quantities(defocus))
    assert found.data.shape == (44, 52)
    assert [axis.scale for axis in found.axes_manager.signal_axes] == pytest.approx([0.0375, 0.04])
    # pixel 2 i of the fine picture is position i
    fine = np.stack(np.meshgrid(*((np.arange(2 * n) / 2 - (n - 1) / 2) * s for n, s in zip((22, 26), coarse)),
                                indexing="ij"), axis=-1)  # fmt: skip
    true = po.blobs(fine[..., 0], fine[..., 1])
    assert po.correlation(found.data, true) > 0.92
    moved = phase(stack, "parallax", upsampling=2, aberrations=_quantities(defocus))
    assert po.correlation(moved.data, true) > 0.8


# -- the formulas: a few lines of NumPy for each method ------------------------------------------------


def _chi(y, x, aberrations, length):
    return po.aberration_phase(y / length, x / length, aberrations, length)


def _twin(images, groups, optics, method, eps=None):
    """Whole plane, everything dense; returns the picture."""
    lam, ny, nx = optics.wavelength, *images.shape[1:]
    ky, kx = optics.angles(groups.y, groups.x)
    qy, qx = (lam * np.fft.fftfreq(n, step) for n, step in zip((ny, nx), optics.scan_step))
    # the frequency between both halves belongs to both; the half plane calls it positive along x
    qx[nx // 2 :] = np.where((nx % 2 == 0) & (np.arange(nx)[nx // 2 :] == nx // 2), -qx[nx // 2 :], qx[nx // 2 :])
    qy, qx = np.meshgrid(qy, qx, indexing="ij")
    alpha, edge = optics.semi_angle * 1e-3, groups.width * optics.pixel_angle * 1e-3
    total = images.sum(dtype=float)
    f = images.sum(axis=(1, 2), dtype=float) / total
    spectra = np.fft.fft2(images) / total

    def probe(y, x):
        inside = np.clip((alpha - np.hypot(y, x)) / edge + 0.5, 0, 1)
        return inside * np.exp(-1j * _chi(y, x, optics.aberrations, lam))

    here = np.exp(-1j * _chi(ky, kx, optics.aberrations, lam))
    gamma = np.array(
        [probe(y - qy, x - qx) * p.conj() - probe(y + qy, x + qx).conj() * p for y, x, p in zip(ky, kx, here)]
    )
    power = (f[:, None, None] * np.abs(gamma) ** 2).sum(axis=0)
    inside = (np.hypot(qy, qx) <= 2 * alpha + edge) & (np.abs(gamma) > 1e-6)
    if method == "icom":
        square = qy**2 + qx**2
        square[0, 0] = np.inf
        weights = np.array([-1j * (y * qy + x * qx) / square for y, x in zip(ky, kx)])
    elif method == "parallax":
        small = 1e-7
        slope = [[_chi(y + a, x + b, optics.aberrations, lam) - _chi(y - a, x - b, optics.aberrations, lam)
                  for a, b in ((small, 0), (0, small))] for y, x in zip(ky, kx)]  # fmt: skip
        even = (_chi(qy, qx, optics.aberrations, lam) + _chi(-qy, -qx, optics.aberrations, lam)) / 2
        weights = np.array([np.exp(-1j * (sy * qy + sx * qx) / (2 * small)) for sy, sx in slope]) * np.sign(
            np.sin(even)
        )
    else:
        scale = {"ssb": np.abs(gamma), "obf": np.sqrt(power), "ls": power + (eps or 0)}[method]
        weights = np.where(inside, -1j * gamma.conj() / np.maximum(scale, 1e-12), 0)
    plane = (weights * spectra).sum(axis=0)
    plane[0, 0] = 0
    half = plane[:, : nx // 2 + 1]
    return np.fft.irfft2(half, (ny, nx)) * ny * nx


@st.composite
def experiments(draw):
    nav = draw(st.integers(5, 12)), draw(st.integers(5, 12))
    sizes = st.floats(-1, 1)
    aberrations = {
        "C10": 20 * draw(sizes), "C12": 8 * draw(sizes), "phi12": 180 * draw(sizes), "C21": 300 * draw(sizes),
        "phi21": 180 * draw(sizes), "C23": 200 * draw(sizes), "phi23": 180 * draw(sizes), "C30": 2e4 * draw(sizes),
    }  # fmt: skip
    if draw(st.booleans()):
        aberrations = {}
    optics = Optics(
        beam_energy=draw(st.floats(30, 300)), semi_angle=20.0, scan_step=(draw(st.floats(0.02, 0.2)), 0.05),
        pixel_angle=20.0 / 5.3, rotation=draw(st.floats(-180, 180)), flip=draw(st.booleans()), aberrations=aberrations,
    )  # fmt: skip
    groups = make_groups(Disk(7.2, 6.7, 5.3), (15, 13), draw(st.integers(2, 6)))
    images = np.random.default_rng(draw(st.integers(0, 999))).poisson(3.0, (len(groups), *nav)).astype(np.uint16)
    return images, groups, optics


@pytest.mark.slow
@settings(max_examples=25)
@given(experiments(), st.sampled_from(["ssb", "obf", "ls", "icom", "parallax"]))
def test_each_linear_method_is_its_formula(experiment, method):
    images, groups, optics = experiment
    # without defocus the sign of its transfer is that of rounding; `phase` refuses it
    assume(method != "parallax" or abs(optics.aberrations.get("C10", 1)) > 1e-3)
    eps = 0.05 if method == "ls" else None
    found, used = phase_of_images(images, groups, optics, method, eps=eps)
    expected = _twin(images, groups, optics, method, eps)
    assert used["electrons"] == pytest.approx(images.sum() / images[0].size)
    # the transforms are in single precision
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max() + 1e-12)


def _wigner_twin(images, groups, optics, eps):
    """The four-dimensional deconvolution on the grid of the groups, as one reads it in papers."""
    lam, (ny, nx) = optics.wavelength, images.shape[1:]
    side = 4 * (max(np.abs(groups.row).max(), np.abs(groups.column).max()) + 1)
    side = int(side)
    ky, kx = optics.angles(groups.y, groups.x)
    alpha, edge = optics.semi_angle * 1e-3, groups.width * optics.pixel_angle * 1e-3
    total = images.sum(dtype=float)
    f = images.sum(axis=(1, 2), dtype=float) / total
    spectra = np.fft.fft2(images) / total
    here = np.exp(-1j * _chi(ky, kx, optics.aberrations, lam))
    wave = np.zeros((ny, nx), complex)
    for i, j in np.ndindex(ny, nx):
        qy, qx = (lam * np.fft.fftfreq(n, s)[m] for n, s, m in zip((ny, nx), optics.scan_step, (i, j)))
        if np.hypot(qy, qx) > 2 * alpha + edge:
            continue
        y, x = ky - qy, kx - qx
        probe = np.clip((alpha - np.hypot(y, x)) / edge + 0.5, 0, 1) * np.exp(-1j * _chi(y, x, optics.aberrations, lam))
        overlap, measured = np.zeros((2, side, side), complex)
        # at frequency 0 every group is whole
        overlap[groups.row, groups.column] = f * (probe * here.conj() if (i, j) != (0, 0) else 1)
        measured[groups.row, groups.column] = spectra[:, i, j]
        overlap, measured = np.fft.fft2(overlap), np.fft.fft2(measured)
        wave[i, j] = (measured * overlap.conj() / (np.abs(overlap) ** 2 + eps)).mean()
    return np.angle(np.fft.ifft2(wave))


@pytest.mark.slow
@settings(max_examples=10)
@given(experiments())
def test_wigner_deconvolution_is_its_formula(experiment):
    images, groups, optics = experiment
    if images.shape[1] % 2 == 0 or images.shape[2] % 2 == 0:
        images = images[:, : images.shape[1] - 1 + images.shape[1] % 2, : images.shape[2] - 1 + images.shape[2] % 2]
    found, _ = phase_of_images(images, groups, optics, "wdd", eps=0.1)
    np.testing.assert_allclose(found, _wigner_twin(images, groups, optics, 0.1), atol=2e-4 * np.abs(found).max())


# -- the same experiment written down in another way ------------------------------------------------------


@st.composite
def descriptions(draw):
    """Turn of the scan, flip, and aberrations; and a quarter turn, a mirror and an exchange of axes of the arrays."""
    number = st.integers(-99, 99).map(lambda hundredths: hundredths / 100)
    aberrations = {"C10": 20 * draw(number) + 0.1, "C12": 8 * draw(number), "phi12": 180 * draw(number),
                   "C21": 300 * draw(number), "phi21": 180 * draw(number), "C23": 200 * draw(number),
                   "phi23": 180 * draw(number), "C30": 2e4 * draw(number)}  # fmt: skip
    known = 180 * draw(number), draw(st.booleans()), aberrations
    return known, draw(st.integers(0, 3)), draw(st.booleans()), draw(st.booleans())


@pytest.mark.slow
@settings(max_examples=40)
@given(descriptions(), st.sampled_from(METHODS), st.integers(0, 999))
def test_turned_mirrored_and_exchanged_arrays_give_the_same_picture(description, method, seed):
    (rotation, flip, aberrations), quarters, mirrored, exchanged = description
    counts = np.random.default_rng(seed).poisson(0.5, (7, 9, 15, 15)).astype(np.uint16)

    def picture(counts, rotation, flip, aberrations, steps):
        signal = po.as_signal(counts, scan_step_y=f"{steps[0]} nm", scan_step_x=f"{steps[1]} nm")
        options = {"eps": 0.1} if method in ("ls", "wdd") else {}
        units = {name: f"{value!r} {'nm' if name.startswith('C') else 'deg'}" for name, value in aberrations.items()}
        return phase(
            signal, method, rotation=f"{rotation!r} deg", flip=flip, aberrations=units, center=(7, 7), radius=5.3,
            across=5, show_progressbar=False, **options,
        ).data  # fmt: skip

    expected = picture(counts, rotation, flip, aberrations, (0.05, 0.04))
    other, turn, mirror, steps = np.rot90(counts, quarters, axes=(2, 3)), rotation, flip, (0.05, 0.04)
    turn += 90 * quarters * (1 if flip else -1)
    if mirrored:
        other, mirror = other[:, :, ::-1], not mirror
    if exchanged:  # of scan and detector: angles now count from y to x
        other, steps = other.transpose(1, 0, 3, 2), steps[::-1]
        turn = 180 - turn if mirror else -turn
        aberrations = {n: 90 - v if n.startswith("phi") else v for n, v in aberrations.items()}
    found = picture(np.ascontiguousarray(other), turn, mirror, aberrations, steps)
    found = found.T if exchanged else found
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("method", METHODS)
def test_the_number_of_threads_changes_nothing(method, monkeypatch):
    groups = make_groups(Disk(7.2, 6.7, 5.3), (15, 13), 5)
    images = np.random.default_rng(0).poisson(3.0, (len(groups), 10, 9)).astype(np.uint16)
    optics = Optics(200.0, 20.0, (0.05, 0.04), 20 / 5.3, 10.0, False, {"C10": 5.0})
    one = phase_of_images(images, groups, optics, method)[0]
    monkeypatch.setattr(transform, "thread_count", lambda table_bytes=0: 3)
    monkeypatch.setattr(transform, "_WDD_BYTES", 8 * len(groups) * 7)
    np.testing.assert_allclose(phase_of_images(images, groups, optics, method)[0], one, atol=1e-6 * np.abs(one).max())


# -- what is said ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scan():
    return hyperspy_sparse.data.phase_object((20, 24), electrons=100)


def test_result_has_scan_axes_and_settings(scan):
    found = hyperspy_sparse.phase(scan, "ls", aberrations={"C10": "-2 nm"}, rotation="3 deg", across=10)
    assert found.data.shape == (20, 24) and not found._lazy
    axes = found.axes_manager.signal_axes
    assert [(a.name, a.scale, a.units) for a in axes] == [("x", 0.04, "nm"), ("y", 0.04, "nm")]
    about = found.metadata.Phase
    assert (about.method, about.rotation, about.flip, about.Aberrations.C10) == ("ls", 3.0, False, -2.0)
    assert about.eps > 0 and about.electrons_per_position == pytest.approx(100, rel=0.05)
    assert found.metadata.Signal.quantity == "Phase (rad)"
    assert abs(found.data.mean()) < 1e-9


def test_a_simulated_scan_gives_its_phase(scan):
    s = hyperspy_sparse.data.phase_object(electrons=1000)
    true = s.metadata.Simulation.phase
    assert po.correlation(hyperspy_sparse.phase(s, "ls").data, true) > 0.6
    assert po.correlation(hyperspy_sparse.phase(s, "icom").data, true) > 0.8


@pytest.mark.parametrize("name", ["beam_energy", "convergence_angle"])
def test_what_is_missing_is_named_with_the_line_that_sets_it(scan, name, monkeypatch):
    s = hyperspy_sparse.set_microscope(scan.deepcopy(), calibrate=None, **{name: None})
    # before anything is read
    monkeypatch.setattr("hyperspy_sparse.phase_contrast.image.disk_of", lambda *a: pytest.fail("data were read"))
    with pytest.raises(ValueError, match=f"needs {name}.*set_microscope\\(s, {name}="):
        hyperspy_sparse.phase(s)


def test_stack_knows_a_scan_step_that_only_the_metadata_have():
    s = hyperspy_sparse.data.phase_object((8, 9))
    axes = s.axes_manager.navigation_axes
    steps = {f"scan_step_{axis.name}": f"{2 * axis.scale} {axis.units}" for axis in axes}
    bare = hyperspy_sparse.set_microscope(s.deepcopy(), calibrate=None, **steps)
    for axis in bare.axes_manager.navigation_axes:
        axis.units, axis.scale = "", 1.0
    for axis in axes:
        axis.scale *= 2
    hyperspy_sparse.set_microscope(s, calibrate=None, **steps)
    expected = hyperspy_sparse.phase(s, "icom")
    np.testing.assert_allclose(hyperspy_sparse.phase(tilted_images(bare), "icom").data, expected.data, rtol=1e-6)
    # as the stack itself is calibrated: a binned one has a larger step
    stack = tilted_images(bare)
    for axis in stack.axes_manager.signal_axes:
        axis.scale *= 2
    known = Known.of(stack, stack.metadata.get_item(NODE).as_dictionary())
    assert known.steps == pytest.approx([4 * step for step in Known.of(hyperspy_sparse.data.phase_object()).steps])


def test_a_scan_without_steps_is_reported():
    s = hyperspy_sparse.data.phase_object((8, 9))
    for axis in s.axes_manager.navigation_axes:
        axis.units, axis.scale = "", 1.0
    with pytest.raises(ValueError, match="scan_step="):
        hyperspy_sparse.phase(s)


def test_camera_length_stands_in_for_the_semi_angle_and_contradictions_are_said(scan, caplog):
    angle = po.wavelength() / (64 * 0.3)  # of a pixel, rad
    camera = f"{55e-6 / angle} m"
    s = hyperspy_sparse.set_microscope(
        scan.deepcopy(), convergence_angle=None, camera_length=camera, pixel_pitch="55 um"
    )
    found = hyperspy_sparse.phase(s)
    assert found.metadata.Phase.semi_angle == pytest.approx(20, rel=0.03)
    with caplog.at_level(logging.WARNING):
        hyperspy_sparse.phase(hyperspy_sparse.set_microscope(s, convergence_angle="20 mrad"))
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        other = hyperspy_sparse.phase(hyperspy_sparse.set_microscope(s, convergence_angle="25 mrad"))
    assert "convergence_angle is 25.00 mrad" in caplog.text and "axes" in caplog.text
    assert other.metadata.Phase.semi_angle == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "ssp"}, "'ssb', 'obf'"),
        ({"method": None}, "method=None"),
        ({"upsampling": 0}, "upsampling=0"),
        ({"across": 0}, "across=0"),
        ({"eps": 1.0}, "nothing to regularise"),
        ({"method": "ls", "eps": -1}, "eps=-1"),
        ({"aberrations": {"C10": 3}}, "C10=3 has no unit"),
        ({"aberrations": {"C10": "3 mrad"}}, "C10='3 mrad'"),
        ({"aberrations": {"A1": "3 nm"}}, "'A1' is not valid"),
        ({"aberrations": {"phi12": "3 deg"}}, "phi12 is the direction of C12"),
        ({"aberrations": "C10"}, "dictionary"),
        ({"rotation": 3}, "rotation=3 has no unit"),
        ({"flip": "yes"}, "flip"),
        ({"method": "parallax"}, "C10 is 0"),
        ({"center": (1, 2, 3)}, "center="),
        ({"radius": -3, "center": (32, 32)}, "radius=-3"),
    ],
)
def test_what_makes_no_sense_is_refused(scan, options, message):
    with pytest.raises(ValueError, match=message.replace("(", "\\(")):
        hyperspy_sparse.phase(scan, **options)


def test_other_signals_are_refused(scan):
    stack = tilted_images(scan, 6)
    with pytest.raises(ValueError, match="part of a stack"):
        phase(stack.inav[2:5])
    with pytest.raises(ValueError, match="when this stack was made"):
        phase(stack, radius=3)
    with pytest.raises(TypeError, match="expected a signal"):
        phase(np.ones((3, 4, 5, 6)))
    cropped = phase(stack.isig[2:20, 3:]).data
    assert cropped.shape == (17, 18)


def test_memory_is_bounded_before_work_starts(scan):
    hyperspy_sparse.set_limit("100 kB")
    try:
        with pytest.raises(hyperspy_sparse.DenseMemoryError, match="take fewer groups"):
            phase(scan)
    finally:
        hyperspy_sparse.set_limit(None)


def test_a_stack_gives_what_the_signal_gives(scan):
    np.testing.assert_array_equal(phase(tilted_images(scan)).data, phase(scan).data)
    stack = tilted_images(scan)
    stack.compute()
    np.testing.assert_array_equal(phase(stack).data, phase(scan).data)


def test_results_say_in_the_log_how_they_were_made():
    scan = hyperspy_sparse.data.phase_object((12, 14), electrons=30)
    stack = tilted_images(scan, across=4)
    picture = phase(stack, "ls", aberrations={"C10": "-3 nm"}, eps=0.5)
    log = picture.metadata.General.Processing
    assert log.analysis_0.operation == "tilted images" and log.analysis_1.operation == "phase"
    assert json.loads(log.analysis_0.parameters)["groups"] == len(stack.metadata.Tilted_images.y)
    made_with = json.loads(log.analysis_1.parameters)
    assert (made_with["method"], made_with["eps"], made_with["Aberrations"]["C10"]) == ("ls", 0.5, -3)
    assert not scan.metadata.has_item("General.Processing.analysis_0")
